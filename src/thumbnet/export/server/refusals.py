"""Why a request, or one of its pictures, is refused: an HTTP status, a sentence and a hint."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypedDict


class ErrorAnswer(TypedDict):
    """An error as it stands in an answer's JSON; `code` is an HTTP status."""

    code: int
    message: str
    hint: str


class RefusedError(Exception):
    """A request or a picture that is not served, with the HTTP status that says why."""

    def __init__(self, status: HTTPStatus, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint

    def to_answer(self) -> ErrorAnswer:
        return {"code": int(self.status), "message": self.message, "hint": self.hint}


class ClientLeftError(Exception):
    """The client closed the connection before its request was complete: nobody waits for an answer."""

"""The application: its routes and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thumbnet import __version__
from thumbnet.export.html.page import build_page, page_policy
from thumbnet.export.server.budget import Budget
from thumbnet.export.server.classifier import Classifier
from thumbnet.export.server.forms import Upload
from thumbnet.export.server.guard import Guard, to_plain
from thumbnet.export.server.limits import SMALL_REQUEST, SMALL_UPLOADS, Limits
from thumbnet.export.server.openapi import describe
from thumbnet.export.server.refusals import ClientLeftError, RefusedError
from thumbnet.export.server.uploads import announced_bytes, read_uploads
from thumbnet.models.card import ModelCard
from thumbnet.models.unknown import UNKNOWN, Unknown
from thumbnet.models.unsure import UNSURE
from thumbnet.trained.shippable import Shippable

NUM_TOP = 3
NO_PAGE = "there is no page: it would cut pictures, and the model's are letterboxed"


def build_app(shippable: Shippable, *, limits: Limits, hosts: Collection[str] | None = None) -> Guard:
    """The ASGI application that serves a model; `hosts` are the names that requests may call it by, None: any.

    Raises:
        ExportError: the model is no network of blocks.
    """
    return Guard(_Service(shippable, limits).app, hosts=hosts, max_requests=limits.max_requests)


def has_page(card: ModelCard) -> bool:
    """Whether the page prepares pictures as the model needs them."""
    return card.fit == "crop"


class _Service:
    def __init__(self, shippable: Shippable, limits: Limits) -> None:
        self._name = shippable.name
        self._card = shippable.card
        self._limits = limits
        self._classifier = Classifier(shippable, limits)
        self._large = Budget(limits.upload_bytes)
        self._small = Budget(SMALL_UPLOADS)
        self._shippable = shippable
        self._page: asyncio.Future[str] | None = None
        self._description = to_plain(self._describe())
        self.app = Starlette(
            routes=[
                Route("/", self.page),
                Route("/predict", self.predict, methods=["POST"]),
                Route("/health", self.health),
                Route("/model", self.model),
                Route("/openapi.json", self.openapi),
            ],
            exception_handlers={
                RefusedError: _refused,
                HTTPException: _http_error,
                ClientLeftError: _nobody_waits,
                Exception: _own_error,
            },
        )

    def _describe(self) -> dict[str, Any]:
        return describe(
            self._name,
            self._card.class_names,
            self._limits,
            version=__version__,
            answer_kind=self._card.answer_kind,
            says_unknown=self._card.unknown is not None,
            has_page=has_page(self._card),
        )

    async def page(self, request: Request) -> Response:
        if not has_page(self._card):
            raise RefusedError(HTTPStatus.NOT_FOUND, NO_PAGE, hint="send pictures to /predict")
        if self._page is None:  # it takes a third of a second, which those who want no page need not wait for
            self._page = asyncio.get_running_loop().run_in_executor(None, build_page, self._shippable)
        content = await asyncio.shield(self._page)
        policy = page_policy(self._card.answer_kind, may_be_unknown=self._card.unknown is not None)
        headers = {
            "content-security-policy": f"{policy}; frame-ancestors 'none'",
            "cache-control": "no-cache",
        }
        return Response(content, media_type="text/html", headers=headers)

    async def predict(self, request: Request) -> Response:
        num_top = _num_top(request, len(self._card.class_names))
        num_bytes = announced_bytes(request, self._limits)
        lane = self._small if num_bytes <= SMALL_REQUEST else self._large
        async with lane.reserved(num_bytes):
            uploads = await read_uploads(request, self._limits)
            answers = await asyncio.gather(*(self._answer(upload, num_top) for upload in uploads))
        return _json({"model": self._name, "predictions": answers}, status=_status(answers))

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok", "model": self._name, "engine": self._classifier.engine})

    async def model(self, request: Request) -> Response:
        card = self._card
        channels, height, width = card.image_shape
        return _json(
            {
                "name": self._name,
                "model": card.model,
                "recipe": card.recipe,
                "num_params": card.num_params,
                "class_names": card.class_names,
                "image": {"channels": channels, "height": height, "width": width},
                **({} if card.decision is None else {"decision": asdict(card.decision)}),
                **({} if card.unsure is None else {"unsure": asdict(card.unsure)}),
                **({} if card.label_decision is None else {"label_decision": asdict(card.label_decision)}),
                **({} if card.unknown is None else {"unknown": _in_short(card.unknown)}),
                "metrics": None if card.metrics is None else dict(card.metrics),
                "engine": self._classifier.engine,
                "version": __version__,
            }
        )

    async def openapi(self, request: Request) -> Response:
        return Response(self._description, media_type="application/json")

    async def _answer(self, upload: Upload, num_top: int) -> dict[str, Any]:
        try:
            found = await self._classifier.classify(upload.content, num_top=num_top)
        except RefusedError as error:
            return {"filename": upload.filename, "error": error.to_answer()}
        finally:
            upload.content.close()  # its memory is free before the others are done
        top = [asdict(guess) for guess in found.top]
        labels = {} if found.labels is None else {"labels": list(found.labels)}
        answer = {"filename": upload.filename, **labels, **top[0], "top": top}
        unsure = self._card.unsure
        if self._card.other_answers:
            is_unsure = unsure is not None and found.top[0].probability < unsure.confidence
            known = UNSURE if is_unsure else found.top[0].class_name
            answer["answer"] = UNKNOWN if found.is_unknown else known
        return answer


def _in_short(unknown: Unknown) -> dict[str, Any]:
    """The rule without its thousands of numbers."""
    return {name: value for name, value in asdict(unknown).items() if name not in ("means", "deviations")}


def _num_top(request: Request, num_classes: int) -> int:
    """How many classes were asked for."""
    parameters = request.query_params.multi_items()
    names = [name for name, _ in parameters]
    if names not in ([], ["top"]):
        raise RefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "the address has a parameter that is not known, or one twice",
            hint="the only one is top, as in /predict?top=5",
        )
    text = parameters[0][1] if parameters else str(min(NUM_TOP, num_classes))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= num_classes):
        raise RefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "top is not a number of classes", hint=f"give one from 1 to {num_classes}"
        )
    return int(text)


def _status(answers: Sequence[Mapping[str, Any]]) -> int:
    """200 where any picture was classified, else the code of the first one's error."""
    errors = [answer["error"]["code"] for answer in answers if "error" in answer]
    return int(errors[0]) if len(errors) == len(answers) else HTTPStatus.OK


def _json(
    values: Mapping[str, Any], *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(to_plain(values), status_code=status, media_type="application/json", headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _json({"error": error.to_answer()}, status=error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such address (404), or not this method (405)."""
    assert isinstance(error, HTTPException)
    reason = RefusedError(HTTPStatus(error.status_code), error.detail, hint="/openapi.json describes what there is")
    return _json({"error": reason.to_answer()}, status=error.status_code, headers=error.headers)


async def _nobody_waits(request: Request, error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _own_error(request: Request, error: Exception) -> Response:
    """A bug of ours; uvicorn logs it."""
    reason = RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed", hint="its log says why")
    return _json({"error": reason.to_answer()}, status=reason.status)

"""What stands around the application: who may ask, headers of every answer, and bodies that nobody reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbnet.export.server.refusals import RefusedError

Headers = list[tuple[bytes, bytes]]

# Of every answer but uvicorn's own, a few words of plain text: 503 beyond MOST_CONNECTIONS, 500 where a request was
# broken off when the server ended. An answer that sets one of them itself, as the page does, keeps its own.
SECURITY_HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
BODY_HEADERS = (b"content-length", b"transfer-encoding")
DRAIN_S = 2.0  # how long the rest of a refused body is read, so that its sender comes to read why


class Guard:
    """An ASGI application around another one.

    Args:
        hosts: the names that a Host header may have, without ports; None: any. A browser that was led here by a
            name that changed its address (DNS rebinding) gives the wrong one.
        max_requests: that are under way or wait at a time; others are answered with 503.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] | None, max_requests: int) -> None:
        self._app = app
        self._hosts = hosts
        self._max_requests = max_requests
        self._num_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send)
        self._num_requests += 1
        try:
            reason = self._reason_against(dict(scope["headers"]), scope["method"])
            if reason is None:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await exchange.refuse(reason)
        finally:
            self._num_requests -= 1

    def _reason_against(self, headers: Mapping[bytes, bytes], method: str) -> RefusedError | None:
        if self._num_requests > self._max_requests:
            return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests wait", hint="try again in a second")
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and without_port(host) not in self._hosts:
            return RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this server is called by another name",
                hint="ask for http://127.0.0.1, or start it with --host and the address that it is to have",
            )
        origin = headers.get(b"origin")
        if origin is not None and method not in ("GET", "HEAD"):
            _, _, name = origin.decode("latin-1").lower().partition("://")
            if name != host:
                return RefusedError(
                    HTTPStatus.FORBIDDEN, "pages of other sites may not use this server", hint="ask without a browser"
                )
        return None


class _Exchange:
    """A request and its answer: adds headers, and reads what is left of the request's body before the answer ends.

    Were the connection closed while its sender still writes, the sender would see a broken connection and no answer.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._has_more = any(name in BODY_HEADERS for name, _ in scope["headers"])
        self._closes = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._has_more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Headers = list(message.get("headers", []))
            present = {name.lower() for name, _ in headers}
            headers += [pair for pair in SECURITY_HEADERS.items() if pair[0] not in present]
            self._closes = self._has_more
            if self._closes:
                headers.append((b"connection", b"close"))
            if message["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
                headers.append((b"retry-after", b"1"))
            await self._send({**message, "headers": headers})
        elif self._closes and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send(message)

    async def refuse(self, reason: RefusedError) -> None:
        body = json.dumps({"error": reason.to_answer()}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": int(reason.status), "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                while self._has_more:
                    await self.receive()
        except TimeoutError:
            return


def without_port(host: str) -> str:
    """The name or address in a Host header: `[::1]:8000` is `[::1]`."""
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0]


def to_plain(values: Mapping[str, Any]) -> bytes:
    """JSON in ASCII: names of classes and files are escaped, whatever characters they have."""
    return json.dumps(values, allow_nan=False).encode("ascii")

"""The pictures of a request, read piece by piece within the limits; nothing is written to disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.requests import Request

from thumbnet.export.server.forms import FormReader, Upload, boundary_of
from thumbnet.export.server.limits import Limits
from thumbnet.export.server.refusals import ClientLeftError, RefusedError

FORM = "multipart/form-data"


def media_type(request: Request) -> str:
    """The request's Content-Type without its parameters."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


def announced_bytes(request: Request, limits: Limits) -> int:
    """How many bytes the request's body has, or may have where it does not say.

    Raises:
        RefusedError: 413 where it says that it has more than is accepted; 415 where it cannot hold pictures.
    """
    kind = media_type(request)
    if kind != FORM and kind != "application/octet-stream" and not kind.startswith("image/"):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the request's Content-Type is {kind!r}" if kind else "the request has no Content-Type",
            hint=f"send a picture with its own type, such as image/png, or one or several as {FORM}",
        )
    if str(request.headers.get("content-encoding", "identity")).lower() != "identity":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the request's body is compressed", hint="send it plain")
    most = limits.request_bytes if kind == FORM else limits.max_bytes
    text = request.headers.get("content-length")
    if text is None:
        return most
    if not (text.isascii() and text.isdigit()):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the request's Content-Length is no number")
    if len(text) > 18 or int(text) > most:
        raise _too_large(most)
    return int(text)


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """The request's pictures, at least one.

    Raises:
        RefusedError: they are too large (413) or none (422), the form is malformed (400), or the client is slow (408).
        ClientLeftError: the connection was closed.
    """
    if media_type(request) == FORM:
        form = FormReader(boundary_of(request.headers["content-type"]), limits)
        num_bytes = 0
        async for piece in _pieces(request, limits):
            num_bytes += len(piece)
            if num_bytes > limits.request_bytes:
                raise _too_large(limits.request_bytes)
            form.write(piece)
        uploads = form.finish()
    else:
        upload = Upload(None)
        async for piece in _pieces(request, limits):
            upload.write(piece, limits)
        uploads = [upload] if upload.content.tell() else []
    if not uploads:
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the request has no picture", hint="send at least one")
    return uploads


async def _pieces(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.body_s
    is_last = False
    while not is_last:
        try:
            async with asyncio.timeout_at(min(loop.time() + limits.idle_s, end)):
                message = await request.receive()
        except TimeoutError as error:
            raise RefusedError(
                HTTPStatus.REQUEST_TIMEOUT, "the picture arrives too slowly", hint="send it again, in one go"
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        is_last = not message.get("more_body", False)
        yield message.get("body", b"")


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request has more than {most:,} bytes, the most that is accepted",
        hint="send fewer or smaller pictures, or start the server with a larger --max-bytes",
    )

"""Pictures in a multipart form, kept in memory: Starlette's parser would write large ones to disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from thumbnet.export.server.limits import Limits
from thumbnet.export.server.refusals import RefusedError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_NAME = 255  # characters of a file's name that an answer repeats
MOST_HEADER = 4096  # bytes of a header's name, and of its value
MOST_HEADERS = 8  # of a part
PLAIN_ENCODINGS = (b"", b"binary", b"8bit", b"7bit")


@dataclass
class Upload:
    """A picture's file as it was sent; `filename` is None where the client named none."""

    filename: str | None
    content: BytesIO = field(default_factory=BytesIO)

    def write(self, data: bytes, limits: Limits) -> None:
        """Add what has arrived; RefusedError (413) as soon as it is too much."""
        self.content.write(data)
        if self.content.tell() > limits.max_bytes:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a picture has more than {limits.max_bytes:,} bytes, the most that is accepted",
                hint="send a smaller file, or start the server with a larger --max-bytes",
            )


class FormReader:
    """Collects the pictures of a form that arrives piece by piece."""

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._limits = limits
        self._uploads: list[Upload] = []
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._is_complete = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._add_to_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_to_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": lambda data, start, end: self._uploads[-1].write(data[start:end], limits),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise _malformed(str(error)) from error

    def write(self, data: bytes) -> None:
        """Take the next piece of the form; RefusedError where it is malformed, or too much."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(str(error)) from error

    def finish(self) -> list[Upload]:
        """The form's pictures, in its order."""
        if not self._is_complete:
            raise _malformed("it ends before its last boundary")
        return self._uploads

    def _begin_part(self) -> None:
        if len(self._uploads) == self._limits.max_pictures:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the form has more than {self._limits.max_pictures} pictures, the most of a request",
                hint="send several requests",
            )
        self._headers = {}

    def _add_to_header(self, place: int, data: bytes) -> None:
        """Keep a piece of a header's name (0) or value (1)."""
        self._header[place].extend(data)
        if len(self._header[place]) > MOST_HEADER or len(self._headers) >= MOST_HEADERS:
            raise _malformed("a part has too long or too many headers")

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _begin_content(self) -> None:
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in PLAIN_ENCODINGS:
            raise RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a part of the form is encoded", hint="send the file's own bytes"
            )
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data":
            raise _malformed("a part has no Content-Disposition of form-data")
        self._uploads.append(Upload(_filename(options)))

    def _end_part(self) -> None:
        upload = self._uploads[-1]
        if upload.filename == "" and upload.content.tell() == 0:  # a browser's field in which no file was chosen
            self._uploads.pop()

    def _end(self) -> None:
        self._is_complete = True


def boundary_of(content_type: str) -> bytes:
    """The boundary that a form's Content-Type names; RefusedError (400) where there is none."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise _malformed("its Content-Type names no boundary")
    return boundary


def _filename(options: Mapping[bytes, bytes]) -> str | None:
    """What the part calls its file, or else itself."""
    name = options.get(b"filename", options.get(b"name"))
    return None if name is None else name.decode("utf-8", "replace")[:MOST_NAME]


def _malformed(reason: str) -> RefusedError:
    return RefusedError(
        HTTPStatus.BAD_REQUEST,
        f"the form is malformed: {reason}",
        hint="send multipart/form-data as in: curl -F picture=@cat.jpg ADDRESS/predict",
    )

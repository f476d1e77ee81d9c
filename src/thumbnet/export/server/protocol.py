"""uvicorn's HTTP protocol, with time limits for clients that send a request's head, or read an answer, too slowly."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from thumbnet.export.server.guard import SECURITY_HEADERS, to_plain
from thumbnet.export.server.refusals import RefusedError

HEAD_S = 10.0  # for a request's line and headers
READER_S = 30.0  # for a client to read what was sent


class TimedProtocol(H11Protocol):
    """Closes a connection whose client is too slow; uvicorn itself would wait for ever."""

    _head_timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        is_in_head = self.conn.their_state is h11.IDLE
        if not is_in_head:
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_reader_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_timer = self.loop.call_later(READER_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_reader_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; where another answer has begun, the connection is closed instead.

        An application that still works on the request learns that nobody waits.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        reason = RefusedError(HTTPStatus.BAD_REQUEST, "the request is malformed", hint="send HTTP/1.1")
        body = to_plain({"error": reason.to_answer()})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += [(b"connection", b"close"), *SECURITY_HEADERS.items()]
        events = (h11.Response(status_code=reason.status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        with suppress(h11.LocalProtocolError):  # an answer has begun, or it is one to HEAD, which has no body
            for event in events:
                self.transport.write(self.conn.send(event))
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

"""A source that is too slow is left for the next while another is untried, and taken up again where none is quicker."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cifar_files import make_batches, pack, published, release_files
from thumbnet.data.checksums import BINARY
from thumbnet.data.download import SOURCES, download_cifar10
from thumbnet.errors import DownloadError

BATCHES = make_batches(20)
PUBLISHED = published(BINARY, BATCHES)
ARCHIVE = pack(BINARY, release_files(BINARY, BATCHES))


@dataclass
class Source:
    """A server of the archive. It stops after `stalls[n]` bytes of the n-th answer, until the test ends."""

    stalls: list[int] = field(default_factory=list)
    status: int = 200
    address: str = ""
    offsets: list[int] = field(default_factory=list)


@pytest.fixture
def serve() -> Iterator[Callable[[Source], Source]]:
    ended = threading.Event()
    with contextlib.ExitStack() as stack:

        def start(source: Source) -> Source:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(source, ended))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            for end in (server.server_close, thread.join, server.shutdown, ended.set):
                stack.callback(end)
            source.address = f"http://127.0.0.1:{server.server_port}/"
            return source

        yield start


def get(data_dir: Path, *sources: Source, slow_after_s: float = 0.1, min_bytes_per_s: float = 1.0) -> Path:
    return download_cifar10(
        data_dir,
        sources=[source.address for source in sources],
        releases=[PUBLISHED],
        show_progress=False,
        slow_after_s=slow_after_s,
        min_bytes_per_s=min_bytes_per_s,
    )


def test_a_source_that_stalls_is_left_for_the_next_which_goes_on_from_there(
    tmp_path: Path, serve: Callable[[Source], Source]
) -> None:
    slow, quick = serve(Source(stalls=[len(ARCHIVE) // 2])), serve(Source())
    assert get(tmp_path, slow, quick).name == BINARY.folder
    assert slow.offsets == [0]
    assert len(quick.offsets) == 1
    assert 0 < quick.offsets[0] <= len(ARCHIVE) // 2


def test_a_source_that_trickles_is_left_too(tmp_path: Path, serve: Callable[[Source], Source]) -> None:
    """It never stops for long, but no rate would be enough: every window of time is too slow."""
    slow, quick = serve(Source()), serve(Source())
    get(tmp_path, slow, quick, slow_after_s=0.0, min_bytes_per_s=1e15)
    assert (slow.offsets, len(quick.offsets)) == ([0], 1)


def test_the_last_source_is_not_left_however_slow(tmp_path: Path, serve: Callable[[Source], Source]) -> None:
    only = serve(Source())
    get(tmp_path, only, slow_after_s=0.0, min_bytes_per_s=1e15)
    assert only.offsets == [0]


def test_a_slow_source_is_taken_up_again_where_no_other_has_the_file(
    tmp_path: Path, serve: Callable[[Source], Source]
) -> None:
    slow, broken = serve(Source(stalls=[len(ARCHIVE) // 2])), serve(Source(status=503))
    get(tmp_path, slow, broken)
    assert len(slow.offsets) == 2
    assert slow.offsets[1] > 0
    with pytest.raises(DownloadError, match="503"):
        get(tmp_path / "other", broken)


def test_mirrors_come_first_and_the_official_server_last() -> None:
    assert "toronto" in SOURCES[-1]
    assert any(source.startswith("https://zenodo.org/records/") for source in SOURCES[:-1])


def _handler_of(source: Source, ended: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            if source.status != 200:
                self.send_error(source.status)
                return
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            source.offsets.append(start)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(ARCHIVE) - 1}/{len(ARCHIVE)}")
            self.send_header("Content-Length", str(len(ARCHIVE) - start))
            self.end_headers()
            with contextlib.suppress(OSError):
                if not source.stalls:
                    self.wfile.write(ARCHIVE[start:])
                    return
                self.wfile.write(ARCHIVE[start : start + source.stalls.pop(0)])
                self.wfile.flush()
                ended.wait(20)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            """Quiet."""

    return Handler

"""The download of CIFAR-10, against servers on this machine that drop, stall, lie or are not there."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
import requests

from cifar_files import FakeBatch, make_batches, pack, published, release_files, write_archive, write_folder
from thumbnet.data import download, resuming
from thumbnet.data.checksums import BINARY, PYTHON, RELEASES
from thumbnet.data.cifar import read_cifar10
from thumbnet.data.download import SOURCES, WORK_DIR, download_cifar10
from thumbnet.errors import DataError, DatasetNotFoundError, DownloadError

BATCHES = make_batches(100)  # archives of several chunks
PUBLISHED = (published(BINARY, BATCHES), published(PYTHON, BATCHES))
ARCHIVES = {f"/{release.archive}": pack(release, release_files(release, BATCHES)) for release in RELEASES}
BINARY_ARCHIVE = ARCHIVES[f"/{BINARY.archive}"]
OTHER_BATCHES = [FakeBatch(255 - batch.images, batch.labels) for batch in BATCHES]
WRONG_ARCHIVE = pack(BINARY, release_files(BINARY, OTHER_BATCHES))


@dataclass
class Request:
    """A request as the server saw it, and the number of body bytes that it sent for it."""

    method: str
    path: str
    range_header: str | None
    num_sent: int = 0


@dataclass
class Mirror:
    """A server of `files`; the first GETs break off after `drops` bytes each."""

    files: dict[str, bytes] = field(default_factory=lambda: dict(ARCHIVES))
    drops: list[int] = field(default_factory=list)
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    address: str = ""

    @property
    def gets(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET"]


@pytest.fixture
def serve() -> Iterator[Callable[[Mirror], Mirror]]:
    """Starts a server on this machine for a Mirror and fills in its address."""
    with contextlib.ExitStack() as stack:

        def start(mirror: Mirror) -> Mirror:
            server = _Server(("127.0.0.1", 0), _handler_of(mirror))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            mirror.address = f"http://127.0.0.1:{server.server_port}/mirror/"
            return mirror

        yield start


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "RETRY_WAIT_S", 0.01)


def get(data_dir: Path, *sources: str, give_up_s: float = 5.0, show_progress: bool = False) -> Path:
    return download_cifar10(
        data_dir, sources=sources, releases=PUBLISHED, show_progress=show_progress, give_up_s=give_up_s
    )


def closed_address() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


@contextlib.contextmanager
def silent_address() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_archive_is_fetched_checked_and_unpacked(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    mirror = serve(Mirror())
    data_dir = tmp_path / "new" / "folder"
    folder = get(data_dir, mirror.address)
    assert folder == data_dir / BINARY.folder
    assert names_in(folder) == set(BINARY.files)
    assert names_in(data_dir) == {BINARY.folder}
    splits = read_cifar10(data_dir, releases=PUBLISHED)
    assert splits.source.verified
    assert (len(splits.train), len(splits.test or ())) == (500, 100)
    assert [request.path for request in mirror.gets] == [f"/mirror/{BINARY.archive}"]


def test_nothing_is_fetched_where_the_official_files_are(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, PYTHON, BATCHES)
    assert get(tmp_path, closed_address()) == folder
    assert names_in(tmp_path) == {PYTHON.folder}


def test_an_official_archive_at_hand_is_unpacked_and_kept(tmp_path: Path) -> None:
    write_archive(tmp_path, PYTHON, BATCHES)
    assert get(tmp_path, closed_address()) == tmp_path / PYTHON.folder
    assert names_in(tmp_path) == {PYTHON.folder, PYTHON.archive}
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


@pytest.mark.parametrize("missing_file", [None, BINARY.batch_files[2]])
def test_a_copy_that_is_not_the_official_one_is_replaced_and_kept(
    tmp_path: Path,
    serve: Callable[[Mirror], Mirror],
    caplog: pytest.LogCaptureFixture,
    missing_file: str | None,
) -> None:
    mirror = serve(Mirror(files={f"/{PYTHON.archive}": ARCHIVES[f"/{PYTHON.archive}"]}))
    for kept in (f"{BINARY.folder}.old", f"{BINARY.folder}.old2"):
        copy = write_folder(tmp_path, BINARY, OTHER_BATCHES)
        if missing_file is not None:
            (copy / missing_file).unlink()
        pixels = (copy / BINARY.batch_files[0]).read_bytes()
        assert get(tmp_path, mirror.address).name == PYTHON.folder
        assert (tmp_path / kept / BINARY.batch_files[0]).read_bytes() == pixels
        assert f"it is kept as {kept}" in caplog.text
        assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified
        caplog.clear()
    assert f"{PYTHON.folder}.old" in names_in(tmp_path)  # the python copy of the first round, put aside in the second


def test_a_broken_download_is_resumed(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    num_bytes = len(BINARY_ARCHIVE)
    mirror = serve(Mirror(drops=[num_bytes // 2, num_bytes // 4]))
    get(tmp_path, mirror.address)
    first, second, third = mirror.gets
    assert first.range_header is None
    for earlier, later in ((first, second), (second, third)):
        assert later.range_header is not None
        resumed_at = int(later.range_header.removeprefix("bytes=").removesuffix("-"))
        assert 0 < resumed_at <= num_bytes
        assert earlier.num_sent > 0
    num_sent = sum(request.num_sent for request in mirror.gets)
    assert num_bytes <= num_sent <= num_bytes + 2 * resuming.CHUNK_BYTES  # a chunk not yet written is asked for again
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


def test_the_next_call_resumes_from_another_source(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    num_bytes = len(BINARY_ARCHIVE)
    broken = serve(Mirror(drops=[num_bytes // 2] + [0] * 10))
    with pytest.raises(DownloadError):
        get(tmp_path, broken.address)
    assert len(broken.gets) == 1 + resuming.MAX_STALLED
    partial = tmp_path / WORK_DIR / f"{BINARY.archive}.partial"
    num_kept = partial.stat().st_size
    assert BINARY_ARCHIVE.startswith(partial.read_bytes())
    assert num_kept > num_bytes // 4
    whole = serve(Mirror())
    get(tmp_path, whole.address)
    assert [(request.range_header, request.num_sent) for request in whole.gets] == [
        (f"bytes={num_kept}-", num_bytes - num_kept)
    ]
    assert names_in(tmp_path) == {BINARY.folder}


def test_a_partial_file_that_is_already_whole_is_taken(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    mirror = serve(Mirror())
    (tmp_path / WORK_DIR).mkdir()
    (tmp_path / WORK_DIR / f"{BINARY.archive}.partial").write_bytes(BINARY_ARCHIVE)
    get(tmp_path, mirror.address)
    assert [request.num_sent for request in mirror.gets] == [0]


def test_an_archive_that_a_killed_call_left_is_unpacked(tmp_path: Path) -> None:
    work_dir = tmp_path / WORK_DIR
    write_folder(work_dir, BINARY, OTHER_BATCHES)
    write_archive(work_dir, BINARY, BATCHES)
    get(tmp_path, closed_address())
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified
    assert names_in(tmp_path) == {BINARY.folder}


def test_a_partial_file_of_another_archive_costs_a_second_try_only(
    tmp_path: Path, serve: Callable[[Mirror], Mirror]
) -> None:
    mirror = serve(Mirror())
    (tmp_path / WORK_DIR).mkdir()
    (tmp_path / WORK_DIR / f"{BINARY.archive}.partial").write_bytes(WRONG_ARCHIVE[:1000])
    assert get(tmp_path, mirror.address) == tmp_path / BINARY.folder
    assert [request.range_header for request in mirror.gets] == ["bytes=1000-", None]
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


def test_a_server_without_ranges_starts_again(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    mirror = serve(Mirror(drops=[len(BINARY_ARCHIVE) // 2], ranges=False))
    get(tmp_path, mirror.address)
    assert [request.range_header is None for request in mirror.gets] == [True, False]
    assert mirror.gets[1].num_sent == len(BINARY_ARCHIVE)
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


def test_a_wrong_file_is_discarded_and_the_next_source_tried(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    wrong = serve(Mirror(files={f"/{BINARY.archive}": WRONG_ARCHIVE}))
    right = serve(Mirror())
    get(tmp_path, wrong.address, right.address)
    assert [request.path for request in wrong.gets] == [f"/mirror/{BINARY.archive}", f"/mirror/{PYTHON.archive}"]
    assert [request.range_header for request in right.gets] == [None]
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified
    assert names_in(tmp_path) == {BINARY.folder}


def test_wrong_files_alone_are_a_download_error(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    wrong = serve(Mirror(files={f"/{release.archive}": b"<html>log in first</html>" for release in RELEASES}))
    with pytest.raises(DownloadError) as caught:
        get(tmp_path, wrong.address)
    assert caught.value.message.count("its SHA-256 is not the published one") == 2
    assert names_in(tmp_path) == set()


def test_a_source_with_the_python_archive_alone_will_do(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    mirror = serve(Mirror(files={f"/{PYTHON.archive}": ARCHIVES[f"/{PYTHON.archive}"]}))
    folder = get(tmp_path, mirror.address.rstrip("/"))
    assert folder == tmp_path / PYTHON.folder
    assert names_in(folder) == set(PYTHON.files)
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


def test_a_content_encoding_label_is_not_undone(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    mirror = serve(Mirror(headers={"Content-Encoding": "x-gzip"}))
    get(tmp_path, mirror.address)
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


def test_no_source_at_all_is_told_at_once(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    refused, empty = closed_address(), serve(Mirror(files={})).address
    with pytest.raises(DownloadError) as caught:
        get(tmp_path, refused, empty, give_up_s=3600)  # which nobody waits for
    assert f"{refused} (Connection refused)" in caught.value.message
    for release in RELEASES:
        assert f"{empty}{release.archive} (404 Client Error: Not Found)" in caught.value.message
        assert release.archive in caught.value.hint
    assert "\n" not in caught.value.message
    assert str(tmp_path) in caught.value.hint
    assert "--data digits" in caught.value.hint
    assert names_in(tmp_path) == set()


def test_a_failure_is_described_by_its_own_cause(tmp_path: Path) -> None:
    refused = closed_address()
    try:
        raise DatasetNotFoundError("no CIFAR-10 in the folder")
    except DatasetNotFoundError:
        with pytest.raises(DownloadError) as caught:  # as `--data auto` does: what is missing is downloaded
            get(tmp_path, refused)
    assert f"{refused} (Connection refused)" in caught.value.message


def test_silent_sources_are_given_up_together(tmp_path: Path) -> None:
    with silent_address() as silent:
        started_s = time.perf_counter()
        with pytest.raises(DownloadError) as caught:
            get(tmp_path, *(f"{silent}{number}/" for number in range(40)), give_up_s=0.5)  # 20 s, one after another
        assert 0.4 < time.perf_counter() - started_s < 10
    assert caught.value.message.count("(no answer)") == 40


def test_a_hanging_name_lookup_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    before = set(threading.enumerate())
    started_s = time.perf_counter()
    try:
        with pytest.raises(DownloadError, match="no answer"):
            get(tmp_path, *(f"http://{number}.invalid/" for number in range(50)), give_up_s=0.4)
        assert time.perf_counter() - started_s < 10  # not 20 s, one after another
    finally:
        released.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()  # while getaddrinfo is still the one above


def test_a_silent_source_does_not_hide_the_next(tmp_path: Path, serve: Callable[[Mirror], Mirror]) -> None:
    mirror = serve(Mirror())
    with silent_address() as silent:
        get(tmp_path, silent, mirror.address, give_up_s=0.3)
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


def test_progress_is_on_stderr_and_can_be_left_out(
    tmp_path: Path,
    serve: Callable[[Mirror], Mirror],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pooch_logger = pooch.get_logger()
    monkeypatch.setattr(pooch_logger, "level", logging.INFO)
    monkeypatch.setattr(pooch_logger, "handlers", [caplog.handler])
    mirror = serve(Mirror())
    get(tmp_path / "shown", mirror.address, show_progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert f"{BINARY.archive} from 127.0.0.1: 100%" in shown.err
    get(tmp_path / "silent", mirror.address)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
    assert pooch_logger.level == logging.INFO


@pytest.mark.parametrize("place", ["file", "below a file", "work folder is a file"])
def test_a_folder_that_cannot_be_written_is_a_data_error(tmp_path: Path, place: str) -> None:
    taken = tmp_path / "taken"
    if place == "work folder is a file":
        taken.mkdir()
        (taken / WORK_DIR).touch()
    else:
        taken.touch()
    data_dir = taken / "data" if place == "below a file" else taken
    with pytest.raises(DataError, match=f"cannot put CIFAR-10 in {data_dir}") as caught:
        get(data_dir, closed_address())
    assert not isinstance(caught.value, DownloadError)
    assert "--data-dir" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is write-protected for root")
def test_a_write_protected_folder_is_a_data_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="Permission denied"):
        get(tmp_path, closed_address())


def test_a_full_disk_is_a_data_error(
    tmp_path: Path, serve: Callable[[Mirror], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match="No space left on device") as caught:
        get(tmp_path, serve(Mirror()).address)
    assert not isinstance(caught.value, DownloadError)


def test_two_downloads_at_once_do_not_meet(tmp_path: Path) -> None:
    with download._locked_work_dir(tmp_path), pytest.raises(DataError, match="another process") as caught:
        get(tmp_path, closed_address())
    assert not isinstance(caught.value, DownloadError)


def test_an_interrupted_download_leaves_its_part(
    tmp_path: Path, serve: Callable[[Mirror], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = serve(Mirror(drops=[len(BINARY_ARCHIVE) // 2]))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("thumbnet.data.download.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, mirror.address)
    assert names_in(tmp_path / WORK_DIR) == {f"{BINARY.archive}.partial"}
    get(tmp_path, mirror.address)
    assert mirror.gets[-1].range_header is not None
    assert names_in(tmp_path) == {BINARY.folder}


def test_the_sources_are_addresses_of_the_release() -> None:
    assert len(set(SOURCES)) == 4
    for source in SOURCES:
        prepared = requests.Request("HEAD", download._url(source, BINARY)).prepare()
        assert prepared.url == f"{source}cifar-10-binary.tar.gz"
        assert prepared.url.startswith("https://")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of these tests."""


def _handler_of(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            request = Request(self.command, self.path, self.headers.get("Range"))
            mirror.requests.append(request)
            content = mirror.files.get(self.path.removeprefix("/mirror"))
            if content is None:
                self.send_error(404)
                return
            start = 0
            if mirror.ranges and request.range_header is not None:
                start = int(request.range_header.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            for name, value in mirror.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                stop = start + mirror.drops.pop(0) if mirror.drops else len(content)
                request.num_sent = self.wfile.write(content[start:stop])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            """Quiet."""

    return Handler

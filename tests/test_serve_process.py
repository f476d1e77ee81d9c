"""The server as a process: many clients at a time, memory, signals, and clients that are slow or speak no HTTP."""

from __future__ import annotations

import asyncio
import http.client
import io
import random
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvicorn
from PIL import Image
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from scripts import load_script
from sent_pictures import BAD_PICTURES, picture, webp_of
from server_process import Server, running_server
from thumbnet.cli import main
from thumbnet.errors import ExtraMissingError
from thumbnet.export.server import protocol
from thumbnet.export.server import serve as serving
from thumbnet.export.server.guard import Guard
from thumbnet.export.server.limits import Limits
from thumbnet.specs import extras

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
MOST_KB = 400e6 / 1024


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server("thumb-20k") as running:
        yield running


@LINUX
def test_it_answers_everybody_and_ends_cleanly(server: Server) -> None:
    good = picture()
    large = good + bytes(3_000_000)  # a form's part beyond what Starlette keeps in memory
    assert server.predict(good) == 200
    assert server.most_kb() < 120_000  # without PyTorch
    with ThreadPoolExecutor(200) as pool:
        assert set(pool.map(server.predict, [good] * 190 + [large] * 10)) == {200}
    for content, status in BAD_PICTURES.values():
        if content:
            assert server.predict(content) == status
    assert server.predict(webp_of(16_000, 16_000)) == 413
    stream = io.BytesIO()
    Image.new("RGBA", (3500, 3500), (9, 8, 7, 100)).save(stream, "WEBP", lossless=True, method=0)
    with ThreadPoolExecutor(8) as pool:  # the largest that are accepted, several at a time
        assert set(pool.map(server.predict, [stream.getvalue()] * 2)) == {200}
    assert server.predict(bytes(100_000_000)) == 413
    assert server.predict(good) == 200
    assert server.most_kb() < MOST_KB

    with ThreadPoolExecutor(40) as pool:  # half of a request each, then SIGTERM, then the rest
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(40)]
        kind = f"Content-Type: image/png\r\nContent-Length: {len(good)}\r\n\r\n"
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\n{kind}"
        for connection in connections:
            connection.sendall(head.encode() + good[:50])
        server.ask()  # what was sent before has arrived
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        answers = list(pool.map(lambda connection: finish(connection, good[50:]), connections))
    assert all(answer.startswith(b"HTTP/1.1 200") and b'"top"' in answer for answer in answers)
    assert server.process.wait(10) == 0
    assert server.process.stderr is not None
    assert server.process.stderr.read() == ""


# Ends a second after SIGTERM, while a picture is still decoded.
STUCK = """
import sys, time
from thumbnet.export.server import classifier, serve
from thumbnet.__main__ import main
serve.GRACE_S = 1
classifier.read_image_array = lambda *arguments, **options: time.sleep(100)
sys.exit(main())
"""


def test_it_ends_in_time_while_pictures_are_decoded() -> None:
    with running_server("thumb-20k", STUCK) as server, ThreadPoolExecutor() as pool:
        asked = [pool.submit(server.predict, picture()) for _ in range(8)]
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        for one in asked:
            with pytest.raises((http.client.HTTPException, OSError, ValueError)):  # no answer, or uvicorn's own
                one.result()


def finish(connection: socket.socket, rest: bytes) -> bytes:
    """Send the rest of a request; returns all of its answer."""
    with connection:
        connection.sendall(rest)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_what_is_no_http_is_refused(server: Server) -> None:
    def say(content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    host = b"Host: localhost\r\n"
    post = b"POST /predict HTTP/1.1\r\n" + host + b"Content-Type: image/png\r\n"
    for content in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,  # TLS
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n" + host + b"\r\n",
        post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        post + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        post.replace(b"/predict", b"/nowhere") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",  # refused twice
        post.replace(b"POST", b"HEAD") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        assert say(content).startswith(b"HTTP/1.1 4"), content
    assert say(post + b"Content-Length: 1000\r\n\r\nabc") == b""  # it left
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(10) == 0
    assert server.process.stderr is not None
    assert server.process.stderr.read() == ""


def test_the_scripts_that_break_and_measure_it_work(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where a request that was answered with 5xx would lie
    answers = load_script("benchmarks/fuzz_serve").fuzz(server.port, random.Random(0), time.monotonic() + 1)
    assert {"200", "400", "415", "422"} <= set(answers)
    assert not [code for code in answers if code.startswith("5")]
    assert not list(tmp_path.iterdir())
    ask_at_once = load_script("benchmarks/bench_serve").ask_at_once
    assert len(ask_at_once(server.port, picture(), num_requests=12, num_clients=4)) == 12
    with pytest.raises(SystemExit, match="415"):
        ask_at_once(server.port, b"no picture", num_requests=1, num_clients=1)


def test_slow_clients_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    monkeypatch.setattr(protocol, "READER_S", 0.2)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = bytes(50_000_000 if scope["path"] == "/large" else 5)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def received(port: int, beginning: bytes, *, drips: bool, reads: bool) -> int:
        """The number of bytes until the server closes the connection, or for half a second; -1 where it breaks off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(beginning)
        for _ in range(10):
            await asyncio.sleep(0.05)
            if drips and not writer.is_closing():
                writer.write(b"x")
        try:
            return len(await asyncio.wait_for(reader.read(1000 if reads else -1), 5))
        except ConnectionError:
            return -1
        finally:
            writer.close()

    async def run() -> list[int]:
        config = uvicorn.Config(application, http=protocol.TimedProtocol, ws="none", lifespan="off", log_config=None)
        state = ServerState()
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: protocol.TimedProtocol(config, state, {}), "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        host = b" HTTP/1.1\r\nHost: localhost\r\n"
        found = await asyncio.gather(
            received(port, b"", drips=False, reads=True),
            received(port, b"GET /" + host, drips=True, reads=True),
            received(port, b"GET /" + host + b"\r\n", drips=False, reads=True),
            received(port, b"GET /large" + host + b"\r\n", drips=False, reads=False),
        )
        listener.close()
        return found

    silent, dripping, good, not_reading = asyncio.run(run())
    assert silent <= 0
    assert dripping <= 0
    assert good > 5
    assert not_reading < 50_000_000


@pytest.mark.parametrize(("host", "names"), [("0.0.0.0", None), ("localhost", {"localhost", "127.0.0.1", "[::1]"})])
def test_others_are_let_in_only_where_that_is_asked_for(
    host: str, names: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    apps: list[Guard] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        apps.append(server.config.app)
        signal.raise_signal(signal.SIGTERM)
        assert server.should_exit

    monkeypatch.setattr(uvicorn.Server, "run", run)
    before = signal.getsignal(signal.SIGTERM)
    serving.serve("thumb-20k", host=host, port=0, limits=Limits(), say=told.append)
    assert signal.getsignal(signal.SIGTERM) == before
    assert apps[0]._hosts == names
    assert ("there is no password" in told[0]) == (names is None)
    assert re.fullmatch(r"thumb-20k is served at http://(0\.0\.0\.0|127\.0\.0\.1):[1-9]\d* .*", told[-1])


def test_an_address_that_cannot_be_had_is_a_users_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "thumb-20k", "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert f"127.0.0.1 cannot be listened on at port {port}" in told
    assert "--port" in told
    for arguments, word in (
        (["--port", "70000"], "port is 70000"),
        (["--port", "-1"], "port is -1"),
        (["--host", ""], "host is empty"),
        (["--host", "192.0.2.1"], "192.0.2.1 cannot be listened on"),
        (["--host", "no such host"], "'no such host' is no address"),
        (["--max-bytes", "0"], "max_bytes is 0"),
        (["--max-pixels", "0"], "max_pixels is 0"),
    ):
        assert main(["serve", "thumb-20k", *arguments]) == 2
        assert word in capsys.readouterr().err


def test_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path)]) == 2
    assert "neither a run folder nor a trained model" in capsys.readouterr().err


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissingError, match="starlette, uvicorn, python_multipart") as caught:
        serving.serve("thumb-20k", limits=Limits(), say=print)
    assert caught.value.hint == "pip install 'thumbnet[serve]'"

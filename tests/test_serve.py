"""The server's answers, in one process: pictures, limits, hostile requests."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import httpx
import jsonschema
import numpy as np
import pytest
from PIL import Image

from random_exports import random_request
from sent_pictures import BAD_PICTURES, jpeg_of, jpeg_with_scans, picture, png_of, png_with_comments
from thumbnet.errors import ConfigError, ExportError
from thumbnet.export.html.page import build_page
from thumbnet.export.server import app as application
from thumbnet.export.server import guard
from thumbnet.export.server import threads as threads_of_server
from thumbnet.export.server.app import build_app
from thumbnet.export.server.budget import Budget
from thumbnet.export.server.guard import Guard
from thumbnet.export.server.limits import Limits
from thumbnet.export.server.threads import DaemonThreads
from thumbnet.runs.predict import predict
from thumbnet.runs.shippable import load_shippable

MODEL = "thumb-20k"
ADDRESS = "http://127.0.0.1:8000"
RAW = {"content-type": "application/octet-stream"}
HOSTILE = ["\u202egnp.tac", 'a"b\\c', "</script><script>", "two\nlines", "*/", "??/", "\x1b[2J"]


class Client:
    """Asks an application, without a network."""

    def __init__(self, app: Guard, *, address: str = ADDRESS) -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=address)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._client.request(method, path, **options))

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


@pytest.fixture(scope="module")
def client() -> Client:
    """A client of a server of a trained model."""
    return Client(build_app(load_shippable(MODEL), limits=Limits(), hosts={"127.0.0.1"}))


def form(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [(f"field{index}", file) for index, file in enumerate(files)]


def error_of(response: httpx.Response) -> dict[str, Any]:
    values = response.json()
    error: dict[str, Any] = values["error"] if "error" in values else values["predictions"][0]["error"]
    assert error["code"] == response.status_code
    assert error["message"]
    assert response.headers["content-type"] == "application/json"
    return error


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_the_answer_is_that_of_predict(client: Client, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(picture(kind, side=300))
    (expected,) = predict(MODEL, [path], num_top=10)
    for response in (
        client.post("/predict?top=10", content=path.read_bytes(), headers=RAW),
        client.post("/predict?top=10", content=path.read_bytes(), headers={"content-type": f"image/{kind.lower()}"}),
        client.post("/predict?top=10", files={"anything": ("picture", path.read_bytes())}),
    ):
        assert response.status_code == 200
        (found,) = response.json()["predictions"]
        assert found["class_name"] == expected.class_name
        assert found["probability"] == found["top"][0]["probability"] == pytest.approx(expected.probability, abs=1e-6)
        assert [guess["class_name"] for guess in found["top"]] == [guess.class_name for guess in expected.top]
        assert sum(guess["probability"] for guess in found["top"]) == pytest.approx(1)


def test_several_pictures_are_answered_one_by_one(client: Client) -> None:
    bad = [(name, content) for name, (content, _) in BAD_PICTURES.items()]
    response = client.post("/predict", files=form(("good.png", picture()), *bad, ("last.jpg", picture("JPEG"))))
    assert response.status_code == 200
    answers = response.json()["predictions"]
    assert [answer["filename"] for answer in answers] == ["good.png", *BAD_PICTURES, "last.jpg"]
    assert all(len(answer["top"]) == 3 for answer in (answers[0], answers[-1]))
    assert [answer["error"]["code"] for answer in answers[1:-1]] == [status for _, status in BAD_PICTURES.values()]


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_bad_picture_has_its_code(client: Client, name: str) -> None:
    content, status = BAD_PICTURES[name]
    assert error_of(client.post("/predict", files={"file": (name, content)}))["code"] == status
    if content:
        assert client.post("/predict", content=content, headers=RAW).status_code == status
    assert client.post("/predict", content=picture(), headers=RAW).status_code == 200


def test_comments_and_scans_of_usual_files_are_fine(client: Client) -> None:
    for content in (png_with_comments(1), jpeg_with_scans(20)):
        assert client.post("/predict", content=content, headers=RAW).status_code == 200


def test_many_comments_take_little_memory() -> None:
    client = Client(build_app(load_shippable(MODEL), limits=Limits()))
    tracemalloc.start()
    try:
        assert client.post("/predict", content=png_with_comments(62), headers=RAW).status_code == 422
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("query", ["top=0", "top=11", "top=-1", "top=x", "top=", "top=1&top=2", "k=3", "top=%C2%B2"])
def test_a_wrong_query_is_refused(client: Client, query: str) -> None:
    assert error_of(client.post(f"/predict?{query}", content=picture(), headers=RAW))["code"] == 422


def boundary(text: str) -> dict[str, str]:
    return {"content-type": f"multipart/form-data; boundary={text}"}


PART = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({}, picture(), 415),
        ({"content-type": "text/plain"}, picture(), 415),
        ({"content-type": "application/x-www-form-urlencoded"}, picture(), 415),
        ({"content-type": "image/png", "content-encoding": "gzip"}, picture(), 415),
        ({"content-type": "image/svg+xml"}, BAD_PICTURES["drawing.svg"][0], 415),
        ({"content-type": "image/png"}, b"", 422),
        ({"content-type": "multipart/form-data"}, PART, 400),
        (boundary("b"), b"", 400),
        (boundary("b"), b"--b--\r\n", 422),
        (boundary("b"), PART + picture(), 400),
        (boundary("b"), PART[:30], 400),
        (boundary("b"), b"no form", 400),
        (boundary("b"), b"--b\r\n\r\n" + picture() + b"\r\n--b--\r\n", 400),
        (boundary("b"), b"--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--\r\n", 400),
        (boundary("b"), PART[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\nx\r\n--b--\r\n", 415),
        (boundary("b"), b"--b\r\n" + b"X: y\r\n" * 1000, 400),
        (boundary("b"), b"--b\r\nX: " + b"y" * 100_000, 400),
        (boundary("x" * 1000), b"", 400),
        (boundary("b"), PART.replace(b"a.png", b"") + b"\r\n--b--\r\n", 422),
        (boundary("b"), (PART + b"x\r\n") * 33 + b"--b--\r\n", 413),
    ],
)
def test_a_request_without_pictures_is_refused(
    client: Client, headers: dict[str, str], content: bytes, status: int
) -> None:
    assert error_of(client.post("/predict", content=content, headers=headers))["code"] == status


def test_a_part_without_a_file_name_is_called_by_its_field(client: Client) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="snap"\r\n\r\n' + picture() + b"\r\n--b--\r\n"
    (answer,) = client.post("/predict", content=part, headers=boundary("b")).json()["predictions"]
    assert answer["filename"] == "snap"
    assert "class_name" in answer


@pytest.mark.parametrize("name", [*HOSTILE, "long" * 1000, "\udcff"])
def test_hostile_file_names_are_plain_in_answers(client: Client, name: str) -> None:
    quoted = name.encode("utf-8", "surrogateescape").replace(b"\n", b"\x0b").replace(b'"', b"'")
    part = b'--b\r\nContent-Disposition: form-data; name="a"; filename="' + quoted + b'"\r\n\r\nx\r\n--b--\r\n'
    response = client.post("/predict", content=part, headers=boundary("b"))
    assert response.status_code == 415
    assert response.content.isascii()
    assert response.content.decode().isprintable()
    (answer,) = response.json()["predictions"]
    assert answer["filename"] == quoted.decode("utf-8", "replace").replace("\\\\", "\\")[:255]


def test_hostile_class_names_are_plain_in_answers(tmp_path: Path) -> None:
    shippable = random_request(
        "separable", tmp_path / "out", name="</script>\n\u202e", class_names=(*HOSTILE[:4],)
    ).shippable
    client = Client(build_app(shippable, limits=Limits()))
    response = client.post("/predict?top=4", content=picture(), headers=RAW)
    (answer,) = response.json()["predictions"]
    assert {guess["class_name"] for guess in answer["top"]} == set(HOSTILE[:4])
    for other in (response, client.get("/model"), client.get("/openapi.json"), client.get("/health")):
        assert other.status_code == 200
        assert other.content.decode("ascii").isprintable()
    assert client.get("/").text == build_page(shippable)


@pytest.mark.parametrize("kind", ["one channel", "48x40", "100 classes", "strided", "sprint"])
def test_networks_of_every_kind_are_served(kind: str, tmp_path: Path) -> None:
    request = random_request(kind, tmp_path / "out")
    client = Client(build_app(request.shippable, limits=Limits()))
    image = request.test.images[3]
    stream = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(stream, "PNG")
    (answer,) = client.post("/predict", content=stream.getvalue(), headers=RAW).json()["predictions"]
    logits = request.test.logits[3].astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert answer["class_name"] == f"class {logits.argmax()}"
    assert answer["probability"] == pytest.approx(probabilities.max(), abs=1e-4)
    assert len(answer["top"]) == 3


def test_a_run_is_served(small_run: Path) -> None:
    client = Client(build_app(load_shippable(small_run), limits=Limits()))
    assert client.post("/predict", content=picture(), headers=RAW).status_code == 200
    assert len(client.post("/predict", content=picture(), headers=RAW).json()["predictions"][0]["top"]) == 2
    model = client.get("/model")
    assert model.json()["class_names"] == ["0", "1"]
    assert str(small_run.parent) not in model.text  # where the data lay is nobody's business


def test_a_letterboxed_model_has_no_page_that_would_cut_pictures(tmp_path: Path) -> None:
    shippable = random_request("48x40", tmp_path / "out").shippable
    boxed = Client(build_app(replace(shippable, card=replace(shippable.card, fit="letterbox")), limits=Limits()))
    response = boxed.get("/")
    assert response.status_code == 404
    assert "would cut pictures" in error_of(response)["message"]
    assert "/" not in boxed.get("/openapi.json").json()["paths"]
    assert boxed.post("/predict", content=picture(), headers=RAW).status_code == 200
    assert Client(build_app(shippable, limits=Limits())).get("/").status_code == 200


def test_another_network_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    shippable = replace(random_request("plain", tmp_path / "out").shippable, program=None)
    with pytest.raises(ExportError, match="cannot be served"):
        build_app(shippable, limits=Limits())


def test_no_upload_is_written_to_disk(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "BMP")
    assert len(stream.getvalue()) > 2**20  # where Starlette's parser begins to write
    response = client.post("/predict", files=form(("a.bmp", stream.getvalue()), ("b.bmp", stream.getvalue())))
    assert response.status_code == 200


def test_the_limits_are_obeyed(tmp_path: Path) -> None:
    shippable = random_request("plain", tmp_path / "out").shippable
    client = Client(build_app(shippable, limits=Limits(max_bytes=5000, max_pixels=40_000)))
    assert client.post("/predict", content=png_of(200, 200), headers=RAW).status_code == 200
    assert client.post("/predict", content=png_of(201, 200), headers=RAW).status_code == 413
    large = picture("JPEG", side=280)
    assert len(large) < 5000
    assert client.post("/predict", content=large, headers=RAW).status_code == 200  # decoded at a fraction
    assert client.post("/predict", content=jpeg_of(290, 280), headers=RAW).status_code == 413
    assert client.post("/predict", content=picture()[:8] + bytes(4993), headers=RAW).status_code == 413
    assert client.post("/predict", files=form(("a", bytes(5001)))).status_code == 413
    assert client.post("/predict", files=form(*[("a", bytes(4000))] * 30)).status_code == 413


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"max_bytes": 10**12}, {"max_pixels": 0}, {"max_pixels": 10**9}])
def test_impossible_limits_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Limits(**wrong)


def scope_of(headers: dict[str, str]) -> dict[str, Any]:
    """A POST to /predict, as a server hands it to an application."""
    return {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "http_version": "1.1", "scheme": "http", "root_path": "",
    }  # fmt: skip


def ask(
    app: Guard, headers: dict[str, str], pieces: AsyncIterator[dict[str, Any]]
) -> tuple[int, dict[str, str], bytes]:
    """One POST to /predict whose body arrives in pieces; the answer's status, headers and body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return await anext(pieces, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope_of(headers), receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]} if sent else {}
    return sent[0]["status"] if sent else 0, found, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("length", [{}, {"content-length": "1000"}])
@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=b"])
def test_bytes_are_counted_while_they_arrive(
    kind: str, length: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "DRAIN_S", 0.05)
    held: list[int] = []
    app = build_app(random_request("plain", tmp_path / "out").shippable, limits=Limits(max_bytes=100_000))
    write = application.Upload.write

    def watched(upload: application.Upload, data: bytes, limits: Limits) -> None:
        write(upload, data, limits)
        held.append(upload.content.tell())

    monkeypatch.setattr(application.Upload, "write", watched)

    num_pieces = 0

    async def endless() -> AsyncIterator[dict[str, Any]]:
        nonlocal num_pieces
        yield {"type": "http.request", "body": PART if "form" in kind else b"\x89PNG", "more_body": True}
        while True:
            await asyncio.sleep(0)
            num_pieces += 1
            yield {"type": "http.request", "body": bytes(10_000), "more_body": True}

    headers = {"transfer-encoding": "chunked", **length, "content-type": kind}
    status, answer, body = ask(app, headers, endless())
    assert status == json.loads(body)["error"]["code"] == 413
    assert answer["connection"] == "close"
    assert 80_000 < max(held) <= 100_000
    assert num_pieces > 20  # the rest is read for a moment, and kept nowhere


def test_what_is_announced_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "DRAIN_S", 0.0)
    app = build_app(random_request("plain", tmp_path / "out").shippable, limits=Limits())

    async def none() -> AsyncIterator[dict[str, Any]]:
        raise AssertionError("it was read")
        yield {}

    for text, expected in (("100000000", 413), ("9" * 30, 413), ("-5", 400), ("x", 400)):
        monkeypatch.setattr(guard._Exchange, "_drain", lambda self: asyncio.sleep(0))
        status, _, _ = ask(app, {"content-type": "image/png", "content-length": text}, none())
        assert status == expected


def test_a_slow_client_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "DRAIN_S", 0.01)
    shippable = random_request("plain", tmp_path / "out").shippable

    async def slow(pause_s: float) -> AsyncIterator[dict[str, Any]]:
        while True:
            await asyncio.sleep(pause_s)
            yield {"type": "http.request", "body": b"\x89", "more_body": True}

    headers = {"content-type": "image/png", "content-length": "1000"}
    for limits, pause_s in ((Limits(idle_s=0.02), 5), (Limits(idle_s=5, body_s=0.05), 0.01)):
        status, answer, _ = ask(build_app(shippable, limits=limits), headers, slow(pause_s))
        assert (status, answer["connection"]) == (408, "close")


def test_slow_uploads_hold_up_no_small_ones(tmp_path: Path) -> None:
    app = build_app(random_request("plain", tmp_path / "out").shippable, limits=Limits())

    async def run() -> list[int]:
        codes: list[int] = []

        async def post(length: int, *, is_slow: bool) -> None:
            async def receive() -> dict[str, Any]:
                await asyncio.sleep(60 if is_slow else 0)
                return {"type": "http.request", "body": picture(), "more_body": False}

            async def send(message: dict[str, Any]) -> None:
                codes.extend([message["status"]] if "status" in message else [])

            await app(scope_of({"content-type": "image/png", "content-length": str(length)}), receive, send)

        slow = [asyncio.create_task(post(10_000_000, is_slow=True)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.wait_for(post(len(picture()), is_slow=False), 5)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return codes

    assert asyncio.run(run()) == [200]


def test_a_client_that_leaves_is_no_error(tmp_path: Path) -> None:
    app = build_app(random_request("plain", tmp_path / "out").shippable, limits=Limits())

    async def leaving() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "http.request", "body": b"\x89", "more_body": True}
        yield {"type": "http.disconnect"}

    status, _, _ = ask(app, {"content-type": "image/png", "content-length": "1000"}, leaving())
    assert status == 400


def test_too_many_requests_are_told_to_come_again(tmp_path: Path) -> None:
    client = Client(build_app(random_request("plain", tmp_path / "out").shippable, limits=Limits(max_requests=0)))
    response = client.get("/health")
    assert error_of(response)["code"] == 503
    assert response.headers["retry-after"] == "1"


def test_a_bug_is_a_500_without_details(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("secret")

    monkeypatch.setattr(application, "_num_top", fail)
    response = client.post("/predict", content=picture(), headers=RAW)
    assert error_of(response)["code"] == 500
    assert "secret" not in response.text


@pytest.mark.parametrize("path", ["/", "/health", "/model", "/openapi.json", "/nowhere"])
def test_every_answer_has_the_security_headers(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == (404 if path == "/nowhere" else 200)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
    assert "server" not in response.headers
    assert not [name for name in response.headers if name.startswith("access-control")]
    if path != "/":
        assert response.headers["content-type"] == "application/json"


def test_methods_and_addresses_that_there_are_not(client: Client) -> None:
    assert error_of(client.get("/predict"))["code"] == 405
    assert client.get("/predict").headers["allow"] == "POST"
    assert error_of(client.request("PUT", "/health", content=b"x"))["code"] == 405
    assert error_of(client.post("/nowhere", content=picture()))["code"] == 404
    assert error_of(client.get("/..%2f..%2fetc/passwd"))["code"] == 404
    assert client.request("HEAD", "/health").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1"}, 200),
        ({"host": "127.0.0.1:8000", "origin": ADDRESS}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:8000"}, 421),
        ({"host": "[::1]:8000"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(client: Client, headers: dict[str, str], status: int) -> None:
    response = client.post("/predict", content=picture(), headers={**RAW, **headers})
    assert response.status_code == status
    if status != 200:
        error_of(response)


def test_any_name_will_do_where_others_may_ask(tmp_path: Path) -> None:
    app = build_app(random_request("plain", tmp_path / "out").shippable, limits=Limits(), hosts=None)
    client = Client(app, address="http://raspberry.example")
    assert client.get("/health").status_code == 200
    assert (
        client.post("/predict", content=picture(), headers={**RAW, "origin": "http://evil.example"}).status_code == 403
    )


def test_the_description_fits_the_answers(client: Client) -> None:
    description = client.get("/openapi.json").json()
    schemas = description["components"]["schemas"]
    for name in schemas:
        jsonschema.Draft202012Validator.check_schema(schemas[name])

    def check(response: httpx.Response, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        jsonschema.validate(response.json(), schema, jsonschema.Draft202012Validator)

    check(client.get("/health"), "Health")
    check(client.get("/model"), "Model")
    check(client.get("/nowhere"), "Refusal")
    check(client.post("/predict", files=form(("a", picture()), ("b", b"x"))), "Predictions")
    check(client.post("/predict", content=b"x", headers=RAW), "Predictions")
    routes = {path: set(operations) for path, operations in description["paths"].items()}
    assert routes == {
        "/": {"get"},
        "/predict": {"post"},
        "/health": {"get"},
        "/model": {"get"},
        "/openapi.json": {"get"},
    }
    operation = description["paths"]["/predict"]["post"]
    assert operation["parameters"][0]["schema"]["maximum"] == 10
    assert {str(status) for _, status in BAD_PICTURES.values()} | {"200", "400", "403", "408", "421"} <= set(
        operation["responses"]
    )


def test_a_budget_serves_in_turn_and_survives_who_leaves() -> None:
    async def run() -> list[str]:
        budget, order = Budget(10), []

        async def take(name: str, amount: int) -> None:
            async with budget.reserved(amount):
                order.append(name)
                await asyncio.sleep(0)

        async with budget.reserved(6):
            waiting = [
                asyncio.create_task(take(name, amount)) for name, amount in (("a", 5), ("b", 99), ("c", 1), ("d", 2))
            ]
            await asyncio.sleep(0)
            assert budget.left == 4
            waiting[0].cancel()
            await asyncio.sleep(0)
        waiting[1].cancel()  # its turn has come, but it does not know yet
        await asyncio.gather(*waiting, return_exceptions=True)
        assert budget.left == 10
        async with budget.reserved(99):
            assert budget.left == 0
        return order

    assert asyncio.run(run()) == ["c", "d"]


def test_threads_end_when_there_is_nothing_to_do_and_begin_nothing_that_nobody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads_of_server, "IDLE_S", 0.05)
    threads, may_go_on, begun = DaemonThreads(2), threading.Event(), []

    def job(number: int) -> int:
        begun.append(number)
        may_go_on.wait(10)
        return 100 // number

    async def run() -> list[Any]:
        tasks = [asyncio.create_task(threads.run(partial(job, number))) for number in (1, 0, 5, 4)]
        await asyncio.sleep(0.05)
        assert sorted(begun) == [0, 1]
        tasks[2].cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.5)
        assert threads._num_threads == threads._num_idle == 0
        return [*found, await threads.run(partial(job, 2))]

    first, second, third, fourth, last = asyncio.run(run())
    assert (first, fourth, last) == (100, 25, 50)
    assert isinstance(second, ZeroDivisionError)
    assert isinstance(third, asyncio.CancelledError)
    assert sorted(begun) == [0, 1, 2, 4]

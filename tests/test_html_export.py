"""The page of an export to HTML as text: its policy, what it loads, names, sizes; the check before it is written."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from html_scripts import HTML, encoded, needs_node, run_node
from random_exports import KINDS, random_request
from thumbnet.errors import ExportError
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.export.html.facts import facts, headlines
from thumbnet.export.html.page import _packed, build_page, page_policy
from thumbnet.export.html.reading import program_from_bytes
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.export.html.write import write
from thumbnet.models.program_numpy import run_program
from thumbnet.runs.shippable import load_shippable

HOSTILE = (
    "*/ //", "\"'\\", "</script><script>alert(1)</script>", "one\ntwo", "\u202egnp", "<img src=x onerror=alert(1)>",
    "<!--<script>", "&amp;", "Zoë", "{{ 1 }}",
)  # fmt: skip
MOST_BYTES = {"thumb-20k": 150_000, "thumb-50k": 200_000, "thumb-200k": 600_000}


class Page(HTMLParser):
    """A page's elements: (name, attributes), and the text of each style and script by its id, or its name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.shown = ""
        self._inside: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag in ("script", "style", "title"):
            self._inside = attributes.get("id") or tag
            assert self._inside not in self.texts
            self.texts[self._inside] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "title"):
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.shown += data
        else:
            self.texts[self._inside] += data

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(build_page(load_shippable("thumb-20k")))


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_its_own_script_and_style_alone(page: Page) -> None:
    (policy,) = [meta["content"] for meta in page.find("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == page_policy()
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == [digest(page.texts["script"]), "'wasm-unsafe-eval'"]
    assert rules["style-src"] == [digest(page.texts["style"])]
    assert rules["img-src"] == ["data:", "blob:"]
    assert "connect-src" not in rules
    assert rules["base-uri"] == rules["form-action"] == ["'none'"]


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    for name, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(key) or "data:").startswith("data:"), (name, attributes)
        assert "style" not in attributes, "the policy forbids it"
        assert not [key for key in attributes if key.startswith("on")]
    assert "url(" not in page.texts["style"]
    assert "@import" not in page.texts["style"]
    script = page.texts["script"].replace('"http://ns.adobe.com/xap/1.0/"', "")  # what marks a block of a JPEG file
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|\bimport\(", script)


def test_one_file_input_labels_and_language(page: Page) -> None:
    (chooser,) = page.find("input")[:1]
    assert [each for each in page.find("input") if each["type"] == "file"] == [chooser]
    assert "multiple" in chooser
    assert chooser["accept"] == "image/*"
    assert page.find("html") == [{"lang": "en"}]
    images = page.find("img")
    assert len(images) == 10
    assert all(image["alt"] for image in images)
    model = json.loads(page.texts["model"])
    assert (model["channels"], model["height"], model["width"], len(model["classes"])) == (3, 32, 32, 10)
    assert len(set(model["sampleLabels"])) == 10


def test_it_says_what_the_model_is_and_how_good(page: Page) -> None:
    for told in (
        "88.9 %",
        "10,000 test pictures",
        "88.2\u00a0% to 89.5\u00a0%",
        "10.6 %",
        "19,216",
        "49,000 for training",
        "MIT",
    ):
        assert told in page.shown


INFLATE_JOBS = """
const fs = require("fs");
const { scripts, jobs } = JSON.parse(fs.readFileSync(0, "utf8"));
eval(scripts + "globalThis.inflate = ThumbnetInflate; globalThis.bytes = ThumbnetBytes;");
const content = ([text, size]) => Buffer.from(bytes.unpacked(text, size)).toString("base64");
console.log(JSON.stringify(jobs.map(content)));
"""


@needs_node
def test_what_is_packed_is_unpacked() -> None:
    """Every kind of block that deflate has, the longest repetitions, and each number of bytes left over."""
    generator = np.random.default_rng(0)
    contents = [
        b"",
        b"a",
        *(generator.integers(0, 256, size, np.uint8).tobytes() for size in (2, 3, 4, 5, 70_000)),  # stored blocks
        bytes(100_000),
        *(generator.normal(128, 20, size).astype(np.uint8).tobytes() for size in (7, 1000, 30_001)),
        (generator.integers(0, 256, 30_000, np.uint8).tobytes() + bytes(2000)) * 2,
        b"abcabcabcabd" * 9,
    ]
    scripts = "".join((HTML / name).read_text(encoding="utf-8") for name in ("inflate.js", "decode.js"))
    jobs = [[str(_packed(content)), len(content)] for content in contents]
    assert all(text.isascii() and "<" not in text for text, _ in jobs)
    assert run_node(INFLATE_JOBS, {"scripts": scripts, "jobs": jobs}) == [encoded(content) for content in contents]


def test_the_interval_of_an_accuracy() -> None:
    for num_right, num_images in ((8888, 10_000), (0, 7), (7, 7), (1, 2)):
        low, high = accuracy_interval(num_right / num_images, num_images)
        expected = binomtest(num_right, num_images).proportion_ci(0.95, method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_an_old_run_has_no_figures(tmp_path: Path) -> None:
    shippable = random_request("separable", tmp_path / "page.html").shippable
    old = replace(shippable, card=replace(shippable.card, metrics=None, data_description=""), export_data=None)
    assert [each.value for each in headlines(old)][:2] == ["unknown", "unknown"]
    assert ("Data", "noise") in facts(old)
    assert 'id="samples"' not in build_page(old)


def test_no_folder_of_the_users_machine_is_told(tmp_path: Path) -> None:
    shippable = random_request("separable", tmp_path / "page.html").shippable
    private = {"data": "folder:/home/ann/pets", "data_description": "40 images in the folder /home/ann/pets"}
    text = build_page(replace(shippable, card=replace(shippable.card, data_note="not in /home/ann", **private)))
    assert "/home/ann" not in text
    assert "pets" in text


@pytest.mark.parametrize("name", MOST_BYTES)
def test_the_size_of_a_shipped_model(name: str) -> None:
    assert len(build_page(load_shippable(name)).encode()) <= MOST_BYTES[name]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_is_written_and_checked(kind: str, tmp_path: Path) -> None:
    request = random_request(kind, tmp_path / "new" / "page.html")
    result = write(request)
    assert [check.num_images for check in result.checks] == [40, 40]
    assert max(check.max_difference for check in result.checks) < 0.01
    assert result.num_bytes == request.out.stat().st_size
    model = json.loads(Page(request.out.read_text(encoding="utf-8")).texts["model"])
    card = request.shippable.card
    assert (model["channels"], model["height"], model["width"]) == card.image_shape
    assert tuple(model["classes"]) == card.class_names


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_read_back(kind: str, tmp_path: Path) -> None:
    request = random_request(kind, tmp_path / "page.html")
    program = request.shippable.program
    assert program is not None
    found = program_from_bytes(program_to_bytes(program))
    for ours, theirs in zip(found.blocks, program.blocks, strict=True):
        for field in ("name", "stride", "dilation", "pools", "has_shortcut", "in_shape", "conv_shape", "out_shape"):
            assert getattr(ours, field) == getattr(theirs, field)
        assert (ours.sign is None) == (theirs.sign is None)
        np.testing.assert_array_equal(ours.bias, theirs.bias)
    expected = run_program(program, request.test.images).logits
    np.testing.assert_allclose(run_program(found, request.test.images).logits, expected, atol=0.02)


def test_the_same_model_gives_the_same_page(tmp_path: Path) -> None:
    texts = [build_page(random_request("separable", tmp_path / "page.html").shippable) for _ in range(2)]
    assert texts[0] == texts[1]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = "run </title><script>alert(1)</script> \udce9 \u202e"
    request = random_request("100 classes", tmp_path / "page.html", name=name)
    names = HOSTILE + request.shippable.card.class_names[len(HOSTILE) :]
    card = replace(request.shippable.card, class_names=names, data_description="<b>bold</b>", recipe="</dd>")
    plain = Page(build_page(request.shippable))
    text = build_page(replace(request.shippable, card=card))
    found = Page(text)
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in plain.elements]
    assert found.texts["script"] == plain.texts["script"]
    assert tuple(json.loads(found.texts["model"])["classes"]) == names
    assert "<" not in found.texts["model"]
    assert "<" not in found.texts["weights"]
    assert "\u202e" not in found.texts["title"]
    assert all(each in found.shown for each in (*names, "<b>bold</b>", "run </title><script>", "\\udce9"))
    text.encode()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    request = random_request("separable", tmp_path / "page.html")
    program = request.shippable.program
    assert program is not None
    wrong = replace(program, mean=program.mean + 8)
    with pytest.raises(ExportError, match=r"in half precision, give \d+ of 40 held-out images another class"):
        write(replace(request, shippable=replace(request.shippable, program=wrong)))
    assert not request.out.exists()


def test_a_large_split_is_checked_in_part(tmp_path: Path) -> None:
    request = random_request("smallest", tmp_path / "page.html")
    test = request.test
    repeated = np.arange(50_000) % len(test)
    many = replace(
        test, description="50,000 test images", images=test.images[repeated], labels=test.labels[repeated],
        logits=test.logits[repeated],
    )  # fmt: skip
    check = write(replace(request, held_out=None, test=many)).checks[0]
    assert (check.num_images, check.description) == (10_000, "10,000 of 50,000 test images")

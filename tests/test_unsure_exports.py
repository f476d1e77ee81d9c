"""Exports of a model that may be unsure: they say so where the model does."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import thumbnet
from html_scripts import HTML, needs_node, run_node
from random_exports import request_of
from test_decision_exports import run_example
from thumbnet.errors import ModelError
from thumbnet.export.c.reading import load_c_folder
from thumbnet.export.c.source import PROBABILITY_ERROR
from thumbnet.export.export import export_shippable
from thumbnet.export.formats import FORMATS
from thumbnet.export.html.page import build_page, page_policy
from thumbnet.export.html.scripts import UNSURE_WHERE
from thumbnet.export.model_card.sections import sections
from thumbnet.export.onnx.reading import load_onnx
from thumbnet.export.request import ExportRequest, softmax
from thumbnet.export.tflite.contents import file_bytes
from thumbnet.models.unsure import Unsure, unsure_answers

BLOCKS, SHAPE, NUM_CLASSES = "b8 b16p b16", (3, 12, 12), 4


@pytest.fixture
def doubtful(tmp_path: Path) -> ExportRequest:
    """A request to export a random network of four classes that is unsure of half of the test images."""
    request = request_of(BLOCKS, False, SHAPE, NUM_CLASSES, tmp_path / "out" / "model")
    confidence = np.sort(softmax(request.test.logits).max(axis=1))
    middle = float(confidence[19] + confidence[20]) / 2
    unsure = Unsure(confidence=middle, most_error=0.4, num_images=300, num_unsure=150, error=0.5)
    assert request.held_out is not None
    return replace(
        request,
        shippable=replace(request.shippable, card=replace(request.shippable.card, unsure=unsure)),
        held_out=replace(request.held_out, unsure=unsure),
        test=replace(request.test, unsure=unsure),
    )


def rule_of(request: ExportRequest) -> Unsure:
    unsure = request.shippable.card.unsure
    assert unsure is not None
    return unsure


def plain(request: ExportRequest) -> ExportRequest:
    """The same network without the rule."""
    card = replace(request.shippable.card, unsure=None)
    return replace(request, shippable=replace(request.shippable, card=card), test=replace(request.test, unsure=None))


def expected_answers(rule: Unsure, logits: np.ndarray) -> np.ndarray:
    probabilities = softmax(logits)
    return np.where(unsure_answers(rule, probabilities), NUM_CLASSES, probabilities.argmax(axis=1))


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_onnx_files_give_the_answers(doubtful: ExportRequest, name: str) -> None:
    doubtful.out.parent.mkdir()
    FORMATS[name].write(replace(doubtful, max_drop=1.0) if name == "onnx-int8" else doubtful)
    session = onnxruntime.InferenceSession(doubtful.out, providers=["CPUExecutionProvider"])
    pixels = doubtful.test.images.transpose(0, 2, 3, 1)
    logits, answers = session.run(["logits", "answers"], {"images": np.ascontiguousarray(pixels)})
    assert (answers.dtype, answers.shape) == (np.int64, (40,))
    assert answers.tolist() == expected_answers(rule_of(doubtful), logits).tolist()
    if name == "onnx":
        assert (answers == NUM_CLASSES).sum() == 20
    (single,) = session.run(["answers"], {"images": np.ascontiguousarray(pixels[:1])})
    assert single.tolist() == answers[:1].tolist()
    predictor = load_onnx(doubtful.out)
    card, classify = predictor.card, predictor.logits_of
    assert card.unsure == rule_of(doubtful)
    np.testing.assert_allclose(classify(doubtful.test.images), logits, rtol=1e-4, atol=1e-4)
    assert "'unsure' where no class has" in json.loads(session.get_modelmeta().custom_metadata_map["answers"])


def test_an_onnx_file_without_its_answers_is_refused(doubtful: ExportRequest) -> None:
    import onnx

    doubtful.out.parent.mkdir()
    FORMATS["onnx"].write(doubtful)
    model = onnx.load(doubtful.out)
    del model.graph.output[2]
    onnx.save(model, doubtful.out)
    with pytest.raises(ModelError, match="does not fit its model card"):
        load_onnx(doubtful.out)


def test_c_programs_give_the_answers(doubtful: ExportRequest) -> None:
    rule = rule_of(doubtful)
    result = FORMATS["c"].write(replace(doubtful, max_drop=1.0))
    card, classify, _ = load_c_folder(result.path)
    assert card.unsure == rule
    probabilities = softmax(classify(doubtful.test.images))
    is_clear = np.flatnonzero(np.abs(probabilities.max(axis=1) - rule.confidence) > PROBABILITY_ERROR)[:12]
    names = [*card.class_names, "unsure"]
    expected = [names[answer] for answer in expected_answers(rule, classify(doubtful.test.images))[is_clear]]
    assert 0 < expected.count("unsure") < len(expected)
    found = run_example(result.path, doubtful.test.images[is_clear])
    assert [name or "unsure" for name in found] == expected  # the example's line for it has no probability
    header = (result.path / "random.h").read_text()
    assert "#define RANDOM_UNSURE RANDOM_CLASSES" in header
    assert "random_class_names[RANDOM_CLASSES + 1]" in header
    assert "'unsure' where no class has" in (result.path / "README.md").read_text()


def test_without_the_rule_nothing_of_it_is_written(doubtful: ExportRequest) -> None:
    request = plain(doubtful)
    result = FORMATS["c"].write(replace(request, max_drop=1.0))
    for path in result.path.rglob("*.[ch]"):
        assert "unsure" not in path.read_text().lower()
    assert "unsure" not in build_page(request.shippable).replace("UNSURE", "").lower()


@pytest.mark.parametrize("target", [None, "frigate", "openmv"])
def test_tflite_files_tell_the_confidence(doubtful: ExportRequest, target: str | None) -> None:
    from tflite_reading import score_threshold

    rule = rule_of(doubtful)
    result = FORMATS["tflite"].write(replace(doubtful, target=target, max_drop=1.0))
    content = file_bytes(doubtful.shippable)
    assert score_threshold(content) == pytest.approx(rule.confidence)
    assert score_threshold(file_bytes(plain(doubtful).shippable)) is None
    assert f"unsure where none of them is at least {rule.confidence:.4g}" in str(result.details["output"])
    if target == "frigate":
        assert f"threshold: {rule.confidence:.4f}\n" in (doubtful.out / "README.md").read_text()
    if target == "openmv":
        readme = (doubtful.out / "README.md").read_text()
        assert f'print(model.labels[best] if scores[best] >= {rule.confidence:.4f} else "unsure", scores' in readme


def test_only_pages_of_such_models_are_unsure(doubtful: ExportRequest) -> None:
    usual, page = build_page(plain(doubtful).shippable), build_page(doubtful.shippable)
    model = re.search(r'id="model">(.*?)</script>', page)
    assert model is not None
    assert json.loads(model.group(1))["unsure"] == rule_of(doubtful).confidence
    assert "model.unsure" not in usual
    assert "It always answers one of its classes" in usual
    assert "It always answers one of its classes" not in page
    assert page.count("model.unsure") == 2
    for text, kind in ((usual, "likeliest"), (page, "unsure")):
        policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)
        assert policy is not None
        assert html.unescape(policy.group(1)) == page_policy(kind)
    assert page_policy() != page_policy("unsure")


CARDS = """
const fs = require("node:fs"), vm = require("node:vm");
const request = JSON.parse(fs.readFileSync(0, "utf8"));
const element = () => ({
  style: {}, texts: [], setAttribute() {}, addEventListener() {}, getContext: () => ({ putImageData() {} }),
  append(...parts) { for (const part of parts) this.texts.push(part); },
});
globalThis.ImageData = class { constructor(width, height) { this.data = new Uint8ClampedArray(4 * width * height); } };
globalThis.document = { createElement: element };
const code = request.code.replace("return { create };", "return { card };");
const cards = vm.runInThisContext(`${code}; ThumbnetResults`);
const model = { classes: ["cat", "dog"], channels: 1, height: 1, width: 1, unsure: 0.6 };
const answer = (probabilities) => ({ name: "a.png", probabilities, pixels: [0], runMs: 1, readMs: 1, truth: 0 });
console.log(JSON.stringify([[0.55, 0.45], [0.6, 0.4]].map((each) => {
  const { name, sentence } = cards.card(model, answer(each), () => false);
  return { name, sentence };
})));
"""


@needs_node
def test_a_page_heads_the_card_with_the_answer() -> None:
    code = (HTML / "results.js").read_text()
    for usual, changed in UNSURE_WHERE:
        code = code.replace(usual, changed)
    doubtful, sure = run_node(CARDS, {"code": code})
    assert doubtful == {"name": "unsure", "sentence": "a.png: unsure, likeliest cat, 55.0\u00a0%"}
    assert sure == {"name": "cat", "sentence": "a.png: cat, 60.0\u00a0%"}


def test_a_model_card_says_so(doubtful: ExportRequest) -> None:
    text = sections(replace(doubtful.shippable, run_path=None), files=[], command="thumbnet export")
    assert "**Answer:** the likeliest class, or" in text
    assert "only where no class is likely enough" in text
    assert "answers with one of its classes whatever" not in text
    assert "of 300 validation images 150 had none, and of these 50.0% were wrong" in html.unescape(text)
    without = sections(replace(plain(doubtful).shippable, run_path=None), files=[], command="thumbnet export")
    assert "**Answer:**" not in without


def test_formats_of_others_are_named(doubtful: ExportRequest, own_things: None, tmp_path: Path) -> None:
    thumbnet.register_export_format(
        "mine", thumbnet.ExportFormat(purpose="tests", writer=FORMATS["html"].write, suffix="")
    )
    said: list[str] = []
    shippable = replace(doubtful.shippable, run_path=None)
    export_shippable(shippable, "mine", out=tmp_path / "page.html", say=said.append)
    assert said[0].startswith("mine answers with a class where the model is unsure")
    export_shippable(shippable, "html", out=tmp_path / "other.html", say=said.append)
    assert sum("answers with a class" in text for text in said) == 1


def test_a_server_says_so(doubtful: ExportRequest, tmp_path: Path) -> None:
    from test_serve import RAW, Client
    from thumbnet.export.server.app import build_app
    from thumbnet.export.server.limits import Limits

    client = Client(build_app(doubtful.shippable, limits=Limits()))
    answers = expected_answers(rule_of(doubtful), doubtful.test.logits)
    likeliest = doubtful.test.logits.argmax(axis=1)
    for index in (int(np.flatnonzero(answers == NUM_CLASSES)[0]), int(np.flatnonzero(answers < NUM_CLASSES)[0])):
        Image.fromarray(doubtful.test.images[index].transpose(1, 2, 0)).save(tmp_path / "picture.png")
        content = (tmp_path / "picture.png").read_bytes()
        (said,) = client.post("/predict", content=content, headers=RAW).json()["predictions"]
        assert said["class_name"] == f"class {likeliest[index]}"
        assert said["answer"] == ("unsure" if answers[index] == NUM_CLASSES else said["class_name"])
    assert client.get("/model").json()["unsure"]["num_unsure"] == 150
    assert page_policy("unsure") in client.get("/").headers["content-security-policy"]
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert "unsure" in schemas["Model"]["required"]
    assert schemas["Prediction"]["properties"]["answer"]["enum"][-1] == "unsure"

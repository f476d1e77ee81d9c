"""Exports of a model with a threshold: they answer as the model does, or refuse it."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import thumbnet
from html_scripts import HTML, LOAD, encoded, needs_node, run_node
from random_exports import request_of
from thumbnet.errors import ExportError, ModelError
from thumbnet.export.c.reading import load_c_folder
from thumbnet.export.export import export_shippable
from thumbnet.export.formats import FORMATS
from thumbnet.export.html.page import build_page, page_policy
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.export.model_card.sections import sections
from thumbnet.export.onnx.metadata import properties_of
from thumbnet.export.onnx.reading import load_onnx
from thumbnet.export.request import CheckImages, ExportRequest, ExportResult, compare, softmax
from thumbnet.export.tflite.checking import channels_last
from thumbnet.export.tflite.contents import file_bytes
from thumbnet.export.tflite.interpreters import has_micro, run_litert
from thumbnet.export.tflite.metadata import describe
from thumbnet.models.decision import Decision, chosen_classes, moved_by, threshold_of
from thumbnet.models.program_numpy import run_program

BLOCKS, SHAPE = "b8 b16p b16", (3, 12, 12)
DECIDE = (
    LOAD
    + """
(async () => {
  globalThis.document = { getElementById: () => ({ textContent: JSON.stringify({ decision: request.decision }) }) };
  vm.runInThisContext(fs.readFileSync(`${request.html}/decision.js`, "utf8"));
  const wasm = fs.readFileSync(request.wasm);
  const engine = await ThumbnetEngine.load(Buffer.from(request.weights, "base64"), { wasm });
  const answers = request.images.map((image) => engine.run(Buffer.from(image, "base64")).probabilities.answer);
  const order = vm.runInThisContext(`(${request.order})`);
  const orders = [0, 1].map((answer) => order(Object.assign(Float32Array.of(0.7, 0.3), { answer })));
  console.log(JSON.stringify({ answers, orders }));
})();
"""
)


@pytest.fixture
def decided(tmp_path: Path) -> ExportRequest:
    """A request to export a random network of two classes, whose threshold lies in the middle of the test margins."""
    request = request_of(BLOCKS, False, SHAPE, 2, tmp_path / "out" / "model")
    logits = request.test.logits.astype(np.float64)
    margins = np.sort(logits[:, 1] - logits[:, 0])
    margin = float(margins[25] + margins[26]) / 2
    decision = Decision(positive=1, threshold=threshold_of(margin), margin=margin, rule="recall 0.35", num_images=40)
    card = replace(request.shippable.card, decision=decision)
    assert request.held_out is not None
    return replace(
        request,
        shippable=replace(request.shippable, card=card),
        held_out=_answered(request.held_out, decision),
        test=_answered(request.test, decision),
    )


def _answered(images: CheckImages, decision: Decision) -> CheckImages:
    """Labelled as the model answers, one in four otherwise."""
    labels = (chosen_classes(decision, images.logits) + (np.arange(len(images)) % 4 == 0)) % 2
    return replace(images, labels=labels, decision=decision)


def decision_of(request: ExportRequest) -> Decision:
    decision = request.shippable.card.decision
    assert decision is not None
    return decision


def test_the_threshold_makes_a_difference(decided: ExportRequest) -> None:
    answers = chosen_classes(decision_of(decided), decided.test.logits)
    assert (answers != decided.test.logits.argmax(axis=1)).sum() > 2
    assert compare(decided.test, decided.test.logits).accuracy == 0.75
    shifted = decided.test.logits + np.array([2.5, 0.0], np.float32)
    assert compare(decided.test, shifted).agreement < 1


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_onnx_files_give_the_answers(decided: ExportRequest, name: str) -> None:
    decided.out.parent.mkdir()
    result = FORMATS[name].write(decided)
    session = onnxruntime.InferenceSession(decided.out, providers=["CPUExecutionProvider"])
    pixels = decided.test.images.transpose(0, 2, 3, 1)
    logits, answers = session.run(["logits", "answers"], {"images": np.ascontiguousarray(pixels)})
    assert answers.dtype == np.int64
    assert answers.tolist() == chosen_classes(decision_of(decided), logits).tolist()
    if name == "onnx":
        assert answers.tolist() == chosen_classes(decision_of(decided), decided.test.logits).tolist()
        assert result.checks[-1].agreement == 1
    predictor = load_onnx(decided.out)
    card, classify = predictor.card, predictor.logits_of
    assert card.decision == decision_of(decided)
    np.testing.assert_allclose(classify(decided.test.images), logits)
    assert "'class 1' from a probability of" in session.get_modelmeta().custom_metadata_map["answers"]


def test_an_onnx_file_without_its_answers_is_refused(decided: ExportRequest) -> None:
    import onnx

    decided.out.parent.mkdir()
    FORMATS["onnx"].write(decided)
    model = onnx.load(decided.out)
    del model.graph.output[2]
    onnx.save(model, decided.out)
    with pytest.raises(ModelError, match="does not fit its model card"):
        load_onnx(decided.out)


def test_without_a_threshold_there_are_two_outputs(decided: ExportRequest) -> None:
    decided.out.parent.mkdir()
    card = replace(decided.shippable.card, decision=None)
    FORMATS["onnx"].write(
        replace(
            decided,
            shippable=replace(decided.shippable, card=card),
            held_out=None,
            test=replace(decided.test, decision=None),
        )
    )
    session = onnxruntime.InferenceSession(decided.out, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["logits", "probabilities"]


@pytest.mark.parametrize("target", [None, "frigate", "openmv"])
def test_the_likelier_class_of_a_tflite_file_is_the_answer(decided: ExportRequest, target: str | None) -> None:
    decision = decision_of(decided)
    result = FORMATS["tflite"].write(replace(decided, target=target))
    assert min(check.agreement for check in result.checks) >= 0.85
    assert result.checks[-1].original_accuracy == 0.75
    content = file_bytes(decided.shippable)
    found = run_litert(content, channels_last(decided.test.images))
    moved = softmax(decided.test.logits + moved_by(decision))
    assert np.abs(found - moved).mean() < 0.05
    plain = replace(decided.shippable, card=replace(decided.shippable.card, decision=None))
    unmoved = run_litert(file_bytes(plain), channels_last(decided.test.images))
    assert np.abs(unmoved - softmax(decided.test.logits)).mean() < 0.05 < np.abs(unmoved - moved).mean()
    if has_micro() and target is None:
        assert "gives what LiteRT's reference kernels give" in str(result.details["microcontrollers"])
    assert b"moved so that one half stands for the model's threshold" in content
    assert "moved so that one half" in str(result.details["output"])
    if target is not None:
        readme = (decided.out / "README.md").read_text()
        assert "moved so that one half" in readme
        assert ("threshold: 0.5\n" in readme) == (target == "frigate")


def test_c_programs_give_the_answers(decided: ExportRequest) -> None:
    decision = decision_of(decided)
    result = FORMATS["c"].write(decided)
    assert result.checks[-1].agreement >= 0.9
    source = (result.path / "random.c").read_text()
    card, classify, _ = load_c_folder(result.path)
    assert card.decision == decision
    answers = chosen_classes(decision, classify(decided.test.images))
    assert "return first;" not in source
    assert "answer | 'class 1' from a probability of" in (result.path / "README.md").read_text()
    found = run_example(result.path, decided.test.images[:8])
    assert found == [card.class_names[answer] for answer in answers[:8]]


def run_example(folder: Path, images: np.ndarray) -> list[str]:
    """The first class that the folder's own example prints for each picture."""
    subprocess.run(["make", "-s", "-C", folder, "example", "CFLAGS=-O0"], check=True)
    first = []
    for index, image in enumerate(images):
        (folder / f"{index}.rgb").write_bytes(np.ascontiguousarray(image.transpose(1, 2, 0)).tobytes())
        done = subprocess.run([folder / "example", folder / f"{index}.rgb"], capture_output=True, text=True, check=True)
        first.append(done.stdout.splitlines()[0].rpartition(" ")[0])
    return first


@needs_node
def test_a_page_answers_by_the_threshold(decided: ExportRequest) -> None:
    decision, program = decision_of(decided), decided.shippable.program
    assert program is not None
    page = build_page(decided.shippable)
    order = re.search(r"function order\(probabilities\)\s*\{.*?\}(?=\s*\S)", page, re.DOTALL)
    assert order is not None
    found = run_node(
        DECIDE,
        {
            "html": str(HTML),
            "wasm": str(HTML / "engine.wasm"),
            "weights": encoded(program_to_bytes(program)),
            "images": [encoded(image.tobytes()) for image in decided.test.images],
            "decision": {"positive": decision.positive, "margin": decision.margin},
            "order": html.unescape(order.group()),
        },
    )
    assert found["answers"] == chosen_classes(decision, decided.test.logits).tolist()
    assert found["orders"] == [[0, 1], [1, 0]]


def test_only_pages_of_such_models_have_the_script(decided: ExportRequest) -> None:
    plain = build_page(replace(decided.shippable, card=replace(decided.shippable.card, decision=None)))
    page = build_page(decided.shippable)
    assert "probabilities.answer" not in plain
    assert '"decision"' not in plain
    assert page.count("probabilities.answer") == 4
    model = re.search(r'id="model">(.*?)</script>', page)
    assert model is not None
    decision = decision_of(decided)
    assert json.loads(model.group(1))["decision"] == {"positive": 1, "margin": decision.margin}
    for text, kind in ((plain, "likeliest"), (page, "threshold")):
        policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)
        assert policy is not None
        assert html.unescape(policy.group(1)) == page_policy(kind)
    assert page_policy() != page_policy("threshold")
    assert "from a probability of" in page


def test_formats_that_cannot_answer_so_refuse_the_model(
    decided: ExportRequest, own_things: None, tmp_path: Path
) -> None:
    thumbnet.register_export_format(
        "mine", thumbnet.ExportFormat(purpose="tests", writer=FORMATS["html"].write, suffix="")
    )
    refusing = [name for name in FORMATS if not FORMATS[name].obeys_decisions]
    assert "mine" in refusing
    for name in refusing:
        with pytest.raises(ExportError, match=f"{name} would answer with the likelier class") as caught:
            export_shippable(decided.shippable, name, out=tmp_path / "refused")
        assert "onnx, onnx-int8" in caught.value.hint
    assert not (tmp_path / "refused").exists()


def test_a_model_card_says_how_it_answers(decided: ExportRequest) -> None:
    text = sections(replace(decided.shippable, run_path=None), files=[], command="thumbnet export")
    assert "**Answer:** `class 1` where its probability is at least" in text
    assert "picked by recall 0.35 on 40 validation images" in text
    measured = {"recall": 0.5, "precision": 0.25}
    given = replace(decision_of(decided), rule="given", num_positives=8, measured=measured)
    text = sections(
        replace(decided.shippable, run_path=None, card=replace(decided.shippable.card, decision=given)),
        files=[], command="thumbnet export",
    )  # fmt: skip
    said = "a threshold that was given; on 40 validation images, with 8 images of that class, recall 50.0% and"
    assert said in text
    plain = replace(decided.shippable, run_path=None, card=replace(decided.shippable.card, decision=None))
    without = sections(plain, files=[], command="thumbnet export")
    assert "**Answer:**" not in without
    assert "**Over the classes:**" not in without


def test_accuracy_does_not_stand_alone_in_cards_and_pages(decided: ExportRequest) -> None:
    metrics = {
        "test_accuracy": 0.9, "num_test": 40, "test_balanced_accuracy": 0.75, "test_macro_f1": 0.7, "test_mcc": 0.5,
        "commonest_share": 0.875, "test_auc": 0.8123, "test_average_precision": 0.6,
    }  # fmt: skip
    shippable = replace(decided.shippable, run_path=None, card=replace(decided.shippable.card, metrics=metrics))
    text = sections(shippable, files=[], command="thumbnet export")
    assert "balanced accuracy 75.00%, macro F1 70.00%, Matthews' coefficient 0.500; always answering" in text
    assert "area under the ROC curve 0.8123, average precision 0.6000" in text
    assert "balanced accuracy 75.0\u00a0%; always the commonest class: accuracy 87.5\u00a0%" in build_page(shippable)
    assert properties_of(shippable)["accuracy"] == "90.00% of 40 test images, balanced accuracy 75.00%"
    assert describe(shippable).endswith("; accuracy before quantisation 90.00%, balanced accuracy 75.00%")


def test_nor_does_it_where_an_export_is_checked(decided: ExportRequest) -> None:
    labels = (np.arange(40) >= 30).astype(np.int64)
    margins = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)
    original = np.stack([np.where(labels == 1, -1.0, 1.0), np.zeros(40)], axis=1)  # all are right
    images = replace(decided.test, labels=labels, logits=original, decision=None, description="40 test images")
    found = compare(images, np.stack([margins * (labels == 1) + (labels == 0), np.zeros(40)], axis=1))
    assert (found.accuracy, found.balanced_accuracy) == (0.875, 0.75)
    assert found.original_balanced_accuracy == 1
    said = "accuracy 87.50% (original: 100.00%), balanced accuracy 75.00% (original: 100.00%), largest"
    assert said in str(found)
    assert "balanced" not in str(compare(images, original))
    metrics = {"test_accuracy": 0.9, "num_test": 40, "test_balanced_accuracy": 0.75}
    result = ExportResult("onnx", decided.out, (decided.out,), 4, (), metrics=metrics)
    said = "accuracy of the original: 90.00% on 40 test images, balanced accuracy 75.00%, from its training"
    assert said in str(result)


def test_a_server_answers_by_the_threshold(decided: ExportRequest, tmp_path: Path) -> None:
    from test_serve import RAW, Client
    from thumbnet.export.server.app import build_app
    from thumbnet.export.server.limits import Limits

    client = Client(build_app(decided.shippable, limits=Limits()))
    answers = chosen_classes(decision_of(decided), decided.test.logits)
    likeliest = decided.test.logits.argmax(axis=1)
    index = int(np.flatnonzero(answers != likeliest)[0])
    Image.fromarray(decided.test.images[index].transpose(1, 2, 0)).save(tmp_path / "picture.png")
    (said,) = client.post("/predict", content=(tmp_path / "picture.png").read_bytes(), headers=RAW).json()[
        "predictions"
    ]
    assert said["class_name"] == f"class {answers[index]}"
    assert said["probability"] < said["top"][1]["probability"]
    assert client.get("/model").json()["decision"]["rule"] == "recall 0.35"
    page = client.get("/")
    assert "probabilities.answer" in page.text
    assert page_policy("threshold") in page.headers["content-security-policy"]
    schema = client.get("/openapi.json").json()["components"]["schemas"]["Model"]
    assert "decision" in schema["required"]


@pytest.mark.browser
def test_in_a_browser_the_answer_is_the_heading(decided: ExportRequest, tmp_path: Path) -> None:
    from browser import console_errors, open_browser, open_file
    from test_html_page import wait_for_answers

    page = tmp_path / "page.html"
    page.write_text(build_page(decided.shippable))
    export_data = decided.shippable.export_data
    program = decided.shippable.program
    assert export_data is not None
    assert program is not None
    answers = chosen_classes(decision_of(decided), run_program(program, export_data.samples.images[:10]).logits)
    (tmp_path / "profile").mkdir()
    with open_browser(tmp_path / "profile") as browser:
        open_file(browser, page)
        assert browser.execute_async_script("thumbnetReady.then(arguments[0])")
        found = []
        for index in range(len(answers)):
            browser.execute_script(f"document.querySelector(\"[data-sample='{index}']\").click()")
            wait_for_answers(browser)
            heading = "document.querySelector('h3 bdi[data-class]').textContent"
            found.append(browser.execute_script(f"return [thumbnetLast.className, {heading}]"))
        assert not console_errors(browser)
    names = [f"class {answer}" for answer in answers]
    assert found == [[name, name] for name in names]
    assert len(set(names)) == 2

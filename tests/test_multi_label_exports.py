"""Pages and servers of a model whose pictures may have several labels: they answer with the labels that it does."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from html_scripts import HTML, LOAD, encoded, needs_node, run_node
from random_exports import request_of
from thumbnet.cli.predicting_model import PredictingModel
from thumbnet.errors import ExportError
from thumbnet.export.export import export_shippable
from thumbnet.export.html.page import build_page, page_policy
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.export.html.write import write as write_page
from thumbnet.export.model_card.sections import sections
from thumbnet.export.onnx.graph import to_bytes
from thumbnet.export.onnx.int8_graph import int8_graph
from thumbnet.export.onnx.int8_model import write as write_int8
from thumbnet.export.onnx.metadata import properties_of
from thumbnet.export.onnx.runtime import open_session, run_session
from thumbnet.export.onnx.sensitivity import layer_costs
from thumbnet.export.request import CheckImages, ExportRequest, ExportResult, compare
from thumbnet.models.label_decision import LabelDecision, chosen_labels, label_probabilities

BLOCKS, SHAPE, NUM_LABELS = "b8 b16p b16", (3, 12, 12), 3
LABEL = (
    LOAD
    + """
(async () => {
  const model = { classes: request.classes, labels: { margins: request.margins } };
  globalThis.document = { getElementById: () => ({ textContent: JSON.stringify(model) }) };
  vm.runInThisContext(fs.readFileSync(`${request.html}/labels.js`, "utf8"));
  const wasm = fs.readFileSync(request.wasm);
  const engine = await ThumbnetEngine.load(Buffer.from(request.weights, "base64"), { wasm });
  const found = request.images.map((image) => engine.run(Buffer.from(image, "base64")).probabilities);
  const names = found.map(({ labels, named }) => named(labels));
  console.log(JSON.stringify({ names, probabilities: found.map((each) => [...each]) }));
})();
"""
)


@pytest.fixture
def labelled(tmp_path: Path) -> ExportRequest:
    """A request to export a random network of three labels, each of which about half of the images are given."""
    request = request_of(BLOCKS, False, SHAPE, NUM_LABELS, tmp_path / "out" / "model")
    ordered = np.sort(request.test.logits.astype(np.float64), axis=0)
    middle = len(ordered) // 2
    margins = (ordered[middle - 1] + ordered[middle]) / 2
    decision = LabelDecision(tuple(margins.tolist()), rule="f1", num_images=40)
    card = replace(request.shippable.card, label_decision=decision)
    data = request.shippable.export_data
    assert data is not None
    marks = chosen_labels(decision, request.test.logits)[: len(data.samples.labels)]
    shippable = replace(
        request.shippable, card=card, export_data=replace(data, samples=replace(data.samples, labels=marks))
    )
    held_out = None if request.held_out is None else _answered(request.held_out, decision)
    return replace(request, shippable=shippable, held_out=held_out, test=_answered(request.test, decision))


def _answered(images: CheckImages, decision: LabelDecision) -> CheckImages:
    """Labelled as the model answers, one in four otherwise."""
    labels = chosen_labels(decision, images.logits)
    labels[::4, 0] ^= 1
    return replace(images, labels=labels, label_decision=decision)


def decision_of(request: ExportRequest) -> LabelDecision:
    decision = request.shippable.card.label_decision
    assert decision is not None
    return decision


def names_of(request: ExportRequest) -> list[str]:
    names = request.shippable.card.class_names
    marks = chosen_labels(decision_of(request), request.test.logits)
    return ["; ".join(name for name, mark in zip(names, row, strict=True) if mark) or "no label" for row in marks]


def test_agreement_is_of_all_labels(labelled: ExportRequest) -> None:
    images = labelled.test
    moved = images.logits.copy()
    moved[0, 1] = 2 * decision_of(labelled).margins[1] - moved[0, 1]
    found = compare(images, moved)
    assert found.agreement == pytest.approx(1 - 1 / len(images))
    assert found.original_accuracy == pytest.approx(1 - len(range(0, len(images), 4)) / len(images))


def test_the_layers_that_cost_most_are_found_by_labels(labelled: ExportRequest) -> None:
    shippable, images = labelled.shippable, labelled.test
    assert shippable.program is not None
    assert shippable.export_data is not None
    assert shippable.export_data.ranges is not None
    for cost in layer_costs(shippable, images):
        assert "get other labels" in str(cost)
        graph = int8_graph(shippable.program, shippable.export_data.ranges, properties={}, quantised={cost.layer})
        logits, _ = run_session(open_session(to_bytes(graph)), images.images)
        answers, own = (chosen_labels(decision_of(labelled), each) for each in (logits, images.logits))
        assert cost.changed == pytest.approx((answers != own).any(axis=1).mean())
        distance = np.abs(label_probabilities(logits) - label_probabilities(images.logits))
        assert cost.difference == pytest.approx(distance.mean())


@pytest.mark.parametrize(("write", "message"), [(write_page, "other labels"), (write_int8, "get the same labels")])
def test_refusals_are_of_labels(
    labelled: ExportRequest, write: Callable[[ExportRequest], ExportResult], message: str
) -> None:
    margins = np.array(decision_of(labelled).margins, np.float32)
    other = replace(labelled.test, logits=2 * margins - labelled.test.logits)
    with pytest.raises(ExportError, match=message) as caught:
        write(replace(labelled, held_out=None, test=other))
    assert "or c" not in caught.value.hint


@needs_node
def test_a_page_answers_with_labels(labelled: ExportRequest) -> None:
    program = labelled.shippable.program
    assert program is not None
    found = run_node(
        LABEL,
        {
            "html": str(HTML),
            "wasm": str(HTML / "engine.wasm"),
            "weights": encoded(program_to_bytes(program)),
            "images": [encoded(image.tobytes()) for image in labelled.test.images],
            "margins": decision_of(labelled).margins,
            "classes": labelled.shippable.card.class_names,
        },
    )
    wanted = names_of(labelled)
    assert sum(one != other for one, other in zip(found["names"], wanted, strict=True)) <= 1  # half precision
    np.testing.assert_allclose(found["probabilities"], label_probabilities(labelled.test.logits), atol=0.01)


def test_only_pages_of_such_models_have_the_script(labelled: ExportRequest) -> None:
    page = build_page(labelled.shippable)
    model = re.search(r'id="model">(.*?)</script>', page)
    assert model is not None
    assert json.loads(model.group(1))["labels"] == {"margins": list(decision_of(labelled).margins)}
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    assert html.unescape(policy.group(1)) == page_policy("labels")
    assert page_policy("labels") != page_policy()
    assert "probabilities.named" in page
    assert "which of 3 labels it has" in page
    assert "each label from its own probability on" in html.unescape(page)


def test_a_page_is_written_and_checked(labelled: ExportRequest, tmp_path: Path) -> None:
    shippable = replace(labelled.shippable, run_path=None)
    result = export_shippable(shippable, "html", out=tmp_path / "page.html")
    assert result.path.read_text() == build_page(shippable)


def test_a_server_answers_with_labels(labelled: ExportRequest, tmp_path: Path) -> None:
    from test_serve import RAW, Client
    from thumbnet.export.server.app import build_app
    from thumbnet.export.server.limits import Limits

    client = Client(build_app(labelled.shippable, limits=Limits()))
    for index in range(3):
        Image.fromarray(labelled.test.images[index].transpose(1, 2, 0)).save(tmp_path / "picture.png")
        content = (tmp_path / "picture.png").read_bytes()
        (said,) = client.post("/predict", content=content, headers=RAW).json()["predictions"]
        assert ("; ".join(said["labels"]) or "no label") == names_of(labelled)[index]
        assert said["probability"] == pytest.approx(label_probabilities(labelled.test.logits)[index].max(), abs=1e-5)
    assert client.get("/model").json()["label_decision"]["rule"] == "f1"
    page = client.get("/")
    assert page_policy("labels") in page.headers["content-security-policy"]
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert "labels" in schemas["Prediction"]["required"]
    assert "label_decision" in schemas["Model"]["required"]


def test_an_accuracy_of_several_labels_says_what_it_is_of(labelled: ExportRequest) -> None:
    assert properties_of(labelled.shippable)["accuracy"] == "25.00% of 40 test images (all labels right)"
    metrics = {"test_accuracy": 0.25, "num_test": 40}
    card = replace(labelled.shippable.card, metrics=metrics)
    assert str(PredictingModel("it", card)).endswith("; 25.0% on its test images (all labels right))")
    check = compare(labelled.test, labelled.test.logits)
    assert "accuracy (all labels right) 75.00% (original: 75.00%)" in str(check)
    result = ExportResult("it", Path("it"), (), 1, (replace(check, on_samples=True),), metrics=metrics)
    assert "accuracy (all labels right) of the original: 25.00% on 40 test images" in str(result)


def test_a_model_card_says_how_it_answers(labelled: ExportRequest) -> None:
    text = sections(replace(labelled.shippable, run_path=None), files=[], command="thumbnet export")
    assert "picked by f1 on 40 validation images" in text


def test_a_model_card_of_labels_speaks_of_no_classes(labelled: ExportRequest) -> None:
    text = sections(replace(labelled.shippable, run_path=None), files=[], command="thumbnet export")
    number = len(labelled.shippable.card.class_names)
    assert f"and {number} labels, trained on" in text
    assert f"**Output:** a probability for each of {number} labels" in text
    assert f"To tell which of its {number} labels a picture has" in text
    assert "- **Labels:** `" in text
    assert "classes" not in text.lower()

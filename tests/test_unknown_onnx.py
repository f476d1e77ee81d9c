"""ONNX files of a model that pictures may be unknown to: their distances and answers, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from random_exports import random_request
from thumbnet.errors import ExportError, ModelError
from thumbnet.export.exported import load_exported
from thumbnet.export.formats import FORMATS
from thumbnet.export.model_card.sections import sections
from thumbnet.export.onnx import answers as answer_nodes
from thumbnet.export.onnx import int8_model
from thumbnet.export.onnx.float_graph import float_graph
from thumbnet.export.onnx.graph import to_bytes
from thumbnet.export.onnx.metadata import properties_of
from thumbnet.export.onnx.quick import runtime_predictor
from thumbnet.export.onnx.reading import load_onnx
from thumbnet.export.request import ExportRequest, softmax
from thumbnet.models.card import ModelCard
from thumbnet.models.decision import Decision, chosen_classes, threshold_of
from thumbnet.models.unknown import unknown_answers
from thumbnet.models.unsure import Unsure, unsure_answers
from thumbnet.trained.predictor import program_predictor
from unknown_requests import NUM_UNKNOWN, expected_unknown, rule_of, unknown_request, with_rule

ALL = ["logits", "probabilities", "answers", "distances"]


@pytest.fixture
def distant(tmp_path: Path) -> ExportRequest:
    (tmp_path / "out").mkdir()
    return unknown_request(tmp_path / "out" / "model.onnx")


def also(request: ExportRequest, **rule: Any) -> ExportRequest:
    """The same request with another rule beside."""
    assert request.held_out is not None
    return replace(
        request,
        shippable=replace(request.shippable, card=replace(request.shippable.card, **rule)),
        held_out=replace(request.held_out, **rule),
        test=replace(request.test, **rule),
    )


def run(request: ExportRequest, names: list[str], *, num_images: int | None = None) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(request.out, providers=["CPUExecutionProvider"])
    pixels = np.ascontiguousarray(request.test.images[:num_images].transpose(0, 2, 3, 1))
    found: list[np.ndarray] = session.run(names, {"images": pixels})
    return found


def known_answers(card: ModelCard, logits: np.ndarray) -> np.ndarray:
    probabilities = softmax(logits)
    return np.where(unsure_answers(card.unsure, probabilities), logits.shape[1], chosen_classes(card.decision, logits))


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
@pytest.mark.parametrize("beside", ["nothing", "unsure", "threshold"])
def test_files_give_distances_and_answers(name: str, beside: str, tmp_path: Path) -> None:
    request = unknown_request(tmp_path / "model.onnx", 2 if beside == "threshold" else 4)
    if beside == "unsure":
        confidence = float(np.median(softmax(request.test.logits).max(axis=1)))
        request = also(request, unsure=Unsure(confidence + 1e-3, 0.4, num_images=300, num_unsure=150, error=0.5))
    if beside == "threshold":
        request = also(request, decision=Decision(1, threshold_of(1.5), 1.5, rule="recall 0.35", num_images=40))
    result = FORMATS[name].write(replace(request, max_drop=1.0) if name == "onnx-int8" else request)
    logits, answers, distances = run(request, ["logits", "answers", "distances"])
    assert (answers.dtype, answers.shape, distances.dtype, distances.shape) == (np.int64, (40,), np.float32, (40,))
    rule, num_classes = rule_of(request), logits.shape[1]
    is_unknown = unknown_answers(rule, distances.astype(np.float64))
    known = known_answers(request.shippable.card, logits)
    assert answers.tolist() == np.where(is_unknown, num_classes + 1, known).tolist()
    assert set(known[is_unknown]) & set(known[~is_unknown])  # the distance decides, not the class
    if name == "onnx":
        assert is_unknown.tolist() == expected_unknown(request).tolist()
        assert is_unknown.sum() == NUM_UNKNOWN
        np.testing.assert_allclose(distances, request.test.distances, rtol=1e-4)
        if beside == "unsure":
            assert set(answers) >= {num_classes, num_classes + 1}
    else:
        assert 0 < np.abs(distances - request.test.distances).mean() < 0.2 * np.std(request.test.distances)
    single, apart = run(request, ["answers", "distances"], num_images=1)
    assert single.tolist() == answers[:1].tolist()
    np.testing.assert_allclose(apart, distances[:1], rtol=1e-4)
    assert (result.checks[-1].unknown, result.checks[-1].original_unknown) == (is_unknown.mean(), 0.5)


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_a_file_read_back_answers_so(distant: ExportRequest, name: str) -> None:
    FORMATS[name].write(replace(distant, max_drop=1.0) if name == "onnx-int8" else distant)
    predictor = load_exported(distant.out)
    assert predictor.card.unknown == rule_of(distant)
    logits, answers = run(distant, ["logits", "answers"])
    pictures = list(distant.test.images)
    found = predictor.predict(pictures)
    assert [each.is_unknown for each in found] == (answers == 5).tolist()
    assert {each.answer for each in found if each.is_unknown} == {"unknown"}
    assert [each.class_name for each in found] == [f"class {index}" for index in logits.argmax(axis=1)]
    text = sections(replace(distant.shippable, run_path=None), files=[], command="thumbnet export")
    assert "ONNX files give it as `distances`, and 5 as `answers` stands for “unknown”." in text
    told = json.loads(onnx.load(distant.out).metadata_props[-2].value)
    assert told.startswith("'unknown' where a picture is further than")


def test_int8_that_calls_others_unknown_is_refused(distant: ExportRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the original knows all images, half of them are unknown to the file alone."""
    monkeypatch.setattr(int8_model, "LEAST_AGREEMENT", 0.0)  # of classes
    known = replace(distant.test, distances=np.zeros(len(distant.test)))
    for request in (replace(distant, held_out=known), replace(distant, held_out=None, test=known)):
        with pytest.raises(ExportError, match=r"in int8 only \d\d% of 40 test images are 'unknown', or not"):
            FORMATS["onnx-int8"].write(replace(request, max_drop=0.3))
    assert not distant.out.exists()


def test_many_pictures_are_predicted_by_the_same_rule(distant: ExportRequest) -> None:
    shippable = distant.shippable
    assert shippable.program is not None
    quick = runtime_predictor(shippable.card, shippable.program)
    pictures = list(distant.test.images)
    expected = program_predictor(shippable.card, shippable.program).predict(pictures)
    assert [each.answer for each in quick.predict(pictures)] == [each.answer for each in expected]
    assert sum(each.is_unknown for each in expected) == NUM_UNKNOWN


def test_without_the_rule_files_are_as_before(distant: ExportRequest) -> None:
    plain = with_rule(distant, None)
    result = FORMATS["onnx"].write(plain)
    program, properties = plain.shippable.program, properties_of(plain.shippable)
    assert program is not None
    assert plain.out.read_bytes() == to_bytes(float_graph(program, properties=properties))
    assert "unknown" not in str(result)
    assert not {"unknown", "original_unknown"} & set(result.checks[-1].to_dict())
    FORMATS["onnx-int8"].write(replace(plain, max_drop=1.0))
    assert b"distances" not in plain.out.read_bytes()
    unsure = also(plain, unsure=Unsure(0.4, 0.4, num_images=300, num_unsure=150, error=0.5))
    FORMATS["onnx"].write(unsure)
    model = onnx.load(unsure.out)
    assert [output.name for output in model.graph.output] == ALL[:3]
    assert [node.op_type for node in model.graph.node[-5:]] == ["ArgMax", "GatherElements", "Less", "Where", "Reshape"]


def test_the_shares_are_reported(distant: ExportRequest) -> None:
    result = FORMATS["onnx"].write(distant)
    assert "50.00% are answered with 'unknown' (original: 50.00%)" in str(result.checks[-1])
    values = result.checks[-1].to_dict()
    assert (values["unknown"], values["original_unknown"]) == (0.5, 0.5)


@pytest.mark.parametrize("number", [2, 3])
def test_a_file_without_an_output_is_refused(distant: ExportRequest, number: int) -> None:
    FORMATS["onnx"].write(distant)
    model = onnx.load(distant.out)
    assert [output.name for output in model.graph.output] == ALL
    del model.graph.output[number]
    onnx.save(model, distant.out)
    with pytest.raises(ModelError, match="does not fit its model card"):
        load_onnx(distant.out)


DAMAGE: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda card: card.pop("unknown"), "does not fit its model card"),
    (lambda card: card["unknown"].update(limit=-1.0), r"damaged model card: .*unknown.limit is -1.0"),
    (lambda card: card["unknown"]["means"].pop(), r"unknown.means are of 3 classes, not 4"),
    (lambda card: card["unknown"]["deviations"].pop(), r"unknown.deviations are of 15 features, not 16"),
    (lambda card: card["unknown"]["means"][0].append("far"), "damaged model card"),
    (lambda card: card.update(architecture=None), "is no network of blocks"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGE)
def test_a_damaged_card_is_refused(
    distant: ExportRequest, damage: Callable[[dict[str, Any]], object], told: str
) -> None:
    FORMATS["onnx"].write(distant)
    model = onnx.load(distant.out)
    (text,) = (one.value for one in model.metadata_props if one.key == "thumbnet")
    card = json.loads(text)
    damage(card)
    del model.metadata_props[:]
    helper.set_model_props(model, {"thumbnet": json.dumps(card)})
    onnx.save(model, distant.out)
    with pytest.raises(ModelError, match=told):
        load_onnx(distant.out)


@pytest.mark.parametrize(
    ("nodes", "change", "told"),
    [
        ("_add_distances", {"deviations": (0.5,) * 16}, "distances of 40 images are not those of its features"),
        ("_add_unless_unknown", {"limit": 1e-3}, "answers 20 images otherwise than its probabilities and distances"),
    ],
)
def test_wrong_nodes_are_found(
    distant: ExportRequest, monkeypatch: pytest.MonkeyPatch, nodes: str, change: dict[str, Any], told: str
) -> None:
    right = getattr(answer_nodes, nodes)

    def wrong(graph: onnx.GraphProto, unknown: Any, *others: Any, **named: Any) -> None:
        right(graph, replace(unknown, **change), *others, **named)

    monkeypatch.setattr(answer_nodes, nodes, wrong)
    with pytest.raises(ExportError, match=told):
        FORMATS["onnx"].write(replace(distant, held_out=None))
    assert not distant.out.exists()


def test_distances_of_another_network_are_refused(distant: ExportRequest) -> None:
    assert distant.test.distances is not None
    other = replace(distant.test, distances=distant.test.distances + 0.01)
    with pytest.raises(ExportError, match=r"its distances of 40 of 40 test images are others, by up to 0\.01"):
        FORMATS["onnx"].write(replace(distant, held_out=None, test=other))
    assert not distant.out.exists()


def test_silent_features_and_far_means_are_within_rounding(tmp_path: Path) -> None:
    """A thousandth of a deviation, and means far from 0: where float32 has least to give."""
    request = random_request("sprint", tmp_path / "model.onnx")
    program = request.shippable.program
    assert program is not None
    num_features = program.head.shape[1]
    deviations = tuple(float(value) for value in np.geomspace(1e-4, 0.3, num_features).round(6))
    base = unknown_request(tmp_path / "other.onnx")
    rule = replace(rule_of(base), means=((3.0,) * num_features,) * 4, deviations=deviations, limit=1e4)
    result = FORMATS["onnx"].write(with_rule(request, rule))
    assert result.checks[-1].unknown == result.checks[-1].original_unknown

"""All metrics of a split: against scikit-learn and plain re-computation, as JSON and as text."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from sklearn.metrics import top_k_accuracy_score

from thumbnet.evaluation.analysis import Analysis, analyse
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.metrics import standard_error, summarise_predictions
from thumbnet.evaluation.predictions import Predictions

NAMES = ("cat", "dog", "frog")


def predictions(num_images: int, *, seed: int = 0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (num_images,), generator=generator)
    logits = torch.randn(num_images, 3, generator=generator)
    logits[torch.arange(num_images), labels] += 1
    return Predictions(4 * logits, labels)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    evaluation = summarise_predictions(predictions(400), split="test")
    return analyse(evaluation, NAMES, held_out=predictions(300, seed=1))


def test_metrics_agree_with_scikit_learn(analysis: Analysis) -> None:
    scored = analysis.evaluation.predictions
    assert analysis.top2_accuracy == pytest.approx(top_k_accuracy_score(scored.labels, scored.logits.numpy(), k=2))
    right = (scored.predicted == scored.labels).double().numpy()
    assert analysis.standard_error == pytest.approx(np.std(right) / np.sqrt(len(right)))
    assert standard_error(0.5, 2500) == 0.01


def test_a_temperature_helps_the_overconfident(analysis: Analysis) -> None:
    assert analysis.temperature is not None
    assert analysis.temperature > 2
    assert analysis.calibrated is not None
    assert analysis.calibrated.error < analysis.calibration.error / 2


def test_without_held_out_predictions_there_is_no_temperature(analysis: Analysis) -> None:
    bare = analyse(analysis.evaluation, NAMES)
    assert bare.temperature is None
    assert bare.calibrated is None
    assert "temperature" not in bare.to_dict()
    assert "temperature" not in str(bare)


def test_json_lists_the_worst_first(analysis: Analysis) -> None:
    values = json.loads(json.dumps(analysis.to_dict()))
    assert np.trace(values["confusion"]) / values["num_images"] == pytest.approx(values["accuracy"])
    losses = [each["loss"] for each in values["top_losses"]]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(float(analysis.evaluation.predictions.losses.max()))
    for each in values["most_confident_wrong"]:
        assert each["label"] != each["prediction"]
    for each in values["least_confident_correct"]:
        assert each["label"] == each["prediction"]
    assert values["coverage"][0] == {
        "coverage": 1.0,
        "accuracy": pytest.approx(values["accuracy"]),
        "accuracy_interval": pytest.approx(values["accuracy_interval"]),
    }
    assert sum(each["num_images"] for each in values["reliability"]) == values["num_images"]
    for each in values["classes"]:
        for name in ("precision", "recall", "f1"):
            low, high = each["intervals"][name]
            assert 0 <= low < each[name] < high <= 1


def test_every_figure_over_all_images_has_an_interval(analysis: Analysis) -> None:
    values, text = json.loads(json.dumps(analysis.to_dict())), str(analysis)
    for name in (
        "accuracy", "balanced_accuracy", "macro_f1", "mcc", "top2_accuracy", "loss", "calibration_error",
        "calibration_error_at_temperature",
    ):  # fmt: skip
        low, high = values[f"{name}_interval"]
        assert low < values[name] < high, name
    losses = analysis.evaluation.predictions.losses.double()
    found = bootstrap([losses.numpy()], np.mean, random_state=0, n_resamples=999).confidence_interval
    assert values["loss_interval"] == pytest.approx([found.low, found.high], abs=0.2 * (found.high - found.low))
    assert "loss {:.4f} ({:.4f} to {:.4f})".format(values["loss"], *values["loss_interval"]) in text
    assert "Matthews' coefficient {:.3f} ({:.3f} to {:.3f})".format(values["mcc"], *values["mcc_interval"]) in text
    for each in values["coverage"]:
        num_answered = round(each["coverage"] * 400)
        assert each["accuracy_interval"] == pytest.approx(accuracy_interval(each["accuracy"], num_answered))
        shown = "{:.2%} ({:.1f} to {:.1f})".format(each["accuracy"], *(100 * x for x in each["accuracy_interval"]))
        assert each["coverage"] == 1 or f"{each['coverage']:.0%}  {shown}" in text
    for each in values["reliability"]:
        low, high = each["accuracy_interval"] or (0, 0)
        assert each["accuracy"] is None or low <= each["accuracy"] <= high
    single = summarise_predictions(Predictions(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)), split="test")
    assert json.loads(json.dumps(analyse(single, NAMES).to_dict()))["loss_interval"] is None


def test_text_has_every_class_and_the_worst_pair(analysis: Analysis) -> None:
    text = str(analysis)
    assert f"accuracy {analysis.evaluation.accuracy:.2%} ± {analysis.standard_error:.2%}" in text
    for metrics in analysis.classes:
        line = next(line for line in text.splitlines() if line.startswith(metrics.class_name))
        bounds = metrics.intervals
        figures = (
            (metrics.precision, bounds.precision),
            (metrics.recall, bounds.recall),
            (metrics.f1, bounds.f1),
        )
        texts = [f"{value:.2%} ({100 * low:.1f} to {100 * high:.1f})" for value, (low, high) in figures]  # type: ignore[misc]
        assert line.split()[1:] == [str(metrics.num_images), *" ".join(texts).split()]
    assert "In brackets: 95% intervals." in text
    worst = analysis.confused[0]
    assert f"most confused: {worst.truth} taken for {worst.prediction} {worst.num_images}" in text


def test_images_are_listed_by_their_files(analysis: Analysis) -> None:
    paths = [f"cat/{number}.png" for number in range(400)]
    named = analyse(analysis.evaluation, NAMES, paths=paths)
    worst = named.to_dict()["top_losses"][0]
    assert worst["path"] == paths[worst["index"]]
    (line,) = [line for line in str(named).splitlines() if line.startswith("top losses: ")]
    assert line.startswith(f"top losses: {worst['path']} ({worst['label']} as {worst['prediction']}")
    assert "path" not in analysis.to_dict()["top_losses"][0]

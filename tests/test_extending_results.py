"""A metric and a section of the report from outside the package: by a call, and by the entry points of a package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from markupsafe import Markup

import thumbnet
from plugins import install_plugin
from small_runs import small_config, write_small_data
from test_custom_intervals import few_resamples
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.evaluation.metrics import Evaluation, summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.registry import create_model
from thumbnet.runs.reports.run import build_report
from thumbnet.training.history import EpochRecord, History
from thumbnet.views.report.content import ReportContent

RUN_METRICS = {
    "model": "sprint", "data": "tiny", "test_accuracy": 0.5, "test_loss": 1.0, "num_test": 45, "epochs": 3,
    "num_params": 1, "macs": 1, "train_s": 100.0, "images_per_s": 10.0, "device": "cpu", "num_threads": 1,
    "machine": "A processor (2 cores)",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("own_things")


def evaluation_of(dataset: Dataset) -> Evaluation:
    labels = dataset.test.labels
    logits = torch.eye(3)[(labels + (labels == 2).long()) % 3]  # the last class is taken for the first
    return summarise_predictions(Predictions(logits, labels), split="test")


def report_of(dataset: Dataset) -> str:
    return build_report(
        config=thumbnet.load_recipe("sprint").replace(mean=dataset.mean, std=dataset.std, flip=True),
        dataset=dataset,
        model=create_model("sprint", num_classes=3, seed=0, blocks="c16p"),
        history=History((EpochRecord(1, 0.1, 2.0, 0.5, 1.0, 0.5, None, None, 10.0, 100.0),)),
        evaluation=evaluation_of(dataset),
        metrics=RUN_METRICS,
        title="a run",
    )


def share_of_first_class(predictions: Predictions) -> float:
    return float((predictions.predicted == 0).double().mean())


def test_a_registered_metric_is_in_the_analysis_and_in_the_report(
    tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_resamples(monkeypatch)
    thumbnet.register_metric("share-of-first", share_of_first_class)
    thumbnet.register_metric("counted", lambda predictions: float(len(predictions.labels)))
    thumbnet.register_metric("not-here", lambda predictions: None)
    analysis = thumbnet.analyse(evaluation_of(tiny_dataset), tiny_dataset.class_names)
    assert analysis.to_dict()["custom_metrics"] == {
        "share-of-first": pytest.approx(2 / 3),
        "counted": 45.0,
        "not-here": None,
    }
    bounds = analysis.custom_metric_intervals["share-of-first"].interval
    assert bounds is not None
    assert "share-of-first 0.6667 ({:.4g} to {:.4g}), counted".format(*bounds) in str(analysis)
    assert " (no interval: all resamples give the same), not-here -" in str(analysis)
    page = report_of(tiny_dataset)
    span = "95\u00a0% interval {:.4g} to {:.4g}".format(*bounds)
    assert f"<dt>share-of-first</dt><dd>0.6667<small>{span}</small>" in page
    assert "<small>no interval: all resamples give the same</small>" in page
    assert "not-here" not in page


def test_without_one_nothing_is_said_of_them(tiny_dataset: Dataset) -> None:
    assert "custom_metrics" not in thumbnet.analyse(evaluation_of(tiny_dataset), ("a", "b", "c")).to_dict()


def test_a_metric_of_a_package_is_kept_with_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "def rate(predictions):\n    return float(len(predictions.labels))\n"
    install_plugin(tmp_path, monkeypatch, {"thumbnet.metrics": {"counted": "rate"}}, code)
    config = small_config(write_small_data(tmp_path / "small.npz"))
    run = thumbnet.train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    metrics = json.loads((run.path / "metrics.json").read_text())
    num_test = metrics["num_test"]
    assert metrics["custom_metrics"] == {"counted": float(num_test)}
    capsys.readouterr()
    assert main(["evaluate", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["custom_metrics"] == {"counted": float(num_test)}


def test_a_broken_package_is_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for group in ("thumbnet.metrics", "thumbnet.report_sections"):
        place = tmp_path / group
        place.mkdir()
        with monkeypatch.context() as patched:
            install_plugin(place, patched, {group: {"broken": "it"}}, "import not_there")
            with pytest.raises(ConfigError, match=r"'broken' of the package .* cannot be loaded"):
                thumbnet.train(small_config(write_small_data(place / "small.npz")), run_dir=place / "run")
        assert not (place / "run").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", [0.5], True])
def test_a_metric_that_gives_no_number_is_refused(tiny_dataset: Dataset, value: object) -> None:
    thumbnet.register_metric("bad", lambda predictions: value)  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match="the metric 'bad' gave"):
        thumbnet.analyse(evaluation_of(tiny_dataset), tiny_dataset.class_names).to_dict()


def test_a_registered_section_is_in_the_report(tiny_dataset: Dataset) -> None:
    def render(content: ReportContent) -> Markup:
        return Markup("<p>{} of {}</p>").format("<all>", len(content.analysis.class_names))

    thumbnet.register_report_section("mine", "My <section>", render)
    page = report_of(tiny_dataset)
    assert "<p>&lt;all&gt; of 3</p>" in page
    assert '<h2 id="own-mine-title">My &lt;section&gt;</h2>' in page
    assert '<a href="#own-mine">My &lt;section&gt;</a>' in page
    assert page.index("own-mine-title") < page.index("architecture-title")


def test_plain_text_of_a_section_is_escaped(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from thumbnet.views.report.sections import ReportSection\n"
        "section = ReportSection('Theirs', lambda content: '<script>' + content.title)\n"
    )
    install_plugin(tmp_path, monkeypatch, {"thumbnet.report_sections": {"theirs": "section"}}, code)
    page = report_of(tiny_dataset)
    assert "&lt;script&gt;a run" in page
    assert "<script>a run" not in page


def test_a_section_that_gives_no_text_is_refused(tiny_dataset: Dataset) -> None:
    thumbnet.register_report_section("mine", "Mine", lambda content: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match="the report section 'mine' gave None"):
        report_of(tiny_dataset)

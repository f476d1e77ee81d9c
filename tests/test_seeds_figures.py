"""What several seeds have in common: `evaluate`, `report` and `compare` of folders that `train --seeds` made."""

from __future__ import annotations

import html
import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.cli.training_output import described
from thumbnet.errors import ConfigError, RunError
from thumbnet.evaluation.class_aggregates import aggregate_classes
from thumbnet.evaluation.classes import metrics_by_class
from thumbnet.evaluation.mean_comparison import compare_means
from thumbnet.evaluation.pooled_robustness import mean_over_seeds
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness
from thumbnet.runs import evaluate as evaluating
from thumbnet.runs.comparison.seeds import compare_seeds
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.seeds.evaluate import SeedsEvaluation, evaluate_seeds
from thumbnet.runs.seeds.train import SeedRuns, train_seeds
from thumbnet.runs.write_report import write_report
from thumbnet.specs.json_text import to_json
from thumbnet.views.comparison import p_text

NUM_SEEDS = 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two recipes with the same two seeds each, whose accuracies differ."""
    folder = tmp_path_factory.mktemp("recipes")
    config = small_config(write_small_data(folder / "data.npz"))
    for name, lr in (("slow", 1e-5), ("fast", 0.05)):
        train_seeds(
            config.replace(lr=lr), num_seeds=NUM_SEEDS, run_dir=folder / name, log_style="silent", pictures=False
        )
    return folder / "slow", folder / "fast"


def test_train_ends_with_more_than_the_accuracy(folders: tuple[Path, Path]) -> None:
    runs = tuple(load_run(folders[1] / f"seed-{seed}") for seed in (0, 1))
    done = SeedRuns(folders[1], runs, json.loads((folders[1] / "metrics.json").read_text()))
    accuracy, line, areas = described(done)
    figures = done.metrics["figures"]
    rows = (
        ("test_accuracy", "test accuracy", accuracy),
        ("test_balanced_accuracy", "balanced accuracy", line),
        ("test_macro_f1", "macro F1", line),
    )
    for name, label, text in rows:
        figure = figures[name]
        low, high = max(0, figure["low"]), min(1, figure["high"])
        assert f"{label} {figure['mean']:.2%} ± {figure['std']:.2%} [{low:.1%}, {high:.1%}]" in text
    share = runs[0].metrics["commonest_share"]
    assert line.endswith(f"; always {runs[0].metrics['commonest_class']!r} has accuracy {share:.2%}")
    assert areas.startswith(f"{runs[0].metrics['positive']!r} against the other class: area under ROC ")
    found = figures["test_average_precision"]
    assert f", average precision {found['mean']:.3f} ± {found['std']:.3f}" in areas
    assert "(n = 2, seeds 0, 1; in brackets the 95% interval of the mean; " in accuracy
    alone = SeedRuns(folders[1], runs[:1], {**done.metrics, "n": 1})
    assert described(alone)[0].startswith(f"test accuracy {runs[0].metrics['test_accuracy']:.2%} (n = 1, seeds 0; ")
    short = SeedRuns(folders[1], runs[:1], {**done.metrics, "n": 1, "train_s": 0.44})
    assert described(short)[0].endswith(", 0.4 s of training each")


def test_one_epoch_is_told_in_the_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", f"npz:{write_small_data(tmp_path / 'data.npz')}"]
    small = ["--set", "model_options.blocks=c8p", "--set", "kernels=pytorch", "--epochs", "1", "--no-pictures"]
    assert main(["train", *data, *small, "--run-dir", str(tmp_path / "run")]) == 0
    assert " after 1 epoch, " in capsys.readouterr().out


def test_the_folder_has_every_test_figure_with_its_interval(folders: tuple[Path, Path]) -> None:
    metrics = json.loads((folders[1] / "metrics.json").read_text())
    losses = [load_run(folders[1] / f"seed-{seed}").metrics["test_loss"] for seed in (0, 1)]
    assert metrics["figures"]["test_loss"]["mean"] == pytest.approx(statistics.mean(losses))
    assert metrics["figures"]["test_loss"]["std"] == pytest.approx(statistics.stdev(losses))
    assert metrics["figures"]["test_loss"]["low"] < metrics["figures"]["test_loss"]["high"]
    assert "num_test" not in metrics["figures"]
    assert metrics["settings"]["lr"] == 0.05
    assert "seed" not in metrics["settings"]


def test_evaluate_gives_each_figure_and_class_over_the_seeds(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(folders[1]), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    alone = [evaluate_trained(load_run(folders[1] / f"seed-{seed}")).to_dict() for seed in (0, 1)]
    assert values["evaluations"] == json.loads(json.dumps(alone))
    for name in ("accuracy", "loss", "calibration_error"):
        row = [each[name] for each in alone]
        assert values["figures"][name]["mean"] == pytest.approx(statistics.mean(row))
        assert values["figures"][name]["std"] == pytest.approx(statistics.stdev(row))
    assert not {"num_images", "accuracy_standard_error", "threshold", "commonest_share"} & set(values["figures"])
    assert values["commonest_share"] == alone[0]["commonest_share"]
    recalls = [each["classes"][0]["recall"] for each in alone]
    recall = values["classes"][0]["recall"]
    assert recall["mean"] == pytest.approx(statistics.mean(recalls))
    are_equal = recalls[0] == recalls[1]  # which give no interval
    assert (recall["low"] is None) == (recall["high"] is None) == are_equal
    assert are_equal or 0 <= recall["low"] < recall["high"] <= 1
    assert main(["evaluate", str(folders[1])]) == 0
    text = capsys.readouterr().out
    assert "2 seeds" in text
    assert "seed 1" in text
    always = f"always {alone[0]['commonest_class']!r}: {alone[0]['commonest_share']:.1%}"
    assert f"\naccuracy without a model: {always}\n" in text
    bounds = "" if are_equal else f" ({100 * recall['low']:.1f} to {100 * recall['high']:.1f})"
    assert f"{100 * recall['mean']:.2f} % ± {100 * recall['std']:.2f}{bounds}" in text
    assert f"{100 * values['figures']['accuracy']['mean']:.2f} %" in text


def test_the_report_of_several_seeds_needs_no_data(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(folders[0]), "--out", str(out)]) == 0
    page = out.read_text()
    assert 'id="robustness"' not in page
    measured = shutil.copytree(folders[0], tmp_path / "measured")
    for seed, accuracy in enumerate((0.5, 0.75)):
        found = Robustness(6, 0, accuracy, (CorruptedAccuracy("blur", 1.0, "pixels", accuracy / 2),))
        RunDir(measured / f"seed-{seed}").write_checked({"robustness.json": to_json(found.to_dict(), name="it")})
    assert main(["report", str(measured)]) == 0
    text = (measured / "report.html").read_text()
    section = text[text.index('<section id="robustness"') :].split("</section>")[0]
    assert "on a fixed sample of 6 test images: 62.5 % \u00b1 17.7 as they are, 31.2 % \u00b1 8.8 on average" in section
    assert '<a href="#robustness">' in text
    stored = [RunDir(folders[0] / f"seed-{seed}").read_predictions() for seed in (0, 1)]
    accuracies = [100 * float(each.right.double().mean()) for each in stored]
    for accuracy in accuracies:
        assert f"<td>{accuracy:.2f} %</td>" in page
    assert f"<dd>{statistics.mean(accuracies):.2f} %<small>" in page
    runs = [load_run(folders[0] / f"seed-{seed}").metrics for seed in (0, 1)]
    for name, label in (("mcc", "Matthews\u2019 coefficient"), ("average_precision", "average precision")):
        assert f"<dt>{label}</dt><dd>{statistics.mean(run[f'test_{name}'] for run in runs):.4f}<small>" in page
        assert f'<th scope="col">{label}</th>' in page
    always = f"; always {runs[0]['commonest_class']!r}: {100 * runs[0]['commonest_share']:.2f}\u00a0% accuracy</small>"
    assert html.unescape(page).count(always) == 1
    counts = np.array([int(cell.partition("<")[0]) for cell in page.split('%"><span>')[1:]])
    assert counts.sum() == NUM_SEEDS * len(stored[0])
    often = [int(line.partition(" of 2")[0].rpartition(">")[2]) for line in page.splitlines() if " of 2</td>" in line]
    table = page.partition('<table id="class-table">')[2].partition("</table>")[0]
    by_class = aggregate_classes([metrics_by_class(each, ("a", "b")) for each in stored])
    figures = [figure for each in by_class for figure in (each.precision, each.recall, each.f1)]
    assert table.count("<small>") == sum(figure is not None and figure.low is not None for figure in figures) > 0
    assert sum(often) == sum(int((~each.right).sum()) for each in stored)
    assert main(["report", str(folders[0]), "--data", "digits"]) == 2
    assert "no data is read" in capsys.readouterr().err
    assert not (folders[0] / "report.html").exists()


def test_evaluate_shows_the_robustness_of_all_seeds(folders: tuple[Path, Path]) -> None:
    runs = [load_run(folders[1] / f"seed-{seed}") for seed in (0, 1)]
    measured = [
        Robustness(8, 0, accuracy, (CorruptedAccuracy("blur", 1.0, "pixels", accuracy / 2),)) for accuracy in (0.5, 1.0)
    ]
    evaluations = tuple(
        replace(evaluate_trained(run), robustness=found) for run, found in zip(runs, measured, strict=True)
    )
    text = str(SeedsEvaluation(folders[1], (0, 1), evaluations))
    assert f"means over 2 seeds; intervals are of other images:\n{mean_over_seeds(measured)}" in text
    assert "robustness, on 8 test images: accuracy 75.00% (" in text
    without = str(SeedsEvaluation(folders[1], (0, 1), tuple(replace(each, robustness=None) for each in evaluations)))
    assert "robustness" not in without


def test_robustness_that_is_measured_later_is_in_the_report_of_all_seeds(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(folders[1], tmp_path / "folder")
    found = Robustness(8, 0, 0.5, (CorruptedAccuracy("blur", 1.0, "pixels", 0.25),))

    def kept(trained: Run, *_: object, **__: object) -> Robustness:
        RunDir(trained.path).write_checked({"robustness.json": to_json(found.to_dict(), name="it")})
        return found

    monkeypatch.setattr(evaluating, "measure_and_keep", kept)
    said: list[str] = []
    evaluate_seeds(folder, robustness=True, say=said.append)
    assert said == [f"robustness: {folder / 'report.html'} shows it, too"]
    assert "Means over 2 seeds" in (folder / "report.html").read_text()


def test_the_time_of_two_seeds_is_their_mean(folders: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders[0], tmp_path / "folder")
    for seed, train_s in ((0, 10.0), (1, 30.0)):
        run = RunDir(folder / f"seed-{seed}")
        run.write_metrics({**run.read_metrics(), "train_s": train_s})
    page = write_report(folder).read_text()
    assert "<dd>20 s<small>of a seed, the median</small>" in page


def test_recipes_are_compared_by_their_means(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", *map(str, folders)]
    assert main([*arguments, "--json", "--out", str(tmp_path / "out")]) == 0
    values = json.loads(capsys.readouterr().out)
    rows = [[load_run(folder / f"seed-{seed}").metrics["test_accuracy"] for seed in (0, 1)] for folder in folders]
    assert [each["accuracies"] for each in values["recipes"]] == rows
    assert values["comparisons"][0]["difference"] == pytest.approx(statistics.mean(rows[1]) - statistics.mean(rows[0]))
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == values
    balanced = [
        [load_run(folder / f"seed-{seed}").metrics["test_balanced_accuracy"] for seed in (0, 1)] for folder in folders
    ]
    figures = values["comparisons"][0]["figures"]
    difference = statistics.mean(balanced[1]) - statistics.mean(balanced[0])
    assert figures["test_balanced_accuracy"]["difference"] == pytest.approx(difference)
    assert {"test_macro_f1", "test_auc", "test_mcc"} <= figures.keys()
    assert "test_accuracy" not in figures
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"comparison.json", "curves.png", "cost.png"}
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "fast against slow" in text
    assert f"balanced accuracy: {100 * difference:+.2f} points" in text
    assert "about the recipes" in text
    assert "corrected" not in text
    third = shutil.copytree(folders[1], tmp_path / "third")
    several = compare_seeds([*folders, third])
    assert None not in several.holm_p_values
    assert several.holm_p_values[0] == pytest.approx(min(1, 2 * (several.comparisons[0].p_value or 0)))
    assert f"({p_text(several.holm_p_values[0] or 0)} corrected)" in str(several)
    assert "that of the accuracy corrected by Holm." in str(several)


def test_runs_and_seeds_are_not_mixed(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(folders[0]), str(folders[1] / "seed-0")]) == 2
    assert "compare runs with runs" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="given twice"):
        compare_seeds([folders[0], folders[0]])
    with pytest.raises(RunError, match="no runs with several seeds"):
        compare_seeds([folders[0], folders[1] / "seed-0"])


def test_the_interval_of_two_means_is_welchs() -> None:
    first, second = [0.80, 0.82, 0.87], [0.88, 0.86, 0.91, 0.90]
    found = compare_means(first, second, is_paired=False)
    reference = ttest_ind(second, first, equal_var=False)
    assert found.p_value == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval(0.95)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.paired is None
    paired = compare_means(first, second[:3], is_paired=True).paired
    assert paired is not None
    expected = ttest_rel(second[:3], first).confidence_interval(0.95)
    assert (paired.low, paired.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    alone = compare_means([0.8], [0.9], is_paired=True)
    assert (alone.difference, alone.interval, alone.p_value) == (pytest.approx(0.1), None, None)
    assert compare_means([0.8, 0.8], [0.9, 0.9], is_paired=False).interval is None

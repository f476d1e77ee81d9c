"""Robustness: the sample, the accuracies against a plain re-computation, the file and the picture, the command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from test_views import assert_readable
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, ModelError, RunError
from thumbnet.evaluation.corruptions import CORRUPTIONS, corrupt
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.metrics import evaluate
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness, robustness_from_dict
from thumbnet.evaluation.robustness_scoring import measure_robustness, sample_indices
from thumbnet.runs.run import RunDir, load_run, read_robustness
from thumbnet.views.report.robustness_section import robustness_section
from thumbnet.views.robustness import draw_robustness
from thumbnet.views.robustness_curves import robustness_curves


class BrightestCorner(nn.Module):
    """Says red, green or blue, whichever of the channels is brightest in the upper left of an image."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, images: Tensor) -> Tensor:
        return corner(images)[:, [0, 1, 2, 0][: len(self.scale)]] * self.scale


class SaysRedWhereItIsDark(nn.Module):
    """Says red, green or blue, whichever is brightest anywhere, and red where nothing is much brighter than black."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) + self.bias


def corner(images: Tensor) -> Tensor:
    return images[:, :, :3, :3].mean(dim=(2, 3))


def some_robustness(**fields: object) -> Robustness:
    rows = tuple(
        CorruptedAccuracy(corruption.name, strength, corruption.unit, 0.9 - 0.1 * number)
        for corruption in CORRUPTIONS
        for number, strength in enumerate(corruption.strengths)
    )
    return replace(
        Robustness(num_images=2_000, seed=0, accuracy=0.92, rows=rows, mean_interval=(0.685, 0.715)), **fields
    )  # type: ignore[arg-type]


def test_accuracies_are_those_of_the_corrupted_sample(tiny_dataset: Dataset) -> None:
    model, told = BrightestCorner(), []
    robustness = measure_robustness(model, tiny_dataset, num_images=40, seed=3, say=told.append)
    sample = tiny_dataset.test.select(sample_indices(45, 40, seed=3))
    assert robustness.num_images == 40
    assert robustness.accuracy == evaluate(model, replace(tiny_dataset, test=sample)).accuracy
    assert robustness.accuracy != evaluate(model, tiny_dataset).accuracy
    assert told == [f"{corruption.name} ..." for corruption in CORRUPTIONS]
    rows = iter(robustness.rows)
    for corruption in CORRUPTIONS:
        for strength in corruption.strengths:
            images = corrupt(sample.images, corruption, strength, torch.Generator().manual_seed(3))
            right = corner(images.double()).argmax(dim=1) == sample.labels
            row, accuracy = next(rows), right.double().mean().item()
            assert (row.corruption, row.strength, row.unit) == (corruption.name, strength, corruption.unit)
            assert row.accuracy == accuracy
            recalls = [right[sample.labels == label].double().mean().item() for label in range(3)]
            assert row.balanced_accuracy == pytest.approx(np.mean(recalls))
            assert row.balanced_accuracy_interval is not None
            low, high = row.balanced_accuracy_interval
            assert low <= row.balanced_accuracy <= high
    assert list(rows) == []
    assert robustness.mean_accuracy == pytest.approx(np.mean([row.accuracy for row in robustness.rows]))
    assert len({row.accuracy for row in robustness.rows}) > 3
    assert robustness.mean_interval is not None
    low, high = robustness.mean_interval
    of_one, of_all = (
        accuracy_interval(robustness.mean_accuracy, 40),
        accuracy_interval(robustness.mean_accuracy, 40 * 45),
    )
    assert of_one[0] <= low < of_all[0] < robustness.mean_accuracy < of_all[1] < high <= of_one[1]
    for row in robustness.to_dict()["rows"]:
        assert row["accuracy_interval"] == accuracy_interval(row["accuracy"], 40)


def test_a_model_that_says_the_common_class_alone_does_not_look_robust(tiny_dataset: Dataset) -> None:
    labels = torch.tensor([0] * 38 + [1] * 5 + [2] * 2)
    images = torch.zeros_like(tiny_dataset.test.images)
    images[torch.arange(45), labels] = 200  # as they are, every answer is right
    unequal = replace(tiny_dataset, test=Split(images, labels))
    model = SaysRedWhereItIsDark()
    robustness = measure_robustness(model, unequal)
    assert (robustness.accuracy, robustness.balanced_accuracy) == (1.0, 1.0)
    darkest = robustness.by_corruption()["darker"][-1]
    assert darkest.accuracy == pytest.approx(38 / 45)
    assert darkest.balanced_accuracy == pytest.approx(1 / 3)
    assert robustness.has_other_balanced
    assert robustness.mean_balanced_accuracy == pytest.approx(
        np.mean([row.balanced_accuracy for row in robustness.rows])
    )
    assert robustness.mean_balanced_interval is not None
    low, high = robustness.mean_balanced_interval
    assert low < robustness.mean_balanced_accuracy < high
    drawn = {curve.corruption: curve for curve in robustness_curves(robustness)}
    assert drawn["darker"].values[-1] == darkest.balanced_accuracy
    assert drawn["darker"].bounds[-1] == darkest.balanced_accuracy_interval
    section = robustness_section(robustness, num_test=robustness.num_images)
    assert section is not None
    assert "The charts show this one." in section.text
    (row,) = [row for row in section.rows if (row.corruption, row.strength) == ("darker", "0.6")]
    assert row.accuracy.startswith("84.4 % (")
    assert row.balanced_accuracy.startswith("33.3 % (")
    table = str(robustness).splitlines()
    assert table[1].startswith("balanced accuracy 100.00% (")
    after = table[next(place for place, line in enumerate(table) if line.startswith("darker")) + 4]
    assert after.split()[0] == "balanced"
    assert after.endswith("33.3%")
    assert "balanced accuracy under the corruption" in draw_robustness(robustness).legends[0].get_texts()[0].get_text()


def test_a_sample_without_a_class_has_no_balanced_accuracy(tiny_dataset: Dataset) -> None:
    two = tiny_dataset.test.select((tiny_dataset.test.labels < 2).nonzero().flatten().tolist())
    robustness = measure_robustness(BrightestCorner(), replace(tiny_dataset, test=two))
    assert {balanced for _, balanced in robustness.scores} == {None}
    assert (robustness.mean_balanced_accuracy, robustness.mean_balanced_interval) == (None, None)
    assert not robustness.has_other_balanced
    assert "balanced" not in str(robustness)


def test_every_image_is_scored_in_several_batches(tiny_dataset: Dataset) -> None:
    many = tiny_dataset.test.select([*range(45)] * 6)  # 270 images, and a batch has 250
    robustness = measure_robustness(BrightestCorner(), replace(tiny_dataset, test=many))
    alone = measure_robustness(BrightestCorner(), tiny_dataset)
    without_chance = [
        corruption.name for corruption in CORRUPTIONS if not corruption.draw((1, 1, 1, 1), torch.Generator())
    ]
    assert len(without_chance) == 6
    assert (robustness.num_images, alone.num_images) == (270, 45)
    for name in without_chance:
        rows = zip(robustness.by_corruption()[name], alone.by_corruption()[name], strict=True)
        assert all((row.strength, row.accuracy) == (other.strength, other.accuracy) for row, other in rows)


def test_the_sample_is_fixed_without_repeats_and_all_where_there_are_few() -> None:
    sample = sample_indices(10_000, 2_000, seed=0)
    assert sample[:8].tolist() == [2, 3, 11, 13, 15, 20, 21, 32]
    assert len(sample.unique()) == 2_000
    assert sample.equal(sample.sort().values)
    assert np.histogram(sample.numpy(), bins=10, range=(0, 10_000))[0].min() > 160
    assert not sample.equal(sample_indices(10_000, 2_000, seed=1))
    assert sample_indices(30, 2_000, seed=0).tolist() == list(range(30))


def test_what_cannot_be_measured_is_refused(tiny_dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="num_images is 0"):
        measure_robustness(BrightestCorner(), tiny_dataset, num_images=0)
    with pytest.raises(ConfigError, match="seed is -1"):
        measure_robustness(BrightestCorner(), tiny_dataset, seed=-1)
    with pytest.raises(ModelError, match="has 4 classes"):
        measure_robustness(BrightestCorner(4), tiny_dataset)


def test_it_comes_back_from_json_and_damage_is_told(tmp_path: Path) -> None:
    robustness, folder = some_robustness(), RunDir(tmp_path)
    assert robustness_from_dict(json.loads(json.dumps(robustness.to_dict())), name="it") == robustness
    assert read_robustness(folder) is None
    folder.write_json("robustness.json", robustness.to_dict())
    assert read_robustness(folder) == robustness
    assert robustness.balanced_accuracy is None
    assert not any("balanced" in line for line in str(robustness).splitlines())
    rows = tuple(
        replace(row, balanced_accuracy=row.accuracy - 0.03, balanced_accuracy_interval=(0.1, 0.9))
        for row in robustness.rows
    )
    balanced = replace(
        robustness,
        rows=rows,
        balanced_accuracy=0.9,
        balanced_accuracy_interval=(0.88, 0.92),
        mean_balanced_interval=(0.6, 0.7),
    )
    folder.write_json("robustness.json", balanced.to_dict())
    assert read_robustness(folder) == balanced
    for damaged in (replace(balanced, balanced_accuracy=None), replace(balanced, balanced_accuracy=1.5)):
        folder.write_json("robustness.json", damaged.to_dict())
        with pytest.raises(RunError, match=r"robustness.json is damaged"):
            read_robustness(folder)
    for damage in ("{", "{}", "[]", '{"rows": [1]}', '{"rows": [{"corruption": "noise"}]}', '{"rows": []}'):
        (tmp_path / "robustness.json").write_text(damage)
        with pytest.raises(RunError, match=r"robustness.json is damaged") as caught:
            read_robustness(folder)
        assert f"evaluate {tmp_path} --robustness" in caught.value.hint


def test_the_table_has_every_figure_and_fits_a_terminal() -> None:
    lines = str(some_robustness()).splitlines()
    assert lines[0].startswith("robustness, on 2,000 test images: accuracy 92.00% (90.7 to 93.1)")
    assert "70.00% (68.5 to 71.5) on average" in lines[0]
    assert lines[-1] == "In brackets, and from ... to: 95% intervals."
    assert len(lines) == 2 + 4 * len(CORRUPTIONS)
    rows = zip(CORRUPTIONS, lines[1:-1:4], lines[2:-1:4], lines[3:-1:4], lines[4:-1:4], strict=True)
    for corruption, strengths, accuracies, lows, highs in rows:
        assert strengths.split()[: 1 + 5] == [corruption.name, *(f"{strength:g}" for strength in corruption.strengths)]
        assert strengths.endswith(corruption.unit)
        assert accuracies.split() == ["90.0%", "80.0%", "70.0%", "60.0%", "50.0%"]
        assert lows.split() == ["from", "88.6%", "78.2%", "68.0%", "57.8%", "47.8%"]
        assert highs.split() == ["to", "91.2%", "81.7%", "72.0%", "62.1%", "52.2%"]
        assert len(strengths) <= 100


@pytest.mark.parametrize("num_kinds", [1, 4, len(CORRUPTIONS)])
def test_the_plot_shows_every_figure_and_is_readable(num_kinds: int) -> None:
    robustness = some_robustness(rows=some_robustness().rows[: 5 * num_kinds])
    figure = draw_robustness(robustness)
    assert_readable(figure)
    shown = figure.axes[:num_kinds]
    assert not any(axes.axison for axes in figure.axes[num_kinds:])
    assert [axes.get_title(loc="left") for axes in shown] == list(robustness.by_corruption())
    for axes, rows in zip(shown, robustness.by_corruption().values(), strict=True):
        corrupted, clean = axes.get_lines()
        assert corrupted.get_xdata().tolist() == [row.strength for row in rows]  # type: ignore[union-attr]
        assert corrupted.get_ydata() == pytest.approx([100 * row.accuracy for row in rows])
        assert list(clean.get_ydata()) == pytest.approx([92, 92])
        first, last = (axes.transData.transform((row.strength, 0))[0] for row in (rows[0], rows[-1]))
        assert first < last
        assert axes.get_xlabel() == rows[0].unit


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 120 digits, of which 12 will be test images."""
    digits = load_dataset("digits")
    path = tmp_path_factory.mktemp("pictures")
    for number, (image, label) in enumerate(zip(digits.train.images[:120], digits.train.labels.tolist(), strict=False)):
        (path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path / str(label) / f"{number:03}.png")
    return path


@pytest.fixture(scope="module")
def run_dir(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("robustness") / "run"
    arguments = ["--epochs", "1", "--batch-size", "64", "--run-dir", str(path), "--no-pictures"]
    settings = ["--set", "image_size=16", "--set", "model_options.blocks=c8s"]
    assert main(["train", "--data", f"folder:{pictures}", *arguments, *settings, "--log-style", "silent"]) == 0
    assert main(["report", str(path)]) == 0
    return path


def test_the_command_prints_it_and_writes_it_for_the_runs_own_data(
    run_dir: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(pictures, tmp_path / "other")
    Image.new("L", (32, 32)).save(next(other.glob("0/*.png")))
    assert main(["evaluate", str(run_dir), "--robustness", "--data", f"folder:{other}"]) == 0
    told = capsys.readouterr()
    assert "not all the run's own" in told.err
    assert "robustness, on 1" in told.out
    assert read_robustness(RunDir(run_dir)) is None
    assert '<section id="robustness"' not in (run_dir / "report.html").read_text()

    moved = shutil.copytree(pictures, tmp_path / "moved")
    assert main(["evaluate", str(run_dir), "--robustness", "--json", "--data", f"folder:{moved}"]) == 0
    told = capsys.readouterr()
    values = json.loads(told.out)
    assert f"written to {run_dir}: robustness.json, robustness.png" in told.err
    robustness = read_robustness(RunDir(run_dir))
    assert robustness is not None
    assert values["robustness"] == json.loads(json.dumps(robustness.to_dict()))
    assert (robustness.num_images, robustness.accuracy) == (values["num_images"], values["accuracy"])
    run = load_run(run_dir)
    assert robustness == measure_robustness(run.model, run.load_dataset())
    report = (run_dir / "report.html").read_text()
    assert '<section id="robustness"' in report
    assert all(f"<figcaption>{name}</figcaption>" in report for name in robustness.by_corruption())
    with Image.open(run_dir / "robustness.png") as picture:
        assert picture.width == 1080


def test_it_is_measured_on_test_images_only(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("val", "train"):
        assert main(["evaluate", str(run_dir), "--robustness", "--split", split]) == 2
        told = capsys.readouterr()
        assert f"robustness is asked for on the split {split!r}" in told.err
        assert told.out == ""

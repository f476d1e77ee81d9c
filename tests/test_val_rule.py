"""How many images are held out for validation by `val_fraction = "auto"`, and what is not done with too few of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from small_runs import small_config
from thumbnet.cli.parser import build_parser
from thumbnet.data.digits import read_digits
from thumbnet.data.hold_out import held_out_counts
from thumbnet.data.source_registry import val_fraction_of
from thumbnet.data.sources import load_dataset
from thumbnet.data.val_rule import rule
from thumbnet.errors import ConfigError
from thumbnet.evaluation.analysis import analyse
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.recipes import list_recipes, load_recipe
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.resolve import describe_val
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.specs.data import check_val_fraction


def names(sizes: list[int]) -> list[str]:
    return [f"class {index}" for index in range(len(sizes))]


def num_val(sizes: list[int], *, test_fraction: float = 0.0) -> int:
    fraction = rule(sizes, test_fraction=test_fraction, class_names=names(sizes))
    assert 0.1 <= fraction <= 0.25
    counts = held_out_counts(sizes, val_fraction=fraction, test_fraction=test_fraction, class_names=names(sizes))
    return sum(each.val for each in counts)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([617, 1353], 200),  # the solar cells of the issue: 2 % of them were 39
        ([500] * 10, 500),
        ([5_000] * 10, 5_000),
        ([300, 300], 150),
        ([44] * 45 + [5] * 4, 229),  # a tenth of 44, rounded, is 4: in all 184, too few
        ([10, 10], 4),
    ],
)
def test_it_is_a_tenth_or_200_images_but_no_more_than_a_quarter(sizes: list[int], expected: int) -> None:
    assert num_val(sizes) == expected


def test_another_word_than_auto_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'val_fraction is a tenth\nhint: val_fraction must be 0 to 0\.5, or "auto"'):
        check_val_fraction("a tenth")


def test_rounding_class_by_class_does_not_leave_fewer_than_200() -> None:
    for size in range(1_000, 2_001, 37):
        for num_classes in (2, 3, 7, 10):
            sizes = [size // num_classes + (index == 0) for index in range(num_classes)]
            assert 200 <= num_val(sizes, test_fraction=0.1) <= 200 + num_classes


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([5_000, 250], [500, 60]),  # a quarter is 62
        ([5_000, 100], [500, 25]),
        ([300, 300, 300, 40], [30, 30, 30, 10]),
        ([300, 300, 300, 300], [30, 30, 30, 30]),
        ([300, 300, 300, 200], [30, 30, 30, 20]),
        ([300, 0, 300], [60, 0, 60]),  # two classes that have images
    ],
)
def test_a_rare_class_gives_enough(sizes: list[int], expected: list[int]) -> None:
    counts = held_out_counts(sizes, val_fraction=0.1, val_per_class=60, test_fraction=0.0, class_names=names(sizes))
    assert [each.val for each in counts] == expected


def test_sources_state_their_own() -> None:
    assert (val_fraction_of("cifar10"), val_fraction_of("cifar100"), val_fraction_of("digits")) == (0.02, 0.02, None)
    assert val_fraction_of("folder:/pets") is None
    assert val_fraction_of("no such source") is None


def test_recipes_follow_the_rule_but_those_that_hold_nothing_out() -> None:
    assert {load_recipe(name).val_fraction for name in list_recipes() if not name.startswith("reference")} == {"auto"}


def test_the_digits_hold_200_out() -> None:
    dataset = load_dataset("digits", val_fraction="auto")
    assert dataset.val is not None
    assert len(dataset.val) == 200
    assert len(dataset.train) + 200 == len(read_digits().train)
    assert (dataset.val_fraction, dataset.val_per_class) == (0.1403, 60)
    assert describe_val(dataset) == (
        "Validation: 200 images; the standard error of an accuracy on them is at most 3.5 points."
    )


def write_unequal(path: Path, sizes: tuple[int, int]) -> Path:
    labels = np.repeat(np.arange(2), sizes)
    images = (60 + 100 * labels)[:, None, None] + np.random.default_rng(0).integers(0, 20, (sum(sizes), 8, 8))
    np.savez(path, train_images=images.astype(np.uint8), train_labels=labels, test_images=images[-9:].astype(np.uint8),
             test_labels=labels[-9:])  # fmt: skip
    return path


def test_a_config_is_resolved_into_the_numbers_which_are_obeyed_as_they_are(tmp_path: Path) -> None:
    data = write_unequal(tmp_path / "data.npz", (900, 40))
    config = small_config(data, val_fraction="auto")
    dataset, resolved = load_checked(config, say=lambda text: None)
    assert (resolved.val_fraction, resolved.val_per_class) == (0.2128, 60)
    assert dataset.val is not None
    assert dataset.val.labels.bincount().tolist() == [192, 10]
    again, twice = load_checked(resolved, say=lambda text: None)
    assert twice == resolved
    assert again.checksum() == dataset.checksum()
    other, _ = load_checked(config.replace(val_per_class=2), say=lambda text: None)
    assert other.val is not None
    assert other.val.labels.bincount().tolist() == [192, 9]


def test_a_dataset_that_was_read_before_is_compared(tmp_path: Path) -> None:
    data = write_unequal(tmp_path / "data.npz", (90, 40))
    dataset = load_dataset(f"npz:{data}", val_fraction=0.2)
    load_checked(small_config(data, val_fraction="auto"), say=lambda text: None, dataset=dataset)
    load_checked(small_config(data, val_fraction=0.2), say=lambda text: None, dataset=dataset)
    for wrong in ({"val_fraction": 0.3}, {"val_fraction": 0.2, "val_per_class": 20}):
        with pytest.raises(ConfigError, match="but the dataset that was given has"):
            load_checked(small_config(data, **wrong), say=lambda text: None, dataset=dataset)


def test_a_source_with_a_validation_split_keeps_it(tmp_path: Path) -> None:
    images, labels = np.arange(20 * 64).reshape(20, 8, 8).astype(np.uint8), np.arange(20) % 2
    parts = {f"{part}_images": images for part in ("train", "val", "test")}
    np.savez(tmp_path / "data.npz", **parts, **{name.replace("images", "labels"): labels for name in parts})
    dataset = load_dataset(f"npz:{tmp_path / 'data.npz'}", val_fraction="auto")
    assert dataset.val is not None
    assert (len(dataset.val), dataset.val_fraction, dataset.val_per_class) == (20, 0.0, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"val_fraction": "most"}, "val_fraction is 'most'"),
        ({"val_fraction": 0.6}, "val_fraction is 0.6"),
        ({"val_fraction": 0.1, "val_per_class": -1}, "val_per_class is -1"),
        ({"val_fraction": 0.0, "val_per_class": 3}, "val_per_class is 3, but val_fraction is 0"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_config(Path("data.npz"), **fields)
    if fields["val_fraction"] != "most":  # which beartype refuses
        with pytest.raises(ConfigError, match=message):
            load_dataset("digits", **fields)  # type: ignore[arg-type]


def test_data_info_takes_a_number_or_auto() -> None:
    parse = build_parser().parse_args
    assert parse(["data", "info"]).val_fraction == "auto"
    assert parse(["data", "info", "--val-fraction", "0.2"]).val_fraction == 0.2
    with pytest.raises(SystemExit):
        parse(["data", "info", "--val-fraction", "most"])


def predictions(num_images: int) -> Predictions:
    generator = torch.Generator().manual_seed(num_images)
    labels = torch.arange(num_images) % 3
    logits = torch.randn(num_images, 3, generator=generator) * 2
    logits[torch.arange(num_images), labels] += 1.5
    return Predictions(logits, labels)


@pytest.mark.parametrize(("num_images", "is_fitted"), [(199, False), (200, True)])
def test_a_temperature_wants_200_images(num_images: int, is_fitted: bool) -> None:
    evaluation = summarise_predictions(predictions(300), split="test")
    analysis = analyse(evaluation, ("a", "b", "c"), held_out=predictions(num_images))
    assert (analysis.temperature is not None) == is_fitted


def test_a_temperature_on_too_few_images_is_refused(small_run: Path) -> None:
    with pytest.raises(
        ConfigError, match="but 8 images were held out for validation, and it is fitted on 200"
    ) as caught:
        evaluate_trained(load_run(small_run), temperature=True)
    assert caught.value.hint == "train with a larger val_fraction"


def test_the_standard_error_is_told_and_kept(small_run: Path, tmp_path: Path) -> None:
    metrics = load_run(small_run).metrics
    accuracy = metrics["val_accuracy"]
    assert metrics["num_val"] == 8
    assert metrics["val_standard_error"] == pytest.approx((accuracy * (1 - accuracy) / 8) ** 0.5)
    assert "# Validation: 8 images; the standard error" in (small_run / "config.toml").read_text()
    page = write_report(small_run, tmp_path / "report.html").read_text()
    assert re.search("standard error, 95\u00a0% interval [^<]* to [^<]*, 8 images", page)
    assert "8 images were held out, and one is fitted on 200 or more" in page


def test_a_training_records_the_numbers_and_reads_its_data_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_unequal(tmp_path / "data.npz", (60, 30))
    run = train(small_config(data, val_fraction="auto"), run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert (run.config.val_fraction, run.config.val_per_class) == (0.25, 60)
    asked = RunDir(run.path).read_asked()
    assert asked is not None
    assert (asked.val_fraction, asked.val_per_class) == ("auto", None)
    monkeypatch.setattr("thumbnet.data.val_rule.MIN_IMAGES", 1)  # another version's rule
    assert run.load_dataset().checksum() == run.card.data_checksum

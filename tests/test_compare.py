"""Runs against each other: the very metrics of their folders, only where the test images are surely the same."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from thumbnet.cli import main
from thumbnet.errors import ConfigError, RunError
from thumbnet.evaluation.comparison import BalancedDifference
from thumbnet.evaluation.metrics import evaluate
from thumbnet.recipes import load_recipe
from thumbnet.runs.comparison.runs import compare_runs, distinct_names
from thumbnet.runs.comparison.write import write_comparison
from thumbnet.runs.files.names import SEEDS
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.train import train
from thumbnet.training.processor import processor_kind

QUICK = {"model": "resnet8", "epochs": 1, "batch_size": 16, "device": "cpu", "lr": 0.05}


def quick_run(path: Path, data: str, **options: object) -> Run:
    config = load_recipe("quick", options={**QUICK, "data": data}, settings=[f"{k}={v}" for k, v in options.items()])
    return train(config, run_dir=path, log_style="silent", pictures=False)


@dataclass(frozen=True)
class Runs:
    """Three runs on one file, the third with other validation images; and the file."""

    data: Path
    first: Run
    second: Run
    third: Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    root = tmp_path_factory.mktemp("compare")
    generator = np.random.default_rng(0)

    def noise(num_images: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.sort(np.arange(num_images) % 3)  # by class: labels alone do not tell such images apart
        images = generator.integers(0, 200, (num_images, 12, 12, 3), dtype=np.uint8)
        images[np.arange(num_images), :, :, labels] += 40
        return images, labels

    (images, labels), (test_images, test_labels) = noise(120), noise(45)
    data = root / "noise.npz"
    np.savez(data, train_images=images, train_labels=labels, test_images=test_images, test_labels=test_labels)
    return Runs(
        data,
        quick_run(root / "a" / "run", f"npz:{data}"),
        quick_run(root / "b" / "run", f"npz:{data}", seed=1),
        quick_run(root / "third", f"npz:{data}", seed=2, val_fraction=0.3),
    )


def copy_of(run: Run, path: Path) -> RunDir:
    shutil.copytree(run.path, path)
    return RunDir(path)


def test_predictions_are_read_as_they_were_made(runs: Runs) -> None:
    stored = RunDir(runs.first.path).read_predictions()
    predictions = evaluate(runs.first.model, runs.first.load_dataset()).predictions
    assert stored.labels.equal(predictions.labels)
    assert stored.predicted.equal(predictions.predicted)
    assert stored.confidence.numpy() == pytest.approx(predictions.confidence.numpy(), abs=1e-6)
    assert stored.paths is None
    assert len(stored) == 45


def test_runs_are_compared_by_what_their_folders_keep(runs: Runs) -> None:
    comparison = compare_runs([runs.first.path, runs.second])
    first, second = comparison.metrics
    assert (first.name, second.name) == ("a/run", "b/run")
    for metrics, run in zip(comparison.metrics, (runs.first, runs.second), strict=True):
        assert metrics.accuracy == pytest.approx(run.metrics["test_accuracy"])
        assert (metrics.train_s, metrics.macs) == (run.metrics["train_s"], run.metrics["macs"])
        assert metrics.balanced_accuracy == pytest.approx(run.metrics["test_balanced_accuracy"])
        assert metrics.balanced_accuracy is not None
        assert f" {metrics.balanced_accuracy:.2%} " in str(comparison)
    assert "test accuracy  balanced " in str(comparison)
    (pair,) = comparison.comparisons
    assert pair.difference == pytest.approx(second.accuracy - first.accuracy)
    assert comparison.notes == ()
    assert len(pair.only_baseline) + len(pair.only_other) > 0


def test_other_validation_images_are_allowed_and_told(runs: Runs) -> None:
    comparison = compare_runs([runs.first, runs.second, runs.third])
    assert [len(comparison.comparisons), len(comparison.metrics)] == [2, 3]
    assert comparison.notes == (
        "third had other training or validation images than the baseline; the test images are the same.",
    )
    assert comparison.notes[0] in str(comparison)


def test_equal_labels_do_not_make_equal_images(runs: Runs, tmp_path: Path) -> None:
    arrays = dict(np.load(runs.data))
    arrays["test_images"] = 255 - arrays["test_images"]
    np.savez(tmp_path / "other.npz", **arrays)
    other = quick_run(tmp_path / "other", f"npz:{tmp_path / 'other.npz'}")
    with pytest.raises(RunError, match="45 of 45 differ, although the labels are the same"):
        compare_runs([runs.first, other])
    np.savez(tmp_path / "other.npz", **dict(np.load(runs.data)))  # the file has changed since the training
    with pytest.raises(RunError, match="their checksum differs"):
        compare_runs([runs.first, other])


def test_one_picture_at_two_sizes_is_one_picture(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for index in range(20):
            pixels = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{index}.png")
    data = f"folder:{tmp_path / 'pets'}"
    small, large = (quick_run(tmp_path / str(size), data, image_size=size) for size in (12, 16))
    comparison = compare_runs([small, large])
    assert comparison.notes == ("16 saw the same test images at another size than the baseline.",)
    assert comparison.predictions[0].paths is not None
    other_draw = quick_run(tmp_path / "other-draw", data, image_size=12, split_seed=1)
    with pytest.raises(RunError, match="the paths of the images differ"):
        compare_runs([small, other_draw])


def damage(name: str, change: Callable[[str], str]) -> Callable[[RunDir], None]:
    return lambda folder: folder.write(name, change((folder.path / name).read_text()))


def rename_a_class(folder: RunDir) -> None:
    damage("model.json", lambda text: text.replace('"0"', '"zero"'))(folder)
    damage("predictions.csv", lambda text: text.replace("p_0", "p_zero"))(folder)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (rename_a_class, "the classes differ"),
        (damage("predictions.csv", lambda text: text.replace("\n0,,0,", "\n0,,1,", 1)), "1 of 45 labels differ"),
        (damage("predictions.csv", lambda text: "\n".join(text.splitlines()[:-1])), "it has 44 rows for 45 test"),
        (damage("predictions.csv", lambda text: text.replace("\n7,", "\n8,")), "not numbered from 0 on"),
        (damage("predictions.csv", lambda text: text.replace("probability", "chance")), "no column 'probability'"),
        (damage("predictions.csv", lambda text: text.replace("\n0,,0,", "\n0,,9,", 1)), "a class is not one of"),
        (damage("predictions.csv", lambda text: text.replace("\n0,,0,", "\n0,,x,", 1)), "is damaged: invalid"),
        (damage("predictions.csv", lambda text: text.rpartition(",")[0]), "has 9 fields for 10 columns"),
        (damage("metrics.json", lambda text: text.replace('"macs"', '"flops"')), "macs is missing"),
        (lambda folder: (folder.path / "predictions.csv").unlink(), "predictions.csv cannot be read"),
        (lambda folder: (folder.path / "metrics.json").unlink(), "is not finished"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(
    runs: Runs, tmp_path: Path, spoil: Callable[[RunDir], None], told: str
) -> None:
    spoil(copy_of(runs.second, tmp_path / "spoilt"))
    with pytest.raises(RunError, match=told) as caught:
        compare_runs([runs.first, tmp_path / "spoilt"])
    assert caught.value.hint


def test_another_number_of_images_is_refused(runs: Runs, tmp_path: Path) -> None:
    fewer = copy_of(runs.second, tmp_path / "fewer")
    damage("predictions.csv", lambda text: "\n".join(text.splitlines()[:-1]))(fewer)
    damage("model.json", lambda text: text.replace('"num_test": 45', '"num_test": 44'))(fewer)
    with pytest.raises(RunError, match="there are 44 instead of 45"):
        compare_runs([runs.first, fewer.path])


def test_times_of_other_places_are_told(runs: Runs, tmp_path: Path) -> None:
    elsewhere = copy_of(runs.second, tmp_path / "elsewhere")
    damage("metrics.json", lambda text: text.replace('"device": "cpu"', '"device": "cuda"'))(elsewhere)
    (note,) = compare_runs([runs.first, elsewhere.path]).notes
    assert note.startswith("The times of training do not compare: run on cpu (1 threads, ")
    assert "elsewhere on cuda" in note
    other = copy_of(runs.second, tmp_path / "other")
    damage("metrics.json", lambda text: re.sub(r'"machine": "[^"]*"', '"machine": "an abacus"', text))(other)
    (note,) = compare_runs([runs.first, other.path]).notes
    assert note.endswith(f"other on cpu (1 threads, an abacus, {processor_kind()}).")
    renamed = copy_of(runs.second, tmp_path / "renamed")
    damage("metrics.json", lambda text: text.replace(processor_kind(), "NEON float32"))(renamed)
    (note,) = compare_runs([runs.first, renamed.path]).notes
    assert note.endswith("NEON float32).")
    damage("metrics.json", lambda text: text.replace("processor_kind", "what earlier versions do not tell"))(renamed)
    assert compare_runs([runs.first, renamed.path]).notes == ()


def test_too_few_runs_or_one_twice_are_refused(runs: Runs) -> None:
    with pytest.raises(ConfigError, match="1 run given"):
        compare_runs([runs.first])
    with pytest.raises(ConfigError, match="given twice"):
        compare_runs([runs.first, runs.first.path / ".." / "run"])


def test_a_folder_of_several_seeds_is_refused_with_the_runs_in_it(runs: Runs, tmp_path: Path) -> None:
    for name, run in (("seed-0", runs.first), ("seed-1", runs.second)):
        copy_of(run, tmp_path / name)
    RunDir(tmp_path).write_json(SEEDS, {"seeds": [0, 1]})
    with pytest.raises(RunError, match="several seeds") as caught:
        compare_runs([runs.first, tmp_path])
    assert caught.value.hint.endswith(f"{tmp_path / 'seed-0'} {tmp_path / 'seed-1'}")
    names = [metrics.name for metrics in compare_runs([tmp_path / "seed-0", tmp_path / "seed-1"]).metrics]
    assert names == ["seed-0", "seed-1"]


def test_names_are_told_apart_by_as_few_folders_as_it_takes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x/a/run", "x/b/run", "y/b/run", "other")]
    assert distinct_names(paths) == ["a/run", "x/b/run", "y/b/run", "other"]
    assert distinct_names([Path("/run"), Path("/a/run")]) == ["/run", "a/run"]


def test_the_pictures_and_the_json_are_written_to_a_new_folder(runs: Runs, tmp_path: Path) -> None:
    comparison = compare_runs([runs.first, runs.second])
    write_comparison(comparison, tmp_path / "new" / "out")
    assert {file.name for file in (tmp_path / "new" / "out").iterdir()} == {
        "curves.png", "cost.png", "disagreements.png", "comparison.json"
    }  # fmt: skip
    for picture in (tmp_path / "new" / "out").glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    values = json.loads((tmp_path / "new" / "out" / "comparison.json").read_text())
    assert values == comparison.to_dict()
    pair, found = comparison.comparisons[0], values["comparisons"][0]
    assert "balanced_accuracy" not in found  # each class has fifteen images
    unequal = replace(comparison, comparisons=(replace(pair, balanced=BalancedDifference(0.1, -0.2, 0.4)),))
    (with_balanced,) = json.loads(json.dumps(unequal.to_dict()))["comparisons"]
    assert with_balanced["balanced_accuracy"] == {"difference": 0.1, "low": -0.2, "high": 0.4}
    assert (found["run"], found["num_only_run"]) == ("b/run", len(pair.only_other))
    assert [image["index"] for image in found["only_run"]] == pair.only_other.tolist()
    for image in found["only_run"]:
        assert image["run_predicted_name"] == image["class_name"] != image["baseline_predicted_name"]
    for image in found["only_baseline"]:
        assert image["baseline_predicted_name"] == image["class_name"] != image["run_predicted_name"]
    with pytest.raises(ConfigError, match="is no empty folder"):
        write_comparison(comparison, tmp_path / "new" / "out")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be created"):
        write_comparison(comparison, tmp_path / "file" / "below")


def test_no_folder_is_made_where_the_images_are_not_those_of_the_runs(runs: Runs, tmp_path: Path) -> None:
    comparison = compare_runs([runs.first, runs.second])
    arrays = dict(np.load(runs.data))
    arrays["test_images"][0] += 1
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(RunError, match="their checksum differs"):
        write_comparison(comparison, tmp_path / "out", data=f"npz:{tmp_path / 'other.npz'}")
    assert not (tmp_path / "out").exists()


def test_the_command_prints_the_table_or_json(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(runs.first.path), str(runs.second.path)]
    assert main(["compare", *paths]) == 0
    assert capsys.readouterr().out == f"{compare_runs(paths)}\n"
    moved = tmp_path / "moved.npz"
    shutil.copy(runs.data, moved)
    third = str(runs.third.path)
    assert main(["compare", paths[0], third, "--data", f"npz:{moved}", "--out", str(tmp_path / "out"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == compare_runs([paths[0], third]).to_dict()
    assert values == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert main(["compare", paths[0], str(tmp_path)]) == 2
    assert "hint:" in capsys.readouterr().err


def test_a_run_loaded_is_the_same_as_its_folder(runs: Runs) -> None:
    loaded = compare_runs([load_run(runs.first.path), load_run(runs.second.path)])
    assert str(loaded) == str(compare_runs([runs.first.path, runs.second.path]))
    assert torch.equal(loaded.predictions[0].predicted, RunDir(runs.first.path).read_predictions().predicted)

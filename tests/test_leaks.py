"""Images that stand in two splits, equal or nearly, are found before a training, told, listed, and left out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from small_runs import small_config
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.leaks import Leak, find_leaks, leaks_from_csv, leaks_to_csv
from thumbnet.data.source_registry import is_searched_for_leaks
from thumbnet.errors import RunError
from thumbnet.runs.resume import resume
from thumbnet.runs.run import load_run
from thumbnet.runs.seeds import train_seeds
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report

NUM_TRAIN, NUM_TEST = 300, 100
KINDS = ("equal", "jpeg", "resized", "brighter", "contrast")


def scenes(number: int, *, seed: int, side: int = 32) -> np.ndarray:
    """Colour pictures of soft shapes with fine texture, uint8 [N,H,W,3], no two alike."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(20, 235, (number, 5, 5, 3), np.uint8)
    fine = draw.normal(0, 18, (number, side, side, 3))
    pictures = []
    for rough, texture in zip(coarse, fine, strict=True):
        smooth = np.asarray(Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC), np.float64)
        soft = Image.fromarray(np.clip(smooth + texture, 0, 255).astype(np.uint8)).resize((side // 2, side // 2))
        pictures.append(np.asarray(soft.resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(pictures)


def changed(picture: np.ndarray, kind: str) -> np.ndarray:
    image = Image.fromarray(picture)
    if kind == "jpeg":
        image.save(file := io.BytesIO(), "JPEG", quality=75)
        image = Image.open(file)
    elif kind == "resized":
        image = image.resize((22, 22), Image.Resampling.BICUBIC).resize((32, 32), Image.Resampling.BICUBIC)
    elif kind == "brighter":
        image = ImageEnhance.Brightness(image).enhance(1.15)
    elif kind == "contrast":
        image = ImageEnhance.Contrast(image).enhance(0.85)
    return np.asarray(image)


def split_of(pictures: np.ndarray, *, name: str = "train") -> Split:
    images = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    return Split(images, torch.arange(len(images)) % 2, tuple(f"{name}/{index}.png" for index in range(len(images))))


def dataset_of(train: np.ndarray, test: np.ndarray, val: np.ndarray | None = None) -> Dataset:
    return Dataset(
        train=split_of(train),
        val=None if val is None else split_of(val, name="val"),
        test=split_of(test, name="test"),
        class_names=("a", "b"),
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        flip_keeps_labels=True,
        source=Source("folder:/pictures", "made up"),
    )


@pytest.fixture(scope="module")
def planted() -> Dataset:
    """The first sixty test images stand in training, too: changed in five ways, half of them mirrored besides."""
    train, test = scenes(NUM_TRAIN, seed=0), scenes(NUM_TEST, seed=1)
    for index in range(60):
        copy = changed(test[index], KINDS[index % 5])
        train[index] = copy[:, ::-1] if index % 2 and index % 5 else copy
    return dataset_of(train, test)


def test_planted_copies_are_found_and_nothing_else(planted: Dataset) -> None:
    leaks = find_leaks(planted)
    pairs = {(leak.index, leak.held_index) for leak in leaks.found}
    assert len({first for first, second in pairs if first == second < 60}) >= 57
    assert {first for first, _ in pairs} <= set(range(60))
    assert leaks.num_exact == 12
    assert leaks.num_images == len(pairs)
    assert (leaks.num_held_out, leaks.num_searched) == (NUM_TEST, NUM_TEST)
    assert any(leak.flipped for leak in leaks.found)


def test_without_flips_mirrored_ones_are_other_pictures(planted: Dataset) -> None:
    leaks = find_leaks(planted.without_flips())
    assert not any(leak.flipped for leak in leaks.found)
    assert leaks.num_images < find_leaks(planted).num_images


def test_clean_splits_have_none() -> None:
    assert find_leaks(dataset_of(scenes(200, seed=2), scenes(80, seed=3), scenes(40, seed=4))).found == ()


def test_every_equal_image_of_a_split_is_listed() -> None:
    train, test = scenes(100, seed=5), scenes(40, seed=6)
    train[7], train[11] = changed(test[3], "jpeg"), changed(test[3], "jpeg")  # twins, nearly equal to a test image
    train[20] = train[21] = test[9] = test[10] = 0  # without any detail, two and two
    leaks = find_leaks(dataset_of(train, test))
    assert {leak.index for leak in leaks.found if leak.held_index == 3} == {7, 11}
    assert {leak.index for leak in leaks.found if leak.likeness == 1} == {20, 21}
    assert leaks.held_out_of("test") == {3, 9, 10}


def test_larger_images_are_compared_reduced(planted: Dataset) -> None:
    large = scenes(60, seed=7, side=80)
    train, test = large[:40].copy(), large[40:].copy()
    train[5] = test[5]
    train[6] = np.asarray(Image.fromarray(test[6]).resize((50, 50)).resize((80, 80)))
    leaks = find_leaks(dataset_of(train, test))
    assert {(leak.index, leak.held_index) for leak in leaks.found} == {(5, 5), (6, 6)}


def test_validation_and_test_are_compared_as_well() -> None:
    val, test = scenes(60, seed=8), scenes(60, seed=9)
    val[4] = test[2]
    leaks = find_leaks(dataset_of(scenes(100, seed=10), test, val))
    assert leaks.found == (Leak("val", 4, "test", 2, 1.0),)
    assert leaks_to_csv(leaks, dataset_of(scenes(100, seed=10), test, val)).count("\n") == 1  # a split of its own


def test_a_sample_is_searched_where_there_are_too_many_pairs(planted: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = find_leaks(planted)
    monkeypatch.setattr("thumbnet.data.alike.MAX_PAIRS", 50 * (NUM_TRAIN + NUM_TEST))
    part = find_leaks(planted)
    assert part.num_searched == 50
    assert part.num_exact == whole.num_exact
    assert part.num_images < whole.num_images


def test_the_table_is_read_back_and_a_broken_one_is_refused(planted: Dataset) -> None:
    leaks = find_leaks(planted)
    text = leaks_to_csv(leaks, planted)
    again = leaks_from_csv(text, name="leaks.csv")
    assert again.num_images == leaks.num_images
    assert again.held_out_of("test") == leaks.held_out_of("test")
    with pytest.raises(RunError, match=r"leaks\.csv is damaged"):
        leaks_from_csv(text.replace(",test,", ",test,x"), name="leaks.csv")


def test_known_data_is_not_searched() -> None:
    assert not any(map(is_searched_for_leaks, ("cifar10", "cifar100", "digits", "auto")))
    assert all(map(is_searched_for_leaks, ("folder:/pets", "npz:a.npz", "arrays")))


def write_leaking(path: Path) -> Path:
    """Forty grey pictures and a test split of twenty, of which three stand in training, one of them twice."""
    train, test = scenes(40, seed=11)[..., 0], scenes(20, seed=12)[..., 0]
    train[3], train[4], train[9], train[10] = test[0], test[0], test[1], changed(test[5], "jpeg")
    np.savez(path, train_images=train, train_labels=np.arange(40) % 2, test_images=test, test_labels=np.arange(20) % 2)
    return path


def test_a_training_tells_keeps_and_can_leave_them_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_config(write_leaking(tmp_path / "data.npz"), val_fraction=0.0)
    run = train(config, run_dir=tmp_path / "run", pictures=False)
    listed = run.path / "leaks.csv"
    told = capsys.readouterr().err
    assert "Leaks between splits: 4 images of training or validation equal, or nearly" in told
    assert "3 of them pixel by pixel" in told
    assert f"--exclude {listed}" in told
    assert (run.metrics["num_leaks"], run.metrics["num_test_leaked"]) == (4, 3)
    stored = load_run(run.path).metrics
    right = stored["test_accuracy"] * 20 - stored["test_accuracy_without_leaks"] * 17
    assert right == pytest.approx(round(right))
    assert 0 <= right <= 3
    assert "Leaks: 4 images" in write_report(run.path, tmp_path / "report.html").read_text()
    again = train(config.replace(exclude=str(listed)), run_dir=tmp_path / "again", pictures=False)
    assert "Leaks" not in capsys.readouterr().err
    assert again.metrics["num_leaks"] == 0
    assert again.card.num_train == 36
    assert not (again.path / "leaks.csv").exists()
    (run.path / "metrics.json").unlink()
    resumed = resume(run.path, pictures=False)
    assert "Leaks" not in capsys.readouterr().err
    assert resumed.metrics["test_accuracy_without_leaks"] == stored["test_accuracy_without_leaks"]


def test_several_seeds_look_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_config(write_leaking(tmp_path / "data.npz"), val_fraction=0.0)
    runs = train_seeds(config, num_seeds=2, run_dir=tmp_path / "seeds", pictures=False)
    assert capsys.readouterr().err.count("Leaks between splits") == 1
    assert (tmp_path / "seeds" / "leaks.csv").exists()
    assert [run.metrics["num_leaks"] for run in runs.runs] == [4, 4]

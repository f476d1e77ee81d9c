"""Images that stand in two splits, equal or nearly, are found before a training, told, listed, and left out."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from small_runs import small_config
from thumbnet.data.alike import AlikePair, find_alike
from thumbnet.data.all_alike import AllAlike, find_all_alike
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.fold_leaks import leaks_of_pool
from thumbnet.data.leaks import Leak, Leaks, find_leaks, leaks_from_csv, leaks_to_csv
from thumbnet.data.source_registry import is_searched_for_leaks
from thumbnet.data.sources import load_dataset
from thumbnet.errors import DataError, RunError
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.runs.files.metrics import KnownMetrics, known_metrics
from thumbnet.runs.leak_texts import describe_kept_leaks
from thumbnet.runs.leaks import keep_leaks, leak_metrics, look_for_leaks
from thumbnet.runs.own_data import load_own_dataset
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.seeds.train import train_seeds
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
        less = image.width * 11 // 16
        image = image.resize((less, less), Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)
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
        mean=(0.5,) * train.shape[-1],
        std=(0.2,) * train.shape[-1],
        flip_keeps_labels=True,
        source=Source("folder:/pictures", "made up"),
    )


def plant(*, side: int = 32, is_grey: bool = False) -> Dataset:
    """The first sixty test images stand in training, too: changed in five ways, half of them mirrored besides."""
    train, test = scenes(NUM_TRAIN, seed=0, side=side), scenes(NUM_TEST, seed=1, side=side)
    for index in range(60):
        copy = changed(test[index], KINDS[index % 5])
        train[index] = copy[:, ::-1] if index % 2 and index % 5 else copy
    return dataset_of(*(in_grey(pictures) if is_grey else pictures for pictures in (train, test)))


def in_grey(pictures: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(picture).convert("L"))[..., None] for picture in pictures])


@pytest.fixture(scope="module")
def planted() -> Dataset:
    return plant()


SHAPES = pytest.mark.parametrize(("side", "is_grey"), [(32, False), (32, True), (96, False), (96, True)])


@SHAPES
def test_planted_copies_are_found_between_any_folds_and_nothing_else(side: int, is_grey: bool) -> None:
    dataset = plant(side=side, is_grey=is_grey)
    images = torch.cat([dataset.train.images, dataset.test.images])
    alike = find_all_alike(images, with_flips=True)
    pairs = {(pair.first, pair.second - NUM_TRAIN) for pair in alike.between(split_at(NUM_TRAIN, len(images)))}
    assert len({first for first, second in pairs if first == second < 60}) >= 57
    assert {first for first, _ in pairs} <= set(range(60))


def split_at(place: int, number: int) -> dict[int, int]:
    return {index: int(index >= place) for index in range(number)}


@SHAPES
def test_planted_copies_are_found_and_nothing_else(side: int, is_grey: bool) -> None:
    leaks = find_leaks(plant(side=side, is_grey=is_grey))
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
    rows = RunDir(run.path).read_predictions()
    kept = [index for index in range(20) if index not in (0, 1, 5)]
    recalls = [float(rows.right[kept][rows.labels[kept] == label].double().mean()) for label in (0, 1)]
    assert stored["test_balanced_accuracy_without_leaks"] == pytest.approx(np.mean(recalls))
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


@pytest.fixture
def own_val(tmp_path: Path) -> Path:
    """Splits of the data's own: two validation images stand in training, one of them twice, and one in test."""
    train, val, test = scenes(40, seed=21)[..., 0], scenes(20, seed=22)[..., 0], scenes(20, seed=23)[..., 0]
    train[3], train[4], train[9], val[5] = val[0], val[0], changed(val[1], "jpeg"), test[2]
    splits = {"train": train, "val": val, "test": test}
    arrays = {f"{name}_images": images for name, images in splits.items()}
    labels = {f"{name}_labels": np.arange(len(images)) % 2 for name, images in splits.items()}
    np.savez(tmp_path / "data.npz", **arrays, **labels)
    return tmp_path / "data.npz"


def test_leaks_into_validation_are_recorded_as_those_into_the_test_split(
    own_val: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(small_config(own_val), run_dir=tmp_path / "run", log_style="reference", pictures=False)
    told, listed = capsys.readouterr().err, run.path / "leaks-val.csv"
    assert f"Those of the data's own validation split are in {listed}, and for you to take out of it." in told
    stored = load_run(run.path).metrics
    assert [stored[f"num_{name}"] for name in ("leaks", "test_leaked", "val_leaked")] == [4, 1, 2]
    dataset = load_own_dataset(run)
    assert dataset.val is not None
    right = predict_split(run.model, dataset.val, mean=dataset.mean, std=dataset.std).predicted == dataset.val.labels
    assert stored["val_accuracy"] == pytest.approx(float(right.double().mean()))
    assert stored["val_accuracy_without_leaks"] == pytest.approx(float(right[2:].double().mean()))
    recalls = [float(right[first::2].double().mean()) for first in (2, 3)]  # labels are 0 and 1 in turn
    assert stored["val_balanced_accuracy_without_leaks"] == pytest.approx(np.mean(recalls))
    page = write_report(run.path, tmp_path / "report.html").read_text()
    low, high = stored["val_accuracy_without_leaks_interval"]
    accuracy = f"{stored['val_accuracy_without_leaks']:.2%} ({100 * low:.1f} to {100 * high:.1f})"
    low, high = stored["val_balanced_accuracy_without_leaks_interval"]
    balanced = f"{np.mean(recalls):.2%} ({100 * low:.1f} to {100 * high:.1f})"
    sentence = f"validation accuracy is {accuracy}, balanced accuracy {balanced}."
    assert f"Without the 2 validation images concerned, {sentence}" in page
    with pytest.raises(DataError, match=r"leaks-val\.csv has no column 'index'"):
        load_dataset(f"npz:{own_val}", exclude=str(listed))
    (run.path / "metrics.json").unlink()
    resumed = resume(run.path, log_style="silent", pictures=False).metrics
    assert [resumed[name] for name in stored if "leak" in name] == [stored[name] for name in stored if "leak" in name]
    listed.write_text("val_index\n")
    (run.path / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"leaks-val\.csv"):
        resume(run.path, log_style="silent", pictures=False)


def test_several_seeds_look_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_config(write_leaking(tmp_path / "data.npz"), val_fraction=0.0)
    runs = train_seeds(config, num_seeds=2, run_dir=tmp_path / "seeds", pictures=False)
    assert capsys.readouterr().err.count("Leaks between splits") == 1
    assert (tmp_path / "seeds" / "leaks.csv").exists()
    assert [run.metrics["num_leaks"] for run in runs.runs] == [4, 4]


def test_what_is_found_once_serves_every_division(planted: Dataset) -> None:
    images = torch.cat([planted.train.images, planted.test.images, planted.test.images[:2]])
    alike = find_all_alike(images, with_flips=True)
    for seed in range(3):
        parts = torch.randint(3, (len(images),), generator=torch.Generator().manual_seed(seed))
        order = parts.argsort(stable=True).tolist()
        expected = find_alike([images[parts == part] for part in range(3)], with_flips=True).pairs
        found = alike.between(dict(enumerate(parts.tolist())))
        assert {(pair.first, pair.second) for pair in found} == {
            (order[pair.first], order[pair.second]) for pair in expected
        }
        assert found


def test_of_images_in_many_folds_all_but_the_earliest_are_left_out() -> None:
    equal, part_of = AllAlike(copies={0: (0, 1, 2, 5)}), {0: 1, 1: 3, 2: 0, 5: 2}
    assert [pair.second for pair in equal.to_leave_out(part_of)] == [1, 2, 5]
    chain = AllAlike(near=[AlikePair(0, 1, 0.9), AlikePair(1, 2, 0.95), AlikePair(2, 3, 0.9)])
    found = chain.to_leave_out({0: 0, 1: 1, 2: 0, 3: 1})
    assert [(pair.first, pair.second) for pair in found] == [(2, 1), (0, 1), (2, 3)]  # beside all that stay
    draw = np.random.default_rng(0)
    for _ in range(50):
        folds = dict(enumerate(draw.integers(0, 4, 12).tolist()))
        pairs = {tuple(sorted(pair)) for pair in draw.integers(0, 12, (20, 2)).tolist() if pair[0] != pair[1]}
        alike = AllAlike(near=[AlikePair(*pair, 0.9) for pair in sorted(pairs)])
        listed, leaks = alike.to_leave_out(folds), alike.between(folds)
        assert {image for pair in listed for image in (pair.first, pair.second)} == {
            image for pair in leaks for image in (pair.first, pair.second)
        }
        left_out = {pair.second for pair in listed}
        assert not alike.between({image: fold for image, fold in folds.items() if image not in left_out})


def test_an_image_that_is_more_like_one_beside_it_leaks_all_the_same() -> None:
    alike = AllAlike(near=[AlikePair(0, 1, 0.95), AlikePair(0, 2, 0.9), AlikePair(1, 3, 0.9)])
    assert alike.between({0: 0, 1: 0, 2: 2}) == {AlikePair(0, 2, 0.9)}
    assert alike.between({1: 1, 0: 1, 3: 0}) == {AlikePair(3, 1, 0.9)}  # that of the earlier part first


def test_in_a_fold_training_and_validation_are_of_the_same_folds() -> None:
    pictures = scenes(8, seed=0)
    pictures[3] = pictures[0]
    pool = split_of(pictures)
    dataset = Dataset(
        train=pool.select([0, 1, 2]),
        val=pool.select([3, 4]),
        test=pool.select([5, 6, 7]),
        class_names=("a", "b"),
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        flip_keeps_labels=True,
        source=Source("folder:/pictures", "made up"),
    )
    assert leaks_of_pool(find_all_alike(pool.images, with_flips=True), dataset).found == (
        Leak("train", 0, "val", 0, 1.0),
    )


def test_a_sample_of_the_pool_is_searched_where_there_are_too_many_pairs(
    planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbnet.data.alike.MAX_PAIRS", 50 * 50 // 2)
    alike = find_all_alike(planted.train.images, with_flips=True)
    assert (alike.num_searched, alike.num_images) == (50, NUM_TRAIN)


def known(num_test_leaked: int, accuracy: float | None, **others: object) -> KnownMetrics:
    values = {"model": "m", "data": "d", "test_accuracy": 0.5, "test_loss": 1.0, "num_test": 9, "num_params": 1}
    values |= {"macs": 1, "epochs": 1, "train_s": 1.0, "images_per_s": 1.0, "device": "cpu", "num_threads": 1}
    values |= {"machine": "x", "num_leaks": 1, "num_test_leaked": num_test_leaked, **others}
    return known_metrics(values if accuracy is None else {**values, "test_accuracy_without_leaks": accuracy})


def test_a_report_claims_no_accuracy_that_nobody_measured() -> None:
    found = "Leaks: 1 image of training or validation equal, or nearly, to one that is held out (leaks.csv)."
    of_others = "Without the 1 test image concerned, accuracy is 75.00% (40.9 to 92.9)."
    assert describe_kept_leaks(known(1, 0.75)) == f"{found} {of_others}"
    assert describe_kept_leaks(known(0, 0.5)) == f"{found} No test image is concerned."
    assert describe_kept_leaks(known(9, None)).endswith(
        "All test images are concerned: accuracy on others is not known."
    )


def test_a_report_says_the_same_of_validation() -> None:
    assert describe_kept_leaks(known(0, 0.5, num_val_leaked=2, val_accuracy_without_leaks=0.25)).endswith(
        "No test image is concerned. Without the 2 validation images concerned, validation accuracy is 25.00%."
    )
    with_number = known(0, 0.5, num_val=14, num_val_leaked=2, val_accuracy_without_leaks=0.25)
    assert describe_kept_leaks(with_number).endswith("validation accuracy is 25.00% (8.9 to 53.2).")
    assert describe_kept_leaks(known(0, 0.5, num_val_leaked=2)).endswith("All validation images are concerned.")


def test_of_the_common_class_alone_accuracy_without_leaks_is_not_all_there_is() -> None:
    labels = torch.tensor([0] * 18 + [1] * 3)
    always = Predictions(torch.tensor([[1.0, 0.0]]).repeat(21, 1), labels)
    leaks = Leaks((Leak("train", 0, "test", 20, 1.0),))
    metrics = leak_metrics(leaks, always)
    assert metrics["test_accuracy_without_leaks"] == pytest.approx(0.9)
    assert metrics["test_balanced_accuracy_without_leaks"] == 0.5
    assert metrics["test_balanced_accuracy_without_leaks_interval"] == pytest.approx((0.412, 0.829), abs=1e-3)
    numbers = known(1, 0.9, **{name: metrics[name] for name in metrics if "balanced" in name})
    assert describe_kept_leaks(numbers).endswith("is 90.00% (55.6 to 98.5), balanced accuracy 50.00% (41.2 to 82.9).")
    gone = Leaks(tuple(Leak("train", 0, "test", index, 1.0) for index in (18, 19, 20)))
    assert leak_metrics(gone, always)["test_accuracy_without_leaks"] == 1.0
    assert not any("balanced" in name for name in leak_metrics(gone, always))
    marks = LabelPredictions(always.logits, torch.nn.functional.one_hot(labels).to(torch.uint8))
    assert not any("balanced" in name for name in leak_metrics(leaks, marks))


def test_what_no_file_can_leave_out_is_not_said_to_be_listed(tmp_path: Path) -> None:
    pictures, labels = scenes(60, seed=3)[..., 0], np.arange(20) % 2
    arrays = {name: pictures[20 * place :][:20] for place, name in enumerate(("train", "val", "test"))}
    arrays["val"][0] = arrays["test"][0]
    for path in (tmp_path / "one.npz", tmp_path / "two.npz"):
        np.savez(path, **{f"{name}_images": images for name, images in arrays.items()},
                 **{f"{name}_labels": labels for name in arrays})  # fmt: skip
        arrays["train"][0] = arrays["test"][0]
    folder = RunDir(tmp_path)
    said: list[str] = []
    for name in ("one", "two"):
        dataset = load_dataset(f"npz:{tmp_path / name}.npz")
        keep_leaks(folder, look_for_leaks(dataset, say=said.append), dataset, say=said.append)
    of_val = (
        f"Those of the data's own validation split are in {tmp_path / 'leaks-val.csv'}, and for you to take out of it."
    )
    assert said[0].endswith(f"too good. {of_val}")
    assert f"{of_val} Those of training are listed in" in said[1]
    assert said[1].endswith(f"to train without them: --exclude {tmp_path / 'leaks.csv'}")
    keep_leaks(folder, find_leaks(dataset), replace(dataset, num_excluded=3), say=said.append)
    assert said[2].endswith("add its lines, without the heading, to the file that lists the 3 left out already")

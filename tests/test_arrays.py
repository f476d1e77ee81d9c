"""Data from memory: arrays and tensors in each form that is taken, and what is refused; pictures in memory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import thumbnet
from small_runs import small_config
from thumbnet.data.npz import read_npz
from thumbnet.errors import ConfigError, DataError, DatasetNotFoundError, ImageError, RunError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (60, 9, 7, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
LABELS = np.arange(60) % 3
MODEL = "thumb-20k"


def first(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (COLOUR, first(COLOUR)),
        (first(COLOUR), first(COLOUR)),
        (GREY, GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (COLOUR / 255, first(COLOUR)),
        (COLOUR.astype(np.float32) / 255, first(COLOUR)),
        ((COLOUR / 255).astype(np.float16), first(COLOUR)),
        (torch.from_numpy(first(COLOUR) / 255), first(COLOUR)),
        (torch.from_numpy(GREY).div(255).requires_grad_(), GREY[:, None]),
        (list(COLOUR), first(COLOUR)),
    ],
)
def test_every_form_of_the_same_images_is_the_same_data(images: Any, expected: np.ndarray, tmp_path: Path) -> None:
    dataset = thumbnet.dataset_from_arrays(images, LABELS, val=(images, LABELS), test=(images, LABELS))
    for split in (dataset.train, dataset.val, dataset.test):
        assert split is not None
        np.testing.assert_array_equal(split.images.numpy(), expected)
        assert split.labels.tolist() == LABELS.tolist()
    np.savez(tmp_path / "set.npz", images=_plain(images), labels=LABELS)
    np.testing.assert_array_equal(read_npz(tmp_path / "set.npz").train.images.numpy(), expected)
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.source.name == "arrays"


def _plain(images: Any) -> np.ndarray:
    return images.detach().numpy() if isinstance(images, torch.Tensor) else np.asarray(images)


def test_bfloat16_is_taken() -> None:
    levels = torch.tensor([0, 64, 128, 255]).repeat(60, 4, 1).div(255).bfloat16()
    dataset = thumbnet.dataset_from_arrays(levels, torch.from_numpy(LABELS), val_fraction=0)
    assert dataset.train.images.unique().tolist() == [0, 64, 128, 255]


def test_lists_of_tensors_are_taken() -> None:
    levels = torch.tensor([0, 64, 128, 255]).repeat(60, 4, 1).div(255)
    labels = [torch.tensor(int(label)) for label in LABELS]
    for images in ([image.requires_grad_() for image in levels.clone()], [image.bfloat16() for image in levels]):
        dataset = thumbnet.dataset_from_arrays(images, labels, val_fraction=0)
        assert dataset.train.images.unique().tolist() == [0, 64, 128, 255]


def test_images_are_held_out_as_of_a_folder(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=COLOUR, labels=LABELS)
    expected = thumbnet.load_dataset(f"npz:{tmp_path / 'set.npz'}", val_fraction=0.2, split_seed=4)
    dataset = thumbnet.dataset_from_arrays(COLOUR, LABELS, val_fraction=0.2, split_seed=4)
    assert dataset.checksum() == expected.checksum()
    assert (dataset.mean, dataset.std) == (expected.mean, expected.std)


def test_the_callers_images_are_left_as_they_are() -> None:
    images = first(COLOUR).copy()
    images.flags.writeable = False
    before = images.copy()
    dataset = thumbnet.dataset_from_arrays(images, LABELS)
    dataset.train.images.zero_()
    np.testing.assert_array_equal(images, before)


def test_labels_may_be_names() -> None:
    names = np.array(["newt", "cat", "dog"])[LABELS]
    for labels in (names, names.tolist(), names.astype(object)):
        dataset = thumbnet.dataset_from_arrays(COLOUR, labels, test=(COLOUR, labels), val_fraction=0)
        assert dataset.class_names == ("cat", "dog", "newt")
        assert dataset.train.labels.tolist() == [(2, 0, 1)[label] for label in LABELS]
    ordered = thumbnet.dataset_from_arrays(
        COLOUR, names, class_names=["newt", "cat", "dog"], val_fraction=0, test=(COLOUR, names)
    )
    assert ordered.train.labels.tolist() == LABELS.tolist()
    with pytest.raises(DataError, match="val_labels has 'owl', which is none of the classes cat, dog, newt"):
        thumbnet.dataset_from_arrays(COLOUR, names, val=(COLOUR[:1], ["owl"]))
    with pytest.raises(DataError, match="labels has 'newt'"):
        thumbnet.dataset_from_arrays(COLOUR, names, class_names=["cat", "dog"])


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        (COLOUR.astype(np.float32), LABELS, {}, r"from 0 to 255\nhint: .*divide these by 255"),
        (COLOUR / 127.5 - 1, LABELS, {}, "from -1 to 1"),
        (COLOUR * np.nan, LABELS, {}, "NaN or infinity"),
        (COLOUR / np.float32(0.25), LABELS, {}, "from 0 to 1020"),
        (COLOUR.astype(np.int64), LABELS, {}, "images is int64"),
        (COLOUR > 9, LABELS, {}, "images is bool"),
        (COLOUR[..., :2], LABELS, {}, r"images is uint8 \[60, 9, 7, 2\]"),
        (COLOUR[:0], LABELS[:0], {}, r"\[0, 9, 7, 3\]"),
        (COLOUR[0], LABELS, {}, "9 images and labels 60"),
        (COLOUR[:, :3], LABELS, {}, "its channels could be first or last"),
        (COLOUR, LABELS, {"layout": "NCHW"}, "but layout is 'NCHW'"),
        (first(COLOUR), LABELS, {"layout": "NHWC"}, "but layout is 'NHWC'"),
        ([COLOUR[0], COLOUR[1, :5]], LABELS[:2], {}, "images is no array"),
        (COLOUR, LABELS[:59], {}, "60 images and labels 59"),
        (COLOUR, LABELS / 1, {}, "labels is float64"),
        (COLOUR, LABELS - 1, {}, "from -1 to 1"),
        (COLOUR, np.eye(3)[LABELS], {}, r"labels is float64 \[60, 3\]"),
        (COLOUR, LABELS * 0, {}, "there is 1 class and 1 class name\n"),
        (COLOUR, LABELS, {"class_names": ["cat", "dog"]}, "3 classes and 2 class names"),
        (COLOUR, LABELS, {"class_names": ["cat", "dog", "dog"]}, "a name twice"),
        (COLOUR, LABELS, {"val": (COLOUR[:, :5], LABELS)}, "splits differ in image shape"),
        (COLOUR, LABELS, {"test": (COLOUR,)}, "test has 1 part\n"),
        (torch.zeros(60, 1, 8, 8).to_sparse(), LABELS, {}, "images is no array of numbers: can't convert Sparse"),
    ],
)
def test_what_could_be_meant_otherwise_is_refused(images: Any, labels: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        thumbnet.dataset_from_arrays(images, labels, **options)


def test_a_layout_decides_what_the_sides_leave_open() -> None:
    images = COLOUR[:, :3]
    last = thumbnet.dataset_from_arrays(images, LABELS, layout="NHWC", test=(images, LABELS), val_fraction=0)
    assert last.image_shape == (3, 3, 7)
    assert thumbnet.dataset_from_arrays(images, LABELS, layout="NCHW").image_shape == (3, 7, 3)
    with pytest.raises(ConfigError, match="layout is 'CHWN'"):
        thumbnet.dataset_from_arrays(images, LABELS, layout="CHWN")


def checked_split(images: torch.Tensor, labels: torch.Tensor, paths: tuple[str, ...] | None = None) -> None:
    """What a split does after it was made, past the checks of types that only tests have."""
    split = object.__new__(thumbnet.Split)
    for name, value in {"images": images, "labels": labels, "paths": paths, "positions": None, "groups": None}.items():
        object.__setattr__(split, name, value)
    thumbnet.Split.__post_init__(split)


def test_a_split_refuses_what_would_be_trained_on_wrongly() -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    for images in (torch.rand(4, 3, 8, 8), torch.zeros(4, 8, 8, dtype=torch.uint8)):
        with pytest.raises(DataError, match=r"expected uint8 \[N,C,H,W\]"):
            checked_split(images, labels)
    pixels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"labels of torch\.float32"):
        checked_split(pixels, labels.float())
    with pytest.raises(DataError, match="4 images and 3 labels"):
        checked_split(pixels, labels[:3])
    with pytest.raises(DataError, match="4 images and 1 paths"):
        checked_split(pixels, labels, ("a.png",))


@pytest.fixture(scope="module")
def dataset() -> thumbnet.Dataset:
    images = (RNG.integers(0, 150, (40, 16, 16)) + 100 * (np.arange(40) % 2)[:, None, None]) / 255
    return thumbnet.dataset_from_arrays(images, np.array(["dark", "light"])[np.arange(40) % 2], val_fraction=0.2)


@pytest.fixture(scope="module")
def run(dataset: thumbnet.Dataset, tmp_path_factory: pytest.TempPathFactory) -> thumbnet.Run:
    config = small_config(Path("x")).replace(data="auto")
    folder = tmp_path_factory.mktemp("arrays") / "run"
    return thumbnet.train(config, dataset=dataset, run_dir=folder, log_style="silent", pictures=False)


def test_arrays_train_a_whole_run(run: thumbnet.Run, dataset: thumbnet.Dataset, tmp_path: Path) -> None:
    assert run.config.data == run.card.data == "arrays"
    assert (run.config.val_fraction, run.config.split_seed) == (0.2, 0)
    again = thumbnet.resume(run.path, dataset=dataset, log_style="silent")
    assert again.metrics == run.metrics
    with pytest.raises(DatasetNotFoundError, match="arrays in memory") as refused:
        thumbnet.write_report(run.path)
    assert "save_dataset" in refused.value.hint
    report = thumbnet.write_report(run.path, tmp_path / "report.html", dataset=dataset)
    assert "arrays in memory" in report.read_text()
    saved = thumbnet.save_dataset(dataset, tmp_path / "mine.npz")
    assert run.load_dataset(f"npz:{saved}").checksum() == run.card.data_checksum
    by_file = thumbnet.write_report(run.path, tmp_path / "by-file.html", data=f"npz:{saved}")
    assert by_file.stat().st_size > 10_000


def test_arrays_score_and_compare_runs(run: thumbnet.Run, dataset: thumbnet.Dataset, tmp_path: Path) -> None:
    scored = thumbnet.evaluate_trained(run, dataset=dataset)
    assert scored.analysis.evaluation.accuracy == run.metrics["test_accuracy"]
    said: list[str] = []
    other = thumbnet.dataset_from_arrays(
        np.eye(16)[None].repeat(6, 0),
        [0, 1] * 3,
        class_names=["dark", "light"],
        val_fraction=0,
        test=(np.eye(16)[None], [1]),
    )
    assert thumbnet.evaluate_trained(run, dataset=other, say=said.append).analysis.evaluation.num_images == 1
    assert "differs from the run's own data" in said[0]
    with pytest.raises(ConfigError, match="dataset is given, and data"):
        thumbnet.evaluate_trained(run, "digits", dataset=other)
    with pytest.raises(ConfigError, match="in memory"):
        thumbnet.evaluate_trained(run, dataset=other, split="all")
    with pytest.raises(RunError, match="checksum differs") as refused:
        thumbnet.write_report(run.path, tmp_path / "no.html", dataset=other)
    assert "--data" not in refused.value.hint


def test_what_the_recipe_says_otherwise_is_refused(dataset: thumbnet.Dataset) -> None:
    from thumbnet.runs.resolve import load_data

    config = small_config(Path("x"), val_fraction="auto").replace(data="auto")
    said: list[str] = []
    _, resolved = load_data(config, say=said.append, dataset=dataset)
    assert resolved.val_fraction == 0.2
    with pytest.raises(ConfigError, match=r"val_fraction is 0\.02, but the dataset that was given has 0\.2") as refused:
        load_data(config.replace(val_fraction=0.02), say=said.append, dataset=dataset)
    assert "dataset_from_arrays" in refused.value.hint
    with pytest.raises(ConfigError, match="image_size is 64, but the dataset that was given has 16"):
        load_data(config.replace(image_size=64), say=said.append, dataset=dataset)
    with pytest.raises(ConfigError, match="data is 'digits'"):
        load_data(config.replace(data="digits"), say=said.append, dataset=dataset)
    others: dict[str, Any] = {"num_train": 8, "groups": "mine.csv", "folds": 2}
    for name, value in others.items():  # which dataset_from_arrays does not take
        fields = {name: value, **({"fold": 0} if name == "folds" else {})}
        with pytest.raises(ConfigError, match=f"^{name} is") as refused:
            load_data(config.replace(**fields), say=said.append, dataset=dataset)
        assert refused.value.hint.startswith(f"leave {name} out, or write the arrays by numpy.savez")


def test_pictures_in_memory_are_predicted_as_their_files(tmp_path: Path) -> None:
    colour = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    deep = Image.fromarray(RNG.integers(0, 4096, (40, 50)).astype(np.uint16))
    files = []
    for index, image in enumerate((Image.fromarray(colour), deep)):
        files.append(tmp_path / f"{index}.png")
        image.save(files[-1])
    expected = thumbnet.predict(MODEL, files)
    opened = [Image.open(io.BytesIO(file.read_bytes())) for file in files]
    forms = [colour, colour / 255, colour.transpose(2, 0, 1), torch.from_numpy(colour), *opened]
    found = thumbnet.predict(MODEL, forms)
    for each, wanted in zip(found, [expected[0]] * 5 + [expected[1]], strict=True):
        assert each.class_name == wanted.class_name
        assert each.probability == pytest.approx(wanted.probability, abs=1e-6)
    assert [each.path for each in found] == [f"image {index}" for index in range(6)]
    mixed = thumbnet.predict(MODEL, [files[0], colour])
    assert [each.path for each in mixed] == [str(files[0]), "image 1"]
    assert mixed[0].probability == pytest.approx(mixed[1].probability, abs=1e-6)
    for several in (colour[None], torch.from_numpy(colour[None].copy())):
        (one,) = thumbnet.predict(MODEL, several)
        assert one.probability == pytest.approx(expected[0].probability, abs=1e-6)
    (grey,) = thumbnet.predict(MODEL, [colour[..., 0]])
    assert grey.top == thumbnet.predict(MODEL, [Image.fromarray(colour[..., 0])])[0].top


def test_pictures_may_come_one_by_one(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    found = thumbnet.predict(MODEL, tmp_path.glob("*.png"))
    assert sorted(Path(each.path).name for each in found) == ["a.png", "b.png"]
    (tmp_path / "c.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="1 of 3 files"):
        thumbnet.predict(MODEL, tmp_path.glob("*.png"))


def test_what_cannot_be_predicted_is_named(tmp_path: Path) -> None:
    colour = np.zeros((8, 8, 3), np.uint8)
    for single in (colour, Image.fromarray(colour), str(tmp_path), tmp_path, torch.zeros(3, 8, 8)):
        with pytest.raises(ConfigError, match="one picture is given") as refused:
            thumbnet.predict(MODEL, single)
        assert "[picture]" in refused.value.hint
    bad = [colour, colour.astype(float) + 7, colour[:3], colour[:0]]
    errors: dict[str, str] = {}
    good = thumbnet.predict(MODEL, bad, on_unreadable=lambda name, error: errors.update({name: str(error)}))
    assert [each.path for each in good] == ["image 0"]
    assert "from 7 to 7" in errors["image 1"]
    assert "first or last" in errors["image 2"]
    assert list(errors) == ["image 1", "image 2", "image 3"]
    content = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(content, "JPEG")
    cut = Image.open(io.BytesIO(content.getvalue()[:-2000]))
    with pytest.raises(ImageError, match="image 0 is damaged"):
        thumbnet.predict(MODEL, [cut])

"""Images on the disk: what is read is what was written, nothing reads all of them unnoticed, and every use of a dataset
gives what it gives of images in memory."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thumbnet
from small_runs import small_config
from thumbnet.augment import RandomCrop
from thumbnet.config import run_config_from_toml
from thumbnet.data import alike, block_shuffle, descriptions, duplicates, leaks, memory, read_ahead, streamed
from thumbnet.data.all_alike import find_all_alike
from thumbnet.data.batches import batches_of
from thumbnet.data.block_shuffle import block_shuffled_order, window_ends
from thumbnet.data.packs import row_reader, store
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.row_reader import RowReader
from thumbnet.data.read_ahead import read_batches
from thumbnet.data.streamed import StreamedImages, chosen_of, chunks_of
from thumbnet.data_check.exposure import find_exposure_issues
from thumbnet.data_check.suspects import find_duplicates_across
from thumbnet.errors import ConfigError, DataError
from thumbnet.evaluation import unknown
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.evaluation.tta import predict_tta
from thumbnet.models.blocknet import BlockNet
from thumbnet.runs.choices.augmentation import judge_changes
from thumbnet.runs.folds.runs import checksum_of
from thumbnet.runs.teacher import compute_teacher_logits
from thumbnet.training.inputs import resolve_inputs
from thumbnet.training.progress import Silent

SHAPE = (3, 4, 5)


def write_rows(path: Path, images: np.ndarray) -> RowFile:
    file = RowFile.create(path, images.shape)  # type: ignore[arg-type]
    file.write(0, images)
    return file


def noise(number: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, channels, *SHAPE[1:]), np.uint8)


@pytest.fixture
def in_memory() -> Tensor:
    return torch.from_numpy(noise(50))


@pytest.fixture
def on_disk(in_memory: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The same images, none of which are kept, and of which no 20 may be read unnoticed."""
    monkeypatch.setattr(streamed, "KEPT_BYTES", 0)
    monkeypatch.setattr(streamed, "MOST_BYTES", 20 * 60)
    return streamed.streamed(write_rows(tmp_path / "rows.npy", in_memory.numpy()))


@pytest.mark.parametrize(("gap", "run"), [(0, 60), (60, 180), (10**6, 10**6)])
def test_rows_are_read_in_any_order_from_several_files(
    gap: int, run: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_reader, "MAX_GAP_BYTES", gap)
    monkeypatch.setattr(row_reader, "MAX_RUN_BYTES", run)
    images = noise(40)
    files = [write_rows(tmp_path / f"{first}.npy", images[first:last]) for first, last in pairwise([0, 7, 8, 40])]
    reader = RowReader(files)
    assert len(reader) == 40
    random = np.random.default_rng(0)
    for rows in (np.arange(40), np.array([5, 39, 5, 0, 7, 8, 6]), random.integers(0, 40, 100), np.empty(0, np.int64)):
        assert (reader.read(rows) == images[rows]).all()
        out = np.empty((len(rows), *SHAPE), np.uint8)
        assert reader.read(rows, out) is out
        assert (pickle.loads(pickle.dumps(reader)).read(rows) == out).all()


def test_a_file_that_is_removed_can_still_be_read_and_one_that_gets_shorter_is_an_error(tmp_path: Path) -> None:
    """Where a map would end the process."""
    file = write_rows(tmp_path / "rows.npy", noise(40))
    reader = RowReader([file])
    (tmp_path / "rows.npy").rename(tmp_path / "moved.npy")
    assert (reader.read(np.arange(40)) == noise(40)).all()
    with (tmp_path / "moved.npy").open("r+b") as opened:
        opened.truncate(file.offset + 100)
    assert (reader.read(np.array([0])) == noise(40)[:1]).all()
    with pytest.raises(DataError, match=r"rows\.npy cannot be read: it is shorter"):
        reader.read(np.arange(40))
    with pytest.raises(DataError, match=r"rows\.npy cannot be read: No such file"):
        RowReader([file])


ALIKE: tuple[Callable[[Tensor], Any], ...] = (
    lambda images: images[[3, 1, -1]],
    lambda images: images[torch.tensor([9, 9, 0])],
    lambda images: images[torch.arange(50) % 7 == 0],
    lambda images: images[-2],
    lambda images: images[4:20:5],
    lambda images: images[10:][:12].flip(3),
    lambda images: images[:9, 1].float().mean(),
    lambda images: images.index_select(0, torch.tensor([40, 2])),
    lambda images: images[torch.tensor([7, 3]), torch.tensor([0, 1])] if len(images) < 20 else 0,
    lambda images: torch.cat([*images.split(19)])[[0, 19, 49]],
    lambda images: torch.cat([images[40:], images[:3], images])[[0, 9, 10, 13, 62]],
    lambda images: torch.cat(list(chunks_of(images, 7))),
    lambda images: chosen_of(images, [5, 2, 2, 49])[1:],
    lambda images: images[:5].numpy(),
    lambda images: copy.deepcopy(images)[[2, 4]],
    lambda images: pickle.loads(pickle.dumps(images[3:9])) + 1,
    lambda images: images.detach().contiguous().to("cpu")[[1]],
    lambda images: images.shape,
)


@pytest.mark.parametrize("use", range(len(ALIKE)))
def test_they_are_used_as_images_in_memory(use: int, in_memory: Tensor, on_disk: Tensor) -> None:
    found, expected = (torch.as_tensor(ALIKE[use](images)) for images in (on_disk, in_memory))
    assert found.shape == expected.shape
    assert bool((found == expected).all())


def test_images_of_several_files_follow_each_other(tmp_path: Path) -> None:
    first, second = noise(6), noise(9)
    files = [streamed.streamed(write_rows(tmp_path / f"{len(each)}.npy", each)) for each in (first, second)]
    joined = torch.cat([files[0][2:], files[1], files[0]])
    assert isinstance(joined, StreamedImages)
    assert (joined.numpy() == np.concatenate([first[2:], second, first])).all()


def test_they_do_so_from_the_open_files_when_others_have_taken_their_place(tmp_path: Path) -> None:
    first, second = noise(6), noise(9)
    files = [streamed.streamed(write_rows(tmp_path / f"{len(each)}.npy", each)) for each in (first, second)]
    for each in (first, second):
        write_rows(tmp_path / "other.npy", 255 - each).path.replace(tmp_path / f"{len(each)}.npy")
    assert (torch.cat(files).numpy() == np.concatenate([first, second])).all()


def test_all_of_them_are_never_read_at_once(in_memory: Tensor, on_disk: Tensor) -> None:
    for use in (
        on_disk.float, lambda: on_disk.flip(3), on_disk.numpy, on_disk.clone,
        lambda: on_disk + 1, lambda: torch.cat([on_disk, in_memory]), lambda: list(on_disk),
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"50 images .* would be read into memory at once"):
            use()
    with pytest.raises(DataError, match="cannot be changed"):
        on_disk[0] = 0
    with pytest.raises(IndexError):
        on_disk[[50]]
    assert repr(on_disk) == "StreamedImages(uint8 [50, 3, 4, 5])"


def test_grey_images_in_colour_stay_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MOST_BYTES", 20 * 60)
    grey = noise(50, channels=1)
    in_colour = streamed.streamed(write_rows(tmp_path / "rows.npy", grey)).expand(-1, 3, -1, -1)
    assert in_colour.shape == (50, *SHAPE)
    expected = torch.from_numpy(grey).expand(-1, 3, -1, -1)
    assert torch.equal(in_colour[[4, 2]], expected[[4, 2]])
    pairs = list(read_batches(in_colour, torch.arange(50).split(16)))
    assert torch.equal(torch.cat([pixels for _, pixels in pairs]), expected)


def test_as_many_as_are_read_at_once_stand_for_all(in_memory: Tensor, on_disk: Tensor) -> None:
    assert streamed.places_at_once(in_memory) is streamed.places_at_once(on_disk[:20]) is None
    places = streamed.places_at_once(on_disk)
    assert places is not None
    assert len(places) == 20
    assert (places[:4], places[-1]) == ([0, 2, 5, 7], 47)
    assert (chosen_of(on_disk, places).numpy() == in_memory.numpy()[places]).all()


def test_a_small_part_is_kept_once_it_was_read(on_disk: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "KEPT_BYTES", 10 * 60)
    part = chosen_of(on_disk, range(10))
    expected = torch.cat(list(chunks_of(part, 3)))
    monkeypatch.setattr(RowReader, "read", None)  # whose call would fail
    assert torch.equal(torch.cat(list(chunks_of(part, 4))), expected)
    assert torch.equal(part[2:5][[1, 0]], expected[[3, 2]])


@pytest.mark.parametrize("number", [1, 2, 999, 1000, 1234])
def test_an_order_by_blocks_has_each_image_once_and_reads_whole_blocks(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_shuffle, "BLOCK_BYTES", 10 * 60)
    monkeypatch.setattr(block_shuffle, "WINDOW_BYTES", 200 * 60)
    order = block_shuffled_order(number, SHAPE, torch.Generator().manual_seed(0))
    assert order.sort().values.tolist() == list(range(number))
    ends = window_ends(number, SHAPE)
    assert ends[-1] == number
    sizes = [end - start for start, end in pairwise([0, *ends])]
    assert max(sizes) - min(sizes) <= 1
    for start, end in pairwise([0, *ends]):
        num_blocks = len((order[start:end] // 10).unique())
        assert num_blocks <= (end - start) / 10 + 3  # two may be shared with other windows, one may be short
    if number > 900:
        again, other = (block_shuffled_order(number, SHAPE, torch.Generator().manual_seed(seed)) for seed in (0, 1))
        assert torch.equal(order, again)
        assert not torch.equal(order, other)
        first = order[: ends[0]]
        assert not torch.equal(first, first.sort().values)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 50])
def test_batches_are_read_ahead_in_their_order(
    batch_size: int, in_memory: Tensor, on_disk: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_shuffle, "WINDOW_BYTES", 9 * 60)
    chosen = chosen_of(on_disk, range(49, -1, -1))  # other rows than places
    orders = [torch.randperm(50), torch.randint(50, (50,)), torch.arange(50)]
    for order in orders:
        batches = list(batches_of(order, batch_size))
        pairs = list(read_batches(chosen, iter(batches)))
        assert [indices.tolist() for indices, _ in pairs] == [batch.tolist() for batch in batches]
        for indices, pixels in pairs:
            assert torch.equal(pixels, in_memory[49 - indices])
    begun = read_batches(chosen, torch.arange(50).split(7))
    next(begun)
    begun.close()  # type: ignore[attr-defined]  # as at the end of a course within an epoch


def test_what_cannot_be_read_ends_the_epoch(on_disk: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> np.ndarray:
        raise DataError("gone", hint="")

    monkeypatch.setattr(RowReader, "read", fails)
    with pytest.raises(DataError, match="gone"):
        list(read_batches(on_disk, torch.arange(50).split(7)))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of 300 images of 16x16 pixels in three classes, sorted by class, ten of them twice."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    labels = np.arange(300) // 100
    images = random.integers(0, 120, (300, 3, 16, 16), np.uint8) + 60 * labels[:, None, None, None].astype(np.uint8)
    images[290:] = images[:10]
    np.savez(folder / "data.npz", images=images, labels=labels)
    thumbnet.pack_data(f"npz:{folder / 'data.npz'}", folder / "pack", show_progress=False)
    return f"packed:{folder / 'pack'}"


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images stay on the disk, in windows of 50 that have blocks of 10; 64 of them are too many at once."""
    size = 3 * 16 * 16
    monkeypatch.setattr(memory, "DATA_SHARE", 1e-12)
    monkeypatch.setattr(streamed, "KEPT_BYTES", 0)
    monkeypatch.setattr(streamed, "MOST_BYTES", 63 * size)
    monkeypatch.setattr(block_shuffle, "BLOCK_BYTES", 10 * size)
    monkeypatch.setattr(block_shuffle, "WINDOW_BYTES", 50 * size)


def test_a_dataset_on_the_disk_is_that_in_memory(
    pack: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(thumbnet.Dataset, "kept_results", lambda _: None)
    expected = thumbnet.load_dataset(pack)
    expected_subset = thumbnet.load_dataset(pack, num_train=90)
    assert not isinstance(expected.train.images, StreamedImages)
    request.getfixturevalue("little_memory")
    for found, wanted in (
        (thumbnet.load_dataset(pack), expected),
        (thumbnet.load_dataset(pack, num_train=90), expected_subset),
    ):
        for name in ("train", "val", "test"):
            mine, theirs = found.split(name), wanted.split(name)
            assert isinstance(mine.images, StreamedImages)
            assert torch.equal(torch.cat(list(chunks_of(mine.images, 9))), theirs.images)
            assert torch.equal(mine.labels, theirs.labels)
        assert (found.mean, found.std) == (wanted.mean, wanted.std)
        assert found.checksum() == wanted.checksum()


def test_what_is_much_of_the_free_memory_stays_on_the_disk_to_the_bits_of_memory(
    pack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its order is that of memory, too, however much is free."""
    expected = thumbnet.load_dataset(pack)
    monkeypatch.setattr(store, "available_bytes", lambda: 4 * 300 * 768 - 1)
    monkeypatch.setattr(streamed, "KEPT_BYTES", 0)
    found = thumbnet.load_dataset(pack)
    for name in ("train", "val", "test"):
        assert isinstance(found.split(name).images, StreamedImages)
    assert resolve_inputs(thumbnet.Inputs(), found).shuffle == "whole"
    weights, others = train(found, epochs=2), train(expected, epochs=2)
    assert all(torch.equal(weights[name], others[name]) for name in others)
    monkeypatch.setattr(store, "available_bytes", lambda: 4 * 300 * 768)
    assert not isinstance(thumbnet.load_dataset(pack).train.images, StreamedImages)


def test_all_splits_are_on_the_disk_or_none_whatever_is_free_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "data.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    thumbnet.pack_data(f"npz:{tmp_path / 'data.npz'}", tmp_path / "pack", show_progress=False)
    free = iter([0, 10**12])
    monkeypatch.setattr(store, "available_bytes", lambda: next(free))
    dataset = thumbnet.load_dataset(f"packed:{tmp_path / 'pack'}", val_fraction=0)
    assert isinstance(dataset.train.images, StreamedImages)
    assert isinstance(dataset.test.images, StreamedImages)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_images_that_are_held_out_of_a_map_take_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 3, 112, 112), np.uint8)
    num_bytes = images.nbytes
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(1000) % 2)
    thumbnet.pack_data(f"npz:{tmp_path / 'data.npz'}", tmp_path / "pack", show_progress=False)
    del images
    monkeypatch.setattr(store, "available_bytes", lambda: 2 * num_bytes)
    monkeypatch.setattr(streamed, "KEPT_BYTES", 0)
    before = own_bytes()
    dataset = thumbnet.load_dataset(f"packed:{tmp_path / 'pack'}")
    assert len(dataset.train) < 1000
    assert own_bytes() - before < num_bytes / 2


def own_bytes() -> int:
    """Memory of this process that is no file's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return 1024 * int(line.split()[1])


def test_a_training_reads_each_image_once_an_epoch(
    pack: str, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = thumbnet.load_dataset(pack)
    seen: list[list[int]] = []

    def noted(images: Tensor, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        seen.append([])
        for chosen, pixels in read_ahead.read_batches(images, batches):
            assert torch.equal(pixels, dataset.train.images[chosen])
            seen[-1] += chosen.tolist()
            yield chosen, pixels

    monkeypatch.setattr("thumbnet.training.epoch.read_batches", noted)
    train(dataset, epochs=2)
    assert [sorted(epoch) for epoch in seen] == 2 * [list(range(len(dataset.train)))]
    assert seen[0] != seen[1]


def test_a_training_goes_on_from_an_epoch_to_the_same_weights(pack: str, little_memory: None) -> None:
    dataset, states = thumbnet.load_dataset(pack), list[Any]()
    expected = train(dataset, epochs=3, on_epoch_end=states.append)
    found = train(thumbnet.load_dataset(pack), epochs=3, resume_from=states[0])
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_how_a_run_shuffles_is_recorded(pack: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    config = small_config(tmp_path).replace(data=pack)
    in_memory, blocks = thumbnet.load_dataset(pack), thumbnet.Inputs(shuffle="blocks")
    assert [resolve_inputs(each, in_memory).shuffle for each in (config.inputs, blocks)] == ["whole", "blocks"]
    request.getfixturevalue("little_memory")
    on_disk = thumbnet.train(config, run_dir=tmp_path / "disk", log_style="silent", pictures=False)
    assert on_disk.config.inputs.shuffle == "blocks"
    assert on_disk.metrics["num_test"] == 30
    for name in ("config.toml", "predictions.csv", "metrics.json"):
        assert (tmp_path / "disk" / name).is_file()
    assert (
        run_config_from_toml(
            "\n".join(
                line for line in (tmp_path / "disk" / "config.toml").read_text().splitlines() if "shuffle" not in line
            ),
            name="old",
        ).inputs.shuffle
        == "whole"
    )
    with pytest.raises(ConfigError, match="balanced sampler draws images from everywhere"):
        thumbnet.Inputs(shuffle="blocks", sampler="balanced")
    balanced = thumbnet.Inputs(augmentation="none", sampler="balanced")
    assert resolve_inputs(balanced, thumbnet.load_dataset(pack)).shuffle == "whole"


class Brightness(nn.Module):
    """Tells the pack's classes apart by how bright an image is, 60, 120 or 180 of 255."""

    def __init__(self, dataset: thumbnet.Dataset) -> None:
        super().__init__()
        levels = torch.tensor([60.0, 120.0, 180.0]) / 255
        self.centres = nn.Parameter((levels - dataset.mean[0]) / dataset.std[0])

    def forward(self, images: Tensor) -> Tensor:
        return -((images[:, :1].mean(dim=(1, 2, 3))[:, None] - self.centres) ** 2)


def everything(dataset: thumbnet.Dataset, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is found and predicted of a dataset, by whatever goes through all of its images."""
    torch.manual_seed(0)
    model = thumbnet.create_model("sprint", num_classes=3, in_channels=3, blocks="c8p").eval()
    shown: dict[str, Any] = {"mean": dataset.mean, "std": dataset.std}
    monkeypatch.setattr(alike, "MAX_PAIRS", 40 * 220)  # of which the later images are a sample
    found = {"some leaks": leaks.find_leaks(dataset)}
    monkeypatch.setattr(alike, "MAX_PAIRS", 10**9)
    return {
        **found,
        "leaks": leaks.find_leaks(dataset),
        "all alike": find_all_alike(dataset.train.images, with_flips=True),
        "duplicates": find_duplicates_across(dataset),
        "exposure": find_exposure_issues(dataset.train.images, dataset.train.labels),
        "checksum": checksum_of(dataset.train),
        "logits": predict_logits(model, dataset.train.images, **shown),
        "views": predict_tta(model, dataset.train.images, flip=True, **shown),
        "turns": judge_changes(Brightness(dataset), dataset, dataset.train),
        "teacher": compute_teacher_logits(model, dataset.train.images, RandomCrop(2), flips=True, **shown),
    }


@pytest.mark.parametrize("kept_bytes", [2**28, 64 * 192 * 4])
def test_searches_and_predictions_are_those_of_images_in_memory(
    kept_bytes: int, pack: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(thumbnet.Dataset, "kept_results", lambda _: None)
    monkeypatch.setattr(descriptions, "BLOCK_IMAGES", 50)
    monkeypatch.setattr(duplicates, "BLOCK_IMAGES", 50)
    monkeypatch.setattr(descriptions, "KEPT_BYTES", kept_bytes)
    expected = everything(thumbnet.load_dataset(pack), monkeypatch)
    assert expected["leaks"].num_exact >= 1
    assert [change.is_harmless for change in expected["turns"]] == [True, True, True]
    request.getfixturevalue("little_memory")
    found = everything(thumbnet.load_dataset(pack), monkeypatch)
    for name, value in expected.items():
        same = torch.equal(found[name], value) if isinstance(value, Tensor) else found[name] == value
        assert same, name


def test_a_check_of_images_on_the_disk_leaves_the_files_of_one_in_memory(
    pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Its folds are trained on, predicted, searched and drawn a part at a time."""
    monkeypatch.setattr("thumbnet.data_check.pictures.MAX_PICTURED", 3)
    config = small_config(tmp_path, threads=1, shuffle="blocks").replace(data=pack)
    options: dict[str, Any] = {"num_folds": 2, "num_repeats": 1, "max_labels": 5, "log_style": "silent"}
    in_memory = thumbnet.load_dataset(pack, val_fraction=0)
    request.getfixturevalue("little_memory")
    thumbnet.check_data(config, dataset=in_memory, out=tmp_path / "memory", **options)
    found = thumbnet.check_data(config, out=tmp_path / "disk", **options)
    assert not isinstance(in_memory.train.images, StreamedImages)
    assert found.summary["num_images"] == 270
    assert found.summary["suspects"]["exact-duplicate"] >= 1
    names = {path.name for path in found.path.iterdir()}
    assert {"suspects.csv", "exclude.csv", "scores.csv", "check.json", "label.png", "exact-duplicate.png"} <= names
    assert names == {path.name for path in (tmp_path / "memory").iterdir()}
    for name in names:
        assert (found.path / name).read_bytes() == (tmp_path / "memory" / name).read_bytes(), name


def test_means_of_features_are_measured_of_images_on_the_disk(
    pack: str, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, asked = unknown.predict_features, list[Tensor]()

    def noted(model: Any, images: Tensor, **shown: Any) -> Any:
        asked.append(images)
        return predict(model, images, **shown)

    monkeypatch.setattr(unknown, "predict_features", noted)
    monkeypatch.setattr(unknown, "pick_unknown", lambda *_, **__: None)  # whom 30 validation images are too few
    model = thumbnet.create_model("sprint", num_classes=3, in_channels=3, blocks="c8p").eval()
    assert isinstance(model, BlockNet)
    unknown.measure_unknown(model, thumbnet.load_dataset(pack), 0.05)
    assert [isinstance(images, StreamedImages) for images in asked] == [True, True]


def test_neighbours_of_a_large_set_are_those_among_the_most_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (300, 3, 16, 16), np.uint8))
    images[200:250] = images[:50] // 2 + 60
    expected = duplicates.find_duplicates(images, with_flips=False)
    assert len(expected) >= 50
    monkeypatch.setattr(duplicates, "BLOCK_IMAGES", 40)
    monkeypatch.setattr(duplicates, "MOST_RANKED", 250)
    monkeypatch.setattr(duplicates, "NUM_RANKED", 20)
    found = duplicates.find_duplicates(images, with_flips=False)
    assert [(pair.first, pair.second) for pair in found] == [(pair.first, pair.second) for pair in expected]


def test_of_many_images_on_the_disk_a_part_is_compared(
    pack: str, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = thumbnet.load_dataset(pack, val_fraction=0).train.images
    everything = duplicates.find_duplicates(images, with_flips=False)
    monkeypatch.setattr(duplicates, "KEPT_BYTES", 100 * 4 * 192)
    assert duplicates.num_compared(images) == 100
    assert duplicates.num_compared(torch.empty(7, 3, 2, 2, dtype=torch.uint8)) == 7
    found = duplicates.find_duplicates(images, with_flips=False)
    assert [pair for pair in found if pair.likeness == 1] == [pair for pair in everything if pair.likeness == 1]


def train(dataset: thumbnet.Dataset, *, epochs: int, shuffle: Any = "auto", **rest: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = thumbnet.create_model("sprint", num_classes=3, in_channels=3, blocks="c8p")
    thumbnet.fit(
        model, dataset, epochs=epochs, batch_size=32, inputs=thumbnet.Inputs(augmentation="none", shuffle=shuffle),
        scorers=thumbnet.scorers(dataset, "val"), progress=Silent(), **rest,
    )  # fmt: skip
    return model.state_dict()


def test_an_order_by_blocks_gives_the_same_weights_from_the_disk_and_from_memory(
    pack: str, request: pytest.FixtureRequest
) -> None:
    in_memory = thumbnet.load_dataset(pack)
    request.getfixturevalue("little_memory")
    on_disk = thumbnet.load_dataset(pack)
    found = train(on_disk, epochs=2)
    for dataset, shuffle, is_same in (
        (in_memory, "blocks", True), (in_memory, "auto", False), (on_disk, "whole", False)
    ):  # fmt: skip
        other = train(dataset, epochs=2, shuffle=shuffle)
        assert all(torch.equal(found[name], other[name]) for name in found) == is_same

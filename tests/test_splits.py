"""What is held out: disjoint, complete, stratified, every class everywhere, and the same every time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thumbnet.data.dataset import Source, Split
from thumbnet.data.hold_out import hold_out
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.splits import CompleteSplits, complete_splits
from thumbnet.errors import ConfigError, DataError

CLASS_NAMES = tuple("abcdefg")

class_sizes = st.lists(st.integers(3, 60), min_size=2, max_size=7)
fractions = st.floats(0.01, 0.49)
seeds = st.integers(0, 2**32)


def shuffled_labels(sizes: list[int], seed: int = 0) -> torch.Tensor:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def split_of(labels: torch.Tensor, *, name: str = "train") -> Split:
    """Images whose pixels tell their position."""
    images = torch.arange(len(labels)).reshape(-1, 1, 1, 1).to(torch.uint8)
    return Split(images, labels, tuple(f"{name}/{position}.png" for position in range(len(labels))))


def source_of(sizes: list[int], *, val: Split | None = None, test: Split | None = None) -> SourceSplits:
    return SourceSplits(
        train=split_of(shuffled_labels(sizes)),
        val=val,
        test=test,
        class_names=CLASS_NAMES[: len(sizes)],
        flip_keeps_labels=True,
        source=Source("made-up", "made up"),
    )


def counts(split: Split | None) -> list[int]:
    assert split is not None
    return split.labels.bincount().tolist()


@given(sizes=class_sizes, val_fraction=fractions, test_fraction=fractions, seed=seeds)
def test_splits_are_disjoint_complete_and_stratified(
    sizes: list[int], val_fraction: float, test_fraction: float, seed: int
) -> None:
    labels = shuffled_labels(sizes)
    indices = hold_out(
        labels, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, class_names=CLASS_NAMES
    )
    assert torch.equal(torch.cat(indices).sort().values, torch.arange(len(labels)))
    for part in indices:
        assert torch.equal(part, part.sort().values)
        assert labels[part].bincount(minlength=len(sizes)).min() >= 1
    for part, fraction in ((indices.val, val_fraction), (indices.test, test_fraction)):
        for label, size in enumerate(sizes):
            taken = int((labels[part] == label).sum())
            assert abs(taken - size * fraction) <= 1


@given(sizes=class_sizes, seed=seeds)
def test_the_draw_depends_on_labels_fractions_and_seed_alone(sizes: list[int], seed: int) -> None:
    labels = shuffled_labels(sizes)
    draws = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        draws.append(hold_out(labels, val_fraction=0.2, test_fraction=0.1, seed=seed, class_names=CLASS_NAMES))
    assert all(torch.equal(first, second) for first, second in zip(*draws, strict=True))


def test_the_draw_never_changes() -> None:
    """Recorded with NumPy 2.4.6: another outcome means that published splits cannot be had again."""
    indices = hold_out(torch.arange(30) % 3, val_fraction=0.2, test_fraction=0.1, seed=0, class_names=CLASS_NAMES)
    assert indices.test.tolist() == [3, 11, 13]
    assert indices.val.tolist() == [1, 2, 15, 20, 21, 25]


def test_another_seed_draws_other_images() -> None:
    labels = shuffled_labels([100, 100])
    first, second = (
        hold_out(labels, val_fraction=0.1, test_fraction=0.1, seed=seed, class_names=CLASS_NAMES) for seed in (0, 1)
    )
    assert not torch.equal(first.test, second.test)
    assert not torch.equal(first.val, second.val)


def test_the_draw_prefers_no_position() -> None:
    """Of 200 seeds, each of 40 images of a class is in a tenth about 20 times (binomial: deviation 4.2)."""
    labels = torch.zeros(40, dtype=torch.int64)
    times = torch.zeros(40)
    for seed in range(200):
        times[hold_out(labels, val_fraction=0.0, test_fraction=0.1, seed=seed, class_names=CLASS_NAMES).test] += 1
    assert times.sum() == 200 * 4
    assert times.min() >= 3
    assert times.max() <= 37


@pytest.mark.parametrize("val_fraction", [0.0, 0.05, 0.5])
def test_the_test_split_does_not_depend_on_val_fraction(val_fraction: float) -> None:
    splits = source_of([20, 30, 40])
    reference = complete_splits(splits, val_fraction=0.1, split_seed=0)
    assert complete_splits(splits, val_fraction=val_fraction, split_seed=0).test.paths == reference.test.paths


def test_all_classes_with_too_few_images_are_named_at_once() -> None:
    with pytest.raises(DataError, match="class 'b' has 2 images for 3 splits, expected at least 3"):
        complete_splits(source_of([9, 2, 9]), val_fraction=0.1, split_seed=0)
    with pytest.raises(DataError, match="2 classes have fewer images than the 3 splits need: 'b' has 2, 'd' has 1"):
        complete_splits(source_of([9, 2, 9, 1]), val_fraction=0.1, split_seed=0)
    labels = torch.arange(30)
    with pytest.raises(DataError, match=r"'s' has 1, 't' has 1, and 10 more have too few"):
        hold_out(labels, val_fraction=0, test_fraction=0.1, seed=0, class_names="abcdefghijklmnopqrstuvwxyzABCD")


def test_three_images_of_a_class_fill_three_splits() -> None:
    completed = complete_splits(source_of([3, 3]), val_fraction=0.5, split_seed=0)
    assert [counts(split) for split in completed] == [[1, 1], [1, 1], [1, 1]]


@pytest.mark.parametrize(("sizes", "val_fraction", "needed"), [([5, 2], 0.1, 3), ([5, 1], 0.0, 2)])
def test_too_few_images_are_named(sizes: list[int], val_fraction: float, needed: int) -> None:
    with pytest.raises(DataError, match=f"class 'b' has {sizes[1]} .* at least {needed}") as caught:
        complete_splits(source_of(sizes), val_fraction=val_fraction, split_seed=0)
    assert caught.value.hint is not None
    assert ("val_fraction" in caught.value.hint) == (val_fraction > 0)  # which is no help where it is 0 already


def test_bare_train_gives_a_tenth_each_of_the_whole() -> None:
    completed = complete_splits(source_of([50, 100]), val_fraction=0.1, split_seed=0)
    assert isinstance(completed, CompleteSplits)
    assert [counts(split) for split in completed] == [[40, 80], [5, 10], [5, 10]]


def test_val_is_taken_from_train_where_test_is_given() -> None:
    test = split_of(torch.tensor([0, 1]), name="test")
    train, val, completed_test = complete_splits(source_of([50, 100], test=test), val_fraction=0.2, split_seed=0)
    assert (counts(train), counts(val)) == ([40, 80], [10, 20])
    assert completed_test is test


def test_test_is_a_tenth_of_train_where_val_is_given() -> None:
    val = split_of(torch.tensor([0, 1]), name="val")
    train, completed_val, test = complete_splits(source_of([50, 100], val=val), val_fraction=0.3, split_seed=0)
    assert (counts(train), counts(test)) == ([45, 90], [5, 10])
    assert completed_val is val


def test_splits_that_the_source_defines_are_used_as_such() -> None:
    val, test = split_of(torch.tensor([0, 1]), name="val"), split_of(torch.tensor([0, 1, 1]), name="test")
    splits = source_of([5, 1], val=val, test=test)
    completed = complete_splits(splits, val_fraction=0.3, split_seed=0)
    assert completed.train is splits.train
    assert completed.val is val
    assert completed.test is test


def test_val_fraction_0_holds_nothing_out() -> None:
    test = split_of(torch.tensor([0, 1]), name="test")
    splits = source_of([5, 1], test=test)
    assert complete_splits(splits, val_fraction=0.0, split_seed=0) == (splits.train, None, test)
    assert complete_splits(source_of([50, 100]), val_fraction=0.0, split_seed=0).val is None


def test_images_labels_and_paths_stay_together() -> None:
    splits = source_of([20, 30])
    for split in complete_splits(splits, val_fraction=0.2, split_seed=3):
        assert split is not None
        assert split.paths is not None
        positions = split.images.flatten().tolist()
        assert split.paths == tuple(f"train/{position}.png" for position in positions)
        assert torch.equal(split.labels, splits.train.labels[positions])


@pytest.mark.parametrize("has_test", [False, True])
def test_all_images_of_a_source_are_those_of_its_splits(has_test: bool) -> None:
    source = source_of([20, 1], test=split_of(torch.tensor([0, 1, 1]), name="test") if has_test else None)
    parts = [part for part in (source.train, source.test) if part is not None]
    joined = source.joined()
    assert joined.images.equal(torch.cat([part.images for part in parts]))
    assert joined.labels.equal(torch.cat([part.labels for part in parts]))
    assert joined.paths == tuple(path for part in parts for path in part.paths or ())


@pytest.mark.parametrize("val_fraction", [-0.1, 0.51, float("nan")])
def test_val_fraction_outside_its_range_is_refused(val_fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"val_fraction is .* 0 to 0\.5"):
        complete_splits(source_of([50, 100]), val_fraction=val_fraction, split_seed=0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="split_seed is -1"):
        complete_splits(source_of([50, 100]), val_fraction=0.1, split_seed=-1)

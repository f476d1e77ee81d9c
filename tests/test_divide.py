"""Images divided into parts: each has its share of every class, no group is in two, and the draw never changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbnet.data.divide import divide, fold_numbers
from thumbnet.data.hold_out import hold_out
from thumbnet.errors import DataError

NAMES = tuple("abcdefg")


def labels_of(sizes: Sequence[int], *, seed: int = 0) -> torch.Tensor:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def folds_of(labels: torch.Tensor, groups: torch.Tensor | None, num_folds: int, *, seed: int = 0) -> torch.Tensor:
    wanted = fold_numbers(labels.bincount().tolist(), num_folds)
    return divide(labels, groups, wanted, seed=seed, class_names=NAMES)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(8, 60), min_size=2, max_size=7),
    num_folds=st.integers(2, 8),
    seed=st.integers(0, 2**64 - 1),
)
def test_folds_are_stratified_and_differ_by_an_image_at_most(sizes: list[int], num_folds: int, seed: int) -> None:
    labels = labels_of(sizes)
    parts = folds_of(labels, None, num_folds, seed=seed)
    assert set(parts.tolist()) == set(range(num_folds))
    everything = parts.bincount()
    assert everything.max() - everything.min() <= 1
    for label in range(len(sizes)):
        numbers = parts[labels == label].bincount(minlength=num_folds)
        assert numbers.max() - numbers.min() <= 1


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), num_groups=st.integers(12, 60), num_folds=st.integers(2, 4))
def test_no_group_is_in_two_folds_and_every_class_is_in_each(seed: int, num_groups: int, num_folds: int) -> None:
    draw = np.random.default_rng(seed)
    groups = torch.from_numpy(draw.integers(0, num_groups, 400))
    labels = torch.from_numpy(draw.integers(0, 3, 400))
    parts = folds_of(labels, groups, num_folds, seed=seed)
    for group in groups.unique().tolist():
        assert len(set(parts[groups == group].tolist())) == 1
    for label in range(3):
        shares = parts[labels == label].bincount(minlength=num_folds) / (labels == label).sum()
        assert shares.min() > 0
        assert (shares - 1 / num_folds).abs().max() < 0.2


def test_small_groups_fill_the_folds_evenly() -> None:
    """Like the cells of modules: 60 groups of 36 or 72 images of two classes, and single ones."""
    draw = np.random.default_rng(0)
    groups = np.concatenate([np.repeat(np.arange(60), draw.choice([6, 12], 60)), np.arange(60, 200)])
    labels = (draw.random(len(groups)) < 0.3).astype(np.int64)
    parts = folds_of(torch.from_numpy(labels), torch.from_numpy(groups), 4)
    for label in range(2):
        numbers = np.bincount(parts.numpy()[labels == label], minlength=4)
        assert numbers.max() - numbers.min() <= 1  # the single ones even out what the groups leave


def test_the_draw_never_changes() -> None:
    """Recorded with NumPy 2.4.6: another outcome means that recorded folds cannot be had again."""
    labels = torch.arange(30) % 3
    groups = torch.tensor([*[0] * 7, *[1] * 5, *range(2, 20)])
    assert "".join(map(str, folds_of(labels, None, 4).tolist())) == "200033121330202031110021113322"
    assert "".join(map(str, folds_of(labels, groups, 4).tolist())) == "000000011111323131220132223332"


@pytest.mark.parametrize("with_groups", [False, True])
def test_another_seed_draws_other_images(with_groups: bool) -> None:
    labels = torch.arange(60) % 2
    groups = torch.arange(60) // 3 if with_groups else None
    assert not torch.equal(folds_of(labels, groups, 3, seed=0), folds_of(labels, groups, 3, seed=1))


def test_a_part_without_a_class_gets_its_smallest_group() -> None:
    labels = torch.tensor([0] * 40 + [1] * 12)
    groups = torch.tensor([*range(40), *[40] * 10, 41, 42])  # one group holds nearly all of the second class
    parts = folds_of(labels, groups, 3)
    assert sorted(parts[40:].unique().tolist()) == [0, 1, 2]


def test_too_few_groups_are_named() -> None:
    labels = torch.tensor([0] * 20 + [1] * 20)
    groups = torch.tensor([*range(20), *[20] * 10, *[21] * 10])
    with pytest.raises(DataError, match="class 'b' has 2 groups for 3 splits, expected at least 3") as caught:
        folds_of(labels, groups, 3)
    assert "fewer folds" in str(caught.value.hint)


def test_groups_that_cannot_be_parted_are_told() -> None:
    labels = torch.tensor([0] * 10 + [2] + [3] * 10 + [2] + [1] * 10)
    groups = torch.tensor([0] * 11 + [1] * 11 + list(range(2, 12)))
    wanted = np.array(
        [[10, 0, 1, 10], [0, 10, 1, 0]]
    )  # the two groups of class "c" are all that the first part can get
    with pytest.raises(DataError, match="the groups of class 'c' hold other classes, too"):
        divide(labels, groups, wanted, seed=0, class_names=NAMES)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), val_fraction=st.sampled_from([0.0, 0.1, 0.3]))
def test_what_is_held_out_by_groups(seed: int, val_fraction: float) -> None:
    draw = np.random.default_rng(seed)
    groups = torch.from_numpy(draw.integers(0, 100, 300))
    labels = torch.from_numpy(draw.integers(0, 2, 300))
    held = hold_out(labels, val_fraction=val_fraction, test_fraction=0.1, seed=seed, class_names=NAMES, groups=groups)
    assert torch.equal(torch.cat(held).sort().values, torch.arange(300))
    sides = [set(groups[part].tolist()) for part in held]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert (len(held.val) > 0) == (val_fraction > 0)
    for part, fraction in ((held.val, val_fraction), (held.test, 0.1)):
        for label in range(2):
            size = int((labels == label).sum())
            assert abs(int((labels[part] == label).sum()) - fraction * size) <= 6
    without = hold_out(labels, val_fraction=0.2, test_fraction=0.1, seed=seed, class_names=NAMES, groups=groups)
    assert val_fraction == 0.0 or torch.equal(without.test, held.test)


def test_groups_of_one_image_each_are_held_out_in_the_numbers_of_today() -> None:
    labels = labels_of([50, 100])
    held = hold_out(labels, val_fraction=0.2, test_fraction=0.1, seed=3, class_names=NAMES, groups=torch.arange(150))
    assert [labels[part].bincount().tolist() for part in held] == [[35, 70], [10, 20], [5, 10]]


def test_three_groups_of_a_class_fill_three_splits() -> None:
    labels = torch.tensor([0] * 30 + [1] * 100)
    groups = torch.tensor([*[0] * 26, *[1] * 2, *[2] * 2, *range(3, 103)])
    held = hold_out(labels, val_fraction=0.1, test_fraction=0.1, seed=0, class_names=NAMES, groups=groups)
    for part in held:
        assert 0 in labels[part].tolist()

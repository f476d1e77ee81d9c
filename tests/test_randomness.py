"""An epoch's random numbers: shuffling does not depend on the augmentation, and old states go on as they began."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from fitting import fit_flat
from thumbnet.data.batches import shuffled_batches
from thumbnet.data.dataset import Dataset
from thumbnet.errors import CheckpointError
from thumbnet.training.randomness import epoch_randomness
from thumbnet.training.state import TrainingState

CPU = torch.device("cpu")
OLD_ORDER = [5, 6, 4, 1, 7, 2, 3, 0]
OLD_AUGMENTATION = [166, 701, 905, 936]
OLD_DROPOUT = [215, 928, 465, 904]


def tiny_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(432, 3))


def batches(num_drawn: int, scheme: int) -> list[list[int]]:
    """Those of an epoch in which the augmentation draws so many numbers for each."""
    shuffled = []
    with epoch_randomness(5, 1, CPU, scheme=scheme) as streams:
        for batch in shuffled_batches(12, 4, streams.shuffling):
            torch.rand(num_drawn, generator=streams.augmentation)
            shuffled.append(batch.tolist())
        shuffled.append(torch.randperm(9, generator=streams.shuffling).tolist())
    return shuffled


def test_what_the_augmentation_draws_does_not_change_the_batches() -> None:
    assert batches(0, scheme=2) == batches(7, scheme=2)
    assert batches(0, scheme=1) != batches(7, scheme=1)  # one stream, until 2026-11-28


def test_the_old_scheme_draws_what_it_drew() -> None:
    """The numbers of commit f7609f6."""
    with epoch_randomness(5, 1, CPU, scheme=1) as streams:
        assert torch.randperm(8, generator=streams.shuffling).tolist() == OLD_ORDER
        assert torch.randint(1000, (4,), generator=streams.augmentation).tolist() == OLD_AUGMENTATION
        assert torch.randint(1000, (4,)).tolist() == OLD_DROPOUT


def test_the_three_streams_differ() -> None:
    with epoch_randomness(5, 1, CPU) as streams:
        drawn = {torch.rand(3, generator=each) for each in (streams.shuffling, streams.augmentation, None)}
        assert len({tuple(numbers.tolist()) for numbers in drawn}) == 3


def test_a_state_goes_on_with_its_own_scheme(tiny_dataset: Dataset) -> None:
    states: list[TrainingState] = []
    fit_flat(tiny_net(), tiny_dataset, epochs=2, lr=0.01, on_epoch_end=states.append)
    assert [state.random_scheme for state in states] == [2, 2]
    old = dataclasses.replace(states[0], random_scheme=1)
    assert TrainingState(1, {}, {}, old.history).random_scheme == 1  # what has no name
    resumed = [
        fit_flat(tiny_net(), tiny_dataset, epochs=2, lr=0.01, resume_from=state, on_epoch_end=states.append)
        for state in (states[0], old)
    ]
    assert [state.random_scheme for state in states] == [2, 2, 2, 1]
    losses = [result.history[1].train_loss for result in resumed]
    assert losses[0] != losses[1]
    with pytest.raises(CheckpointError, match="scheme 3, which this version does not know"):
        fit_flat(tiny_net(), tiny_dataset, resume_from=dataclasses.replace(old, random_scheme=3))

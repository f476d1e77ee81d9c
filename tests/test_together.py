"""Processes of one training that would compute otherwise than the first one are refused."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch
from torch import nn

from thumbnet.errors import TrainingError
from thumbnet.training.ranks import Ranks
from thumbnet.training.together import begin_together, means_of


class Second(Ranks):
    """The second of two processes, the first of which says this word and has weights of 7."""

    def __init__(self, word: str) -> None:
        self.rank, self.size, self.word = 1, 2, word

    def agree(self, word: str | None) -> str:
        assert word is None
        return self.word

    def tell_all(self, word: str) -> list[str]:
        return [word, word]

    def take_from_first(self, values: torch.Tensor) -> None:
        values.fill_(7)


OWN = means_of(torch.device("cpu"), torch.bfloat16, None)


def test_the_first_processes_weights_are_taken() -> None:
    model = nn.Linear(1, 1)
    assert dataclasses.astuple(OWN) == ("cpu", "bfloat16", "pytorch")
    second = Second("cpu bfloat16 pytorch True")
    assert begin_together(second, model, None, OWN, has_clock=False)
    assert model.weight.item() == 7
    processors = sorted(os.sched_getaffinity(0))  # of which the tests' one thread needs one
    assert second.processors == (set(processors[len(processors) // 2 :][: len(processors) // 2]) or None)


@pytest.mark.parametrize(
    ("changes", "told", "hint"),
    [
        ({"device": "cuda"}, "device cuda, process 1 with device cpu", "--device cpu"),
        ({"precision": "float32"}, "precision float32, process 1 with precision bfloat16", "precision=float32"),
        ({"kernels": "native"}, "kernels native, process 1 with kernels pytorch", "kernels=pytorch"),
    ],
)
def test_other_means_are_refused(changes: dict[str, str], told: str, hint: str) -> None:
    first = dataclasses.asdict(OWN) | changes
    ranks = Second(" ".join([*first.values(), "False"]))
    with pytest.raises(TrainingError, match=f"the first process trains with {told}") as caught:
        begin_together(ranks, nn.Linear(1, 1), None, OWN, has_clock=False)
    assert hint in caught.value.hint

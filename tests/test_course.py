"""A training in steps, kept to a clock: it ends in time, at the end of its rate, and again so from its pace alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fitting import fit_flat
from thumbnet.data.dataset import Dataset, Split
from thumbnet.errors import CheckpointError, ConfigError
from thumbnet.evaluation.metrics import Evaluation
from thumbnet.runs.files.checkpoint import Checkpoint, checkpoint_from_bytes, checkpoint_to_bytes
from thumbnet.runs.known_data import KnownData
from thumbnet.specs.pace import Pace
from thumbnet.specs.schedules import Cosine, OneCycle
from thumbnet.training.clock import Clock, PaceKeeper
from thumbnet.training.history import EpochRecord
from thumbnet.training.length import Length
from thumbnet.training.progress import EpochPlan, Silent, StepReport
from thumbnet.training.result import FitResult
from thumbnet.training.state import TrainingState

STEPS_PER_EPOCH = 6  # 96 images, 16 a step
SCORING_S = 2.0


class Ticking(Silent):
    """A clock that each step and each scoring moves on."""

    def __init__(self, step_s: Callable[[int], float] = lambda step: 1.0) -> None:
        self.now_s = 100.0
        self.step_s = step_s
        self.num_steps = 0
        self.plans: list[EpochPlan] = []

    def epoch_begins(self, plan: EpochPlan) -> None:
        self.plans.append(plan)

    def step_ends(self, report: StepReport) -> None:
        self.now_s += self.step_s(self.num_steps)
        self.num_steps += 1

    def keep(self, state: TrainingState) -> None:
        self.now_s += SCORING_S

    def clock(self, *, seconds: float, **fields: Any) -> Clock:
        """Of a command that began now and takes so long, 10 s of it after the training."""
        deadline_s = self.now_s + seconds
        values = {"reserve_s": 10.0, "tolerance_s": 1.0, "max_steps": 10_000, "now": lambda: self.now_s}
        return Clock(deadline_s=deadline_s, **{**values, **fields})


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 3))


def fit_paced(model: nn.Module, dataset: Dataset, **fields: Any) -> FitResult[Evaluation]:
    values: dict[str, Any] = {"batch_size": 16, "augmentation": "none", "lr": 0.01, "device": "cpu"}
    return fit_flat(model, dataset, **{"schedule": OneCycle(), **values, **fields})


def test_steps_that_do_not_fill_their_last_epoch(tiny_dataset: Dataset) -> None:
    ticking = Ticking()
    result = fit_paced(linear(), tiny_dataset, pace=Pace(8), progress=ticking, score=["val"])
    assert len(result.history) == 2
    assert ticking.num_steps == 8
    assert [(plan.num_steps, plan.num_images, plan.num_epochs) for plan in ticking.plans] == [(6, 96, 2), (2, 32, 2)]
    assert result.history[-1].lr == 0.01 * OneCycle().factor(7, num_steps=8, steps_per_epoch=STEPS_PER_EPOCH)
    assert result.pace == Pace(8)


def test_whole_epochs_by_steps_are_those_by_epochs(tiny_dataset: Dataset) -> None:
    by_epochs, by_steps = linear(), linear()
    assert fit_paced(by_epochs, tiny_dataset, epochs=2).pace is None
    fit_paced(by_steps, tiny_dataset, pace=Pace(2 * STEPS_PER_EPOCH))
    assert all(torch.equal(a, b) for a, b in zip(by_epochs.parameters(), by_steps.parameters(), strict=True))


@pytest.mark.parametrize(("slower", "num_steps"), [(3.0, (85, 110)), (0.5, (240, 330))])
def test_a_training_that_gets_slower_or_faster_ends_in_time(
    tiny_dataset: Dataset, slower: float, num_steps: tuple[int, int]
) -> None:
    """Planned are 200 steps of a second; from the 50th on a step takes another time."""
    ticking = Ticking(lambda step: 1.0 if step < 50 else slower)
    clock = ticking.clock(seconds=210 + 34 * SCORING_S, scoring_s=SCORING_S)
    result = fit_paced(linear(), tiny_dataset, pace=Pace(200), clock=clock, progress=ticking, on_epoch_end=ticking.keep)
    assert ticking.now_s == pytest.approx(clock.deadline_s - 10.0, abs=0.05 * 278)
    assert num_steps[0] <= ticking.num_steps <= num_steps[1]
    assert result.pace is not None
    assert result.pace.num_steps == ticking.num_steps
    last = OneCycle().factor(199, num_steps=200, steps_per_epoch=STEPS_PER_EPOCH)
    assert result.history[-1].lr == 0.01 * last


def test_a_clock_that_is_over_ends_the_training_at_the_end_of_its_rate(tiny_dataset: Dataset) -> None:
    ticking = Ticking()
    result = fit_paced(
        linear(), tiny_dataset, pace=Pace(500), clock=ticking.clock(seconds=12), schedule=Cosine(), progress=ticking
    )
    assert ticking.num_steps < 8
    assert result.history[-1].lr == 0.01 * Cosine().factor(499, num_steps=500, steps_per_epoch=6)


def test_a_moments_delay_does_not_end_a_training(tiny_dataset: Dataset) -> None:
    """The fourth step takes as long as twenty; the reserve, twice as long then, would leave nothing."""
    ticking = Ticking(lambda step: 20.0 if step == 3 else 1.0)
    clock = ticking.clock(seconds=60, reserve_s=20.0, step_s={(12, 12): 1.0}, tolerance_s=1.0)
    fit_paced(linear(), tiny_dataset, pace=Pace(40), clock=clock, progress=ticking)
    assert ticking.num_steps == pytest.approx(21, abs=3)
    assert ticking.now_s == pytest.approx(clock.deadline_s - 20.0, abs=4)


def test_the_sizes_that_are_still_to_come_are_counted_by_their_own_times(tiny_dataset: Dataset) -> None:
    """Growing images: small ones take a second, large ones four, as was measured: the pace stays as it is."""
    ticking = Ticking(lambda step: 1.0 if step < 30 else 4.0)
    growth: dict[str, Any] = {"scales": (0.5, 1.0), "scale_starts": (0.0, 0.5)}
    train, test = (
        Split(split.images.repeat_interleave(3, 2).repeat_interleave(3, 3)[:, :, :32, :32], split.labels)
        for split in (tiny_dataset.train, tiny_dataset.test)
    )
    dataset = dataclasses.replace(tiny_dataset, train=train, val=None, test=test)
    clock = ticking.clock(seconds=30 + 4 * 30 + 10 + 0.5, step_s={(16, 16): 1.0, (32, 32): 4.0})
    model = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))
    result = fit_paced(model, dataset, pace=Pace(60), clock=clock, progress=ticking, **growth)
    assert result.pace == Pace(60)


def test_a_training_never_gets_longer_than_it_may(tiny_dataset: Dataset) -> None:
    ticking = Ticking()
    fit_paced(linear(), tiny_dataset, pace=Pace(20), clock=ticking.clock(seconds=1000, max_steps=30), progress=ticking)
    assert ticking.num_steps == 30


def test_what_passes_between_epochs_that_are_not_scored_is_training(
    tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Ticking):
        def epoch_ends(self, record: EpochRecord) -> None:
            self.now_s += 3.0

    ticking = Slow()
    begin_s = ticking.now_s
    seen: list[tuple[float, float]] = []
    monkeypatch.setattr(PaceKeeper, "_keep", lambda self, now_s: seen.append((self.trained_s, now_s - begin_s)))
    fit_paced(linear(), tiny_dataset, pace=Pace(60), clock=ticking.clock(seconds=90), progress=ticking, score_every=100)
    trained_s, passed_s = seen[-1]
    assert trained_s == passed_s > 60 + 8 * 3.0


def test_a_recorded_pace_gives_the_same_weights_without_a_clock(tiny_dataset: Dataset) -> None:
    ticking = Ticking(lambda step: 1.0 if step < 20 else 2.5)
    kept, again = linear(), linear()
    timed = fit_paced(kept, tiny_dataset, pace=Pace(60), clock=ticking.clock(seconds=70), progress=ticking)
    assert timed.pace is not None
    assert timed.pace.starts
    repeated = fit_paced(again, tiny_dataset, pace=timed.pace)
    assert [record.lr for record in repeated.history] == [record.lr for record in timed.history]
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), again.parameters(), strict=True))


def test_what_is_resumed_follows_the_last_pace_without_a_clock(tiny_dataset: Dataset) -> None:
    ticking = Ticking(lambda step: 1.0 if step < 10 else 3.0)
    states: list[TrainingState] = []
    whole = fit_paced(
        linear(), tiny_dataset, pace=Pace(60), clock=ticking.clock(seconds=70), progress=ticking,
        on_epoch_end=states.append,
    )  # fmt: skip
    stopped = next(state for state in states if state.pace is not None and state.pace.starts)
    assert stopped.epoch < len(whole.history)
    result = fit_paced(linear(), tiny_dataset, pace=Pace(60), resume_from=stopped)
    assert result.pace == stopped.pace
    assert stopped.pace is not None
    assert result.history[-1].lr == 0.01 * OneCycle().factor(59, num_steps=60, steps_per_epoch=STEPS_PER_EPOCH)
    with pytest.raises(CheckpointError, match=r"epochs is 9, but the state is of a training of \d+ steps"):
        fit_paced(linear(), tiny_dataset, epochs=9, resume_from=stopped)


def test_epochs_that_are_not_scored_keep_no_state(tiny_dataset: Dataset) -> None:
    states: list[TrainingState] = []
    result = fit_paced(linear(), tiny_dataset, pace=Pace(40), score_every=3, score=["val"], on_epoch_end=states.append)
    assert [state.epoch for state in states] == [3, 6, 7]
    scored: list[EpochRecord] = [record for record in result.history if record.val_accuracy is not None]
    assert [record.epoch for record in scored] == [3, 6, 7]
    assert set(result.scores) == {"val"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "none of epochs and pace is given"),
        ({"epochs": 1, "pace": Pace(3)}, "both of epochs and pace is given"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 1, "score_every": 0}, "score_every is 0"),
    ],
)
def test_what_is_no_length_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Length(**fields)


def test_a_checkpoint_keeps_the_pace_and_one_that_is_none_is_damaged(tiny_dataset: Dataset) -> None:
    pace = Pace(20, (6,), (5,))
    states: list[TrainingState] = []
    fit_paced(linear(), tiny_dataset, pace=pace, on_epoch_end=states.append)
    known_data = KnownData.of(tiny_dataset)
    read = checkpoint_from_bytes(checkpoint_to_bytes(Checkpoint(states[0], known_data, 1.0)), name="last.pt")
    assert read.state.pace == pace
    object.__setattr__(pace, "lengths", (0,))
    broken = checkpoint_to_bytes(Checkpoint(dataclasses.replace(states[0], pace=pace), known_data, 1.0))
    with pytest.raises(
        CheckpointError, match=r"last.pt is damaged: steps is 20, pace_starts \[6\] and pace_steps \[0\]"
    ):
        checkpoint_from_bytes(broken, name="last.pt")

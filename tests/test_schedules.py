"""schedules: the published steps, and the one-cycle's shape."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbnet.specs.schedules import Cosine, OneCycle, Schedule, StepSchedule


def test_published_schedule_is_a_tenth_from_epoch_15_to_the_end() -> None:
    schedule = StepSchedule(step_epochs=14, gamma=0.1, num_drops=1)
    for epochs in (20, 40):
        by_epoch = [
            schedule.factor(391 * epoch + 390, num_steps=391 * epochs, steps_per_epoch=391) for epoch in range(epochs)
        ]
        assert by_epoch == [1.0] * 14 + [0.1] * (epochs - 14)


def test_without_a_limit_the_rate_falls_again_and_again() -> None:
    schedule = StepSchedule(step_epochs=2, gamma=0.5)
    factors = [schedule.factor(step, num_steps=60, steps_per_epoch=10) for step in (0, 19, 20, 39, 40, 59)]
    assert factors == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("shape", [OneCycle, Cosine])
@given(num_steps=st.integers(1, 500), warmup_fraction=st.floats(0, 0.99))
def test_a_warmed_schedule_rises_then_falls_and_never_is_zero(
    shape: Callable[[float], Schedule], num_steps: int, warmup_fraction: float
) -> None:
    schedule = shape(warmup_fraction)
    factors = [schedule.factor(step, num_steps=num_steps, steps_per_epoch=1) for step in range(num_steps)]
    assert all(0 < factor <= 1 + 1e-9 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert abs(top + 1 - warmup_fraction * num_steps) <= 1


def test_one_cycle_peaks_at_one() -> None:
    assert OneCycle(0.25).factor(24, num_steps=100, steps_per_epoch=10) == 1.0
    assert OneCycle(0.0).factor(0, num_steps=100, steps_per_epoch=10) == pytest.approx(100 / 101)
    assert OneCycle(0.25).factor(99, num_steps=100, steps_per_epoch=10) == pytest.approx(1 / 76)


def test_cosine_is_half_a_period() -> None:
    schedule = Cosine(0.0)
    factors = [schedule.factor(step, num_steps=99, steps_per_epoch=9) for step in (24, 49, 74, 98)]
    assert factors == pytest.approx([0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0.000246720], rel=1e-5)

"""Figures of several runs: mean, deviation and interval against values of tables."""

from __future__ import annotations

import pytest

from thumbnet.evaluation.aggregate import Aggregate, aggregate, aggregate_rows


def test_the_interval_of_a_mean_is_students() -> None:
    found = aggregate([0.80, 0.82, 0.87])
    assert found.mean == pytest.approx(0.83)
    assert found.std == pytest.approx(0.036056, abs=1e-6)
    arm = 4.302653 * 0.036056 / 3**0.5  # t of two degrees of freedom, from a table
    assert (found.low, found.high) == (pytest.approx(0.83 - arm, abs=1e-5), pytest.approx(0.83 + arm, abs=1e-5))
    assert found.standard_error == pytest.approx(0.036056 / 3**0.5, abs=1e-6)


def test_one_value_has_no_interval() -> None:
    assert aggregate([0.5]) == Aggregate(1, 0.5, None, None, None)
    assert aggregate([0.5]).standard_error is None


def test_rows_are_summarised_by_the_figures_that_all_of_them_have() -> None:
    found = aggregate_rows([{"a": 1.0, "b": 2.0, "c": 0.0}, {"b": 4.0, "a": 1.0}])
    assert list(found) == ["a", "b"]
    assert found["b"].mean == 3.0
    assert found["a"].std == 0


def test_an_interval_keeps_to_what_a_figure_can_be() -> None:
    found = aggregate([0.9, 1.0]).within(0, 1)
    assert (found.low, found.high) == (pytest.approx(0.95 - 12.7062 * 0.05, abs=1e-4), 1)
    assert aggregate([0.5]).within(0, 1) == aggregate([0.5])

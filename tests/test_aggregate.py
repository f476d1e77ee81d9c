"""Figures of several runs: mean, deviation and interval against values of tables."""

from __future__ import annotations

import pytest

from thumbnet.evaluation.aggregate import Aggregate, aggregate, aggregate_rows
from thumbnet.evaluation.figure_names import is_of_per_cent
from thumbnet.runs.seeds.evaluate import aggregate_texts


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


@pytest.mark.parametrize(
    ("name", "values", "bound"),
    [
        ("auc", (0.98, 1.0), ("high", 1.0)),
        ("test_average_precision", (0.9, 0.99), ("high", 1.0)),
        ("test_accuracy_without_leaks", (0.9, 1.0), ("high", 1.0)),
        ("share_unsure", (0.01, 0.03), ("low", 0.0)),
        ("test_mcc", (-0.99, -0.9), ("low", -1.0)),
        ("test_loss", (0.01, 0.03), ("low", 0.0)),
    ],
)
def test_a_figure_of_a_known_name_keeps_to_its_range(
    name: str, values: tuple[float, float], bound: tuple[str, float]
) -> None:
    found = aggregate_rows([{name: value} for value in values])[name]
    assert getattr(found, bound[0]) == bound[1]


def test_of_a_metric_of_the_users_own_no_range_is_known() -> None:
    rows = [{"accuracy-points": 99.0}, {"accuracy-points": 100.0}]
    assert aggregate_rows(rows)["accuracy-points"] == aggregate([99.0, 100.0])
    assert is_of_per_cent("test_balanced_accuracy_without_leaks")
    assert not is_of_per_cent("accuracy-points")
    assert not is_of_per_cent("auc")


def test_equal_values_give_no_interval() -> None:
    found = aggregate([0.75, 0.75, 0.75])
    assert (found.mean, found.std, found.low, found.high) == (0.75, 0.0, None, None)
    assert aggregate([0.3 - 0.1, 0.4 - 0.2]).low is None  # equal but for rounding
    assert aggregate([0.75, 0.76]).low is not None
    assert aggregate_texts("accuracy", found) == ("75.00 %", "0.00", "-")

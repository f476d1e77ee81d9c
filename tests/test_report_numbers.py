"""The numbers of the report's tables: within a column, all have as many decimals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import torch

from test_report import random_predictions, report_of
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.predictions import Predictions
from thumbnet.views.numbers import per_cent
from thumbnet.views.report.charts import Line, draw_lines


class Tables(HTMLParser):
    """The rows of a page's tables, as texts of their cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.is_in_cell = False

    def handle_starttag(self, tag: str, attributes: object) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.is_in_cell = True
        elif tag == "small":  # the interval below a figure
            self.is_in_cell = False

    def handle_endtag(self, tag: str) -> None:
        self.is_in_cell &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.is_in_cell:
            self.tables[-1][-1][-1] += data.strip()


def columns(page: str) -> Iterator[tuple[str, list[str]]]:
    reader = Tables()
    reader.feed(page)
    for table in reader.tables:
        for heading, *cells in zip(*table, strict=True) if len({len(row) for row in table}) == 1 else ():
            yield heading, [cell for cell in cells if cell and cell != "-"]


def decimals(number: str) -> int:
    found = re.fullmatch(r"-?[\d,]+(?:\.(\d+))?(?: %)?", number)
    assert found is not None, number
    return len(found[1] or "")


def test_the_columns_of_every_table_have_one_number_of_decimals(tiny_dataset: Dataset) -> None:
    labels = tiny_dataset.test.labels
    logits = random_predictions(labels, 3).logits.clone()
    logits[:40] = 9 * torch.eye(3)[labels[:40]]
    found = dict(columns(report_of(tiny_dataset, Predictions(logits, labels))))
    assert {"precision", "recall", "F1", "training", "learning rate", "accuracy"} <= set(found)
    for heading in ("precision", "recall", "F1"):
        assert {decimals(cell) for cell in found[heading]} == {1}, found[heading]
    for heading, cells in found.items():
        numbers = [cell for cell in cells if re.fullmatch(r"-?[\d,.]+( %)?", cell)]
        assert len({decimals(number) for number in numbers}) <= 1, (heading, numbers)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.5, 1.0, 0.125], ("0.500", "1.000", "0.125")),
        ([2.0, 1.5, 1.25], ("2.000", "1.500", "1.250")),
        ([0.1, 0.001, 0.00002], ("0.10000", "0.00100", "0.00002")),
        ([120.0, 3.0], ("120", "3")),
        ([1234.5, 0.5], ("1234.5", "0.5")),
    ],
)
def test_the_values_of_a_line_have_as_many_decimals_as_the_least_needs(
    values: list[float], shown: tuple[str, ...]
) -> None:
    chart = draw_lines("t", [Line("a", list(range(len(values))), values)], x_label="epoch")
    assert tuple(stop.values[0] for stop in chart.stops) == shown
    assert [stop.x for stop in chart.stops] == [str(index) for index in range(len(values))]


def test_axes_keep_short_numbers() -> None:
    chart = draw_lines(
        "t", [Line("a", [0.1, 0.5], [0.862, 0.87])], x_label="share", x_format=per_cent, y_format=per_cent
    )
    assert [stop.values for stop in chart.stops] == [("86.2 %",), ("87.0 %",)]
    assert [stop.x for stop in chart.stops] == ["10.0 %", "50.0 %"]
    assert ">20 %<" in str(chart.svg)

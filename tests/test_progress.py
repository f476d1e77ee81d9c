"""progress: what a terminal, a log file, a notebook and the reference style are told."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

from thumbnet.training.history import EpochRecord
from thumbnet.training.progress import EpochPlan, Progress, StepReport, duration
from thumbnet.training.progress_displays import Bar, Lines, NotebookTable, ReferenceLog, pick_progress

PLAN = EpochPlan(epoch=1, num_epochs=20, lr=0.1, num_images=50_000, num_steps=391)
HALF_WAY = StepReport(
    num_steps=195, num_images=25_000, mean_loss=1.7, accuracy=0.35, last_loss=1.5, images_per_s=1234.0
)
LAST = StepReport(
    num_steps=391, num_images=50_000, mean_loss=1.5, accuracy=0.42698, last_loss=1.06561, images_per_s=1600.0
)
RECORD = EpochRecord(1, 0.1, 1.5, 0.42698, None, 0.5, 1.30071, 0.5258, 31.25, 1600.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(progress: Progress) -> None:
    progress.epoch_begins(PLAN)
    progress.step_ends(HALF_WAY)
    progress.step_ends(LAST)
    progress.epoch_ends(RECORD)


def test_where_classes_are_weighted_the_balanced_accuracy_stands_beside_each_accuracy() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.epoch_begins(PLAN)
    lines.epoch_ends(replace(RECORD, val_balanced_accuracy=0.4, test_balanced_accuracy=0.3))
    assert "val accuracy 50.00% (balanced 40.00%)  test accuracy 52.58% (balanced 30.00%)" in stream.getvalue()


def test_reference_log_lines_have_the_published_format() -> None:
    stream = io.StringIO()
    tell(ReferenceLog(stream, num_test_images=10_000, last_stepped_epoch=15))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Adjusting learning rate of group 0 to 1.0000e-01."
    assert lines[1] == "Epoch 1"
    assert re.fullmatch(
        r"Train: Loss=1\.0656 Batch_id=390 Accuracy=42\.70: 100%\|.+\| 391/391 \[\d\d:\d\d<\d\d:\d\d, .+\]", lines[2]
    )
    assert lines[3] == "Test set: Average loss: 1.3007, Accuracy: 5258/10000 (52.58%)"


def test_reference_log_tells_the_rate_only_while_the_schedule_is_stepped() -> None:
    stream = io.StringIO()
    log = ReferenceLog(stream, num_test_images=10_000, last_stepped_epoch=15)
    for epoch in (15, 16):
        log.epoch_begins(EpochPlan(epoch, 20, 0.01, 50_000, 391))
    assert stream.getvalue() == "Adjusting learning rate of group 0 to 1.0000e-02.\nEpoch 15\nEpoch 16\n"


def test_reference_log_moves_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    tell(ReferenceLog(stream, num_test_images=10_000))
    assert "391/391" in stream.getvalue()
    assert "Accuracy=42.70" in stream.getvalue()


def test_lines_come_every_ten_seconds_and_after_each_epoch() -> None:
    stream = io.StringIO()
    times = iter([0.0, 5.0, 11.0, 11.0, 22.0])
    lines = Lines(stream, now=lambda: next(times))
    lines.epoch_begins(PLAN)
    lines.step_ends(HALF_WAY)
    assert stream.getvalue() == ""
    lines.step_ends(HALF_WAY)
    assert stream.getvalue() == "epoch  1/20   50%  loss 1.7000  accuracy 35.00%  1,234 images/s\n"
    lines.step_ends(LAST)
    lines.epoch_ends(RECORD)
    last_line = stream.getvalue().splitlines()[-1]
    assert last_line == (
        "epoch  1/20  loss 1.5000  accuracy 42.70%  val accuracy 50.00%  test accuracy 52.58%  1,600 images/s  31.2 s"
    )


def test_bar_shows_loss_accuracy_and_speed_and_leaves_a_line() -> None:
    stream = Terminal()
    tell(Bar(stream))
    assert "loss 1.500, accuracy 42.7%" in stream.getvalue()
    assert " images/s" in stream.getvalue()
    assert stream.getvalue().endswith("31.2 s\n")


def test_notebook_table_updates_one_output() -> None:
    shown: list[str] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(bundle["text/plain"])

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Any:
        return Handle()

    times = iter([0.0, 0.1, 1.0, 1.0])  # at the start, at the first report, and twice at the second
    tell(NotebookTable(display, now=lambda: next(times)))
    assert shown[0] == "epoch  1/20 ..."
    assert shown[1].startswith("epoch  1/20  100%  loss 1.500")
    assert shown[2].endswith("31.2 s")
    assert len(shown) == 3


def test_the_place_picks_its_progress() -> None:
    assert isinstance(pick_progress(Terminal()), Bar)
    assert isinstance(pick_progress(io.StringIO()), Lines)


def test_a_forecast_is_told_once_above_what_moves() -> None:
    for stream in (io.StringIO(), Terminal()):
        progress = pick_progress(stream)
        progress.epoch_begins(PLAN)
        progress.step_ends(HALF_WAY)
        progress.forecast(67.4)
        progress.step_ends(LAST)
        progress.epoch_ends(RECORD)
        assert stream.getvalue().count("About 1 min 7 s of training on this machine") == 1
    reference = io.StringIO()
    log = ReferenceLog(reference, num_test_images=10_000)
    log.forecast(67.4)
    assert reference.getvalue() == ""  # its lines are the published ones


def test_durations_are_for_people() -> None:
    told = {0.44: "0.4 s", 9.94: "9.9 s", 9.96: "10 s", 59.4: "59 s", 59.6: "1 min 0 s"}
    told |= {320: "5 min 20 s", 3599.7: "1 h 0 min", 9900: "2 h 45 min"}
    assert {seconds: duration(seconds) for seconds in told} == told

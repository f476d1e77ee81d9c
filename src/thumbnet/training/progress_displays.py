"""How training is shown: a bar on a terminal, a live table in a notebook, lines in a log, the published lines.

All of it goes to stderr (a notebook's own output excepted); stdout is for results. A stream that breaks is ignored from
then on: the training goes on without it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from tqdm import tqdm

from thumbnet.terminal.streams import SteadyStream, Stream
from thumbnet.training.history import EpochRecord
from thumbnet.training.progress import EpochPlan, Progress, StepReport, duration

LOG_LINE_EVERY_S = 10.0  # in a plain log, within an epoch
NOTEBOOK_UPDATE_EVERY_S = 0.5


@runtime_checkable
class DisplayHandle(Protocol):
    """An output in a notebook that can be replaced."""

    def update(self, obj: object, /, *, raw: bool) -> None: ...


@runtime_checkable
class Display(Protocol):
    """IPython's `display`, as far as it is used here."""

    def __call__(self, obj: object, /, *, raw: bool, display_id: bool) -> DisplayHandle: ...


class Bar(Progress):
    """A moving bar for each epoch on a terminal, and a line that stays when it is done."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = SteadyStream(stream)

    def epoch_begins(self, plan: EpochPlan) -> None:
        self.plan = plan
        self.bar = tqdm(
            total=plan.num_images, desc=_epoch_name(plan), unit=" images", file=self.stream, leave=False, smoothing=0.1
        )

    def step_ends(self, report: StepReport) -> None:
        self.bar.set_postfix_str(f"loss {report.mean_loss:.3f}, accuracy {report.accuracy:.1%}", refresh=False)
        self.bar.update(report.num_images - self.bar.n)
        if report.num_steps == self.plan.num_steps:
            self.bar.refresh()

    def forecast(self, train_s: float) -> None:
        tqdm.write(_forecast_line(train_s), file=self.stream)  # above the bar

    def epoch_ends(self, record: EpochRecord) -> None:
        self.bar.close()
        print(f"{_epoch_name(self.plan)}  {_describe(record)}", file=self.stream, flush=True)


class Lines(Progress):
    """Plain lines for a log file: one after each epoch, and one every 10 s within a long one."""

    def __init__(self, stream: Stream | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.stream = SteadyStream(stream)
        self.now = now

    def epoch_begins(self, plan: EpochPlan) -> None:
        self.plan = plan
        self.last_line_s = self.now()

    def step_ends(self, report: StepReport) -> None:
        if self.now() - self.last_line_s < LOG_LINE_EVERY_S or report.num_steps == self.plan.num_steps:
            return
        self.last_line_s = self.now()
        share = report.num_images / self.plan.num_images
        self._print(
            f"{_epoch_name(self.plan)}  {share:4.0%}  loss {report.mean_loss:.4f}  accuracy {report.accuracy:.2%}  "
            f"{report.images_per_s:,.0f} images/s"
        )

    def forecast(self, train_s: float) -> None:
        self._print(_forecast_line(train_s))

    def epoch_ends(self, record: EpochRecord) -> None:
        self._print(f"{_epoch_name(self.plan)}  {_describe(record)}")

    def _print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class NotebookTable(Progress):
    """One output that is updated in place: a line for each epoch, the last one moving."""

    def __init__(self, display: Display, *, now: Callable[[], float] = time.monotonic) -> None:
        self.lines: list[str] = []
        self.handle = display({"text/plain": ""}, raw=True, display_id=True)
        self.now = now
        self.last_update_s = now()

    def epoch_begins(self, plan: EpochPlan) -> None:
        self.plan = plan
        self._show(f"{_epoch_name(plan)} ...")

    def step_ends(self, report: StepReport) -> None:
        if self.now() - self.last_update_s < NOTEBOOK_UPDATE_EVERY_S:
            return
        self.last_update_s = self.now()
        share = report.num_images / self.plan.num_images
        self._show(
            f"{_epoch_name(self.plan)}  {share:4.0%}  loss {report.mean_loss:.3f}  accuracy {report.accuracy:.1%}  "
            f"{report.images_per_s:,.0f} images/s"
        )

    def forecast(self, train_s: float) -> None:
        self.lines.append(_forecast_line(train_s))

    def epoch_ends(self, record: EpochRecord) -> None:
        self.lines.append(f"{_epoch_name(self.plan)}  {_describe(record)}")
        self._show()

    def _show(self, moving_line: str = "") -> None:
        self.handle.update({"text/plain": "\n".join([*self.lines, moving_line]).rstrip()}, raw=True)


class ReferenceLog(Progress):
    """The published run's log lines, in their format: a bar that stays, and the test set's line under it.

    "Adjusting learning rate" stands before an epoch whose rate was set anew: the published run stepped its schedule
    after each of the first 14 epochs, so `last_stepped_epoch` is 15 there; None prints it before every epoch.
    """

    def __init__(self, stream: Stream | None, *, num_test_images: int, last_stepped_epoch: int | None = None) -> None:
        self.stream = SteadyStream(stream)
        self.num_test_images = num_test_images
        self.last_stepped_epoch = last_stepped_epoch
        self.is_terminal = self.stream.isatty()

    def epoch_begins(self, plan: EpochPlan) -> None:
        self.plan = plan
        if self.last_stepped_epoch is None or plan.epoch <= self.last_stepped_epoch:
            self._print(f"Adjusting learning rate of group 0 to {plan.lr:.4e}.")
        self._print(f"Epoch {plan.epoch}")
        self.begin_s = time.monotonic()
        if self.is_terminal:
            self.bar = tqdm(total=plan.num_steps, file=self.stream)

    def step_ends(self, report: StepReport) -> None:
        description = (
            f"Train: Loss={report.last_loss:.4f} Batch_id={report.num_steps - 1} Accuracy={100 * report.accuracy:.2f}"
        )
        is_last = report.num_steps == self.plan.num_steps
        if self.is_terminal:
            self.bar.set_description(description, refresh=False)
            self.bar.update(report.num_steps - self.bar.n)
            if is_last:
                self.bar.close()
        elif is_last:
            elapsed_s = time.monotonic() - self.begin_s
            self._print(
                tqdm.format_meter(report.num_steps, self.plan.num_steps, elapsed_s, ncols=100, prefix=description)
            )

    def epoch_ends(self, record: EpochRecord) -> None:
        if self.is_terminal:
            self.bar.close()  # again, or of an epoch that a change of pace made shorter
        if record.test_loss is not None and record.test_accuracy is not None:
            num_correct = round(record.test_accuracy * self.num_test_images)
            self._print(
                f"Test set: Average loss: {record.test_loss:.4f}, Accuracy: {num_correct}/{self.num_test_images} "
                f"({100 * record.test_accuracy:.2f}%)\n"
            )

    def _print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


def pick_progress(stream: Stream | None = None) -> Progress:
    """What suits the place: a live table in a notebook, a bar on a terminal, lines elsewhere."""
    display = _notebook_display()
    if display is not None:
        return NotebookTable(display)
    steady = SteadyStream(sys.stderr if stream is None else stream)
    return Bar(steady) if steady.isatty() else Lines(steady)


def _notebook_display() -> Display | None:
    """IPython's display function where this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display


def _forecast_line(train_s: float) -> str:
    return f"About {duration(train_s)} of training on this machine, going by the first steps."


def _epoch_name(plan: EpochPlan) -> str:
    width = len(str(plan.num_epochs))
    return f"epoch {plan.epoch:>{width}}/{plan.num_epochs}"


def _describe(record: EpochRecord) -> str:
    parts = [f"loss {record.train_loss:.4f}", f"accuracy {record.train_accuracy:.2%}"]
    scored = (
        ("val", record.val_accuracy, record.val_balanced_accuracy),
        ("test", record.test_accuracy, record.test_balanced_accuracy),
    )
    for split, accuracy, balanced in scored:
        if accuracy is not None:
            parts.append(
                f"{split} accuracy {accuracy:.2%}" + ("" if balanced is None else f" (balanced {balanced:.2%})")
            )
    return "  ".join([*parts, f"{record.images_per_s:,.0f} images/s", f"{record.train_s:.1f} s"])

"""The loggers of a run: opened, given its epochs and its end, and found again where it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from thumbnet.runs.tensorboard import TensorBoardLog, without_tracebacks
from thumbnet.specs.loggers import LOGGERS, check_loggers
from thumbnet.training.history import History

KINDS = {"tensorboard": TensorBoardLog}  # by the names in LOGGERS


@dataclass(frozen=True)
class Logs:
    """The open ones."""

    logs: tuple[TensorBoardLog, ...]

    def epochs_end(self, history: History) -> None:
        for log in self.logs:
            log.epochs_end(history)

    def run_ends(self, metrics: Mapping[str, object]) -> None:
        for log in self.logs:
            log.run_ends(metrics)


@contextmanager
def opened_logs(names: Sequence[str], run: Path, *, history: History, score_every: int) -> Iterator[Logs]:
    """The loggers with these names, while this lasts.

    Args:
        history: of a run that goes on: epochs that a logger has not got, or perhaps not got, are given to it again.
        score_every: epochs from one checkpoint to the next. Those up to the last checkpoint but one are surely in a
            log, since it gets them before the next epoch is trained.

    Raises:
        ExtraMissingError: a package is not installed; RunError: a log cannot be written.
    """
    check_loggers(names)
    num_kept = max(0, len(history) - 1) // score_every * score_every
    with ExitStack() as stack:
        logs = []
        stack.enter_context(without_tracebacks())
        for name in sorted(set(names)):
            log = KINDS[name](run, num_kept=num_kept)
            stack.callback(log.close)
            log.epochs_end(history)
            logs.append(log)
        yield Logs(tuple(logs))


def loggers_to_go_on(asked: Sequence[str], run: Path) -> tuple[str, ...]:
    """Those that are asked for, and those that a run, or a run in it, had before."""
    had = [name for name in LOGGERS if (run / name).is_dir() or any(each.is_dir() for each in run.glob(f"*/{name}"))]
    return tuple(dict.fromkeys((*asked, *had)))

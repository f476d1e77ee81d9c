"""A run by several processes: the first one makes it, the others help it to train."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, RunError
from thumbnet.runs.files.names import CONFIG
from thumbnet.runs.rank_job import help_training, send_training
from thumbnet.runs.run import Run, load_run
from thumbnet.specs.launch import Launch, this_launch
from thumbnet.specs.trust import trusting
from thumbnet.terminal.text import counted
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.ranks import Ranks, current_ranks, joined, last_ranks
from thumbnet.training.state import TrainingState

TRAINS = "trains"


def over_ranks(alone: Callable[[], Run], *, go_on: Callable[[Path], Run]) -> Run:
    """The run that `alone` makes; where a launcher started this process, together with the others that it started.

    The first process calls `alone`, or after a restart `go_on` with the folder that it had begun; the others train with
    it, and load the run when it is finished, from the same folder.

    Raises:
        RankLostError: another process has ended; RunError: a run begun before a restart is gone; and as `alone`.
    """
    launch = this_launch()
    if launch is None:
        return alone()
    if not launch.is_first:
        folder = follow(launch)
        with trusting(True):  # the first process was allowed to execute what it keeps, and has loaded it
            return load_run(folder)
    with joined(launch) as ranks:
        begun = ranks.remembered_folder()
        run = alone() if begun is None else go_on(_still_there(Path(begun)))
        ranks.agree(str(run.path.resolve()))
        return run


def _still_there(folder: Path) -> Path:
    """The folder of a run that was begun before a restart."""
    if not (folder / CONFIG).exists():
        raise RunError(
            f"the run in {folder} was begun before the processes were started again, and is not here now",
            hint="have one machine be the first always (torchrun's --node-rank 0), or give --run-dir a folder that all "
            "of them see",
        )
    return folder


def follow(launch: Launch) -> Path:
    """Train with the first process, which says when; returns the folder of its run."""
    with joined(launch) as ranks, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first process tells them
        while (word := ranks.agree(None)) == TRAINS:
            help_training(ranks)
        return Path(word)


def call_others(
    config: TrainConfig, dataset: Dataset, *, teacher: TeacherLogits | None, state: TrainingState | None
) -> Ranks | None:
    """Have the others train with this process, which is about to, from this state; None where there are none."""
    ranks = current_ranks()
    if ranks is not None:
        ranks.agree(TRAINS)
        send_training(ranks, config, dataset, teacher=teacher, state=state)
    return ranks


def remember_folder(path: Path) -> None:
    """Go on with the run in this folder, should a launcher begin again."""
    ranks = last_ranks()
    if this_launch() is not None and ranks is not None:
        ranks.remember_folder(str(path.resolve()))


def check_for_ranks(config: TrainConfig) -> None:
    """ConfigError for what the processes cannot train: batches with fewer images than there are processes, or a
    compiled network whose norms are those of the whole batch."""
    ranks = current_ranks()
    if ranks is None:
        return
    if config.batch_size < ranks.size:
        raise ConfigError(
            f"batch_size is {config.batch_size}, but {ranks.size} processes share each batch",
            hint=f"give a batch_size of {ranks.size} or more, or start fewer processes",
        )
    if config.engine.compiled and config.engine.sync_norm:  # never tried: it would have to trace these sums
        raise ConfigError(
            f"compiled is true, and so is sync_norm, by which the norms of {ranks.size} processes add up their numbers",
            hint="set sync_norm = false or compiled = false, or start one process",
        )


def describe_ranks(config: TrainConfig, num_threads: int) -> str:
    """A sentence on the processes; empty where there is one."""
    ranks = current_ranks()
    if ranks is None:
        return ""
    norms = "the whole batch" if config.engine.sync_norm else "each process's own part of a batch"
    processes = f"{ranks.size} processes of {counted(num_threads, 'thread')}"
    return f"{processes} train together; norms take the statistics of {norms}."

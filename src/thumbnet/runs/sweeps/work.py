"""The trials of a sweep, made one after the other: proposed, held against the limits, trained, told to the study."""

from __future__ import annotations

import itertools
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.errors import ConfigError, RunError, ThumbnetError, TrainingError
from thumbnet.models.trace import trace_model
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.parts import build_model
from thumbnet.runs.resolve import Say, say_nothing
from thumbnet.runs.sweeps.claims import claim, trials_before
from thumbnet.runs.sweeps.limits import beyond
from thumbnet.runs.sweeps.proposals import GivenValues, propose, sampler_of
from thumbnet.runs.sweeps.question import MEASURES, Question
from thumbnet.runs.sweeps.rows import (
    COUNTED,
    EPOCHS,
    MACS,
    NUM_PARAMS,
    NUM_THREADS,
    REASON,
    REFUSED,
    SECONDS,
    VAL_LOSS,
    read_trials,
)
from thumbnet.runs.sweeps.space import combinations, config_of_trial, have_one_length, num_trials
from thumbnet.runs.sweeps.storage import STORAGE_ERRORS
from thumbnet.runs.sweeps.trial import train_trial, value_of
from thumbnet.runs.sweeps.whole import with_whole_names
from thumbnet.specs.search import Dimension
from thumbnet.terminal.text import counted
from thumbnet.training.history import History
from thumbnet.training.progress import LogStyle
from thumbnet.training.threads import computing_with

MAX_FAILED = 5  # trials one after the other, then the sweep ends
MAX_REFUSED = 100
LIMIT = "beyond the limits"  # the constraint that a refused trial breaks


@dataclass(frozen=True)
class Sweep:
    """All that a process needs to make trials. `accept_changes`: finish those that were killed also where processor,
    threads or the like are others than before. `worker`: as in `claim`."""

    path: Path
    question: Question
    config: TrainConfig
    dimensions: Sequence[Dimension]
    dataset: Dataset
    leaks: Leaks
    study: optuna.Study
    log_style: LogStyle
    say: Say
    deadline_s: float | None = None
    accept_changes: bool = False
    worker: str = ""

    @property
    def wanted(self) -> int | None:
        """How many trials; None: as many as the minutes give."""
        return num_trials(self.dimensions, self.question.trials, grid=self.question.grid)

    @property
    def gives_up(self) -> bool:
        """Whether a trial that is behind the others is given up."""
        return not self.question.grid and have_one_length(self.config, self.dimensions)

    @property
    def place(self) -> str:
        return place_of(self.path, self.question)


def place_of(path: Path, question: Question) -> str:
    """By which the trials of a sweep's folder are known in a study that others share."""
    return question.folder_id or f"{socket.gethostname()}:{path.resolve()}"


def folder_of(number: int) -> str:
    """The name of a trial's folder."""
    return f"trial-{number:04d}"


def make_trials(sweep: Sweep, left: Sequence[int], after_each: Callable[[], None]) -> None:
    """Finish the trials of these numbers, then make as many as are wanted, or as the minutes give.

    Raises:
        TrainingError: several trials in a row failed; ConfigError: very many in a row were beyond the limits;
            RunError: a trial cannot go on here, and is left as it is.
    """
    for number in left:
        sweep.say(f"Going on with trial {number}.")
        _make(sweep, optuna.Trial(sweep.study, sweep.study.get_trials(deepcopy=False)[number]._trial_id))
        after_each()
    while _has_time(sweep):
        trial = claim(
            sweep.study, sweep.place, wanted=sweep.wanted, of_any_end=sweep.question.grid, worker=sweep.worker
        )
        if trial is None:
            return
        _make(sweep, trial)
        after_each()
        _check_progress(sweep)


def _has_time(sweep: Sweep) -> bool:
    """Whether a trial that takes as long as the others would end before the minutes are over. The first one begins
    whatever they are."""
    if sweep.deadline_s is None:
        return True
    trials = [trial for trial in read_trials(sweep.study) if trial.place == sweep.place and trial.state in COUNTED]
    expected_s = statistics.median(trial.seconds or 0.0 for trial in trials) if trials else 0.0
    if not trials or time.perf_counter() + expected_s <= sweep.deadline_s:
        return True
    sweep.say("The minutes are over: no further trial begins.")
    return False


def _check_progress(sweep: Sweep) -> None:
    """An error where one trial after the other leads to nothing: since the last one that counts, several failed or very
    many were refused. Those that still run, in this process or another, say nothing yet."""
    if sweep.question.grid:
        return  # each is another combination
    ended = [trial for trial in read_trials(sweep.study) if trial.state != "running"]
    in_vain = list(itertools.takewhile(lambda trial: trial.state not in COUNTED, reversed(ended)))
    failed = [trial for trial in in_vain if trial.state == "failed"]
    if len(failed) >= MAX_FAILED:
        raise TrainingError(
            f"the last {len(failed)} trials failed, the last one so: {failed[0].reason}",
            hint="search values with which it can train, then go on with --resume, or sweep anew",
        )
    if len(in_vain) - len(failed) >= MAX_REFUSED:
        raise ConfigError(
            f"the last {len(in_vain) - len(failed)} proposals were beyond the limits, of "
            f"{sweep.question.max_params:,} parameters and {sweep.question.max_macs:,} MACs",
            hint="search smaller networks, or raise --max-params or --max-macs",
        )


def _make(sweep: Sweep, trial: optuna.Trial) -> None:
    """One trial, from its values to what is told of it. What its values lead to is why it fails; what the machine
    refuses, whose disk is full or which is another one than before, is raised, and the trial is left to be finished."""
    if sweep.question.grid:
        number = len(trials_before(sweep.study, trial.number))  # the same whenever it is asked
        sweep.study.sampler = GivenValues(combinations(sweep.dimensions)[number])
    else:
        sweep.study.sampler = sampler_of(sweep.config.seed, trial.number)
    propose(trial, sweep.dimensions)
    values = " ".join(f"{field}={_shown(trial.params[field])}" for field in trial.params)
    sweep.say(f"Trial {trial.number}: {values}")
    try:
        with computing_with(sweep.config.engine.threads):  # what is chosen before the training, too
            _train(sweep, trial)
    except (*STORAGE_ERRORS, RunError):
        raise
    except ThumbnetError as error:
        _fail(sweep, trial, error.message)
    except Exception as error:  # noqa: BLE001  # of the user's own code, say: the next trial may be better
        _fail(sweep, trial, f"{type(error).__name__}: {error}")


def _train(sweep: Sweep, trial: optuna.Trial) -> None:
    question = sweep.question
    asked = with_whole_names(config_of_trial(sweep.config, sweep.dimensions, trial.params), question.names)
    with _blaming_values():
        dataset, config = load_checked(asked, say=say_nothing, dataset=sweep.dataset)
    trace = trace_model(build_model(config, dataset), dataset.image_shape)
    trial.set_user_attr(NUM_PARAMS, trace.num_params)
    trial.set_user_attr(MACS, trace.macs)
    reasons = beyond(trace, max_params=question.max_params, max_macs=question.max_macs)
    if reasons:
        _refuse(sweep, trial, " and ".join(reasons))
        return
    may_give_up = sweep.gives_up
    reported = set(sweep.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def gives_up(history: History) -> bool:
        for record in history:
            if record.epoch not in reported and record.val_accuracy is not None:
                trial.report(value_of(record, question.measure), record.epoch)
                reported.add(record.epoch)
        return may_give_up and trial.should_prune()

    result = train_trial(
        sweep.path / folder_of(trial.number),
        config,
        dataset,
        asked=asked,
        leaks=sweep.leaks,
        measure=question.measure,
        gives_up=gives_up,
        log_style=sweep.log_style,
        accept_changes=sweep.accept_changes,
    )
    trial.set_user_attr(EPOCHS, result.epochs)
    trial.set_user_attr(SECONDS, result.seconds)
    trial.set_user_attr(VAL_LOSS, result.val_loss)
    trial.set_user_attr(NUM_THREADS, result.num_threads)
    after = f"after {counted(result.epochs, 'epoch')}, {MEASURES[question.measure]} {result.value:.2%} on validation"
    if result.is_pruned:
        sweep.study.tell(trial, state=TrialState.PRUNED)
        sweep.say(f"Trial {trial.number}: given up {after}")
    else:
        sweep.study.tell(trial, result.value)
        sweep.say(f"Trial {trial.number}: finished {after}")


@contextmanager
def _blaming_values() -> Iterator[None]:
    """ConfigError instead of RunError: a run that a trial's values name, to begin with or to teach, cannot be used."""
    try:
        yield
    except RunError as error:
        raise ConfigError(error.message, hint=error.hint) from error


def _refuse(sweep: Sweep, trial: optuna.Trial, reason: str) -> None:
    """Tell the study that such a network is not wanted, so that the sampler avoids its like."""
    trial.set_user_attr(REASON, reason)
    trial.set_user_attr(REFUSED, True)
    if LIMIT not in trial.constraints:
        trial.set_constraint(LIMIT, 1.0)
    sweep.study.tell(trial, state=TrialState.PRUNED)
    sweep.say(f"Trial {trial.number}: not trained, since its {reason}")


def _fail(sweep: Sweep, trial: optuna.Trial, reason: str) -> None:
    trial.set_user_attr(REASON, reason)
    sweep.study.tell(trial, state=TrialState.FAIL)
    sweep.say(f"Trial {trial.number}: failed: {reason}")


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

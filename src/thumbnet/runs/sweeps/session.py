"""What one command does in a sweep: trials one after the other, or several at once in processes of this machine."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.errors import ConfigError, JobsFailedError, RunError, TrainingError
from thumbnet.runs.as_read import as_read
from thumbnet.runs.files.checked_folder import CheckedFolder
from thumbnet.runs.files.names import BEST, SWEEP_REPORT
from thumbnet.runs.jobs.job import Job, Outcome, Setting, check_all_done
from thumbnet.runs.jobs.run_jobs import run_jobs
from thumbnet.runs.leaks import look_for_leaks
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.resolve import say_nothing, speaker
from thumbnet.runs.sweeps.claims import left_by, left_running
from thumbnet.runs.sweeps.proposals import pruner_of
from thumbnet.runs.sweeps.question import Question
from thumbnet.runs.sweeps.report import build_sweep_report
from thumbnet.runs.sweeps.results import SweepResult, train_command, write_table
from thumbnet.runs.sweeps.rows import best_of, read_trials
from thumbnet.runs.sweeps.space import num_trials
from thumbnet.runs.sweeps.storage import STORAGE_ERRORS, Place, opened_study, storage_in
from thumbnet.runs.sweeps.work import Sweep, make_trials, place_of
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.data import ARRAYS
from thumbnet.specs.search import Dimension
from thumbnet.terminal.text import quoted
from thumbnet.training.progress import LogStyle


@dataclass(frozen=True)
class Session:
    """All that a process needs to make trials, and can be sent to another one.

    Args:
        path: the sweep's folder.
        dataset: as it was read, since each trial begins by itself; None: the process reads it.
        leaks: in the data; None: the process looks for them.
        epochs: of the recipe, by which it is pruned.
        place: the storage; None: in the sweep's folder.
        deadline_s: by `time.perf_counter`, which is the same for all processes of a machine; None: no end.
        accept_changes: finish killed trials also where processor, threads or the like are others than before.
    """

    path: Path
    question: Question
    config: TrainConfig
    dimensions: tuple[Dimension, ...]
    dataset: Dataset | None
    leaks: Leaks | None
    epochs: int
    place: Place | None
    log_style: LogStyle
    deadline_s: float | None
    accept_changes: bool = False

    @property
    def storage(self) -> Place:
        return storage_in(self.path) if self.place is None else self.place

    def work(self, study: optuna.Study, worker: str = "") -> Sweep:
        """What this process, the `worker` of several, makes trials of; RunError where its data is not the sweep's."""
        dataset = self.dataset
        if dataset is None:
            read, _ = load_checked(self.config, say=say_nothing)
            dataset = as_read(read, self.config)
        if dataset.checksum() != self.question.data_checksum:
            raise RunError(
                f"{self.path} was begun on other data: the checksum of its images and labels differs",
                hint="go on with the data that it was begun on, or sweep anew",
            )
        study.pruner = pruner_of(self.epochs)
        return Sweep(
            path=self.path,
            question=self.question,
            config=self.config,
            dimensions=self.dimensions,
            dataset=dataset,
            leaks=look_for_leaks(dataset, say=say_nothing) if self.leaks is None else self.leaks,
            study=study,
            log_style=self.log_style,
            say=speaker(self.log_style),
            deadline_s=self.deadline_s,
            accept_changes=self.accept_changes,
            worker=worker,
        )

    def make(self, study: optuna.Study, left: Sequence[int], worker: str = "") -> None:
        """Finish the trials of these numbers, which a process was killed in, then make more."""
        make_trials(self.work(study, worker), left, lambda: self.write_table(study))

    def write_table(self, study: optuna.Study) -> None:
        """sweep.csv and best.toml of all trials so far."""
        folder, trials = CheckedFolder(self.path), read_trials(study)
        write_table(
            folder, self.config, self.dimensions, trials, measure=self.question.measure, names=self.question.names
        )


@dataclass(frozen=True)
class OneOfSeveral:
    """What one of the processes does. `worker` is a word that no other process has had, `left` the trials that it is to
    finish first."""

    session: Session
    worker: str
    left: tuple[int, ...]

    def __call__(self, setting: Setting) -> None:
        """Make trials until none is to be made."""
        with opened_study(self.session.storage, self.session.question.study) as study:
            self.session.make(study, self.left, self.worker)


def run_session(session: Session, at_once: AtOnce) -> SweepResult:
    """Make the trials, then the table and the page, also of what there is where the trials end in an error or Ctrl-C.

    Raises:
        JobsFailedError: of several processes, one died twice, or failed; the others went on.
        TrainingError: several trials in a row failed; ConfigError: very many in a row were beyond the limits;
            RunError: a trial cannot go on here, and is left to `resume_sweep`.
    """
    with opened_study(session.storage, session.question.study) as study:
        left = left_running(study, place_of(session.path, session.question), is_shared=session.place is not None)
        try:
            if at_once.is_one_after_the_other:
                session.make(study, left)
            else:
                _make_at_once(session, study, left, at_once)
        except (KeyboardInterrupt, JobsFailedError, TrainingError, ConfigError, RunError):
            with suppress(RunError, *STORAGE_ERRORS):  # as on a full disk: the first error is the one to be told
                _write_results(session, study)
            raise
        return _write_results(session, study)


def _write_results(session: Session, study: optuna.Study) -> SweepResult:
    """The table, the best recipe and the page of all trials so far."""
    session.write_table(study)
    trials = read_trials(study)
    result = SweepResult(
        session.path,
        tuple(trials),
        best_of(trials),
        train_command(session.path / BEST, session.config, session.question.names),
        session.question.measure,
    )
    page = build_sweep_report(result, session.question, session.config, session.dimensions, study)
    CheckedFolder(session.path).write(SWEEP_REPORT, page)
    return result


def _make_at_once(session: Session, study: optuna.Study, left: Sequence[int], at_once: AtOnce) -> None:
    """Make the trials in several processes. One that dies is begun once more, with the trials that it left."""
    dataset = session.dataset
    if dataset is not None and dataset.source.name != ARRAYS:  # each process reads it by itself
        session = replace(session, dataset=None)
    command, say = uuid.uuid4().hex, speaker(session.log_style)
    wanted = num_trials(session.dimensions, session.question.trials, grid=session.question.grid)
    number = at_once.jobs or 1
    number = number if wanted is None else min(number, wanted)
    given = {f"worker {index + 1}": tuple(left[index::number]) for index in range(number)}
    begun_again: set[str] = set()

    def job_of(name: str) -> Job:
        return Job(name, OneOfSeveral(session, f"{command} {name}", given[name]))

    def on_end(outcome: Outcome) -> Job | None:
        name = outcome.name
        if outcome.has_died and name not in begun_again:
            begun_again.add(name)
            given[name] = tuple(left_by(study, f"{command} {name}", given[name]))
            say(f"{name}: {outcome.error}: it is begun once more")
            return job_of(name)
        if outcome.error is not None:
            say(f"{name}: failed: {outcome.error}")
        return None

    jobs = [job_of(name) for name in given]
    outcomes = run_jobs(jobs, at_once, threads=session.config.engine.threads, say=say, on_end=on_end)
    check_all_done(outcomes, hint=f"go on with: thumbnet sweep --run-dir {quoted(session.path)} --resume")

"""Trainings of one recipe into a folder that holds all of them, one after the other or several at once: other seeds,
or other folds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from thumbnet.config import AUTO_INIT, TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import RunError
from thumbnet.evaluation.figure_names import or_balanced
from thumbnet.models.pretrained import list_pretrained
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.files.names import CONFIG, SHARED_CONFIG
from thumbnet.runs.jobs.job import Job, Outcome, check_all_done
from thumbnet.runs.jobs.run_jobs import run_jobs
from thumbnet.runs.known_data import KnownData, Sibling
from thumbnet.runs.member import Member, MemberCall, Start, train_member
from thumbnet.runs.resolve import speaker
from thumbnet.runs.resume import ResumeOptions
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.specs.at_once import AtOnce
from thumbnet.terminal.text import quoted
from thumbnet.training.threads import computing_with


def train_all(
    folder: RunDir,
    members: Sequence[Member],
    options: ResumeOptions,
    *,
    start_of: Callable[[RunDir, TrainConfig], Start],
    have_equal_data: bool,
    dataset: Dataset | None = None,
    began_s: float | None = None,
    told: Collection[str] = (),
    at_once: AtOnce,
    known_data: KnownData | None = None,
) -> list[Run]:
    """Load the runs that are finished, go on with those that were stopped, and train those that are missing.

    Args:
        folder: has the config that all share, as it was resolved, and perhaps the plan of their minutes.
        start_of: gives what a missing run begins with, from the folder and its config; if runs are trained at once, it
            is pickled.
        have_equal_data: the runs are trained on equal data, and divide it in the same way.
        dataset: the data, for a run that was stopped; None: it is read.
        began_s: when the command began that the first run's minutes are of; None: now.
        told: what was said of the data already; what is said for a run is not said again for the next ones.
        at_once: how many at once, and where; each then has minutes from when it begins.
        known_data: of the data that the command has read, if others read it anew: theirs must be equal before they
            train. None: each run's must equal that of a finished one, if there is one.

    Raises:
        RunError: data is named, but no run is there that tells whether it is the same; or runs that must have equal
            data do not.
        JobsFailedError: of runs that were trained at once, some failed; the others are finished.
    """
    config = folder.read_config(SHARED_CONFIG)
    folder.allow_code(config.model, config.inputs.augmentation)
    if options.data is not None and not (folder.path / members[0].name / CONFIG).exists():
        raise RunError(
            f"data is {options.data!r}, but {folder.path} holds no run yet", hint="leave --data out, or train anew"
        )
    is_moved = options.data is not None or options.data_dir is not None
    threads = at_once.threads_here(config.engine.threads, num_runs=len(members))
    num_here = len(members) if at_once.is_one_after_the_other else int(is_moved)  # one tells where the data is now
    runs: list[Run] = []
    known = set(told)
    for member in members[:num_here]:
        with computing_with(threads):
            run, start = train_member(
                folder,
                member,
                options,
                start_of=partial(start_of, folder),
                place=runs[0].config if runs else None,
                sibling=_sibling(runs) if have_equal_data else None,
                dataset=dataset,
                began_s=began_s,
                told=known,
                threads=threads,
            )
        began_s = None  # that of the first run alone: the command's
        if start.dataset is not None:
            known |= {start.dataset.source.note, *start.dataset.source.remarks}
        runs.append(run)
        if have_equal_data:
            _check_equal_data(runs)
    rest = members[num_here:]
    if rest:
        finished = runs or [load_run(path) for path in _finished(folder, rest)[:1]]
        read = None if known_data is None else Sibling(folder.path, known_data)
        calls = [
            MemberCall(
                member=member,
                options=options,
                start_of=start_of,
                place=runs[0].config if runs else None,
                sibling=(read or _sibling(finished)) if have_equal_data else None,
                dataset=dataset,
                told=tuple(known),
            )
            for member in rest
        ]
        runs += _trained_at_once(folder, calls, at_once, threads, options, finished=finished)
        if have_equal_data:
            _check_equal_data(runs)
    return runs


def _trained_at_once(
    folder: RunDir,
    calls: Sequence[MemberCall],
    at_once: AtOnce,
    threads: int | None,
    options: ResumeOptions,
    *,
    finished: Sequence[Run],
) -> list[Run]:
    """The runs of these calls, each loaded once: those that are `finished` were before, others as they end."""
    say, names = speaker(options.log_style), [call.member.name for call in calls]
    config = folder.read_config(SHARED_CONFIG)
    is_moved = options.data is not None or options.data_dir is not None
    jobs = [
        Job(name, call, folder.path, _runs_read(config, is_begun=(folder.path / name / CONFIG).exists()))
        for name, call in zip(names, calls, strict=True)
        if is_moved or not RunDir(folder.path / name).is_complete
    ]
    num_done = len(calls) - len(jobs)
    loaded = {run.path.name: run for run in finished}

    def tell(outcome: Outcome) -> None:
        nonlocal num_done
        if outcome.error is not None:
            say(f"{outcome.name}: failed: {outcome.error}")
            return
        num_done += 1
        loaded[outcome.name] = load_run(folder.path / outcome.name)
        found = known_metrics(loaded[outcome.name].metrics)
        accuracy = f"{found.test_accuracy:.2%}{or_balanced(found.test_accuracy, found.test_balanced_accuracy)}"
        say(f"{outcome.name}: finished, test accuracy {accuracy} ({num_done} of {len(calls)} runs)")

    hint = f"train what is missing with: thumbnet train --resume {quoted(folder.path)}"
    outcomes = run_jobs(jobs, at_once, threads=threads, say=say, on_end=tell, hint=hint)
    check_all_done(outcomes, hint=hint)
    return [loaded[name] if name in loaded else load_run(folder.path / name) for name in names]


def _runs_read(config: TrainConfig, *, is_begun: bool) -> tuple[str, ...]:
    """The folders of the runs that a training learns from, or begins with."""
    named = [config.objective.teacher] if isinstance(config.objective.teacher, str) else []
    if not is_begun and config.init not in (None, AUTO_INIT, *list_pretrained()):
        named.append(str(config.init))
    return tuple(named)


def _finished(folder: RunDir, members: Sequence[Member]) -> list[Path]:
    paths = [folder.path / member.name for member in members]
    return [path for path in paths if RunDir(path).is_complete]


def _sibling(runs: Sequence[Run]) -> Sibling | None:
    return Sibling(runs[0].path, runs[0].known_data) if runs else None


def _check_equal_data(runs: Sequence[Run]) -> None:
    for run in runs[1:]:
        if run.card.data_checksum != runs[0].card.data_checksum:
            raise RunError(
                f"{run.path} was trained on other images or labels than {runs[0].path}: their checksums differ",
                hint=f"delete {run.path} and go on where the first one's data is, or train all of them anew",
            )

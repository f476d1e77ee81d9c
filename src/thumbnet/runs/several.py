"""Trainings of one recipe, one after the other, into a folder that holds all of them: other seeds, or other folds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.errors import RunError
from thumbnet.runs.names import CONFIG, SHARED_CONFIG
from thumbnet.runs.resume import ResumeOptions, go_on, relocated
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.train import begin


@dataclass(frozen=True)
class Member:
    """One of the runs: the name of its folder, and the fields of the config that are its own."""

    name: str
    fields: Mapping[str, object]


@dataclass(frozen=True)
class Start:
    """What a run begins with: its data, None where it is still to be read, and the leaks in it, None where they are
    still to be looked for."""

    dataset: Dataset | None = None
    leaks: Leaks | None = None


def train_all(
    folder: RunDir,
    members: Sequence[Member],
    options: ResumeOptions,
    *,
    start_of: Callable[[TrainConfig], Start],
    have_equal_data: bool,
    dataset: Dataset | None = None,
    began_s: float | None = None,
    told: Collection[str] = (),
) -> list[Run]:
    """Load the runs that are finished, go on with one that was stopped, and train those that are missing.

    Args:
        folder: has the config that all share, as it was resolved, and perhaps the plan of their minutes.
        start_of: gives what a missing run begins with, from its config.
        have_equal_data: the runs are trained on equal data, and divide it in the same way.
        dataset: the data, for a run that was stopped; None: it is read.
        began_s: when the command began that the first run's minutes are of; None: now.
        told: what was said of the data already; what is said for a run is not said again for the next ones.

    Raises:
        RunError: data is named, but no run is there that tells whether it is the same; or runs that must have equal
            data do not.
    """
    config, asked, plan = folder.read_config(SHARED_CONFIG), folder.read_asked(), folder.read_plan()
    config = config.replace(exclude=folder.exclusions(config), groups=folder.groups(config))
    folder.allow_code(config.model, config.inputs.augmentation)
    if options.data is not None and not (folder.path / members[0].name / CONFIG).exists():
        raise RunError(
            f"data is {options.data!r}, but {folder.path} holds no run yet", hint="leave --data out, or train anew"
        )
    runs: list[Run] = []
    known = set(told)
    for member in members:
        run_began_s = time.perf_counter() if began_s is None else began_s
        began_s = None  # that of the first run alone: the command's
        path = folder.path / member.name
        sibling = runs[0] if runs and have_equal_data else None
        if (path / CONFIG).exists():
            run = go_on(path, options, dataset=dataset, sibling=sibling)
        else:
            if runs:  # whose config tells where the data is now
                config = config.replace(data=runs[0].config.data, data_dir=runs[0].config.data_dir)
            own = relocated(
                config.replace(**member.fields), data=None, data_dir=options.data_dir, device=options.device
            )
            start = start_of(own)
            run = begin(
                own,
                run_dir=path,
                log_style=options.log_style,
                pictures=options.pictures,
                asked=None if asked is None else asked.replace(**member.fields),
                is_resolved=True,
                dataset=start.dataset,
                data_note=folder.data_note(),
                remarks=folder.training_remarks(),
                sibling=sibling,
                leaks=start.leaks,
                are_leaks_told=start.leaks is not None,
                told=known,
                plan=plan,
                clock=None if plan is None else plan.clock(deadline_s=run_began_s + 60 * plan.minutes),
                loggers=options.loggers,
            )
            if start.dataset is not None:
                known |= {start.dataset.source.note, *start.dataset.source.remarks}
        if sibling is not None and run.card.data_checksum != sibling.card.data_checksum:
            raise RunError(
                f"{run.path} was trained on other images or labels than {sibling.path}: their checksums differ",
                hint=f"delete {run.path} and go on where the first one's data is, or train all of them anew",
            )
        runs.append(run)
    return runs

"""One of several runs in a folder: begun, or gone on with, in this process or in another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.runs.files.names import CONFIG, SHARED_CONFIG
from thumbnet.runs.jobs.job import Setting
from thumbnet.runs.known_data import Sibling
from thumbnet.runs.resume import ResumeOptions, go_on, relocated
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.train import begin
from thumbnet.training.stopping import OnEpochEnd


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


def train_member(
    folder: RunDir,
    member: Member,
    options: ResumeOptions,
    *,
    start_of: Callable[[TrainConfig], Start],
    place: TrainConfig | None = None,
    sibling: Sibling | None = None,
    dataset: Dataset | None = None,
    began_s: float | None = None,
    told: Collection[str] = (),
    threads: int | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> tuple[Run, Start]:
    """The finished run, and what it began with if it was begun now.

    Args:
        folder: has the config that all share, as it was resolved, and perhaps the plan of their minutes.
        start_of: gives what a missing run begins with, from its config.
        place: the config of another run, which tells where the data is now.
        sibling: a finished run on equal data.
        dataset: the data, for a run that was stopped; None: it is read.
        began_s: when the minutes of the run began, by `time.perf_counter`; None: now.
        told: what was said of the data already.
        threads: that a run which is begun computes with, unless the config says so; None: as PyTorch has it.
    """
    path = folder.path / member.name
    if (path / CONFIG).exists():
        return go_on(path, options, dataset=dataset, sibling=sibling, on_epoch_end=on_epoch_end), Start()
    config, asked, plan = folder.read_config(SHARED_CONFIG), folder.read_asked(), folder.read_plan()
    config = config.replace(exclude=folder.exclusions(config), groups=folder.groups(config))
    if place is not None:
        config = config.replace(data=place.data, data_dir=place.data_dir)
    if config.engine.threads is None:
        config = config.replace(threads=threads)
    own = relocated(config.replace(**member.fields), data=None, data_dir=options.data_dir, device=options.device)
    began_s = time.perf_counter() if began_s is None else began_s
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
        told=told,
        plan=plan,
        clock=None if plan is None else plan.clock(deadline_s=began_s + 60 * plan.minutes),
        on_epoch_end=on_epoch_end,
        loggers=options.loggers,
    )
    return run, start


@dataclass(frozen=True)
class MemberCall:
    """`train_member` as a job; its arguments are those of it."""

    member: Member
    options: ResumeOptions
    start_of: Callable[[RunDir, TrainConfig], Start]
    place: TrainConfig | None
    sibling: Sibling | None
    dataset: Dataset | None
    told: tuple[str, ...]

    def __call__(self, setting: Setting) -> None:
        folder = RunDir(setting.folder)
        train_member(
            folder,
            self.member,
            self.options,
            start_of=lambda own: self.start_of(folder, own),
            place=self.place,
            sibling=self.sibling,
            dataset=self.dataset,
            told=self.told,
            threads=setting.threads,
            on_epoch_end=setting.on_epoch_end,
        )

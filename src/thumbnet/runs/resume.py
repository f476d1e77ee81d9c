"""Going on with a run that was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import CheckpointError
from thumbnet.runs.changes import check_accepted, config_changes
from thumbnet.runs.environment import Environment, environment_of, using_threads
from thumbnet.runs.files.names import CONFIG
from thumbnet.runs.fit_and_write import with_pace_of
from thumbnet.runs.known_data import Sibling
from thumbnet.runs.loggers import loggers_to_go_on
from thumbnet.runs.parts import build_model
from thumbnet.runs.ranks import check_for_ranks, over_ranks, remember_folder
from thumbnet.runs.refit import check_refit
from thumbnet.runs.resolve import Say, describe_data, load_data, speaker
from thumbnet.runs.run import Run, load_run, open_run_dir
from thumbnet.runs.train_in_folder import train_in_folder
from thumbnet.specs.engine import Device
from thumbnet.specs.loggers import check_loggers
from thumbnet.specs.own_code import give_again
from thumbnet.specs.trust import takes_trust
from thumbnet.training.progress import LogStyle
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import OnEpochEnd
from thumbnet.training.threads import computing_with


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """The arguments of `resume` that hold for each run of a folder of several, too."""

    data: str | None = None
    data_dir: str | Path | None = None
    device: Device | None = None
    log_style: LogStyle = "auto"
    pictures: bool = True
    accept_changes: bool = False
    loggers: tuple[str, ...] = ()


@takes_trust
def resume(
    run_dir: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    device: Device | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
    accept_changes: bool = False,
    dataset: Dataset | None = None,
    model: object = None,
    on_epoch_end: OnEpochEnd | None = None,
    loggers: Sequence[str] = (),
    trust_code: bool = False,
) -> Run:
    """Go on with a run that was stopped, to the same end as if it never had been; a finished one is just loaded.

    Args:
        run_dir: its folder. Without a checkpoint in it, the run starts again from its config.
        data, data_dir: where its data is now, if not as recorded; both as in `load_dataset`. config.toml then names
            that place, also of a finished run.
        device: what to compute on now, if not as recorded.
        log_style, pictures, dataset, on_epoch_end: as in `train`. Nothing is recorded of a function: give it again.
        loggers: as in `train`; those that the run has go on by themselves.
        accept_changes: go on although the config was edited, or although device, precision, kernels, number of threads,
            processor or PyTorch's version are others than before: the end is then another one, and metrics.json has a
            list `resumed_with_changes`. Another number of processes is accepted without it, and is in that list, too.
        model, trust_code: as in `load_run`.

    Raises:
        CheckpointError: the checkpoint is damaged, or something is different; or the data is not that which the run was
            started on; or `data` is given, and no checkpoint says which that was.
        ConfigError: more processes would train it than its batches have images.
        RunError: another process is training it.
    """
    if model is not None:
        give_again(open_run_dir(run_dir).read_config(may_be_edited=True).model, model)
    check_loggers(loggers)
    options = ResumeOptions(
        data=data,
        data_dir=data_dir,
        device=device,
        log_style=log_style,
        pictures=pictures,
        accept_changes=accept_changes,
        loggers=tuple(loggers),
    )

    def again(folder: str | Path) -> Run:
        return go_on(folder, options, dataset=dataset, on_epoch_end=on_epoch_end)

    return over_ranks(lambda: again(run_dir), go_on=again)


def go_on(
    run_dir: str | Path,
    options: ResumeOptions,
    *,
    dataset: Dataset | None = None,
    sibling: Sibling | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> Run:
    """Like `resume`; if the run has no checkpoint, its data must equal that of `sibling`."""
    say = speaker(options.log_style)
    folder = open_run_dir(run_dir)
    is_moved = options.data is not None or options.data_dir is not None
    if folder.is_complete and not is_moved:
        return _say_finished(load_run(folder.path), say)
    with folder.locked():
        finished = load_run(folder.path) if folder.is_complete else None  # by another process meanwhile, perhaps
        edited = [] if folder.is_as_written(CONFIG) else [f"{CONFIG} was edited"]
        started = folder.read_config(may_be_edited=True)
        folder.allow_code(started.model, started.inputs.augmentation)
        checkpoint = None if finished is not None else folder.read_checkpoint()
        if checkpoint is not None and checkpoint.config is not None:
            edited = _edits(checkpoint.config, checkpoint.state, started) or edited
        check_accepted(edited, folder=folder.path, accept_changes=options.accept_changes)
        known_data = None if checkpoint is None else checkpoint.known_data
        reference = finished if finished is not None else sibling
        if known_data is None and reference is not None:
            known_data = reference.known_data
        if options.data is not None and known_data is None:
            raise CheckpointError(
                f"data is {options.data!r}, but {folder.path} has no checkpoint that says what data it was started on",
                hint="leave --data out, or begin a new run",
            )
        config = relocated(started, data=options.data, data_dir=options.data_dir, device=options.device)
        if finished is None:
            check_for_ranks(config)
        config = config.replace(exclude=folder.exclusions(config), groups=folder.groups(config))
        dataset, config = load_data(config, say=say, dataset=dataset, is_resolved=True)
        check_refit(config, dataset)
        if known_data is not None:
            known_data.check(dataset, run_dir=folder.path)
        dataset = dataset.with_note(folder.data_note()).with_remark(*folder.training_remarks())
        choice = folder.read_init_choice()
        if choice is not None:  # an earlier version kept no remarks
            dataset = dataset.with_remark(choice.reason)
        loggers = () if finished is not None else loggers_to_go_on(options.loggers, folder.path)
        recorded = Environment() if checkpoint is None else checkpoint.environment
        asked, before = config.engine.threads, recorded.num_threads_now()
        as_before = using_threads(before, say=say) if asked is None else computing_with(asked)
        with as_before:
            model = build_model(config, dataset)
            now = environment_of(config, model)
            changes, of_ranks = recorded.differences(now), recorded.difference_of_ranks(now)
            refused = [change for change in changes if change not in of_ranks]
            check_accepted(refused, folder=folder.path, accept_changes=options.accept_changes)
            if is_moved or edited:
                moved = started.replace(data=config.data, data_dir=config.data_dir)
                folder.write_config(moved, note=describe_data(dataset))
            folder.add_checksum(CONFIG)
            if finished is not None:
                return _say_finished(load_run(folder.path), say)
            remember_folder(folder.path)
            if checkpoint is not None and checkpoint.config is None:
                say("Its checkpoint is of an earlier version and records no threads and kernels: they may differ.")
            done, pace = (0, None) if checkpoint is None else (checkpoint.state.epoch, checkpoint.state.pace)
            epochs = with_pace_of(config, pace, dataset).epochs
            is_in_second = config.refit and done == epochs
            where = "in its second training (refit), which begins anew"
            say(f"Resuming {folder.path} {where if is_in_second else f'after epoch {done} of {epochs}'}.")
            if of_ranks:
                say(f"The end may differ in rounding, which metrics.json records: {', '.join(of_ranks)}.")
            if folder.read_plan() is not None:
                say("It follows the pace that it had last, and no clock: its minutes are over when they are.")
            begins = "in the second training" if is_in_second else f"from epoch {done + 1} on"
            changes = [f"{begins}: {change}" for change in (*edited, *changes)]
            return train_in_folder(
                folder,
                config,
                dataset,
                model,
                log_style=options.log_style,
                pictures=options.pictures,
                checkpoint=checkpoint,
                changes=changes,
                on_epoch_end=on_epoch_end,
                loggers=loggers,
            )


def _edits(then: TrainConfig, state: TrainingState, now: TrainConfig) -> list[str]:
    """How the config differs from a checkpoint's, which has its first pace where that of its state is a later one."""
    edits, pace = config_changes(then, now), state.pace
    if pace is None or now.steps is None:
        return edits
    later = then.replace(
        epochs=now.epochs,
        steps=pace.steps,
        pace_starts=list(pace.starts) or None,
        pace_steps=list(pace.lengths) or None,
    )
    return edits if config_changes(later, now) else []


def _say_finished(run: Run, say: Say) -> Run:
    say(f"{run.path} is finished: nothing to resume.")
    return run


def relocated(
    config: TrainConfig, *, data: str | None, data_dir: str | Path | None, device: Device | None
) -> TrainConfig:
    """A run's config for a place where its data or the device is another; what is None stays as it is."""
    if data not in (None, config.data):
        config = config.replace(data=data, data_dir=None)
    changes = {"data_dir": None if data_dir is None else str(data_dir), "device": device}
    return config.replace(**{name: value for name, value in changes.items() if value is not None})

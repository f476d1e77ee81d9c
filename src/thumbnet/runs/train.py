"""The main path: from a config to a run folder with a trained model, its metrics and its pictures."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from thumbnet.config import AUTO_INIT, TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.recipes import load_recipe
from thumbnet.runs.choices.init import with_chosen_init
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.known_data import Sibling
from thumbnet.runs.leaks import keep_leaks, look_for_leaks
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.parts import build_model
from thumbnet.runs.planning.choose import plan_training
from thumbnet.runs.planning.constants import INIT_TRIAL_SHARE
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.ranks import over_ranks, remember_folder
from thumbnet.runs.resolve import Say, describe_data, describe_val, execute_own_code, say_nothing, speaker
from thumbnet.runs.resume import ResumeOptions, go_on
from thumbnet.runs.run import Run, create_run_dir
from thumbnet.runs.train_in_folder import train_in_folder
from thumbnet.specs.loggers import check_loggers
from thumbnet.specs.own_code import give
from thumbnet.specs.trust import takes_trust
from thumbnet.training.clock import Clock
from thumbnet.training.progress import LogStyle
from thumbnet.training.stopping import OnEpochEnd
from thumbnet.training.threads import obeys_threads


@takes_trust
@obeys_threads
def train(
    config: TrainConfig | None = None,
    *,
    run_dir: str | Path | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
    dataset: Dataset | None = None,
    began_s: float | None = None,
    model: object = None,
    augmentation: object = None,
    on_epoch_end: OnEpochEnd | None = None,
    loggers: Sequence[str] = (),
    trust_code: bool = False,
) -> Run:
    """Train as `config` says (None: the default recipe) and leave a run folder.

    Args:
        config: from `load_recipe`, for instance.
        run_dir: a new or empty folder; None: `runs/<recipe>-<n>`.
        log_style: `auto` picks what suits the place, `reference` prints the published log lines, `silent` nothing.
        pictures: draw network, curves, confusion matrix and misclassified images, and write report.html; False: leave
            all of these out (`write_report` makes the report later).
        dataset: the data, read before by `load_dataset` with the config's data, val_fraction, split_seed and exclude;
            None: it is read now. The run's config records the image size that it has, if the config names no other.
        began_s: when the command began that the config's minutes are of, by `time.perf_counter`; None: now.
        model: a network of the user's own in the place of the config's: a class or function that may take `num_classes`
            and `in_channels`, or a module, of which a copy is trained. What is in a file that is a module by itself is
            recorded as `net.py:Net`, and the file kept in the run; what is in a script or a notebook must be given to
            `load_run` again.
        augmentation: likewise, in the place of the config's: a function from a batch uint8 [N,C,H,W] to the same.
        on_epoch_end: gets the training's state after each epoch that was scored, once it is kept; it may return
            `thumbnet.STOP`, which ends the training after this epoch. An error in it ends the run, which can be
            resumed.
        loggers: `tensorboard`: also write the figures of each epoch, and the pictures of the end, into the run's folder
            of that name.
        trust_code: execute the code that a run was trained with which the config's `init` or `teacher` names.

    Returns:
        Run: the finished run, as `load_run` gives it.

    Raises:
        ThumbnetError: the config, the data, the model, the folder or the training fails; its hint says what to do.
    """
    check_loggers(loggers)
    config = with_own_code(load_recipe() if config is None else config, model, augmentation)
    began_s = time.perf_counter() if began_s is None else began_s
    restarted = ResumeOptions(log_style=log_style, pictures=pictures, accept_changes=True, loggers=tuple(loggers))

    def after_restart(folder: Path) -> Run:
        execute_own_code(config)
        return go_on(folder, restarted, dataset=dataset, on_epoch_end=on_epoch_end)

    return over_ranks(
        lambda: _train_new(
            config,
            run_dir=run_dir,
            log_style=log_style,
            pictures=pictures,
            dataset=dataset,
            began_s=began_s,
            on_epoch_end=on_epoch_end,
            loggers=loggers,
        ),
        go_on=after_restart,
    )


def _train_new(
    config: TrainConfig,
    *,
    run_dir: str | Path | None,
    log_style: LogStyle,
    pictures: bool,
    dataset: Dataset | None,
    began_s: float,
    on_epoch_end: OnEpochEnd | None,
    loggers: Sequence[str],
) -> Run:
    if config.minutes is None:
        return begin(
            config,
            run_dir=run_dir,
            log_style=log_style,
            pictures=pictures,
            dataset=dataset,
            on_epoch_end=on_epoch_end,
            loggers=loggers,
        )
    planned = plan_training(config, began_s=began_s, say=speaker(log_style), pictures=pictures, dataset=dataset)
    return begin(
        planned.config,
        run_dir=run_dir,
        log_style=log_style,
        pictures=pictures,
        asked=config,
        dataset=planned.dataset,
        leaks=planned.leaks,
        plan=planned.record,
        init_choice=planned.init_choice,
        clock=planned.record.clock(deadline_s=began_s + 60 * config.minutes),
        on_epoch_end=on_epoch_end,
        loggers=loggers,
    )


def with_own_code(config: TrainConfig, model: object, augmentation: object) -> TrainConfig:
    """The config with a model and an augmentation that were given in Python; the options of its own model go."""
    if model is not None:
        config = config.replace(model=give(model), model_options={}, **_still_planned(config, "model", "model_options"))
    if augmentation is not None:
        config = config.replace(augmentation=give(augmentation), **_still_planned(config, "augmentation"))
    return config


def _still_planned(config: TrainConfig, *given: str) -> dict[str, object]:
    """The field `planned` without these fields, which are given; nothing where no minutes are asked for."""
    if config.planned is None:
        return {}
    return {"planned": [name for name in config.planned if name not in given]}


@obeys_threads
def begin(
    config: TrainConfig,
    *,
    run_dir: str | Path | None,
    log_style: LogStyle,
    pictures: bool,
    asked: TrainConfig | None = None,
    dataset: Dataset | None = None,
    is_resolved: bool = False,
    data_note: str = "",
    remarks: Sequence[str] = (),
    sibling: Sibling | None = None,
    leaks: Leaks | None = None,
    are_leaks_told: bool = False,
    told: Collection[str] = (),
    plan: PlanRecord | None = None,
    init_choice: InitChoice | None = None,
    clock: Clock | None = None,
    on_epoch_end: OnEpochEnd | None = None,
    loggers: Sequence[str] = (),
) -> Run:
    """Like `train`.

    `is_resolved`: `config` was resolved before; `asked` is it as a user gave it, if that is known. `data_note` is
    recorded if the data replaces other data, and so are `remarks` on how the training begins; with `sibling`, the data
    must equal that run's. `leaks` are those of the data, if they were looked for before, and perhaps told; `told` are
    sentences that were said before, of another run. `plan` is that of the minutes which were asked for, and `clock`
    keeps them; `init_choice` is what the plan chose to begin with, if it did.
    """
    say = speaker(log_style)
    asked = config if asked is None else asked
    said = say_nothing if plan is not None else _saying_new(say, told)  # by the plan
    unresolved = config
    load = partial(
        load_checked,
        most_probe_steps=None if plan is None else plan.probe_steps,
        policy_epochs=None if plan is None else plan.policy_epochs,
    )
    dataset, config = load(config, say=said, dataset=dataset, is_resolved=is_resolved)  # before there is a folder
    if config.init == AUTO_INIT:
        most_steps = None if plan is None else int(INIT_TRIAL_SHARE * plan.steps)
        num_told = len(dataset.source.remarks)
        unresolved, dataset, init_choice = with_chosen_init(unresolved, dataset, say=say, most_steps=most_steps)
        dataset, config = load(unresolved, say=say_nothing, dataset=dataset)
        for remark in dataset.source.remarks[num_told + 1 :]:  # the first one was told
            say(remark)
    if sibling is not None:
        sibling.known_data.check(dataset, run_dir=sibling.path)
    dataset = dataset.with_note(dataset.source.note or data_note).with_remark(*remarks)
    leaks = look_for_leaks(dataset, say=say) if leaks is None else leaks
    with create_run_dir(config.recipe, run_dir, data=config.data) as folder:
        keep_leaks(folder, leaks, dataset, say=say_nothing if are_leaks_told else say)
        folder.begin(
            config, asked=asked, source=dataset.source, note=describe_data(dataset), plan=plan, init_choice=init_choice
        )
        remember_folder(folder.path)
        say("\n".join(filter(None, [describe_val(dataset), f"Run folder: {folder.path}"])))
        model = build_model(config, dataset)
        return train_in_folder(
            folder,
            config,
            dataset,
            model,
            log_style=log_style,
            pictures=pictures,
            clock=clock,
            on_epoch_end=on_epoch_end,
            loggers=loggers,
        )


def _saying_new(say: Say, told: Collection[str]) -> Say:
    """Says a sentence unless it was told before."""
    return lambda text: None if text in told else say(text)

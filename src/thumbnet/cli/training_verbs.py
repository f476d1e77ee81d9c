"""The verbs that train: train, find-lr."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from thumbnet.cli.early_checks import check_names
from thumbnet.cli.options import image_size_of, refuse_options
from thumbnet.cli.output import check_out, put, put_json, write_file
from thumbnet.config import TrainConfig
from thumbnet.errors import ConfigError
from thumbnet.recipes import DEFAULT_RECIPE, PLANNED_RECIPE, load_recipe
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.length import LENGTHS
from thumbnet.specs.loggers import check_loggers
from thumbnet.specs.optimizers import SGD
from thumbnet.specs.toml_text import parse_setting
from thumbnet.terminal.streams import tell

if TYPE_CHECKING:
    from thumbnet.runs.folds.runs import FoldRuns
    from thumbnet.runs.run import Run
    from thumbnet.runs.seeds.train import SeedRuns

STOPPING_FIELDS = frozenset({"patience", "keep_weights"})
RECIPE_OPTIONS = (
    "model",
    "init",
    "teacher",
    "exclude",
    "groups",
    "data",
    "data_dir",
    "allow_unverified",
    "epochs",
    "minutes",
    "batch_size",
    "image_size",
    "lr",
    "seed",
    "device",
    "threads",
    "threshold",
    "recall",
    "positive",
)
DECISION_FIELDS = frozenset({"threshold", "recall", "positive", "costs", "unsure", "unknown"})
# Fields of a recipe that `find-lr` has no use for.
UNUSED_BY_FIND_LR = frozenset(
    {"epochs", "min_steps", "schedule", "warmup_fraction", "step_epochs", "gamma", "num_drops"}
    | {"scales", "scale_starts", "alternating_flip", "mixup", "average_decay", "precision", "kernels"}
    | {"body_lr_factor", "compiled", "score_test", "teacher", "teacher_weight", "teacher_temperature"}
    | {"steps", "pace_starts", "pace_steps", "score_every", "report_robustness", "sync_norm", "refit"}
    | DECISION_FIELDS
    | STOPPING_FIELDS
)
OWN_IMAGES = ("folder:", "packed:", "npz:")  # sources of the user's own, as no recipe knows them
LR_TRIAL_SUFFIXES = (".png", ".svg", ".csv")
RESUME_OPTIONS = ("data", "data_dir", "device", "log_style")  # all others are taken from the run that goes on


def train(parsed: argparse.Namespace) -> None:
    """Train, or continue a run, and print its accuracy."""
    if parsed.accept_changes and parsed.resume is None:
        raise ConfigError(
            "--accept-changes is given without --resume", hint="leave it out, or name a run to go on with"
        )
    loggers = tuple(parsed.loggers or ())
    check_loggers(loggers)
    AtOnce(parsed.jobs, parsed.scheduler)  # it checks itself
    config = None  # refused before PyTorch is imported
    if parsed.resume is None:
        if parsed.seeds is None and parsed.folds is None:
            _refuse_at_once(parsed, hint="give --seeds or --folds, too, or leave it out")
        config = recipe_config(parsed, default=_default_recipe(parsed))

    from thumbnet.cli.training_output import described
    from thumbnet.runs.folds.train import train_folds
    from thumbnet.runs.seeds.train import train_seeds
    from thumbnet.runs.train import train as train_run
    from thumbnet.training.progress import LogStyle

    log_style: LogStyle = parsed.log_style or "auto"
    try:
        if config is None:
            _refuse_options_of_resume(parsed)
            go_on, at_once = _resume_of(parsed)
            done = go_on(
                parsed.resume,
                data=parsed.data,
                data_dir=parsed.data_dir,
                device=parsed.device,
                log_style=log_style,
                pictures=parsed.pictures,
                accept_changes=parsed.accept_changes,
                loggers=loggers,
                **at_once,
            )
        elif parsed.folds is not None:
            done = train_folds(
                config,
                num_folds=parsed.folds,
                num_seeds=1 if parsed.seeds is None else parsed.seeds,
                run_dir=parsed.run_dir,
                log_style=log_style,
                pictures=parsed.pictures,
                began_s=parsed.began_s,
                loggers=loggers,
                jobs=parsed.jobs,
                scheduler=parsed.scheduler,
            )
        elif parsed.seeds is not None:
            done = train_seeds(
                config,
                num_seeds=parsed.seeds,
                run_dir=parsed.run_dir,
                log_style=log_style,
                pictures=parsed.pictures,
                began_s=parsed.began_s,
                loggers=loggers,
                jobs=parsed.jobs,
                scheduler=parsed.scheduler,
            )
        else:
            done = train_run(
                config,
                run_dir=parsed.run_dir,
                log_style=log_style,
                pictures=parsed.pictures,
                began_s=parsed.began_s,
                loggers=loggers,
            )
    except KeyboardInterrupt:
        tell(
            "\nStopped. The run folder, if it was made, keeps the last checkpoint; go on with: "
            "thumbnet train --resume RUN"
        )
        raise
    for line in described(done):
        put(line)
    put(f"results: {done.path}")


def _resume_of(
    parsed: argparse.Namespace,
) -> tuple[Callable[..., Run | SeedRuns | FoldRuns], dict[str, int | str | None]]:
    """What goes on with a run, with runs of several seeds, or with folds, and how many of these are trained at once."""
    from thumbnet.runs.folds.runs import is_fold_runs
    from thumbnet.runs.folds.train import resume_folds
    from thumbnet.runs.resume import resume
    from thumbnet.runs.seeds.runs import is_seed_runs
    from thumbnet.runs.seeds.train import resume_seeds

    at_once = {"jobs": parsed.jobs, "scheduler": parsed.scheduler}
    if is_fold_runs(parsed.resume):
        return resume_folds, at_once
    if is_seed_runs(parsed.resume):
        return resume_seeds, at_once
    _refuse_at_once(parsed, hint="leave it out")
    return resume, {}


def _refuse_at_once(parsed: argparse.Namespace, *, hint: str) -> None:
    refuse_options(parsed, ("jobs", "scheduler"), why=", but this is one training", hint=hint)


def find_lr(parsed: argparse.Namespace) -> None:
    """Print the learning rate that a trial suggests, and write its curve to a file if asked to."""
    if parsed.out is not None:
        check_out(parsed.out, LR_TRIAL_SUFFIXES)
    refuse_settings(parsed, UNUSED_BY_FIND_LR, "find-lr makes some steps on full-size images, in float32")
    config = recipe_config(parsed)
    if isinstance(config.optimizer, SGD):
        _refuse_lr(parsed)

    from thumbnet.runs.lr import find_recipe_lr
    from thumbnet.views.lr_trial import save_lr_trial

    trial = find_recipe_lr(config)
    if parsed.json:
        put_json({"lr": trial.suggestion, "method": trial.method})
    else:
        lowest, highest = trial.rates[0], trial.rates[-1]
        put(f"lr {trial.suggestion:.3g}")
        put(f"found {trial.method}; {len(trial.rates)} rates from {lowest:.3g} to {highest:.3g} were tried")
    if parsed.out is not None:
        write_file(parsed.out, lambda path: save_lr_trial(trial, path), tell=not parsed.json)


def _refuse_lr(parsed: argparse.Namespace) -> None:
    if parsed.lr is not None:
        raise ConfigError("--lr is given to find-lr, which tries rates of its own", hint="leave --lr out")
    refuse_settings(parsed, ["lr"], "find-lr tries rates of its own")


def recipe_config(parsed: argparse.Namespace, *, default: str = DEFAULT_RECIPE) -> TrainConfig:
    """The recipe named on the command line, or the `default` one, with the options given there; what it names is
    there."""
    config = load_recipe(parsed.recipe or default, options=_given(parsed), settings=parsed.settings or ())
    check_names(config)
    return config


def _given(parsed: argparse.Namespace) -> dict[str, object]:
    """The fields of a recipe that have options, as far as these are given."""
    options: dict[str, object] = {name: getattr(parsed, name, None) for name in RECIPE_OPTIONS}
    if options["image_size"] is not None:
        options["image_size"] = image_size_of(parsed.image_size)
    return {name: value for name, value in options.items() if value is not None and value is not False}


def _default_recipe(parsed: argparse.Namespace) -> str:
    """The recipe that `train` takes where none is named: a plan where minutes are given, and for own images unless a
    model or a length is given."""
    given = _given(parsed)
    for setting in parsed.settings or ():
        given |= parse_setting(setting)
    if "minutes" in given:
        return PLANNED_RECIPE
    is_own = str(given.get("data", "")).startswith(OWN_IMAGES)
    return PLANNED_RECIPE if is_own and not given.keys() & {"model", *LENGTHS, "min_steps"} else DEFAULT_RECIPE


def refuse_settings(parsed: argparse.Namespace, fields: Collection[str], reason: str) -> None:
    """ConfigError if `--set` gives one of these fields of a recipe, which the verb does not use."""
    for setting in parsed.settings or ():
        field = setting.partition("=")[0].strip().split(".")[0]
        if field in fields:
            raise ConfigError(f"{field} is set, but has no effect here: {reason}", hint=f"leave {field} out")


def _refuse_options_of_resume(parsed: argparse.Namespace) -> None:
    for name in ("recipe", "settings", "seeds", "folds", *RECIPE_OPTIONS):
        value = getattr(parsed, name)
        if name not in RESUME_OPTIONS and value is not None and value is not False:
            option = "--set" if name == "settings" else f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option} cannot be given with --resume: the run goes on with its own config",
                hint=f"leave {option} out, or begin a new run",
            )

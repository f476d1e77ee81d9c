"""A sweep: a recipe trained with many values of some of its fields, to find the best on validation images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, RunError
from thumbnet.models.trace import trace_model
from thumbnet.recipes import load_recipe
from thumbnet.runs.as_read import as_read
from thumbnet.runs.environment import check_still_here
from thumbnet.runs.files.contents import copies_of_code
from thumbnet.runs.files.folder import RunDir
from thumbnet.runs.files.names import ASKED, SWEEP
from thumbnet.runs.files.new_folder import create_run_dir
from thumbnet.runs.given_data import as_it_was_read
from thumbnet.runs.leaks import keep_leaks, look_for_leaks
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.parts import build_model
from thumbnet.runs.resolve import describe_val, speaker
from thumbnet.runs.sweeps.limits import default_limits
from thumbnet.runs.sweeps.new_question import new_question
from thumbnet.runs.sweeps.question import Measure, Question, check_length, question_from_json, question_to_json
from thumbnet.runs.sweeps.results import SweepResult
from thumbnet.runs.sweeps.session import Session, run_session
from thumbnet.runs.sweeps.space import combinations, num_trials, parse_space
from thumbnet.runs.sweeps.storage import parse_storage, place_again
from thumbnet.runs.sweeps.whole import code_of, whole_config, whole_names
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.launch import ONE_TRAINING, refuse_several
from thumbnet.specs.objective import is_balanced
from thumbnet.specs.search import Dimension
from thumbnet.specs.trust import takes_trust
from thumbnet.terminal.text import counted
from thumbnet.training.progress import LogStyle


@takes_trust
def sweep(
    config: TrainConfig | None = None,
    *,
    search: Sequence[str],
    trials: int | None = None,
    grid: bool = False,
    minutes: float | None = None,
    storage: str | None = None,
    jobs: int | None = None,
    run_dir: str | Path | None = None,
    max_params: int | None = None,
    max_macs: int | None = None,
    log_style: LogStyle = "auto",
    dataset: Dataset | None = None,
    began_s: float | None = None,
    trust_code: bool = False,
) -> SweepResult:
    """Train a recipe many times, with values that Optuna proposes, and find the best ones on validation images.

    The test set is not looked at. A trial that is behind the others is given up; one that is left when the process is
    killed is gone on with by `resume_sweep`.

    Args:
        config: the recipe, from `load_recipe`; None: the default one. Each trial is trained with its seed.
        search: the fields and their values, a text each: `lr=0.02..0.5:log`, `epochs=5..20`, `batch_size=64,128`.
        trials: so many are finished or given up in the end, by all that share the storage; None: as many as the
            minutes give.
        grid: try every combination of the choices once instead, and give up none. A failed one is not repeated.
        minutes: no trial begins that would, by the time that the others took, end after so many; None: no limit.
        storage: a database that several machines share, such as `postgresql://USER@HOST/NAME`; whoever asks the same
            of the same data there makes trials of the same sweep. None: one in the sweep's folder.
        jobs: train so many at once, each in a process of its own with its share of the processors (or `threads` of the
            recipe); None: one after the other. `best.toml` names the threads of its trial.
        run_dir: a new or empty folder; None: `runs/sweep-<recipe>-<n>`.
        max_params, max_macs: a network with more is not trained. None: the size of 20,000, 50,000, 100,000 or 200,000
            parameters that the recipe's own network is of, and the MACs of that network.
        log_style, dataset, began_s, trust_code: as in `train`.

    Raises:
        ThumbnetError: as `train`; ConfigError: a field cannot be searched, or no images are held out for validation;
            RunError: the storage cannot be used; JobsFailedError: of several processes, one died twice, or failed.
    """
    at_once = AtOnce(jobs)
    config = load_recipe() if config is None else config
    config = config if dataset is None else as_it_was_read(config, dataset)
    began_s = time.perf_counter() if began_s is None else began_s
    dimensions = _checked(config, search, trials, minutes, grid=grid)
    num_runs = num_trials(dimensions, trials, grid=grid)
    config = config.replace(threads=at_once.threads_here(config.engine.threads, num_runs=num_runs))
    place = None if storage is None else parse_storage(storage)
    say = speaker(log_style)
    dataset, resolved = load_checked(config, say=say, dataset=dataset)
    if dataset.val is None:
        raise ConfigError(
            "a sweep compares trials on validation images, and none are held out",
            hint="set val_fraction above 0, or leave it at auto",
        )
    params, macs = default_limits(trace_model(build_model(resolved, dataset), dataset.image_shape))
    measure: Measure = "val_accuracy"
    if is_balanced(config.objective, config.inputs) and not dataset.has_several_labels:
        measure = "val_balanced_accuracy"
    leaks = look_for_leaks(dataset, say=say)
    whole = whole_config(config, resolved)
    question = new_question(
        config,
        dimensions,
        trials=trials,
        minutes=minutes,
        grid=grid,
        max_params=params if max_params is None else max_params,
        max_macs=macs if max_macs is None else max_macs,
        measure=measure,
        place=place,
        data_checksum=dataset.checksum(),
        whole=whole,
        names=whole_names(dimensions),
    )
    config = whole
    with create_run_dir(f"sweep-{config.recipe}", run_dir, data=resolved.data) as folder:
        files = {ASKED: config_to_toml(config), **copies_of_code(code_of(config, question.names))}
        folder.write_checked({**files, SWEEP: question_to_json(question)})
        say("\n".join(filter(None, [describe_val(dataset), f"Sweep folder: {folder.path}"])))
        keep_leaks(folder, leaks, dataset, say=say)
        session = Session(
            path=folder.path,
            question=question,
            config=config,
            dimensions=dimensions,
            dataset=as_read(dataset, config),
            leaks=leaks,
            epochs=resolved.epochs,
            place=place,
            log_style=log_style,
            deadline_s=None if question.minutes is None else began_s + 60 * question.minutes,
        )
        return run_session(session, at_once)


@takes_trust
def resume_sweep(
    run_dir: str | Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    storage: str | None = None,
    jobs: int | None = None,
    log_style: LogStyle = "auto",
    accept_changes: bool = False,
    dataset: Dataset | None = None,
    began_s: float | None = None,
    trust_code: bool = False,
) -> SweepResult:
    """Go on with a sweep that was stopped, or that is to have more trials.

    Args:
        run_dir: its folder.
        trials, minutes: None: as they were asked for; minutes count from now.
        storage: the same address again, where it needs a password: none is kept.
        accept_changes: finish a trial that was killed although device, kernels, number of threads, processor or
            PyTorch's version are others than before: its end is then another one, and trial.json has a list
            `resumed_with_changes`.
        jobs, log_style, dataset, began_s, trust_code: as in `sweep`.

    Raises:
        ThumbnetError: as `sweep`; CheckpointError: a trial that was killed would not go on as it began, or its
            checkpoint is damaged.
    """
    at_once = AtOnce(jobs)
    began_s = time.perf_counter() if began_s is None else began_s
    folder = RunDir(Path(run_dir))
    if not is_sweep(folder.path):
        raise RunError(f"{run_dir} holds no sweep", hint="give the folder that `thumbnet sweep` made")
    with folder.locked():
        name = str(folder.path / SWEEP)
        question, config = question_from_json(folder.read_checked(SWEEP), name=name), folder.read_config(ASKED)
        folder.allow_code(*code_of(config, question.names))
        place = place_again(question.storage, storage)
        more = {"trials": trials, "minutes": minutes}
        question = Question(**{**vars(question), **{key: value for key, value in more.items() if value is not None}})
        dimensions = _checked(config, question.search, question.trials, question.minutes, grid=question.grid)
        check_still_here(
            config.engine.device,
            cannot=f"the sweep {folder.path} cannot go on",
            hint="go on where such a device is, or begin a new sweep with --device auto: all trials share one device",
        )
        dataset, resolved = load_checked(config, say=speaker(log_style), dataset=dataset)
        folder.write_checked({SWEEP: question_to_json(question)})
        session = Session(
            path=folder.path,
            question=question,
            config=config,
            dimensions=dimensions,
            dataset=as_read(dataset, config),
            leaks=None,
            epochs=resolved.epochs,
            place=place,
            log_style=log_style,
            deadline_s=None if question.minutes is None else began_s + 60 * question.minutes,
            accept_changes=accept_changes,
        )
        return run_session(session, at_once)


def is_sweep(path: str | Path) -> bool:
    """Whether the folder is that of a sweep."""
    return (Path(path) / SWEEP).exists()


def _checked(
    config: TrainConfig, search: Sequence[str], trials: int | None, minutes: float | None, *, grid: bool
) -> tuple[Dimension, ...]:
    refuse_several("a sweep makes trainings of one process each", hint=ONE_TRAINING)
    check_length(trials, minutes, grid=grid)
    if config.minutes is not None:
        raise ConfigError(
            f"the recipe {config.recipe!r} plans a training of {counted(config.minutes, 'minute')}, which no sweep can "
            "compare",
            hint="give epochs, or name another recipe; a sweep's own minutes are those of all its trials",
        )
    if config.score_test != "end":
        raise ConfigError("score_test is 'each-epoch', but a sweep never looks at the test set", hint="leave it out")
    dimensions = parse_space(config, search)
    if grid:
        combinations(dimensions)
    return dimensions

"""One recipe trained once for each of several folds: every image is predicted by a model that was not trained on it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.alike import AlikePair
from thumbnet.data.dataset import Dataset, SourceSplits, Split
from thumbnet.data.exclusion import read_exclusions
from thumbnet.data.folds import fold_of_each, pool_of
from thumbnet.data.groups import group_names, with_groups
from thumbnet.data.leaks import find_leaks_between_folds, fold_leaks_to_csv, leaks_of_pairs
from thumbnet.data.source_registry import is_searched_for_leaks, keeping_sources, source_name
from thumbnet.errors import ConfigError, RunError
from thumbnet.recipes import load_recipe
from thumbnet.runs.file_contents import files_of_code, files_of_data, files_of_plan
from thumbnet.runs.fold_results import write_fold_results
from thumbnet.runs.fold_runs import FoldRuns, checksum_of, opened_folds, read_folds
from thumbnet.runs.fold_table import FOLDS_FORMAT, FoldList, FoldRow, FoldTable
from thumbnet.runs.init import load_trained
from thumbnet.runs.names import ASKED, CONFIG, FOLD_TABLE, FOLDS, LEAKS, SHARED_CONFIG
from thumbnet.runs.planning.choose import plan_training
from thumbnet.runs.resolve import Say, load_data, say_nothing, speaker
from thumbnet.runs.resume import go_on, relocated
from thumbnet.runs.run import Run, RunDir, create_run_dir
from thumbnet.runs.train import begin, load_checked
from thumbnet.runs.which import is_pretrained_name
from thumbnet.specs.checks import MAX_RUNS
from thumbnet.specs.division import MAX_FOLDS
from thumbnet.specs.engine import Device
from thumbnet.specs.json_text import FORMAT, to_json
from thumbnet.specs.own_code import takes_trust
from thumbnet.specs.policies import AUTO
from thumbnet.terminal.text import counted
from thumbnet.training.progress import LogStyle

OTHER_DATA = "go on with the data that it was begun on, or train all of them anew"


@takes_trust
def train_folds(
    config: TrainConfig | None = None,
    *,
    num_folds: int,
    num_seeds: int = 1,
    run_dir: str | Path | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
    began_s: float | None = None,
    trust_code: bool = False,
) -> FoldRuns:
    """Train `num_folds` times, each time with another fold of the images held out for test, into `run_dir/fold-<k>/`;
    then write what holds for all images: predictions.csv, report.html and metrics.json.

        runs = thumbnet.train_folds(thumbnet.load_recipe("sprint", options={"data": "folder:pets"}), num_folds=4)
        print(runs.metrics["test_accuracy"])

    The division depends on the data, the config's `groups` and its `split_seed` alone.

    Args:
        config: None: the default recipe. Its data is divided but for a test split of its own, which takes no part.
        num_folds: 2 to 50.
        num_seeds: train each fold with so many seeds, from `config.seed` on, into `run_dir/fold-<k>-seed-<s>/`.
        run_dir: a new or empty folder; None: `runs/<recipe>-<n>`.
        log_style, pictures, began_s, trust_code: as in `train`. Minutes are planned once, for the first run; each run
            has as many, and keeps to its own clock.

    Raises:
        ThumbnetError: as `train`; ConfigError: a number is out of its range, or the config has trained weights or a
            teacher that know images which are held out in turn; DataError: a class has too few images or groups.
    """
    config = load_recipe() if config is None else config
    _check_request(config, num_folds, num_seeds)
    say = speaker(log_style)
    began_s = time.perf_counter() if began_s is None else began_s
    with keeping_sources() as kept:
        first, dataset, plan = config.replace(folds=num_folds, fold=0), None, None
        if config.minutes is not None:
            planned = plan_training(first, began_s=began_s, say=say, pictures=pictures)
            first, dataset, plan = planned.config, planned.dataset, planned.record
        dataset, resolved = load_checked(first, say=say if plan is None else say_nothing, dataset=dataset)
        splits = with_groups(_last(kept), resolved.division.groups)
        pool, folds = pool_of(splits), fold_of_each(splits, folds=num_folds, split_seed=resolved.split_seed)
        table = _table(splits, pool, folds, resolved)
        pairs = _leaks(pool, folds, table, dataset)
        seeds = tuple(config.seed + index for index in range(num_seeds))
        with create_run_dir(config.recipe, run_dir, data=resolved.data) as folder:
            if pairs:
                folder.write_checked({LEAKS: fold_leaks_to_csv(pairs, pool, folds, splits.class_names)})
                _tell_leaks(pairs, folder.path / LEAKS, say)
            # What follows from the images is each fold's own: others' training images are held out in turn.
            own: dict[str, object] = {
                "mean": config.mean,
                "std": config.std,
                "augmentation": AUTO if config.inputs.augmentation == AUTO else resolved.inputs.augmentation,
                "flip": config.inputs.flip,
                "epochs": resolved.epochs if resolved.steps is None else None,
            }
            shared = resolved.replace(folds=None, fold=None, **own)
            fold_list = FoldList(num_folds, seeds, checksum_of(pool))
            folder.write_checked(
                {
                    ASKED: config_to_toml(config),
                    **files_of_data(resolved, dataset.source),
                    **files_of_code(resolved),
                    **files_of_plan(plan),
                    FOLD_TABLE: table.to_csv(),
                    SHARED_CONFIG: config_to_toml(shared),
                    FOLDS: to_json({FORMAT: FOLDS_FORMAT, **fold_list.to_dict()}, name=FOLDS, indent=2) + "\n",
                }
            )
            return _finish(folder, kept, log_style=log_style, pictures=pictures, pairs=pairs, began_s=began_s)


@takes_trust
def resume_folds(
    run_dir: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    device: Device | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
    accept_changes: bool = False,
    trust_code: bool = False,
) -> FoldRuns:
    """Go on with what is missing: a run that was stopped, those not started, the results. Arguments as in `resume`."""
    folder = opened_folds(run_dir)
    with folder.locked(), keeping_sources() as kept:
        return _finish(
            folder,
            kept,
            data=data,
            data_dir=data_dir,
            device=device,
            log_style=log_style,
            pictures=pictures,
            accept_changes=accept_changes,
        )


def _check_request(config: TrainConfig, num_folds: int, num_seeds: int) -> None:
    """Refuse before anything is read."""
    if not 2 <= num_folds <= MAX_FOLDS:
        raise ConfigError(
            f"folds is {num_folds}", hint=f"give 2 to {MAX_FOLDS}: each image is left out of a training once"
        )
    if not 1 <= num_seeds <= MAX_RUNS // num_folds:
        raise ConfigError(f"seeds is {num_seeds}", hint=f"give how often to train, 1 to {MAX_RUNS // num_folds}")
    config.replace(seed=config.seed + num_seeds - 1)  # the last one is a seed, too
    if config.division.folds is not None:
        raise ConfigError(
            f"the recipe has folds = {config.division.folds} already", hint="leave folds and fold out of the recipe"
        )
    if config.objective.teacher is not None:
        raise ConfigError(
            f"teacher is {config.objective.teacher!r}, which has seen the images that are held out in turn",
            hint="leave the teacher out",
        )
    if config.init is not None and not is_pretrained_name(config.init):
        known = load_trained(config.init).card.data
        if known == source_name(config.data):
            raise ConfigError(
                f"init is {config.init!r}, which has seen the images that are held out in turn", hint="leave init out"
            )


def _table(splits: SourceSplits, pool: Split, folds: Int64[Tensor, " n"], config: TrainConfig) -> FoldTable:
    excluded = frozenset() if config.exclude is None else read_exclusions(config.exclude, pool, splits.class_names)
    groups = group_names(splits, config.division.groups)
    return FoldTable(
        tuple(
            FoldRow(
                "" if pool.paths is None else pool.paths[index],
                splits.class_names[label],
                groups[index],
                fold,
                index in excluded,
            )
            for index, (label, fold) in enumerate(zip(pool.labels.tolist(), folds.tolist(), strict=True))
        )
    )


def _leaks(pool: Split, folds: Int64[Tensor, " n"], table: FoldTable, dataset: Dataset) -> tuple[AlikePair, ...]:
    """The images that stand in two folds, without those that are left out."""
    if not is_searched_for_leaks(dataset.source.name):
        return ()
    return tuple(
        pair
        for pair in find_leaks_between_folds(pool, folds, with_flips=dataset.flip_keeps_labels)
        if not table.rows[pair.first].is_excluded and not table.rows[pair.second].is_excluded
    )


def _tell_leaks(pairs: Sequence[AlikePair], path: Path, say: Say) -> None:
    num_images = len({index for pair in pairs for index in (pair.first, pair.second)})
    say(
        f"Leaks between folds: {counted(num_images, 'image')} equal, or nearly, to one of another fold: figures on "
        f"those are too good. They are listed in {path}; to train without all but one of each: --exclude {path}"
    )


def _finish(
    folder: RunDir,
    kept: Mapping[str, SourceSplits],
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    device: Device | None = None,
    log_style: LogStyle,
    pictures: bool,
    accept_changes: bool = False,
    pairs: Sequence[AlikePair] | None = None,
    began_s: float | None = None,
) -> FoldRuns:
    shared, asked, plan = folder.read_config(SHARED_CONFIG), folder.read_asked(), folder.read_plan()
    shared = shared.replace(exclude=folder.exclusions(shared), groups=folder.groups(shared))
    folder.allow_code(shared.model, shared.inputs.augmentation)
    folds, table = read_folds(folder)
    if data is not None and not (folder.path / folds.folder_of(0, folds.seeds[0]) / CONFIG).exists():
        raise RunError(f"data is {data!r}, but {folder.path} holds no run yet", hint="leave --data out, or train anew")
    say = speaker(log_style)
    runs: list[Run] = []
    for fold in range(folds.num_folds):
        dataset: Dataset | None = None
        for seed in folds.seeds:
            run_began_s = time.perf_counter() if began_s is None else began_s
            began_s = None  # that of the first run alone: the command's
            path = folder.path / folds.folder_of(fold, seed)
            if (path / CONFIG).exists():
                run = go_on(
                    path,
                    data=data,
                    data_dir=data_dir,
                    device=device,
                    log_style=log_style,
                    pictures=pictures,
                    accept_changes=accept_changes,
                )
            else:
                if runs:  # whose config tells where the data is now
                    shared = shared.replace(data=runs[0].config.data, data_dir=runs[0].config.data_dir)
                division = {"folds": folds.num_folds, "fold": fold, "seed": seed}
                own = relocated(shared.replace(**division), data=None, data_dir=data_dir, device=device)
                if dataset is None:
                    dataset, _ = load_data(own, say=say_nothing, is_resolved=True)
                    _check_data(folder, _last(kept), folds)
                    _check_division(folder, table, fold, dataset)
                say(f"Fold {fold + 1} of {folds.num_folds} is held out.")
                run = begin(
                    own,
                    run_dir=path,
                    log_style=log_style,
                    pictures=pictures,
                    asked=None if asked is None else asked.replace(**division),
                    is_resolved=True,
                    dataset=dataset,
                    data_note=folder.data_note(),
                    leaks=None if pairs is None else leaks_of_pairs(pairs, dataset),
                    are_leaks_told=pairs is not None,
                    plan=plan,
                    clock=None if plan is None else plan.clock(deadline_s=run_began_s + 60 * plan.minutes),
                )
            runs.append(run)
    metrics = write_fold_results(folder, runs, folds, table, pictures=pictures)
    return FoldRuns(folder.path, tuple(runs), metrics)


def _last(kept: Mapping[str, SourceSplits]) -> SourceSplits:
    """The source as it was read last: a plan may have read it at another size before."""
    return list(kept.values())[-1]


def _check_data(folder: RunDir, splits: SourceSplits, folds: FoldList) -> None:
    """RunError where the images or labels are not those that were divided."""
    if checksum_of(pool_of(splits)) != folds.data_checksum:
        raise RunError(
            f"{folder.path} was begun on other data: the checksum of its images and labels differs", hint=OTHER_DATA
        )


def _check_division(folder: RunDir, table: FoldTable, fold: int, dataset: Dataset) -> None:
    """RunError where the images are divided otherwise than when the folder was begun: files were renamed."""
    test = dataset.test
    expected = [table.rows[index] for index in table.test_images(fold)]
    labels = [dataset.class_names[label] for label in test.labels.tolist()]
    if labels != [row.label for row in expected] or list(test.paths or [""] * len(test)) != [
        row.path for row in expected
    ]:
        raise RunError(f"{folder.path} was begun on other data: fold {fold} has other images", hint=OTHER_DATA)

"""One recipe trained once for each of several folds: every image is predicted by a model that was not trained on it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.all_alike import AllAlike
from thumbnet.data.dataset import Dataset
from thumbnet.data.fold_leaks import fold_leaks_to_csv, leaks_of_pool
from thumbnet.data.folds import fold_of_each, pool_of
from thumbnet.data.groups import with_groups
from thumbnet.data.source_registry import GIVEN, keeping_sources, last_kept_source
from thumbnet.data.sources import dataset_of
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.runs.files.contents import files_of_code, files_of_data, files_of_plan
from thumbnet.runs.files.names import ASKED, FOLD_TABLE, FOLDS, LEAKS, SHARED_CONFIG
from thumbnet.runs.folds.config import check_request, refuse_known_weights, shared_config
from thumbnet.runs.folds.division import (
    alike_in,
    check_data,
    check_division,
    check_other_folds,
    fold_table,
    tell_leaks,
)
from thumbnet.runs.folds.runs import FoldRuns, checksum_of, opened_folds, read_folds
from thumbnet.runs.folds.table import FOLDS_FORMAT, FoldList, FoldTable
from thumbnet.runs.given_data import as_it_was_read, kept_source, refuse_arrays_at_once
from thumbnet.runs.load_checked import left_open, load_checked
from thumbnet.runs.loggers import loggers_to_go_on
from thumbnet.runs.member import Member, Start
from thumbnet.runs.planning.choose import plan_training
from thumbnet.runs.resolve import load_data, say_nothing, speaker
from thumbnet.runs.resume import ResumeOptions
from thumbnet.runs.run import RunDir, create_run_dir
from thumbnet.runs.several import train_all
from thumbnet.runs.train import with_own_code
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.engine import Device
from thumbnet.specs.json_text import FORMAT, to_json
from thumbnet.specs.launch import ONE_TRAINING, refuse_several
from thumbnet.specs.loggers import check_loggers
from thumbnet.specs.own_code import give_again
from thumbnet.specs.trust import takes_trust
from thumbnet.training.progress import LogStyle
from thumbnet.training.threads import computing_with, obeys_threads


@takes_trust
@obeys_threads
def train_folds(
    config: TrainConfig | None = None,
    *,
    num_folds: int,
    num_seeds: int = 1,
    run_dir: str | Path | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
    dataset: Dataset | None = None,
    began_s: float | None = None,
    model: object = None,
    augmentation: object = None,
    loggers: Sequence[str] = (),
    trust_code: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
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
        log_style, pictures, began_s, model, augmentation, loggers, trust_code: as in `train`. Minutes are planned once,
            for the first run; each run has as many, and keeps to its own clock.
        dataset: the data, read before by `load_dataset` without exclude, num_train and folds, or made by
            `dataset_from_arrays`: what was held out of its training images is divided with them, by the config's
            fields; a test split of its own takes no part.
        jobs, scheduler: as in `train_seeds`, but not for arrays in memory.

    Raises:
        ThumbnetError: as `train`; ConfigError: a number is out of its range, or the config has trained weights or a
            teacher that know images which are held out in turn; DataError: a class has too few images or groups.
    """
    config = with_own_code(load_recipe() if config is None else config, model, augmentation)
    check_loggers(loggers)
    refuse_several("each of several trainings is one process's", hint=ONE_TRAINING)
    given = {} if dataset is None else kept_source(dataset, config)
    asked = config
    if dataset is not None:
        config = as_it_was_read(config.replace(data=dataset.source.name), dataset)
    check_request(config, num_folds, num_seeds)
    at_once = AtOnce(jobs, scheduler)
    refuse_arrays_at_once(dataset, at_once)
    at_once.check_minutes(config.minutes)
    say = speaker(log_style)
    began_s = time.perf_counter() if began_s is None else began_s
    with keeping_sources(given):
        first, dataset, plan = config.replace(folds=num_folds, fold=0), None, None
        if config.minutes is not None:
            if given:  # of which the plan chooses no other size
                dataset = dataset_of(
                    given[GIVEN],
                    val_fraction=first.val_fraction,
                    val_per_class=first.val_per_class,
                    split_seed=first.split_seed,
                    division=first.division,
                    exclude=first.exclude,
                    num_train=first.num_train,
                )
            with computing_with(at_once.threads_here(config.engine.threads, num_runs=num_folds * num_seeds)):
                planned = plan_training(
                    first, began_s=began_s, say=say, pictures=pictures, dataset=dataset, leaves_init_open=True
                )
            first, dataset, plan = planned.config, planned.dataset, planned.record
        dataset, resolved = load_checked(first, say=say if plan is None else say_nothing, dataset=dataset)
        refuse_known_weights(config, resolved.data)  # now that it is known what `auto` is
        splits = with_groups(last_kept_source(), resolved.division.groups, are_divided_anew=True)
        pool, folds = pool_of(splits), fold_of_each(splits, folds=num_folds, split_seed=resolved.split_seed)
        table = fold_table(splits, pool, folds, resolved)
        in_common = shared_config(
            config, resolved, table, splits.class_names, plan, has_several_labels=dataset.has_several_labels
        )
        shared = left_open(in_common, first)
        check_other_folds(shared, last_kept_source(), num_folds)
        alike = alike_in(pool, dataset, say)
        seeds = tuple(config.seed + index for index in range(num_seeds))
        with create_run_dir(config.recipe, run_dir, data=resolved.data) as folder:
            fold_of = {index: row.fold for index, row in enumerate(table.rows) if not row.is_excluded}
            if pairs := alike.between(fold_of):
                folder.write_checked({LEAKS: fold_leaks_to_csv(alike, pool, fold_of, splits.class_names)})
                tell_leaks(pairs, folder.path / LEAKS, dataset.num_excluded, say)
            fold_list = FoldList(num_folds, seeds, checksum_of(pool))
            folder.write_checked(
                {
                    ASKED: config_to_toml(asked),
                    **files_of_data(resolved, replace(dataset.source, training_remarks=())),  # which are fold 0's own
                    **files_of_code(resolved),
                    **files_of_plan(plan),
                    FOLD_TABLE: table.to_csv(),
                    SHARED_CONFIG: config_to_toml(shared),
                    FOLDS: to_json({FORMAT: FOLDS_FORMAT, **fold_list.to_dict()}, name=FOLDS, indent=2) + "\n",
                }
            )
            options = ResumeOptions(log_style=log_style, pictures=pictures, loggers=tuple(loggers))
            told = (dataset.source.note, *dataset.source.remarks)
            return _finish(folder, options, alike=alike, began_s=began_s, told=told, at_once=at_once)


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
    dataset: Dataset | None = None,
    model: object = None,
    loggers: Sequence[str] = (),
    trust_code: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> FoldRuns:
    """Go on with what is missing: a run that was stopped, those not started, the results. Arguments as in `resume`, but
    `dataset` as in `train_folds`."""
    if dataset is not None and (data is not None or data_dir is not None):
        raise ConfigError(
            "dataset is given, and data or data_dir besides", hint="give either the dataset, or where it is"
        )
    folder = opened_folds(run_dir)
    check_loggers(loggers)
    refuse_several("each of several trainings is one process's", hint=ONE_TRAINING)
    at_once = AtOnce(jobs, scheduler)
    refuse_arrays_at_once(dataset, at_once)
    shared = folder.read_config(SHARED_CONFIG)
    given = {} if dataset is None else kept_source(dataset, shared)
    with folder.locked(), keeping_sources(given):
        give_again(shared.model, model)
        options = ResumeOptions(
            data=data,
            data_dir=data_dir,
            device=device,
            log_style=log_style,
            pictures=pictures,
            accept_changes=accept_changes,
            loggers=loggers_to_go_on(loggers, folder.path),
        )
        return _finish(folder, options, at_once=at_once)


@dataclass(frozen=True)
class _StartOfFold:
    """Gives what a run begins with: the data, one fold of which is held out."""

    folds: FoldList
    table: FoldTable
    alike: AllAlike | None
    log_style: LogStyle
    loaded: dict[int, Dataset] = field(default_factory=dict)  # of the fold that is trained on, for all of its seeds

    def __reduce__(self) -> tuple[type[_StartOfFold], tuple[object, ...]]:
        return _StartOfFold, (self.folds, self.table, self.alike, self.log_style)  # another process reads the data anew

    def __call__(self, folder: RunDir, own: TrainConfig) -> Start:
        fold = own.division.fold
        assert fold is not None
        if fold not in self.loaded:
            self.loaded.clear()
            self.loaded[fold], _ = load_data(own, say=say_nothing, is_resolved=True)
            check_data(folder, last_kept_source(), self.folds)
            check_division(folder, self.table, fold, self.loaded[fold])
        name = self.folds.folder_of(fold, own.seed)
        speaker(self.log_style)(f"{name}: fold {fold + 1} of {self.folds.num_folds} is held out.")
        dataset = self.loaded[fold]
        return Start(dataset, None if self.alike is None else leaks_of_pool(self.alike, dataset))


def _finish(
    folder: RunDir,
    options: ResumeOptions,
    *,
    alike: AllAlike | None = None,
    began_s: float | None = None,
    told: Collection[str] = (),
    at_once: AtOnce,
) -> FoldRuns:
    folds, table = read_folds(folder)
    positive = folder.read_config(SHARED_CONFIG).decisions.positive
    members = [
        Member(
            folds.folder_of(fold, seed), {"folds": folds.num_folds, "fold": fold, "seed": seed, "positive": positive}
        )
        for fold in range(folds.num_folds)
        for seed in folds.seeds
    ]
    runs = train_all(
        folder,
        members,
        options,
        start_of=_StartOfFold(folds, table, alike, options.log_style),
        have_equal_data=False,
        began_s=began_s,
        told=told,
        at_once=at_once,
    )
    from thumbnet.runs.folds.results import write_fold_results  # not before: what draws takes a second

    metrics = write_fold_results(folder, runs, folds, table, pictures=options.pictures)
    return FoldRuns(folder.path, tuple(runs), metrics)

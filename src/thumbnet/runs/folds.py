"""One recipe trained once for each of several folds: every image is predicted by a model that was not trained on it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.all_alike import AllAlike
from thumbnet.data.dataset import Dataset, SourceSplits
from thumbnet.data.fold_leaks import fold_leaks_to_csv, leaks_of_pool
from thumbnet.data.folds import fold_of_each, pool_of
from thumbnet.data.groups import with_groups
from thumbnet.data.source_registry import keeping_sources
from thumbnet.recipes import load_recipe
from thumbnet.runs.file_contents import files_of_code, files_of_data, files_of_plan
from thumbnet.runs.fold_config import check_request, refuse_known_weights, shared_config
from thumbnet.runs.fold_division import (
    alike_in,
    check_data,
    check_division,
    check_other_folds,
    fold_table,
    tell_leaks,
)
from thumbnet.runs.fold_results import write_fold_results
from thumbnet.runs.fold_runs import FoldRuns, checksum_of, opened_folds, read_folds
from thumbnet.runs.fold_table import FOLDS_FORMAT, FoldList
from thumbnet.runs.load_checked import left_open, load_checked
from thumbnet.runs.loggers import loggers_to_go_on
from thumbnet.runs.names import ASKED, FOLD_TABLE, FOLDS, LEAKS, SHARED_CONFIG
from thumbnet.runs.planning.choose import plan_training
from thumbnet.runs.resolve import load_data, say_nothing, speaker
from thumbnet.runs.resume import ResumeOptions
from thumbnet.runs.run import RunDir, create_run_dir
from thumbnet.runs.several import Member, Start, train_all
from thumbnet.specs.engine import Device
from thumbnet.specs.json_text import FORMAT, to_json
from thumbnet.specs.launch import ONE_TRAINING, refuse_several
from thumbnet.specs.loggers import check_loggers
from thumbnet.specs.own_code import takes_trust
from thumbnet.training.progress import LogStyle
from thumbnet.training.threads import obeys_threads


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
    began_s: float | None = None,
    loggers: Sequence[str] = (),
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
        log_style, pictures, began_s, loggers, trust_code: as in `train`. Minutes are planned once, for the first run;
            each run has as many, and keeps to its own clock.

    Raises:
        ThumbnetError: as `train`; ConfigError: a number is out of its range, or the config has trained weights or a
            teacher that know images which are held out in turn; DataError: a class has too few images or groups.
    """
    config = load_recipe() if config is None else config
    check_loggers(loggers)
    refuse_several("each of several trainings is one process's", hint=ONE_TRAINING)
    check_request(config, num_folds, num_seeds)
    say = speaker(log_style)
    began_s = time.perf_counter() if began_s is None else began_s
    with keeping_sources() as kept:
        first, dataset, plan = config.replace(folds=num_folds, fold=0), None, None
        if config.minutes is not None:
            planned = plan_training(first, began_s=began_s, say=say, pictures=pictures, leaves_init_open=True)
            first, dataset, plan = planned.config, planned.dataset, planned.record
        dataset, resolved = load_checked(first, say=say if plan is None else say_nothing, dataset=dataset)
        refuse_known_weights(config, resolved.data)  # now that it is known what `auto` is
        splits = with_groups(_last(kept), resolved.division.groups, are_divided_anew=True)
        pool, folds = pool_of(splits), fold_of_each(splits, folds=num_folds, split_seed=resolved.split_seed)
        table = fold_table(splits, pool, folds, resolved)
        in_common = shared_config(
            config, resolved, table, splits.class_names, plan, has_several_labels=dataset.has_several_labels
        )
        shared = left_open(in_common, first)
        check_other_folds(shared, _last(kept), num_folds)
        alike = alike_in(pool, dataset, say)
        seeds = tuple(config.seed + index for index in range(num_seeds))
        with create_run_dir(config.recipe, run_dir, data=resolved.data) as folder:
            fold_of = {index: row.fold for index, row in enumerate(table.rows) if not row.is_excluded}
            if pairs := alike.between(fold_of):
                folder.write_checked({LEAKS: fold_leaks_to_csv(alike, pool, fold_of, splits.class_names)})
                tell_leaks(pairs, folder.path / LEAKS, say)
            fold_list = FoldList(num_folds, seeds, checksum_of(pool))
            folder.write_checked(
                {
                    ASKED: config_to_toml(config),
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
            return _finish(folder, kept, options, alike=alike, began_s=began_s, told=told)


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
    loggers: Sequence[str] = (),
    trust_code: bool = False,
) -> FoldRuns:
    """Go on with what is missing: a run that was stopped, those not started, the results. Arguments as in `resume`."""
    folder = opened_folds(run_dir)
    check_loggers(loggers)
    refuse_several("each of several trainings is one process's", hint=ONE_TRAINING)
    with folder.locked(), keeping_sources() as kept:
        options = ResumeOptions(
            data=data,
            data_dir=data_dir,
            device=device,
            log_style=log_style,
            pictures=pictures,
            accept_changes=accept_changes,
            loggers=loggers_to_go_on(loggers, folder.path),
        )
        return _finish(folder, kept, options)


def _finish(
    folder: RunDir,
    kept: Mapping[str, SourceSplits],
    options: ResumeOptions,
    *,
    alike: AllAlike | None = None,
    began_s: float | None = None,
    told: Collection[str] = (),
) -> FoldRuns:
    folds, table = read_folds(folder)
    say = speaker(options.log_style)
    loaded: dict[int, Dataset] = {}  # of the fold that is trained on, for all of its seeds

    def start_of(own: TrainConfig) -> Start:
        fold = own.division.fold
        assert fold is not None
        if fold not in loaded:
            loaded.clear()
            loaded[fold], _ = load_data(own, say=say_nothing, is_resolved=True)
            check_data(folder, _last(kept), folds)
            check_division(folder, table, fold, loaded[fold])
        say(f"{folds.folder_of(fold, own.seed)}: fold {fold + 1} of {folds.num_folds} is held out.")
        return Start(loaded[fold], None if alike is None else leaks_of_pool(alike, loaded[fold]))

    positive = folder.read_config(SHARED_CONFIG).decisions.positive
    members = [
        Member(
            folds.folder_of(fold, seed), {"folds": folds.num_folds, "fold": fold, "seed": seed, "positive": positive}
        )
        for fold in range(folds.num_folds)
        for seed in folds.seeds
    ]
    runs = train_all(folder, members, options, start_of=start_of, have_equal_data=False, began_s=began_s, told=told)
    metrics = write_fold_results(folder, runs, folds, table, pictures=options.pictures)
    return FoldRuns(folder.path, tuple(runs), metrics)


def _last(kept: Mapping[str, SourceSplits]) -> SourceSplits:
    """The source as it was read last: a plan may have read it at another size before."""
    return list(kept.values())[-1]

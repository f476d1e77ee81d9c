"""One recipe trained with several seeds: a folder of whole runs, and what they have in common."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.errors import ConfigError, RunError
from thumbnet.recipes import load_recipe
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.files.names import REPORT, SHARED_CONFIG
from thumbnet.runs.files.seed_list import seed_folder
from thumbnet.runs.known_data import KnownData
from thumbnet.runs.leaks import keep_leaks, look_for_leaks
from thumbnet.runs.load_checked import left_open, load_checked
from thumbnet.runs.loggers import loggers_to_go_on
from thumbnet.runs.member import Member, Start
from thumbnet.runs.planning.choose import plan_training
from thumbnet.runs.resolve import say_nothing, speaker
from thumbnet.runs.resume import ResumeOptions
from thumbnet.runs.run import Run, RunDir, create_run_dir
from thumbnet.runs.seeds.runs import figures_of_seeds, is_seed_runs
from thumbnet.runs.settings import common_settings
from thumbnet.runs.several import train_all
from thumbnet.runs.train import with_own_code
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.checks import MAX_RUNS
from thumbnet.specs.data import ARRAYS
from thumbnet.specs.engine import Device
from thumbnet.specs.launch import ONE_TRAINING, refuse_several
from thumbnet.specs.loggers import check_loggers
from thumbnet.specs.own_code import give_again
from thumbnet.specs.trust import takes_trust
from thumbnet.training.progress import LogStyle
from thumbnet.training.threads import computing_with, obeys_threads


@dataclass(frozen=True)
class SeedRuns:
    """The finished runs, one a seed, and their metrics: `n`, `seeds`, `test_accuracy` (mean), `test_accuracy_std` (of
    the sample; None for one seed), `train_s` (median)."""

    path: Path
    runs: tuple[Run, ...]
    metrics: Mapping[str, object]


@dataclass(frozen=True)
class _SameStart:
    """Every run begins with the same."""

    start: Start

    def __call__(self, folder: RunDir, own: TrainConfig) -> Start:
        return self.start


@takes_trust
@obeys_threads
def train_seeds(
    config: TrainConfig | None = None,
    *,
    num_seeds: int,
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
) -> SeedRuns:
    """Train with the seeds `config.seed`, `config.seed + 1`, ... into `run_dir/seed-<k>/`, then write metrics.json.

    Args:
        config: None: the default recipe.
        num_seeds: how many, at least 1.
        run_dir: a new or empty folder; None: `runs/<recipe>-<n>`.
        log_style, pictures, dataset, began_s, model, augmentation, loggers, trust_code: as in `train`. Minutes are
            planned once, for the first run; each run has as many, and keeps to its own clock.
        jobs: train so many at once, each in a process of its own with its share of the processors (or `threads` of the
            config); None: one after the other. One that dies is told, the others go on.
        scheduler: the address of a Dask cluster's scheduler, on whose workers to train instead: tcp://HOST:PORT.

    Raises:
        ThumbnetError: as `train`; ConfigError: `num_seeds` is below 1; JobsFailedError: of runs that were trained at
            once, some failed.
    """
    check_loggers(loggers)
    refuse_several("each of several trainings is one process's", hint=ONE_TRAINING)
    if not 1 <= num_seeds <= MAX_RUNS:
        raise ConfigError(f"seeds is {num_seeds}", hint=f"give how many runs to make, 1 to {MAX_RUNS}")
    config = with_own_code(load_recipe() if config is None else config, model, augmentation)
    config.replace(seed=config.seed + num_seeds - 1)  # the last one is a seed, too
    at_once = AtOnce(jobs, scheduler)
    at_once.check_minutes(config.minutes)
    asked, plan, leaks, say = config, None, None, speaker(log_style)
    began_s = time.perf_counter() if began_s is None else began_s
    if config.minutes is not None:
        with computing_with(at_once.threads_here(config.engine.threads, num_runs=num_seeds)):
            planned = plan_training(
                config, began_s=began_s, say=say, pictures=pictures, dataset=dataset, leaves_init_open=True
            )
        config, dataset, plan, leaks, say = planned.config, planned.dataset, planned.record, planned.leaks, say_nothing
    unresolved = config
    dataset, config = load_checked(config, say=say, dataset=dataset)  # refused before there is a folder
    config = left_open(config, unresolved)
    leaks = look_for_leaks(dataset, say=say) if leaks is None else leaks
    with create_run_dir(config.recipe, run_dir, data=config.data) as folder:
        seeds = [config.seed + index for index in range(num_seeds)]
        keep_leaks(folder, leaks, dataset, say=speaker(log_style))
        folder.begin_seeds(config, seeds, asked=asked, source=dataset.source, plan=plan)
        options = ResumeOptions(log_style=log_style, pictures=pictures, loggers=tuple(loggers))
        told = (dataset.source.note, *dataset.source.remarks)
        return _finish(folder, options, dataset=dataset, leaks=leaks, began_s=began_s, told=told, at_once=at_once)


@takes_trust
def resume_seeds(
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
) -> SeedRuns:
    """Go on with what is missing: a run that was stopped, those not started, the metrics. Arguments as in `resume`."""
    if not is_seed_runs(run_dir):
        raise RunError(f"{run_dir} holds no runs with several seeds", hint="give a folder that `train --seeds` made")
    folder = RunDir(Path(run_dir))
    check_loggers(loggers)
    refuse_several("each of several trainings is one process's", hint=ONE_TRAINING)
    with folder.locked():
        give_again(folder.read_config(SHARED_CONFIG).model, model)
        options = ResumeOptions(
            data=data,
            data_dir=data_dir,
            device=device,
            log_style=log_style,
            pictures=pictures,
            accept_changes=accept_changes,
            loggers=loggers_to_go_on(loggers, folder.path),
        )
        return _finish(folder, options, dataset=dataset, at_once=AtOnce(jobs, scheduler))


def _finish(
    folder: RunDir,
    options: ResumeOptions,
    *,
    dataset: Dataset | None = None,
    leaks: Leaks | None = None,
    began_s: float | None = None,
    told: Collection[str] = (),
    at_once: AtOnce,
) -> SeedRuns:
    seeds, known_data = folder.read_seeds(), None
    if not at_once.is_one_after_the_other and dataset is not None and dataset.source.name != ARRAYS:
        known_data = KnownData.of(dataset)
        dataset = None  # each process reads it by itself, which costs less than sending it there
    runs = train_all(
        folder,
        [Member(seed_folder(seed), {"seed": seed}) for seed in seeds],
        options,
        start_of=_SameStart(Start(dataset, leaks)),
        have_equal_data=True,
        dataset=dataset,
        began_s=began_s,
        told=told,
        at_once=at_once,
        known_data=known_data,
    )
    known = [known_metrics(run.metrics) for run in runs]
    accuracies = [each.test_accuracy for each in known]
    metrics: dict[str, object] = {
        "n": len(runs),
        "seeds": list(seeds),
        "test_accuracy": statistics.mean(accuracies),
        "test_accuracy_std": statistics.stdev(accuracies) if len(runs) > 1 else None,
        "train_s": statistics.median(each.train_s for each in known),
        "figures": {name: asdict(figure) for name, figure in figures_of_seeds(runs).items()},
    }
    asked = folder.read_asked()
    if asked is not None:  # by an earlier version
        metrics["settings"] = common_settings(asked)
    if options.pictures:
        from thumbnet.runs.seeds.report import build_seeds_report  # not before the trainings: what draws takes a second

        folder.write(REPORT, build_seeds_report(folder.path.resolve().name, runs))
    folder.write_metrics(metrics)
    return SeedRuns(folder.path, tuple(runs), metrics)

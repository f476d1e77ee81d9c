"""The report of a finished run, or of several with other seeds or on other folds, written anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from thumbnet.atomic import write_atomically
from thumbnet.data.dataset import Dataset
from thumbnet.data.source_registry import GIVEN, keeping_sources
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.undivided import undivided
from thumbnet.errors import ConfigError, RunError
from thumbnet.evaluation.label_scoring import evaluate_labels
from thumbnet.evaluation.metrics import evaluate
from thumbnet.evaluation.unknown import with_unknown
from thumbnet.runs.files.names import check_no_part_of_a_run
from thumbnet.runs.folds.label_figures import any_out_of_fold
from thumbnet.runs.folds.label_report import build_report_of_folds
from thumbnet.runs.folds.runs import is_fold_runs, load_folds, read_folds
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.reports.labels import build_labels_report
from thumbnet.runs.reports.run import build_report
from thumbnet.runs.run import REPORT, Run, RunDir, load_run, read_robustness
from thumbnet.runs.seeds.report import build_seeds_report
from thumbnet.runs.seeds.runs import is_seed_runs, load_seed_runs
from thumbnet.specs.trust import takes_trust
from thumbnet.terminal.text import escaped


@takes_trust
def write_report(
    run_dir: str | Path,
    out: str | Path | None = None,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    dataset: Dataset | None = None,
    trust_code: bool = False,
) -> Path:
    """Write the report of a finished run, or of runs with several seeds or on several folds, anew; return its path.

    Args:
        run_dir: the run's folder, or one that `train --seeds` or `train --folds` made.
        out: the file to write; None: report.html in the run's folder.
        data, data_dir, allow_unverified: where the run's data is now, if not as recorded; of several seeds, no data is
            read.
        dataset: the run's data, read before; of folds, as `train_folds` takes it.
        trust_code: as in `load_run`.

    Raises:
        ThumbnetError: the run is not finished, its data is not there or has changed, or the file cannot be written.
    """
    path = Path(run_dir) / REPORT if out is None else Path(out)
    if path.resolve() != (Path(run_dir) / REPORT).resolve():
        check_no_part_of_a_run(path)
    place = DataPlace(data, data_dir, allow_unverified, dataset)
    if is_fold_runs(run_dir):
        text = _folds_text(run_dir, place)
    elif is_seed_runs(run_dir):
        text = _seeds_text(run_dir, place)
    else:
        text = _run_text(load_run(run_dir), place)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error}", hint="name a file that you may write, with --out"
        ) from error
    return path


def _folds_text(run_dir: str | Path, place: DataPlace) -> str:
    given: dict[str, SourceSplits] = {}
    if place.dataset is not None:
        given, place = {GIVEN: undivided(place.dataset)}, DataPlace(data=place.dataset.source.name)
    done = load_folds(run_dir)
    folder = RunDir(done.path)
    with keeping_sources(given):  # which every fold divides
        return build_report_of_folds(folder, done.runs, any_out_of_fold(done.runs, *read_folds(folder)), place)


def _seeds_text(run_dir: str | Path, place: DataPlace) -> str:
    if place != DataPlace():
        raise ConfigError(
            f"{run_dir} holds runs with several seeds, whose report is made of what they keep: no data is read",
            hint="leave --data, --data-dir and --allow-unverified out",
        )
    return build_seeds_report(Path(run_dir).resolve().name, load_seed_runs(run_dir))


def _run_text(run: Run, place: DataPlace) -> str:
    dataset = load_own_dataset(run, place)
    if run.card.has_several_labels:
        return build_labels_report(
            config=run.config,
            dataset=dataset,
            model=run.model,
            history=run.history,
            evaluation=evaluate_labels(run.model, dataset, decision=run.card.label_decision),
            metrics=run.metrics,
            asked=run.asked,
            title=escaped(run.path.resolve().name),
            robustness=read_robustness(RunDir(run.path)),
            plan=RunDir(run.path).read_plan(),
            init_choice=RunDir(run.path).read_init_choice(),
        )
    evaluation = replace(evaluate(run.model, dataset, decision=run.card.decision), unsure=run.card.unsure)
    return build_report(
        config=run.config,
        dataset=dataset,
        model=run.model,
        history=run.history,
        evaluation=with_unknown(evaluation, run.model, dataset, run.card.unknown),
        metrics=run.metrics,
        asked=run.asked,
        title=escaped(run.path.resolve().name),
        held_out=RunDir(run.path).read_val_logits(),
        robustness=read_robustness(RunDir(run.path)),
        plan=RunDir(run.path).read_plan(),
        init_choice=RunDir(run.path).read_init_choice(),
    )

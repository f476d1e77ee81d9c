"""The report of a run: what `report.html` shows, collected from its folder, its model and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thumbnet.atomic import write_atomically
from thumbnet.config import TrainConfig, config_to_dict, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.data.originals import larger_images
from thumbnet.errors import ConfigError, RunError
from thumbnet.evaluation.analysis import analyse
from thumbnet.evaluation.calibration import MIN_TEMPERATURE_IMAGES
from thumbnet.evaluation.metrics import Evaluation, evaluate
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.evaluation.robustness import Robustness
from thumbnet.evaluation.saliency import resized_maps, saliency_if_any
from thumbnet.models.trace import Trace, trace_model
from thumbnet.runs.metrics import known_metrics
from thumbnet.runs.names import FOLDS, check_no_part_of_a_run
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.report_headlines import report_headlines
from thumbnet.runs.report_seeds import build_seeds_report
from thumbnet.runs.reproduce import reproducing_command
from thumbnet.runs.run import REPORT, Run, RunDir, load_run, read_robustness
from thumbnet.runs.seed_runs import is_seed_runs, load_seed_runs
from thumbnet.specs.own_code import takes_trust
from thumbnet.terminal.text import counted, escaped
from thumbnet.training.history import History
from thumbnet.views.graph import graph_svg
from thumbnet.views.report.content import ReportContent
from thumbnet.views.report.gallery_images import choose_gallery_images, tile_side
from thumbnet.views.report.page import NUM_SALIENT, render_report
from thumbnet.views.summary import summarize_trace

SALIENCY_KINDS = {
    "cam": "Where it looked: the class activation map of the predicted class, exact here; the rest is dimmed.",
    "grad-cam": "Where it looked: Grad-CAM of the predicted class, an approximation; the rest is dimmed.",
}


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
    """Write the report of a finished run, or of runs with several seeds, anew, and return its path.

    Args:
        run_dir: the run's folder, or one that `train --seeds` made.
        out: the file to write; None: report.html in the run's folder.
        data, data_dir, allow_unverified: where the run's data is now, if not as recorded; of several seeds, no data is
            read.
        dataset: the run's data, read before.
        trust_code: as in `load_run`.

    Raises:
        ThumbnetError: the run is not finished, its data is not there or has changed, or the file cannot be written.
    """
    if (Path(run_dir) / FOLDS).exists():
        raise RunError(
            f"{run_dir} holds runs on several folds, whose report is written when they are finished",
            hint=f"write it again with: thumbnet train --resume {run_dir}",
        )
    path = Path(run_dir) / REPORT if out is None else Path(out)
    if path.resolve() != (Path(run_dir) / REPORT).resolve():
        check_no_part_of_a_run(path)
    place = DataPlace(data, data_dir, allow_unverified, dataset)
    text = _seeds_text(run_dir, place) if is_seed_runs(run_dir) else _run_text(load_run(run_dir), place)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error}", hint="name a file that you may write, with --out"
        ) from error
    return path


def _seeds_text(run_dir: str | Path, place: DataPlace) -> str:
    if place != DataPlace():
        raise ConfigError(
            f"{run_dir} holds runs with several seeds, whose report is made of what they keep: no data is read",
            hint="leave --data, --data-dir and --allow-unverified out",
        )
    return build_seeds_report(Path(run_dir).resolve().name, load_seed_runs(run_dir))


def _run_text(run: Run, place: DataPlace) -> str:
    dataset = load_own_dataset(run, place)
    return build_report(
        config=run.config,
        dataset=dataset,
        model=run.model,
        history=run.history,
        evaluation=replace(evaluate(run.model, dataset, decision=run.card.decision), unsure=run.card.unsure),
        metrics=run.metrics,
        asked=run.asked,
        title=escaped(run.path.resolve().name),
        robustness=read_robustness(RunDir(run.path)),
        plan=RunDir(run.path).read_plan(),
    )


def build_report(
    *,
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    history: History,
    evaluation: Evaluation,
    metrics: Mapping[str, object],
    title: str,
    asked: TrainConfig | None = None,
    trace: Trace | None = None,
    graph: str | None = None,
    held_out: Predictions | None = None,
    robustness: Robustness | None = None,
    plan: PlanRecord | None = None,
    command: str | None = None,
    note: str = "",
) -> str:
    """The report of a training, as HTML text.

    Args:
        config: as resolved; `asked` as it was asked for, for the command that trains the same again.
        evaluation: of the test split.
        metrics: what metrics.json holds.
        title: the run's name.
        trace: of the model, its `graph` as SVG, and `held_out`, predictions of the validation split; None: made here.
        robustness: as measured before; None: no such section.
        plan: of the minutes that were asked for, if any were.
        command: that trains the same again; None: by config and asked.
        note: of several trainings whose figures are pooled: what a reader must know of them.
    """
    gallery = choose_gallery_images(evaluation.predictions)
    saliency, saliency_note = _saliency(model, dataset, evaluation.predictions, gallery[:NUM_SALIENT])
    tiles = larger_images(dataset, dataset.test, gallery, side=tile_side(len(gallery)))
    trace = trace_model(model, dataset.image_shape) if trace is None else trace
    held_out = _held_out(model, dataset) if held_out is None else held_out
    analysis = analyse(evaluation, dataset.class_names, held_out=held_out)
    return render_report(
        ReportContent(
            title=title,
            lead=f"{config.model} on {dataset.source.description}",
            headlines=report_headlines(analysis, metrics, num_val=0 if dataset.val is None else len(dataset.val)),
            facts=_facts(config, dataset, metrics, plan),
            notes=[note] if note else _notes(config, dataset, metrics, plan),
            history=history,
            analysis=analysis,
            images=dataset.test.images,
            paths=dataset.test.paths,
            gallery=gallery,
            tiles=tiles,
            saliency=resized_maps(saliency, (tiles.shape[2], tiles.shape[3])),
            saliency_note=saliency_note,
            no_temperature="each fold has its own" if note else _no_temperature(dataset),
            robustness=robustness,
            summary=summarize_trace(trace, dataset.image_shape),
            graph_svg=graph_svg(trace, type(model).__name__) if graph is None else graph,
            command=(reproducing_command(config, asked, sides=dataset.image_shape[1:]) if command is None else command),
            config_toml=config_to_toml(config.replace(data_dir=None)),
        )
    )


def _saliency(
    model: nn.Module, dataset: Dataset, predictions: Predictions, gallery: Sequence[int]
) -> tuple[Float[Tensor, "n h w"], str]:
    """Where the model looked in each image, and how that was found; no maps of a network that has none."""
    chosen = list(gallery)
    images, classes = dataset.test.images[chosen], predictions.predicted[chosen]
    found = saliency_if_any(model, images, classes, mean=dataset.mean, std=dataset.std)
    if found is None:
        return torch.zeros(0, *dataset.image_shape[1:]), ""
    return found.maps, SALIENCY_KINDS[found.kind]


def _held_out(model: nn.Module, dataset: Dataset) -> Predictions | None:
    """Predictions of the validation split, to fit a temperature on."""
    if dataset.val is None:
        return None
    return predict_split(model, dataset.val, mean=dataset.mean, std=dataset.std)


def _no_temperature(dataset: Dataset) -> str:
    """Why no temperature was fitted, if none was."""
    if dataset.val is None:
        return "the run held no images out for validation"
    if len(dataset.val) < MIN_TEMPERATURE_IMAGES:
        return f"{len(dataset.val)} images were held out, and one is fitted on {MIN_TEMPERATURE_IMAGES} or more"
    return "none is best on those held out"


def _facts(
    config: TrainConfig, dataset: Dataset, metrics: Mapping[str, object], plan: PlanRecord | None
) -> list[tuple[str, str]]:
    channels, height, width = dataset.image_shape
    num_val = 0 if dataset.val is None else len(dataset.val)
    names = config_to_dict(config)
    return [
        ("recipe", config.recipe),
        ("model", " ".join([config.model, *(f"{name}={value}" for name, value in config.model_options.items())])),
        ("data", dataset.source.name),
        ("images", f"{len(dataset.train):,} training, {num_val:,} validation, {len(dataset.test):,} test"),
        ("each", f"{width}x{height} pixels, {'grey' if channels == 1 else 'colour'}"),
        ("epochs", f"{config.epochs}, {config.batch_size} images a step"),
        *([] if plan is None else [("time asked for", f"{plan.minutes:g} minutes for the whole command")]),
        ("augmentation", str(config.inputs.augmentation)),
        ("optimizer", f"{names['optimizer']}, learning rate {config.optimizer.lr:g}, {names['schedule']}"),
        ("seed", str(config.seed)),
        ("computed on", f"{metrics['device']}, {metrics['num_threads']} threads, {metrics['machine']}"),
    ]


def _notes(config: TrainConfig, dataset: Dataset, metrics: Mapping[str, object], plan: PlanRecord | None) -> list[str]:
    """What a reader must know to take the figures for what they are."""
    scored = {
        "end": "The test set was scored once, after the last epoch, in one view; it picked nothing.",
        "each-epoch": "The test set was scored after every epoch; the figures are those of the last one.",
    }
    notes = [scored[config.score_test]]
    notes += [] if plan is None else plan.reasons
    if dataset.source.verified is False:
        notes.append("The data is not the official files: their checksums differ (--allow-unverified).")
    if dataset.source.note:
        notes.append(dataset.source.note)
    notes.extend(dataset.source.remarks)
    if dataset.num_excluded:
        notes.append(
            f"{dataset.num_excluded:,} images that a file lists were left out of training and validation (exclude): "
            "validation figures do not compare with those of runs that kept them."
        )
    known = known_metrics(metrics)
    if known.num_leaks:
        notes.append(
            f"Leaks: {counted(known.num_leaks, 'image')} of training or validation equal, or nearly, to one that is "
            f"held out (leaks.csv). Without the {counted(known.num_test_leaked, 'test image')} concerned, accuracy is "
            f"{known.test_accuracy_without_leaks:.2%}."
        )
    if dataset.val is None:
        notes.append("No images were held out for validation.")
    return notes

"""The report of a run: what `report.html` shows, collected from its folder, its model and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.data.originals import larger_images
from thumbnet.evaluation.analysis import analyse
from thumbnet.evaluation.calibration import MIN_TEMPERATURE_IMAGES
from thumbnet.evaluation.metrics import Evaluation
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.evaluation.robustness import Robustness
from thumbnet.evaluation.saliency import resized_maps, saliency_if_any
from thumbnet.models.trace import Trace, trace_model
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.reports.facts import report_facts, report_notes
from thumbnet.runs.reports.headlines import report_headlines
from thumbnet.runs.reproduce import reproducing_command
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
    init_choice: InitChoice | None = None,
) -> str:
    """The report of a training, as HTML text.

    Args:
        config: as resolved; `asked` as it was asked for, for the command that trains the same again.
        evaluation: of the test split.
        metrics: what metrics.json holds.
        title: the run's name.
        trace: of the model, its `graph` as SVG, and `held_out`, predictions of the validation split by a network that
            was not trained on it; None: made here.
        robustness: as measured before; None: no such section.
        plan: of the minutes that were asked for, if any were.
        init_choice: of what the training began with, if the data's remarks do not say it.
    """
    gallery = choose_gallery_images(evaluation.predictions)
    saliency, saliency_note = saliency_of_gallery(model, dataset, evaluation.predictions, gallery[:NUM_SALIENT])
    tiles = larger_images(dataset, dataset.test, gallery, side=tile_side(len(gallery)))
    trace = trace_model(model, dataset.image_shape) if trace is None else trace
    if held_out is None and not known_metrics(metrics).num_refit:  # else the model was trained on them
        held_out = _held_out(model, dataset)
    analysis = analyse(evaluation, dataset.class_names, held_out=held_out)
    return render_report(
        ReportContent(
            title=title,
            lead=f"{config.model} on {dataset.source.description}",
            headlines=report_headlines(analysis, metrics, num_val=0 if dataset.val is None else len(dataset.val)),
            facts=report_facts(config, dataset, metrics, plan),
            notes=report_notes(config, dataset, metrics, plan, init_choice),
            history=history,
            analysis=analysis,
            images=dataset.test.images,
            paths=dataset.test.paths,
            gallery=gallery,
            tiles=tiles,
            saliency=resized_maps(saliency, (tiles.shape[2], tiles.shape[3])),
            saliency_note=saliency_note,
            no_temperature=_no_temperature(dataset),
            robustness=robustness,
            summary=summarize_trace(trace, dataset.image_shape),
            graph_svg=graph_svg(trace, type(model).__name__) if graph is None else graph,
            command=reproducing_command(config, asked, sides=dataset.image_shape[1:]),
            config_toml=config_to_toml(config.replace(data_dir=None)),
        )
    )


def saliency_of_gallery(
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

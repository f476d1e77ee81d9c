"""The report of a run whose pictures may have several labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.originals import larger_images
from thumbnet.evaluation.label_predictions import wrongly_labelled
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.robustness import Robustness
from thumbnet.models.label_decision import halves
from thumbnet.models.trace import Trace, trace_model
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.reports.facts import report_facts, report_notes
from thumbnet.runs.reports.headlines import label_headlines
from thumbnet.runs.reproduce import reproducing_command
from thumbnet.terminal.text import escaped
from thumbnet.training.history import History
from thumbnet.views.graph import graph_svg
from thumbnet.views.report.gallery_images import tile_side
from thumbnet.views.report.labels_page import LabelReportContent, render_labels_report
from thumbnet.views.summary import summarize_trace

NUM_WRONGLY_LABELLED = 120  # images that the report shows


def image_names(split: Split, indices: Sequence[int]) -> list[str]:
    """What people call images of a split: the files, or the numbers of those that are in none."""
    return [f"image {index}" if split.paths is None else escaped(split.paths[index]) for index in indices]


def build_labels_report(
    *,
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    history: History,
    evaluation: LabelEvaluation,
    metrics: Mapping[str, object],
    title: str,
    asked: TrainConfig | None = None,
    trace: Trace | None = None,
    graph: str | None = None,
    plan: PlanRecord | None = None,
    init_choice: InitChoice | None = None,
    robustness: Robustness | None = None,
) -> str:
    """The report of a training on pictures that may have several labels, as HTML text; arguments as in
    `build_report`."""
    gallery = wrongly_labelled(evaluation.predictions)[:NUM_WRONGLY_LABELLED].tolist()
    trace = trace_model(model, dataset.image_shape) if trace is None else trace
    decision = evaluation.predictions.decision or halves(dataset.num_classes)
    return render_labels_report(
        LabelReportContent(
            title=title,
            lead=f"{config.model} on {dataset.source.description}",
            headlines=label_headlines(evaluation, metrics),
            facts=report_facts(config, dataset, metrics, plan),
            notes=report_notes(config, dataset, metrics, plan, init_choice),
            history=history,
            evaluation=evaluation,
            decision=decision.describe(dataset.class_names),
            gallery=gallery,
            tiles=larger_images(dataset, dataset.test, gallery, side=tile_side(len(gallery))),
            names=image_names(dataset.test, gallery),
            summary=summarize_trace(trace, dataset.image_shape),
            graph_svg=graph_svg(trace, type(model).__name__) if graph is None else graph,
            command=reproducing_command(config, asked, sides=dataset.image_shape[1:]),
            config_toml=config_to_toml(config.replace(data_dir=None)),
            robustness=robustness,
        )
    )

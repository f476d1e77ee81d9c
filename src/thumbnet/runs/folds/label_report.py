"""The report of a folder of folds, as HTML text, where a picture may have several labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from thumbnet.config import config_to_toml
from thumbnet.data.originals import larger_images
from thumbnet.evaluation.label_predictions import wrongly_labelled
from thumbnet.models.trace import trace_model
from thumbnet.runs.files.names import SHARED_CONFIG
from thumbnet.runs.folds.figures import OutOfFold
from thumbnet.runs.folds.label_figures import LabelsOutOfFold
from thumbnet.runs.folds.report import build_folds_report
from thumbnet.runs.folds.report_parts import (
    fold_facts,
    fold_headlines,
    fold_notes,
    folds_command,
    images_of_folds,
    with_common_remarks,
)
from thumbnet.runs.folds.robustness import robustness_of_folds
from thumbnet.runs.folds.rows import folds_content
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.reports.labels import NUM_WRONGLY_LABELLED, image_names
from thumbnet.runs.run import Run, RunDir
from thumbnet.terminal.text import escaped
from thumbnet.views.graph import graph_svg
from thumbnet.views.report.gallery_images import tile_side
from thumbnet.views.report.labels_page import LabelReportContent, render_labels_report
from thumbnet.views.summary import summarize_trace

OWN_THRESHOLDS = "by the thresholds of each fold\u2019s model, which are in its report"


def build_report_of_folds(
    folder: RunDir, runs: Sequence[Run], found: OutOfFold | LabelsOutOfFold, place: DataPlace
) -> str:
    """The report of finished runs, fold by fold and in each seed by seed; `place` is where their data is now."""
    if isinstance(found, OutOfFold):
        return build_folds_report(folder, runs, found, place)
    first, evaluation = runs[0], found.evaluations[0]
    decision = evaluation.predictions.known_decision
    own = with_common_remarks(load_own_dataset(first, place), runs)
    others = [load_own_dataset(run, place).test for run in runs[len(found.folds.seeds) :: len(found.folds.seeds)]]
    dataset = replace(own, val=None, test=images_of_folds([own.test, *others], found))
    gallery = wrongly_labelled(evaluation.predictions)[:NUM_WRONGLY_LABELLED].tolist()
    robustness, note = robustness_of_folds([run.path for run in runs], num_seeds=len(found.folds.seeds))
    trace = trace_model(first.model, dataset.image_shape)
    return render_labels_report(
        LabelReportContent(
            title=escaped(folder.path.resolve().name),
            lead=f"{first.config.model} on {own.source.description}, in {found.folds.num_folds} folds",
            headlines=fold_headlines(runs, found),
            facts=fold_facts(folder, runs, found, own),
            notes=fold_notes(folder, runs, found, own),
            history=first.history,
            evaluation=evaluation,
            decision=OWN_THRESHOLDS if decision is None else decision.describe(dataset.class_names),
            gallery=gallery,
            tiles=larger_images(dataset, dataset.test, gallery, side=tile_side(len(gallery))),
            names=image_names(dataset.test, gallery),
            summary=summarize_trace(trace, dataset.image_shape),
            graph_svg=graph_svg(trace, type(first.model).__name__),
            command=folds_command(folder, runs, found.folds),
            config_toml=config_to_toml(folder.read_config(SHARED_CONFIG).replace(data_dir=None)),
            robustness=robustness,
            robustness_note=note,
            folds=folds_content(runs, found),
        )
    )

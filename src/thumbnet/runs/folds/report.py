"""The report of a folder of folds, as HTML text: all images out of fold, and every fold beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from thumbnet.config import config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.data.originals import larger_images
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.saliency import resized_maps
from thumbnet.models.trace import trace_model
from thumbnet.runs.files.names import SHARED_CONFIG
from thumbnet.runs.folds.figures import OutOfFold
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
from thumbnet.runs.reports.run import saliency_of_gallery
from thumbnet.runs.run import Run, RunDir
from thumbnet.terminal.text import escaped
from thumbnet.views.graph import graph_svg
from thumbnet.views.report.content import ReportContent
from thumbnet.views.report.gallery_images import choose_gallery_images, tile_side
from thumbnet.views.report.page import NUM_SALIENT, render_report
from thumbnet.views.summary import summarize_trace


def build_folds_report(folder: RunDir, runs: Sequence[Run], found: OutOfFold, place: DataPlace) -> str:
    """The report of finished runs, fold by fold and in each seed by seed; `place` is where their data is now.

    Confusion, gallery and curves are those of the first seed; parameters and graph those of fold 0.
    """
    of_seed, first, analysis = runs[:: len(found.folds.seeds)], runs[0], found.analyses[0]
    own = with_common_remarks(load_own_dataset(first, place), runs)
    tests = [own.test, *(load_own_dataset(run, place).test for run in of_seed[1:])]
    dataset = replace(own, val=None, test=images_of_folds(tests, found))
    predictions = analysis.evaluation.predictions
    gallery = choose_gallery_images(predictions)
    tiles = larger_images(dataset, dataset.test, gallery, side=tile_side(len(gallery)))
    saliency, saliency_note = _saliency(of_seed, found, dataset, predictions, gallery[:NUM_SALIENT])
    robustness, note = robustness_of_folds([run.path for run in runs], num_seeds=len(found.folds.seeds))
    trace = trace_model(first.model, dataset.image_shape)
    return render_report(
        ReportContent(
            title=escaped(folder.path.resolve().name),
            lead=f"{first.config.model} on {own.source.description}, in {found.folds.num_folds} folds",
            headlines=fold_headlines(runs, found),
            facts=fold_facts(folder, runs, found, own),
            notes=fold_notes(folder, runs, found, own),
            history=first.history,
            analysis=analysis,
            images=dataset.test.images,
            paths=dataset.test.paths,
            gallery=gallery,
            tiles=tiles,
            saliency=resized_maps(saliency, (tiles.shape[2], tiles.shape[3])),
            saliency_note=saliency_note,
            no_temperature="each fold has its own, in its report",
            robustness=robustness,
            robustness_note=note,
            summary=summarize_trace(trace, dataset.image_shape),
            graph_svg=graph_svg(trace, type(first.model).__name__),
            command=folds_command(folder, runs, found.folds),
            config_toml=config_to_toml(folder.read_config(SHARED_CONFIG).replace(data_dir=None)),
            folds=folds_content(runs, found),
        )
    )


def _saliency(
    runs: Sequence[Run], found: OutOfFold, dataset: Dataset, predictions: Predictions, gallery: Sequence[int]
) -> tuple[Float[Tensor, "n h w"], str]:
    """Where the model of each image's fold looked, and how that was found; no maps of a network that has none."""
    fold_of = [row.fold for row in found.table.rows if not row.is_excluded]
    maps, note = torch.zeros(len(gallery), *dataset.image_shape[1:]), ""
    for fold, run in enumerate(runs):
        places = [place for place, index in enumerate(gallery) if fold_of[index] == fold]
        if places:
            as_trained = replace(dataset, mean=run.card.mean, std=run.card.std)
            own, note = saliency_of_gallery(run.model, as_trained, predictions, [gallery[place] for place in places])
            if not note:
                return own, note
            maps[places] = own
    return maps, note

"""The report of a folder of folds, as HTML text: all images out of fold, and every fold beside them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from thumbnet.config import config_to_toml
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.originals import larger_images
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.saliency import resized_maps
from thumbnet.models.trace import trace_model
from thumbnet.runs.fold_figures import OutOfFold
from thumbnet.runs.fold_rows import LABELS, folds_content, shown
from thumbnet.runs.fold_table import FoldList
from thumbnet.runs.leaks import kept_leaks
from thumbnet.runs.metrics import known_metrics
from thumbnet.runs.names import LEAKS, SHARED_CONFIG
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.report import saliency_of_gallery
from thumbnet.runs.report_facts import report_facts, report_notes
from thumbnet.runs.reproduce import RECIPE_FROM_CONFIG, reproducing_command
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.stopping import describe_stopping_of_several
from thumbnet.terminal.text import counted, escaped
from thumbnet.training.progress import duration
from thumbnet.views.graph import graph_svg
from thumbnet.views.numbers import exact_share, per_cent
from thumbnet.views.report.content import Headline, ReportContent
from thumbnet.views.report.gallery_images import choose_gallery_images, tile_side
from thumbnet.views.report.page import NUM_SALIENT, render_report
from thumbnet.views.summary import summarize_trace


def build_folds_report(folder: RunDir, runs: Sequence[Run], found: OutOfFold, place: DataPlace) -> str:
    """The report of finished runs, fold by fold and in each seed by seed; `place` is where their data is now.

    Confusion, gallery and curves are those of the first seed; parameters and graph those of fold 0.
    """
    of_seed, first, analysis = runs[:: len(found.folds.seeds)], runs[0], found.analyses[0]
    own = _with_common_remarks(load_own_dataset(first, place), runs)
    tests = [own.test, *(load_own_dataset(run, place).test for run in of_seed[1:])]
    dataset = replace(own, val=None, test=_all_images(tests, found))
    predictions = analysis.evaluation.predictions
    gallery = choose_gallery_images(predictions)
    tiles = larger_images(dataset, dataset.test, gallery, side=tile_side(len(gallery)))
    saliency, saliency_note = _saliency(of_seed, found, dataset, predictions, gallery[:NUM_SALIENT])
    trace = trace_model(first.model, dataset.image_shape)
    return render_report(
        ReportContent(
            title=escaped(folder.path.resolve().name),
            lead=f"{first.config.model} on {own.source.description}, in {found.folds.num_folds} folds",
            headlines=_headlines(runs, found),
            facts=_facts(folder, runs, found, own),
            notes=_notes(folder, runs, found, own),
            history=first.history,
            analysis=analysis,
            images=dataset.test.images,
            paths=dataset.test.paths,
            gallery=gallery,
            tiles=tiles,
            saliency=resized_maps(saliency, (tiles.shape[2], tiles.shape[3])),
            saliency_note=saliency_note,
            no_temperature="each fold has its own, in its report",
            robustness=None,
            summary=summarize_trace(trace, dataset.image_shape),
            graph_svg=graph_svg(trace, type(first.model).__name__),
            command=_command(folder, first, found.folds),
            config_toml=config_to_toml(folder.read_config(SHARED_CONFIG).replace(data_dir=None)),
            folds=folds_content(runs, found),
        )
    )


def _with_common_remarks(own: Dataset, runs: Sequence[Run]) -> Dataset:
    """The data of the first run with what holds of how the trainings of all runs began."""
    of_runs = [RunDir(run.path).training_remarks() for run in runs]
    common = [remark for remark in of_runs[0] if all(remark in remarks for remarks in of_runs)]
    read = tuple(remark for remark in own.source.remarks if remark not in own.source.training_remarks)
    return replace(own, source=replace(own.source, remarks=read, training_remarks=())).with_remark(*common)


def _all_images(tests: Sequence[Split], found: OutOfFold) -> Split:
    """The test images of all folds, in the source's order."""
    order = torch.tensor([index for fold in range(len(tests)) for index in found.table.test_images(fold)]).argsort()
    paths = [path for split in tests for path in split.paths or ()]
    return Split(
        torch.cat([split.images for split in tests])[order],
        torch.cat([split.labels for split in tests])[order],
        tuple(paths[place] for place in order.tolist()) if paths else None,
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


def _headlines(runs: Sequence[Run], found: OutOfFold) -> list[Headline]:
    headlines = []
    for name, figure in found.figures.items():
        low, high = (shown(name, bound).removesuffix(" %") for bound in (figure.low, figure.high))
        note = f"{per_cent(CONFIDENCE_LEVEL)} interval {low} to {high}"
        if figure.std_over_seeds is not None:
            note += f"; ± {shown(name, figure.std_over_seeds)} from seed to seed"
        headlines.append(Headline(LABELS[name], shown(name, figure.value), note))
    first, analysis = known_metrics(runs[0].metrics), found.analyses[0]
    commonest = f"{analysis.overall.commonest_class!r}: {exact_share(analysis.overall.commonest_share)} accuracy"
    headlines[0] = replace(headlines[0], note=f"{headlines[0].note}; always {commonest}")
    times = [known_metrics(run.metrics).train_s for run in runs]
    return [
        *headlines,
        Headline("parameters", f"{first.num_params:,}", f"{first.macs / 1e6:.1f} M multiply-accumulates"),
        Headline(
            "training", duration(statistics.median(times)), f"of a run, the median; {duration(sum(times))} in all"
        ),
    ]


def _facts(folder: RunDir, runs: Sequence[Run], found: OutOfFold, own: Dataset) -> list[tuple[str, str]]:
    """Those of a run, with what differs from run to run."""
    plan, num_images = folder.read_plan(), found.analyses[0].evaluation.num_images
    facts = dict(report_facts(runs[0].config, own, runs[0].metrics, plan))
    facts["images"] = f"{num_images:,}, in {found.folds.num_folds} folds"
    facts["seed"] = ", ".join(map(str, found.folds.seeds))
    epochs = sorted({len(run.history) for run in runs})
    if len(epochs) > 1:
        facts["epochs"] = f"{epochs[0]} to {epochs[-1]}, {runs[0].config.batch_size} images a step"
    if plan is not None:
        facts["time asked for"] = f"{plan.minutes:g} minutes for each run"
    groups = found.table.groups()
    if groups is not None:
        facts["groups"] = f"{len(set(groups)):,}, none of them in two folds"
    return list(facts.items())


def _notes(folder: RunDir, runs: Sequence[Run], found: OutOfFold, own: Dataset) -> list[str]:
    """What a reader must know to take the figures for what they are."""
    first = runs[0]
    num_excluded = sum(row.is_excluded for row in found.table.rows)
    leaked = {index for leak in kept_leaks(folder).found for index in (leak.index, leak.held_index)}
    num_images = found.analyses[0].evaluation.num_images
    pooled = (
        f"Each of {num_images:,} images was predicted once, by a model that was not trained on it. The figures pool "
        f"what {found.folds.num_folds} models predict; areas mix their scales. Parameters and layers are of fold 0."
    )
    notes = [pooled]
    if len(found.folds.seeds) > 1:
        notes.append(
            f"The figures above and the table of folds are means over {len(found.folds.seeds)} seeds; all that follows "
            f"the table is of seed {found.folds.seeds[0]}."
        )
    of_all = {**first.metrics, "num_leaks": 0, "stopped_early": False, "kept_epoch": 0}
    notes += report_notes(first.config, replace(own, num_excluded=0), of_all, folder.read_plan())
    notes += describe_stopping_of_several(first.config, [run.metrics for run in runs])
    if num_excluded:
        notes.append(f"{counted(num_excluded, 'image')} that a file lists took no part (exclude).")
    if leaked:
        notes.append(
            f"Leaks between folds: {counted(len(leaked), 'image')} equal, or nearly, to one of another fold ({LEAKS}): "
            "figures on those are too good."
        )
    return notes


def _command(folder: RunDir, first: Run, folds: FoldList) -> str:
    """The command that trains the same again."""
    command = reproducing_command(first.config, folder.read_asked(), sides=first.card.image_shape[1:])
    if command.startswith(RECIPE_FROM_CONFIG):
        command = f"thumbnet train --recipe {SHARED_CONFIG}{command.removeprefix(RECIPE_FROM_CONFIG)}"
    seeds = f" --seeds {len(folds.seeds)}" if len(folds.seeds) > 1 else ""
    return f"{command} --folds {folds.num_folds}{seeds}"

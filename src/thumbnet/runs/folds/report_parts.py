"""What every report of a folder of folds has: its images, the figures that it opens with, facts, notes, its command."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from thumbnet.config import AUTO_INIT
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.streamed import chosen_of
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.runs.as_read import without_training_remarks
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.files.names import CONFIG, LEAKS, SHARED_CONFIG
from thumbnet.runs.folds.pooled import PooledFolds, source_order
from thumbnet.runs.folds.rows import LABELS, shown
from thumbnet.runs.folds.table import FoldList
from thumbnet.runs.leaks import kept_leaks
from thumbnet.runs.planning.reasons import describe_longest
from thumbnet.runs.refit import describe_refit_of_several
from thumbnet.runs.reports.facts import report_facts, report_notes
from thumbnet.runs.reproduce import PYTHON_FROM_CONFIG, RECIPE_FROM_CONFIG, reproducing_command
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.stopping import describe_stopping_of_several
from thumbnet.terminal.text import counted
from thumbnet.training.progress import duration
from thumbnet.views.numbers import always_text, per_cent
from thumbnet.views.report.content import Headline


def images_of_folds(tests: Sequence[Split], found: PooledFolds) -> Split:
    """The test images of all folds, in the source's order."""
    order = source_order(found.table, len(tests))
    paths = [path for split in tests for path in split.paths or ()]
    return Split(
        chosen_of(torch.cat([split.images for split in tests]), order),
        torch.cat([split.labels for split in tests])[order],
        tuple(paths[place] for place in order.tolist()) if paths else None,
    )


def with_common_remarks(own: Dataset, runs: Sequence[Run]) -> Dataset:
    """The data of the first run with what holds of how the trainings of all runs began."""
    of_runs = [RunDir(run.path).training_remarks() for run in runs]
    common = [remark for remark in of_runs[0] if all(remark in remarks for remarks in of_runs)]
    return without_training_remarks(own).with_remark(*common)


def fold_headlines(runs: Sequence[Run], found: PooledFolds) -> list[Headline]:
    headlines = []
    for name, figure in found.figures.items():
        note = f"no interval: {figure.reason}"
        if figure.low is not None and figure.high is not None:
            low, high = (shown(name, bound).removesuffix(" %") for bound in (figure.low, figure.high))
            note = f"{per_cent(CONFIDENCE_LEVEL)} interval {low} to {high}"
        if figure.std_over_seeds is not None:
            note += f"; ± {shown(name, figure.std_over_seeds)} from seed to seed"
        headlines.append(Headline(LABELS.get(name, name), shown(name, figure.value), note))
    first = known_metrics(runs[0].metrics)
    always = always_text(found.baseline.class_name, found.baseline.accuracy)
    headlines[0] = replace(headlines[0], note=f"{headlines[0].note}; {always}")
    times = [known_metrics(run.metrics).train_s for run in runs]
    return [
        *headlines,
        Headline("parameters", f"{first.num_params:,}", f"{first.macs / 1e6:.1f} M multiply-accumulates"),
        Headline(
            "training", duration(statistics.median(times)), f"of a run, the median; {duration(sum(times))} in all"
        ),
    ]


def fold_facts(folder: RunDir, runs: Sequence[Run], found: PooledFolds, own: Dataset) -> list[tuple[str, str]]:
    """Those of a run, with what differs from run to run."""
    plan, num_images = folder.read_plan(), found.num_images
    facts = dict(report_facts(runs[0].config, own, runs[0].metrics, plan))
    facts["images"] = f"{num_images:,}, in {found.folds.num_folds} folds"
    facts["seed"] = ", ".join(map(str, found.folds.seeds))
    policies = Counter(str(run.config.inputs.augmentation) for run in runs)
    if len(policies) > 1:  # where each fold chose its own
        facts["augmentation"] = ", ".join(f"{name} ({number} of {len(runs)} runs)" for name, number in policies.items())
    epochs = sorted({len(run.history) for run in runs})
    if len(epochs) > 1:
        facts["epochs"] = f"{epochs[0]} to {epochs[-1]}, {runs[0].config.batch_size} images a step"
    if plan is not None:
        facts["time asked for"] = f"{counted(plan.minutes, 'minute')} for each run"
    groups = found.table.groups()
    if groups is not None:
        facts["groups"] = f"{len(set(groups)):,}, none of them in two folds"
    return list(facts.items())


def fold_notes(folder: RunDir, runs: Sequence[Run], found: PooledFolds, own: Dataset) -> list[str]:
    """What a reader must know to take the figures for what they are."""
    first = runs[0]
    num_excluded = sum(row.is_excluded for row in found.table.rows)
    leaked = {index for leak in kept_leaks(folder).found for index in (leak.index, leak.held_index)}
    num_images = found.num_images
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
    of_all = {**first.metrics, "num_leaks": 0, "stopped_early": False, "kept_epoch": 0, "steps": 0}
    of_one = first.config.replace(refit=False)
    plan, metrics = folder.read_plan(), [run.metrics for run in runs]
    notes += report_notes(of_one, replace(own, num_excluded=0), of_all, plan, scored_on="Each fold")
    notes += describe_stopping_of_several([run.config for run in runs], metrics)
    notes += describe_refit_of_several(first.config, metrics)
    notes += describe_longest(plan, metrics)
    if num_excluded:
        notes.append(f"{counted(num_excluded, 'image')} that a file lists took no part (exclude).")
    if leaked:
        notes.append(
            f"Leaks between folds: {counted(len(leaked), 'image')} equal, or nearly, to one of another fold ({LEAKS}): "
            "figures on those are too good."
        )
    return notes


def folds_command(folder: RunDir, runs: Sequence[Run], folds: FoldList) -> str:
    """The command that trains the same again; where minutes were planned, that of one run, with the steps that its own
    clock made, before that of all, which has none of them."""
    first = runs[0]
    config, asked = first.config, folder.read_asked()
    if asked is not None and asked.init == AUTO_INIT:
        config = config.replace(init=AUTO_INIT)  # which each fold then chooses for itself again
    command = reproducing_command(config, asked, sides=first.card.image_shape[1:])
    is_python = command.startswith(PYTHON_FROM_CONFIG)
    from_config = is_python or command.startswith(RECIPE_FROM_CONFIG)
    own = command.replace(CONFIG, f"{first.path.name}/{CONFIG}", 1)
    together = command.replace(CONFIG, SHARED_CONFIG, 1) if from_config else command
    numbers = {"folds": folds.num_folds} | ({"seeds": len(folds.seeds)} if len(folds.seeds) > 1 else {})
    if is_python:
        given = "".join(f", num_{name}={number}" for name, number in numbers.items())
        together = f"{together.replace('train(', 'train_folds(', 1).removesuffix(')')}{given})"
    else:
        together += "".join(f" --{name} {number}" for name, number in numbers.items())
    if not from_config or folder.read_plan() is None:
        return together
    one = f"# the weights of {first.path.name} again, by the steps that its own clock made; likewise of each other run"
    anew = "# all of them anew, in the steps of the plan: other weights where a clock made more, or fewer"
    return "\n".join([one, own, anew, together])

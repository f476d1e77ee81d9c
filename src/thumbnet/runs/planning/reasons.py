"""A plan in sentences: what it chose, and where a training was as long as any that is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.sizes import describe_cut
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.files.names import CONFIG, SHARED_CONFIG
from thumbnet.runs.planning.constants import ROBUSTNESS_SHARE
from thumbnet.runs.planning.ladder import Candidate, DataFacts, most_steps
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.terminal.text import counted


def reasons_of(
    config: TrainConfig,
    facts: DataFacts,
    not_taken: Sequence[Candidate],
    *,
    sides: tuple[int, int],
    minutes: float,
    steps: int,
    stem: str = "",
    is_size_planned: bool = False,
    without_robustness: bool = False,
    fewer_threads: str = "",
) -> list[str]:
    """What was chosen, for which data, and what is against the rest.

    `config` is the resolved one, `sides` are height and width in pixels of the images as they are trained on, `stem` is
    the first convolution if it is not the usual one at this size, `is_size_planned` is whether the plan chose these
    sides, `without_robustness` whether the report goes without accuracy under corruptions, and `fewer_threads` why it
    computes with fewer threads than there are.
    """
    height, width = sides
    steps_per_epoch = num_batches(facts.num_train, config.batch_size)
    epochs = -(-steps // steps_per_epoch)
    smallest = min(config.inputs.resizing.sides((height, width), 0, 1))
    growing = f", growing from {smallest} pixels" if len(config.inputs.scales) > 1 else ""
    rarest, commonest = min(facts.class_counts), max(facts.class_counts)
    noun = "labels" if facts.has_several_labels else "classes"
    classes = f"{len(facts.class_counts)} {noun} of {rarest:,}"
    classes += "" if rarest == commonest else f" to {commonest:,}"
    chosen = f"{counted(minutes, 'minute')}: {config.model} at {width}x{height} pixels, {counted(epochs, 'epoch')}"
    steps_of = f"({steps:,} steps of {config.batch_size} images){growing}"
    data = f"For {facts.num_train:,} training images of {facts.sides[1]}x{facts.sides[0]} pixels in {classes}"
    sentences = [
        f"{chosen} {steps_of}, augmentation {config.inputs.augmentation}.",
        f"{data}, at the speed that was just measured.",
    ]
    if fewer_threads:
        sentences.append(fewer_threads)
    if is_size_planned and (cut_off := describe_cut(facts.sides, width, config.fit)):
        sentences.append(cut_off)
    if stem:
        sentences.append(f"The time is enough for finer maps than are usual at this size (stem {stem}).")
    if config.objective.class_weights == "balanced":
        sentences.append("Classes of unequal size weigh the same in the loss (class_weights).")
    if steps == most_steps(steps_per_epoch):
        sentences.append(f"It ends early: {counted(epochs, 'epoch')} are the most that a plan makes of so many images.")
    if config.refit:
        both = f"{facts.num_train + facts.num_val:,} training and validation images"
        sentences.append(f"A second training follows, on all {both}, whose network is kept (refit).")
    if without_robustness:
        sentences.append(
            f"Accuracy under corruptions would take more than {ROBUSTNESS_SHARE:.0%} of the time: `thumbnet evaluate "
            "RUN --robustness` measures it."
        )
    for candidate in not_taken:
        height, width = candidate.sides
        maps = " on finer maps" if candidate.stem else ""
        sentences.append(f"Not {candidate.recipe}{maps} at {width}x{height} pixels: {candidate.against}.")
    return sentences


def describe_longest(plan: PlanRecord | None, metrics: Sequence[Mapping[str, object]]) -> list[str]:
    """Says so if trainings by this plan were the longest that a plan makes, and what to do about it: the clock may have
    brought them there, where the plan itself was for a shorter one.

    `metrics` are the values of metrics.json, of one training or of several.
    """
    known = [known_metrics(each) for each in metrics]
    longest = [each for each in known if plan is not None and each.steps >= plan.max_steps]
    if plan is None or not longest:
        return []
    epochs = counted(max(each.epochs for each in longest), "epoch")
    is_one = len(known) == 1
    which = "" if is_one else f" by {len(longest)} of {len(known)} trainings"
    again = "" if is_one else ", with `--seeds` or `--folds` as before"
    sentence = (
        f"The longest training that a plan makes of so many images, {epochs}, was reached{which} before "
        f"{counted(plan.minutes, 'minute')} had passed; to use all the time, add pictures, or train for longer with "
        f"`thumbnet train --recipe RUN/{CONFIG if is_one else SHARED_CONFIG} --epochs N`{again}."
    )
    return [sentence]

"""A trained model as an export takes it: its folded program, card and export data. Without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thumbnet.errors import ModelError
from thumbnet.models.architecture import Architecture
from thumbnet.models.card import ModelCard, card_from_dict
from thumbnet.models.export_data import ExportData, map_channels
from thumbnet.models.pretrained import (
    pretrained_path,
    read_pretrained_card,
    read_pretrained_export_data,
    read_pretrained_weights,
)
from thumbnet.models.program import Program, equalised, fold
from thumbnet.specs.json_text import damaged


@dataclass(frozen=True)
class Shippable:
    """A trained model, from a run or from the package.

    `name` is that of the run's folder or of the pretrained model; `run_path` is None for the latter. `program` is None
    where the model is no network of blocks; it is equalised if the ranges are known. `export_data` is None for runs
    from before it was kept. `licence` is what the maker of a run states, as an SPDX identifier.
    """

    name: str
    card: ModelCard
    program: Program | None
    export_data: ExportData | None
    run_path: Path | None = None
    licence: str | None = None

    def with_export_data(self, export_data: ExportData, *, name: str) -> Shippable:
        """The same model with its export data, whose file is called `name`; RunError where it cannot be that of the
        model."""
        reason = _misfit(self.card, self.program, export_data)
        if reason:
            raise damaged(name, reason)
        program = self.program
        if program is not None:
            program = equalised(program, export_data.pointwise_ranges)
        return replace(self, program=program, export_data=export_data)


def build_program(
    card: ModelCard, architecture: Architecture | None, weights: Mapping[str, np.ndarray]
) -> Program | None:
    """The program of a model's card and weights, not equalised; None where it is no network of blocks."""
    if architecture is None:
        return None
    program = fold(architecture, weights, image_shape=card.image_shape, mean=card.mean, std=card.std)
    if len(program.head) != len(card.class_names):
        raise ModelError(
            f"the weights are for {len(program.head)} classes, but the model card has {len(card.class_names)}",
            hint="they are of another model, or were changed",
        )
    return program


def load_pretrained_shippable(name: str) -> Shippable:
    """A model with the trained weights that come with the package; ModelError where there are none."""
    card = card_from_dict(read_pretrained_card(name), name=str(pretrained_path(name)))
    program = build_program(card, card.architecture, read_pretrained_weights(name))
    export_data = read_pretrained_export_data(name)
    return Shippable(name, card, program, None).with_export_data(export_data, name=f"the export data of {name}")


def _misfit(card: ModelCard, program: Program | None, data: ExportData) -> str:
    """Why export data cannot be that of a model; an empty text where it can."""
    samples = data.samples
    if samples.images.shape[1:] != card.image_shape or samples.images.dtype != np.uint8:
        return f"its samples are {samples.images.dtype} of {samples.images.shape[1:]}, not uint8 of {card.image_shape}"
    if not len(samples.images) == len(samples.labels) == len(samples.positions) >= 1:
        return "it has no samples, or not as many labels as samples"
    if card.has_several_labels:
        if samples.labels.shape[1:] != (len(card.class_names),) or samples.labels.max() > 1:
            return "its samples have labels of other classes"
    elif samples.labels.ndim != 1 or samples.labels.min() < 0 or samples.labels.max() >= len(card.class_names):
        return "a sample has a label that is no class"
    ranges = data.ranges or {}
    expected = {} if program is None else map_channels(program)
    for name in {*expected, *ranges}:
        found = ranges.get(name)
        shape = (expected.get(name, 0),)
        if found is None or found.low.shape != shape or found.high.shape != shape:
            return f"it has no ranges of {name} for {shape[0]} channels"
        if not (np.isfinite(found.low).all() and np.isfinite(found.high).all() and (found.low <= found.high).all()):
            return f"the ranges of {name} are none"
    return ""

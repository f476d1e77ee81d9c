"""A trained model as an export takes it: its folded program, card and export data. Without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thumbnet.models.architecture import Architecture
from thumbnet.models.card import ModelCard, card_from_dict
from thumbnet.models.export_data import ExportData
from thumbnet.models.pretrained import (
    pretrained_path,
    read_pretrained_card,
    read_pretrained_export_data,
    read_pretrained_weights,
)
from thumbnet.models.program import Program, equalised, fold


@dataclass(frozen=True)
class Shippable:
    """A trained model, from a run or from the package.

    `name` is that of the run's folder or of the pretrained model; `run_path` is None for the latter. `program` is None
    where the model is no network of blocks; it is equalised if the ranges are known. `export_data` is None for runs
    from before it was kept.
    """

    name: str
    card: ModelCard
    program: Program | None
    export_data: ExportData | None
    run_path: Path | None = None

    def with_export_data(self, export_data: ExportData) -> Shippable:
        """The same model with export data that was measured later."""
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
    return fold(architecture, weights, image_shape=card.image_shape, mean=card.mean, std=card.std)


def load_pretrained_shippable(name: str) -> Shippable:
    """A model with the trained weights that come with the package; ModelError where there are none."""
    card = card_from_dict(read_pretrained_card(name), name=str(pretrained_path(name)))
    program = build_program(card, card.architecture, read_pretrained_weights(name))
    return Shippable(name, card, program, None).with_export_data(read_pretrained_export_data(name))

"""The original of what is exported, in PyTorch: its model and its data."""

from __future__ import annotations

from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.source_registry import fit_for
from thumbnet.data.sources import load_dataset
from thumbnet.data.white_levels import scale_for
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.run import load_run
from thumbnet.trained.data import check_fits
from thumbnet.trained.model import TrainedModel, load_pretrained
from thumbnet.trained.shippable import Shippable


def load_original(shippable: Shippable) -> TrainedModel:
    """The model as PyTorch runs it: the run, or the pretrained model."""
    return load_pretrained(shippable.name) if shippable.run_path is None else load_run(shippable.run_path)


def load_original_data(
    shippable: Shippable,
    data: str | None = None,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
) -> Dataset:
    """The data that the model was trained on, wherever it is now, split as in its training, with its mean and std.

    Raises:
        RunError, DataError: it is not there, or is not the model's own.
    """
    card = shippable.card
    if shippable.run_path is not None:
        run = load_run(shippable.run_path)
        return load_own_dataset(run, DataPlace(data, data_dir, allow_unverified))
    chosen = card.data if data is None else data
    dataset = load_dataset(
        chosen,
        data_dir=data_dir,
        allow_unverified=bool(allow_unverified),
        image_size=card.image_size,
        fit=fit_for(chosen, card.fit),
        white_levels=scale_for(card.white_levels),
        in_colour=card.image_shape[0] == 3,
        val_fraction=card.num_val / (card.num_train + card.num_val),
    )
    check_fits(card, dataset)
    return dataset.with_statistics(card.mean, card.std)

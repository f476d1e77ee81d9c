"""Trained models brought together with data that they can be scored on."""

from __future__ import annotations

from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.folder_layout import normalised_name
from thumbnet.data.source_registry import fit_for, source_name
from thumbnet.data.sources import load_dataset, load_whole_dataset
from thumbnet.data.white_levels import scale_for
from thumbnet.errors import RunError
from thumbnet.models.card import ModelCard
from thumbnet.trained.model import TrainedModel


def load_test_data(
    trained: TrainedModel,
    data: str | None = None,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
) -> Dataset:
    """The data that a model was trained on, or other data of the same classes, with the model's mean and std.

    Of it only the test split is sure to be unseen: which images were held out for validation, a card does not say.

    Raises:
        RunError: the other data has other classes or another image shape than the model was trained for.
    """
    card = trained.card
    chosen = card.data if data is None else data
    dataset = load_dataset(
        chosen,
        data_dir=data_dir,
        allow_unverified=allow_unverified,
        image_size=card.image_size,
        fit=fit_for(chosen, card.fit),
        white_levels=scale_for(card.white_levels),
        in_colour=card.image_shape[0] == 3,
    )
    check_fits(card, dataset)
    return dataset.with_statistics(card.mean, card.std)


def load_unseen_data(
    trained: TrainedModel, data: str, *, data_dir: str | Path | None = None, allow_unverified: bool = False
) -> Dataset:
    """All images of data that a model was not trained on, as the test split, with the model's mean and std.

    Raises:
        RunError: it is the model's own data, or has other classes or another image shape.
    """
    card = trained.card
    if source_name(data) == card.data:
        raise _seen(card)
    dataset = load_whole_dataset(
        data,
        data_dir=data_dir,
        allow_unverified=allow_unverified,
        image_size=card.image_size,
        fit=fit_for(data, card.fit),
        white_levels=scale_for(card.white_levels),
        in_colour=card.image_shape[0] == 3,
    )
    if dataset.source.name == card.data:  # what `auto` may turn out to be
        raise _seen(card)
    check_fits(card, dataset)
    return dataset.with_statistics(card.mean, card.std)


def _seen(card: ModelCard) -> RunError:
    return RunError(
        f"all images are asked for, but {card.model} was trained on most of those of {card.data}",
        hint="score the test split, or other images of the same classes",
    )


def prepared_for(card: ModelCard, dataset: Dataset) -> Dataset:
    """A dataset with the model's mean and std, in colour for a model of colour images.

    Raises:
        RunError: it has other classes or another image shape than the model was trained for.
    """
    if card.image_shape[0] == 3:
        dataset = dataset.in_colour()
    check_fits(card, dataset)
    return dataset.with_statistics(card.mean, card.std)


def check_fits(card: ModelCard, dataset: Dataset) -> None:
    """RunError where the data has other classes or another image shape than the model was trained for."""
    if dataset.class_names != tuple(normalised_name(name) for name in card.class_names):
        raise RunError(
            f"the model was trained on the classes {_short_list(card.class_names)}, "
            f"but the data has {_short_list(dataset.class_names)}",
            hint="score it on data with the same classes in the same order",
        )
    if dataset.has_several_labels != card.has_several_labels:
        one, several = "one label a picture", "several labels a picture, or none"
        known, found = (several, one) if card.has_several_labels else (one, several)
        raise RunError(
            f"the model was trained on {known}, but the data has {found}",
            hint="score it on data with labels of the same kind",
        )
    if dataset.image_shape != card.image_shape:
        raise RunError(
            f"the model was trained on images of {_shape(card.image_shape)}, but the data has "
            f"{_shape(dataset.image_shape)}",
            hint="score it on images of the same size and colours",
        )


def _shape(image_shape: tuple[int, int, int]) -> str:
    channels, height, width = image_shape
    return f"{width}x{height} pixels in {'grey' if channels == 1 else 'colour'}"


def _short_list(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown}, ... ({len(names)})" if len(names) > 10 else shown

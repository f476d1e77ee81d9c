"""The images that an exported model is checked on: those of the model's data, or without it the samples that come with
the model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thumbnet.errors import ConfigError, DataError, ExportError, RunError
from thumbnet.export.reference import reference_outputs
from thumbnet.export.request import CheckImages, Say
from thumbnet.specs.extras import require_extra
from thumbnet.trained.shippable import Shippable

if TYPE_CHECKING:
    from thumbnet.data.dataset import Dataset, Split

MOST_HELD_OUT = 5000  # images that a drop is judged on


def find_data(
    shippable: Shippable,
    data: str | None,
    *,
    data_dir: str | Path | None,
    allow_unverified: bool | None,
    say: Say,
) -> Dataset | None:
    """The model's data; None where it was not asked for and is not there."""
    is_asked_for = data is not None or data_dir is not None
    if allow_unverified and not is_asked_for and shippable.run_path is None:
        raise ConfigError(
            f"allow_unverified is given, but {shippable.name} is exported without data", hint="give --data with it"
        )
    if is_asked_for:
        require_extra("train", "reading a dataset")
    elif shippable.run_path is None:
        say(f"checked on sample pictures only: for all images of {shippable.name} give --data {shippable.card.data}")
        return None
    elif find_spec("torch") is None:
        say("checked on sample pictures only: reading a dataset needs thumbnet[train]")
        return None
    from thumbnet.export.original import load_original_data

    try:
        return load_original_data(shippable, data, data_dir=data_dir, allow_unverified=allow_unverified)
    except (ConfigError, DataError, RunError) as error:  # the first of a source that is not registered here
        if is_asked_for or (allow_unverified and isinstance(error, ConfigError)):
            raise
        say(f"checked on sample pictures only, since the run's data could not be read: {error.message}")
        return None


def with_export_data(shippable: Shippable, dataset: Dataset | None) -> Shippable:
    """The model with its export data; measured now for a run from before it was kept."""
    if shippable.export_data is not None:
        return shippable
    if dataset is None:
        raise ExportError(
            f"the run {shippable.run_path} was trained before runs kept what an export needs to know of their data",
            hint="say where its data is, with --data or --data-dir",
        )
    from thumbnet.evaluation.export_data import collect_export_data
    from thumbnet.export.original import load_original

    export_data = collect_export_data(load_original(shippable).model, dataset)
    return shippable.with_export_data(export_data, name=f"the export data of {shippable.name}")


def sample_images(shippable: Shippable) -> CheckImages:
    assert shippable.export_data is not None
    samples = shippable.export_data.samples
    logits, distances = reference_outputs(shippable, samples.images)
    description = f"{len(samples.labels)} sample pictures of the test split"
    card = shippable.card
    return CheckImages(
        description,
        samples.images,
        samples.labels,
        logits,
        are_samples=True,
        decision=card.decision,
        unsure=card.unsure,
        label_decision=card.label_decision,
        unknown=card.unknown,
        distances=distances,
    )


def held_out_images(shippable: Shippable, dataset: Dataset) -> CheckImages | None:
    """Validation images; where there are none, training images that were not used for calibration, if there are any."""
    if dataset.val is not None:
        known = " (trained on in the end, too)" if shippable.card.refit else ""
        return images_of(shippable, dataset.val, f"validation images{known}")
    from thumbnet.models.export_data import calibration_order

    assert shippable.export_data is not None
    unused = calibration_order(len(dataset.train))[shippable.export_data.num_images :]
    if not len(unused):
        return None
    description = "training images that were not used for calibration"
    return images_of(shippable, dataset.train.select(unused[:MOST_HELD_OUT].tolist()), description)


def images_of(shippable: Shippable, split: Split, description: str) -> CheckImages:
    """A split's images, or as many of them as are read into memory at once, with the original's answers."""
    from thumbnet.data.streamed import places_at_once

    places = places_at_once(split.images)
    if places is not None:
        description, split = f"of {len(split):,} {description}", split.select(places)
    images, labels = split.images.numpy(), split.labels.numpy()
    assert images.dtype == np.uint8
    logits, distances = reference_outputs(shippable, images)
    card = shippable.card
    return CheckImages(
        f"{len(labels):,} {description}",
        images,
        labels,
        logits,
        decision=card.decision,
        unsure=card.unsure,
        label_decision=card.label_decision,
        unknown=card.unknown,
        distances=distances,
    )

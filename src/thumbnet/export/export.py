"""One call from a run, or a pretrained model, to a checked export."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thumbnet.errors import ConfigError, DataError, ExportError, RunError
from thumbnet.export.formats import ExportFormat, pick_format
from thumbnet.export.reference import reference_logits
from thumbnet.export.request import CheckImages, ExportRequest, ExportResult, Say
from thumbnet.runs.names import check_no_part_of_a_run
from thumbnet.runs.shippable import load_shippable
from thumbnet.specs.extras import require_extra
from thumbnet.trained.shippable import Shippable

if TYPE_CHECKING:
    from thumbnet.data.dataset import Dataset, Split

MAX_DROP = 0.005
MOST_HELD_OUT = 5000  # images that a drop is judged on
EXPORTS = "exports"  # the folder of exports that are given no path


def export_model(
    run_or_name: str | Path,
    format: str,  # noqa: A002  # as the command calls it
    *,
    out: str | Path | None = None,
    max_drop: float = MAX_DROP,
    target: str | None = None,
    data: str | None = None,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    say: Say = lambda text: None,
) -> ExportResult:
    """Write a trained model so that it works elsewhere, after checking what was written against it.

    Args:
        run_or_name: a run folder, or the name of a trained model of the package; an existing folder wins.
        format: one of `onnx`, `onnx-int8`, `tflite`, `c` and `html`.
        out: the file, or for `c` the folder; None: exports/<name>/<name> with the format's ending.
        max_drop: the most accuracy (a fraction) that quantisation may cost, judged on validation images, or on training
            images that were not used for calibration.
        target: for tflite, `frigate` or `openmv`: the folder that these read.
        data, data_dir, allow_unverified: where the model's own data is, as in `load_dataset`. Without them a run's data
            is taken where its config says; if it is not there, and for a trained model of the package, the sample
            pictures that come with the model are checked instead of a split.
        say: gets sentences for people.

    Raises:
        ConfigError: an argument is wrong. ExportError: this format cannot take the model, or what was written does not
            do what the model does. ExtraMissingError: a package is not installed. RunError, DataError: the run or the
            data cannot be used.
    """
    chosen = pick_format(format)
    if not 0 <= max_drop <= 1:
        raise ConfigError(f"max_drop is {max_drop}", hint="give a fraction from 0 to 1, for instance 0.005")
    shippable = load_shippable(run_or_name)
    _check_takes(chosen, shippable)
    path = Path(EXPORTS) / shippable.name / f"{shippable.name}{chosen.suffix}" if out is None else Path(out)
    check_no_part_of_a_run(path)
    dataset = _find_data(shippable, data, data_dir=data_dir, allow_unverified=allow_unverified, say=say)
    shippable = _with_export_data(shippable, dataset)
    request = ExportRequest(
        shippable=shippable,
        out=path,
        max_drop=max_drop,
        held_out=None if dataset is None else _held_out(shippable, dataset),
        test=_samples(shippable) if dataset is None else _images(shippable, dataset.test, "test images"),
        has_data=dataset is not None,
        target=target,
        say=say,
    )
    return chosen.write(request)


def _check_takes(chosen: ExportFormat, shippable: Shippable) -> None:
    if shippable.program is None and not chosen.takes_any_model:
        raise ExportError(
            f"{shippable.card.model} cannot be exported to {chosen.name}, which takes {chosen.takes}",
            hint="export it to onnx, which takes any model, or train one of those",
        )


def _find_data(
    shippable: Shippable,
    data: str | None,
    *,
    data_dir: str | Path | None,
    allow_unverified: bool | None,
    say: Say,
) -> Dataset | None:
    """The model's data; None where it was not asked for and is not there."""
    is_asked_for = data is not None or data_dir is not None
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
    except (DataError, RunError) as error:
        if is_asked_for:
            raise
        say(f"checked on sample pictures only, since the run's data could not be read: {error.message}")
        return None


def _with_export_data(shippable: Shippable, dataset: Dataset | None) -> Shippable:
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


def _samples(shippable: Shippable) -> CheckImages:
    assert shippable.export_data is not None
    samples = shippable.export_data.samples
    logits = reference_logits(shippable, samples.images)
    return CheckImages(
        f"{len(samples.labels)} sample pictures of the test split", samples.images, samples.labels, logits
    )


def _held_out(shippable: Shippable, dataset: Dataset) -> CheckImages | None:
    """Validation images; where there are none, training images that were not used for calibration, if there are any."""
    if dataset.val is not None:
        return _images(shippable, dataset.val, "validation images")
    from thumbnet.models.export_data import calibration_order

    assert shippable.export_data is not None
    unused = calibration_order(len(dataset.train))[shippable.export_data.num_images :]
    if not len(unused):
        return None
    description = "training images that were not used for calibration"
    return _images(shippable, dataset.train.select(unused[:MOST_HELD_OUT].tolist()), description)


def _images(shippable: Shippable, split: Split, description: str) -> CheckImages:
    images, labels = split.images.numpy(), split.labels.numpy()
    assert images.dtype == np.uint8
    return CheckImages(f"{len(labels):,} {description}", images, labels, reference_logits(shippable, images))

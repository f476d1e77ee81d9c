"""A run, or a pretrained model, read for an export or a prediction. Without PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import safetensors
import safetensors.numpy

from thumbnet.errors import CheckpointError, ModelError, RunError
from thumbnet.models.architecture import architecture_of
from thumbnet.models.card import CARD_FORMAT, ModelCard, card_from_dict
from thumbnet.models.export_data import ExportData, export_data_from_bytes
from thumbnet.models.pretrained import list_pretrained
from thumbnet.runs.files.checksums import check_content, read_digests
from thumbnet.runs.files.metrics import METRICS_FORMAT, known_metrics
from thumbnet.runs.files.names import CONFIG, EXPORT_DATA, FOLDS, METRICS, MODEL_CARD, SEEDS, SWEEP, WEIGHTS
from thumbnet.runs.which import hint_for_no_run, is_pretrained_name
from thumbnet.specs.json_text import read_object
from thumbnet.terminal.text import quoted
from thumbnet.trained.shippable import Shippable, build_program, load_pretrained_shippable


def load_shippable(run_or_name: str | Path) -> Shippable:
    """A finished run by its folder, or a pretrained model by its name; an existing folder wins.

    Raises:
        RunError: no such run or model, the run is not finished, or a file of it is damaged.
    """
    if is_pretrained_name(run_or_name):
        return load_pretrained_shippable(str(run_or_name))
    path = Path(run_or_name)
    if not (path / CONFIG).exists():
        otherwise = f"give a folder that `train` made, or one of {', '.join(list_pretrained())}"
        raise RunError(
            f"{run_or_name} is neither a run folder nor a trained model",
            hint=hint_for_no_run(path, otherwise=otherwise),
        )
    if not (path / METRICS).exists():
        raise RunError(
            f"the run {path} is not finished", hint=f"finish it with: thumbnet train --resume {quoted(path)}"
        )
    card = _with_metrics(path, _read_card(path))
    try:
        weights = safetensors.numpy.load(_read(path, WEIGHTS, error=CheckpointError))
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"the weights {path / WEIGHTS} cannot be read: {error}", hint="train again") from error
    try:
        program = build_program(card, card.architecture or architecture_of(card.model, card.model_options), weights)
    except ModelError as error:
        raise CheckpointError(f"the weights {path / WEIGHTS} do not fit: {error.message}", hint=error.hint) from error
    shippable = Shippable(_name_of(path.resolve()), card, program, None, path)
    export_data = _read_export_data(path)
    return shippable if export_data is None else shippable.with_export_data(export_data, name=str(path / EXPORT_DATA))


def _name_of(path: Path) -> str:
    """The folder's; of one of several seeds or folds, or of a sweep's trials, which are called alike everywhere, with
    that of all before it."""
    return (
        f"{path.parent.name}-{path.name}"
        if any((path.parent / name).exists() for name in (SEEDS, FOLDS, SWEEP))
        else path.name
    )


def _read_card(path: Path) -> ModelCard:
    name = str(path / MODEL_CARD)
    return card_from_dict(read_object(_read(path, MODEL_CARD), name=name, known_format=CARD_FORMAT), name=name)


def _with_metrics(path: Path, card: ModelCard) -> ModelCard:
    """The card with the accuracy and loss of metrics.json, if it is from before it had them itself."""
    if card.metrics is not None:
        return card
    known = read_object(_read(path, METRICS), name=str(path / METRICS), known_format=METRICS_FORMAT)
    metrics = known_metrics(known, name=str(path / METRICS))
    values = {"test_accuracy": metrics.test_accuracy, "test_loss": metrics.test_loss}
    return replace(card, metrics={**values, "num_test": float(metrics.num_test)})


def _read_export_data(path: Path) -> ExportData | None:
    """None for runs from before it was kept."""
    if not (path / EXPORT_DATA).exists() and EXPORT_DATA not in read_digests(path):
        return None
    return export_data_from_bytes(_read(path, EXPORT_DATA), name=str(path / EXPORT_DATA))


def _read(path: Path, name: str, *, error: type[RunError] = RunError) -> bytes:
    try:
        content = (path / name).read_bytes()
    except OSError as reason:
        raise error(f"{path / name} cannot be read: {reason}", hint="is this a run folder?") from reason
    check_content(path, name, content, read_digests(path), error=error)
    return content

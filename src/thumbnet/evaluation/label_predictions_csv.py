"""predictions.csv where an image may have several labels: a row for every image of a split, with its labels and those
that are answered, between semicolons; `probability` is that of what is answered about the least certain label, and
`p_NAME` that of the label NAME."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thumbnet.data.class_counts import label_text
from thumbnet.data.dataset import Split
from thumbnet.data.several_labels import label_marks
from thumbnet.evaluation.label_predictions import LabelPredictions, StoredLabels
from thumbnet.evaluation.predictions_csv import PREFIX
from thumbnet.specs.csv_table import read_rows
from thumbnet.specs.data import LABEL_SEPARATOR
from thumbnet.specs.json_text import damaged

COLUMNS = ("index", "path", "labels", "predicted_labels", "probability")
LOWEST, HIGHEST = 1e-30, 1 - 5e-10  # of probabilities that were rounded to 0 or, at nine digits, to 1


def label_predictions_to_csv(predictions: LabelPredictions, split: Split, class_names: tuple[str, ...]) -> str:
    """The table of the split's predictions, in its order; probabilities of labels have nine digits, so that near 1 they
    still tell images apart."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"{PREFIX}{name}" for name in class_names)])
    rows = zip(
        split.paths or [""] * len(split),
        predictions.labels,
        predictions.predicted,
        predictions.confidence.tolist(),
        predictions.logits.double().sigmoid().tolist(),
        strict=True,
    )
    for index, (path, labels, predicted, probability, of_labels) in enumerate(rows):
        texts = (label_text(labels, class_names), label_text(predicted, class_names))
        writer.writerow([index, path, *texts, f"{probability:.6f}", *(f"{share:.9g}" for share in of_labels)])
    return text.getvalue()


def label_predictions_from_csv(text: str, *, name: str, class_names: Sequence[str]) -> StoredLabels:
    """The stored predictions of every image; RunError, which names the file `name`, where it is no such table."""
    columns = [f"{PREFIX}{class_name}" for class_name in class_names]
    rows = read_rows(text, required=(*COLUMNS, *columns), name=name)
    if not rows or [row["index"] for row in rows] != [str(index) for index in range(len(rows))]:
        raise damaged(name, "its rows are not numbered from 0 on")
    try:
        values = torch.tensor([[float(row[column]) for column in columns] for row in rows], dtype=torch.float64)
    except ValueError as error:
        raise damaged(name, error) from error
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise damaged(name, "a probability is not between 0 and 1")
    labels, predicted = (_marks(rows, column, class_names, name=name) for column in ("labels", "predicted_labels"))
    paths = tuple(row["path"] for row in rows)
    predictions = LabelPredictions(_logits(values), labels, decided=predicted)
    return StoredLabels(predictions, paths if any(paths) else None)


def _logits(probabilities: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Of probabilities that may have been rounded to 0 or 1."""
    logits: Float[Tensor, "n k"] = torch.special.logit(probabilities.clamp(LOWEST, HIGHEST)).float()
    return logits


def _marks(
    rows: Sequence[Mapping[str, str]], column: str, class_names: Sequence[str], *, name: str
) -> UInt8[Tensor, "n k"]:
    """1 where a row has a label in this column."""
    number_of = {class_name: number for number, class_name in enumerate(class_names)}
    found = [[label for label in row[column].split(LABEL_SEPARATOR) if label] for row in rows]
    unknown = sorted({label for labels in found for label in labels} - number_of.keys())
    if unknown:
        raise damaged(name, f"{unknown[0]!r} is not one of the {len(class_names)} labels")
    return label_marks([[number_of[label] for label in labels] for labels in found], len(class_names))

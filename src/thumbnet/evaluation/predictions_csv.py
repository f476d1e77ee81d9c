"""predictions.csv: a row for every image of a split; `probability` is that of the predicted class, and `p_NAME` that of
the class NAME."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from thumbnet.data.dataset import Split
from thumbnet.evaluation.predictions import Predictions, StoredPredictions
from thumbnet.specs.csv_table import read_rows
from thumbnet.specs.json_text import damaged

COLUMNS = ("index", "path", "label", "prediction", "class_name", "predicted_name", "probability")
PREFIX = "p_"  # of the columns with the classes' probabilities
MAX_ROUNDING = 1e-3  # by which the sum of a row's probabilities may differ from 1


def predictions_to_csv(predictions: Predictions, split: Split, class_names: tuple[str, ...]) -> str:
    """The table of the split's predictions, in its order. Probabilities have five digits, however small they are."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"{PREFIX}{name}" for name in class_names)])
    rows = zip(
        split.paths or [""] * len(split),
        predictions.labels.tolist(),
        predictions.predicted.tolist(),
        predictions.confidence.tolist(),
        predictions.logits.double().softmax(dim=1).tolist(),
        strict=True,
    )
    for index, (path, label, predicted, probability, of_classes) in enumerate(rows):
        names = class_names[label], class_names[predicted]
        shares = [f"{share:.5g}" for share in of_classes]
        writer.writerow([index, path, label, predicted, *names, f"{probability:.6f}", *shares])
    return text.getvalue()


def predictions_from_csv(text: str, *, name: str, class_names: Sequence[str]) -> StoredPredictions:
    """The stored predictions of every image; RunError, which names the file `name`, where it is no such table."""
    rows = read_rows(text, required=COLUMNS, name=name)
    try:
        indices, labels, predicted = ([int(row[key]) for row in rows] for key in ("index", "label", "prediction"))
        confidence = [float(row["probability"]) for row in rows]
    except ValueError as error:
        raise damaged(name, error) from error
    if indices != list(range(len(rows))) or not rows:
        raise damaged(name, "its rows are not numbered from 0 on")
    if not all(0 <= value < len(class_names) for value in (*labels, *predicted)):
        raise damaged(name, f"a class is not one of the {len(class_names)}")
    if not all(0 <= value <= 1 for value in confidence):
        raise damaged(name, "a probability is not between 0 and 1")
    paths = tuple(row["path"] for row in rows)
    return StoredPredictions(
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(predicted, dtype=torch.int64),
        torch.tensor(confidence, dtype=torch.float64),
        paths if any(paths) else None,
        _probabilities(rows, class_names, name=name),
    )


def _probabilities(
    rows: Sequence[Mapping[str, str]], class_names: Sequence[str], *, name: str
) -> Float64[Tensor, "n k"] | None:
    """The probability of every class; None of a table from before it had them."""
    columns = [f"{PREFIX}{class_name}" for class_name in class_names]
    missing = [column for column in columns if column not in rows[0]]
    if len(missing) == len(columns):
        return None
    if missing:
        raise damaged(name, f"it has no column {missing[0]!r}, but others of the kind")
    try:
        values = np.array([[float(row[column]) for column in columns] for row in rows])
    except ValueError as error:
        raise damaged(name, error) from error
    if not (np.all(values >= 0) and np.all(abs(values.sum(axis=1) - 1) <= MAX_ROUNDING)):
        raise damaged(name, "the probabilities of an image's classes do not add up to 1")
    return torch.from_numpy(values)

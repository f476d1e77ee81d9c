"""predictions.csv: a row for every image of a split; `probability` is that of the predicted class."""

from __future__ import annotations

import csv
import io

import torch

from thumbnet.data.dataset import Split
from thumbnet.evaluation.predictions import Predictions, StoredPredictions
from thumbnet.specs.csv_table import read_rows
from thumbnet.specs.json_text import damaged

COLUMNS = ("index", "path", "label", "prediction", "class_name", "predicted_name", "probability")


def predictions_to_csv(predictions: Predictions, split: Split, class_names: tuple[str, ...]) -> str:
    """The table of what was said of the split's images, in its order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = zip(
        split.paths or [""] * len(split),
        predictions.labels.tolist(),
        predictions.predicted.tolist(),
        predictions.confidence.tolist(),
        strict=True,
    )
    for index, (path, label, predicted, probability) in enumerate(rows):
        names = class_names[label], class_names[predicted]
        writer.writerow([index, path, label, predicted, *names, f"{probability:.6f}"])
    return text.getvalue()


def predictions_from_csv(text: str, *, name: str, num_classes: int) -> StoredPredictions:
    """The stored predictions of every image; RunError, which names the file `name`, where it is no such table."""
    rows = read_rows(text, required=COLUMNS, name=name)
    try:
        indices, labels, predicted = ([int(row[key]) for row in rows] for key in ("index", "label", "prediction"))
        confidence = [float(row["probability"]) for row in rows]
    except ValueError as error:
        raise damaged(name, error) from error
    if indices != list(range(len(rows))) or not rows:
        raise damaged(name, "its rows are not numbered from 0 on")
    if not all(0 <= value < num_classes for value in (*labels, *predicted)):
        raise damaged(name, f"a class is not one of the {num_classes}")
    if not all(0 <= value <= 1 for value in confidence):
        raise damaged(name, "a probability is not between 0 and 1")
    paths = tuple(row["path"] for row in rows)
    return StoredPredictions(
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(predicted, dtype=torch.int64),
        torch.tensor(confidence, dtype=torch.float64),
        paths if any(paths) else None,
    )

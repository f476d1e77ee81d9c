"""predictions.csv: a row for every image of a split; `probability` is that of the predicted class."""

from __future__ import annotations

import csv
import io

import torch

from thumbnet.data.dataset import Split
from thumbnet.evaluation.predictions import Answers, Predictions

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


def answers_from_csv(text: str) -> Answers:
    """What the table says of every image.

    Raises:
        ValueError: the text is no such table, or a damaged one.
    """
    reader = csv.DictReader(io.StringIO(text))
    try:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"its columns are {reader.fieldnames}")
        rows = list(reader)
        if [int(row["index"]) for row in rows] != list(range(len(rows))):
            raise ValueError("its rows are not numbered from 0 on")
        paths = tuple(row["path"] for row in rows)
        return Answers(
            torch.tensor([int(row["label"]) for row in rows], dtype=torch.int64),
            torch.tensor([int(row["prediction"]) for row in rows], dtype=torch.int64),
            torch.tensor([float(row["probability"]) for row in rows], dtype=torch.float64),
            paths if any(paths) else None,
        )
    except (TypeError, csv.Error) as error:
        raise ValueError(str(error)) from error

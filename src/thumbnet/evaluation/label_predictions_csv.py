"""predictions.csv where an image may have several labels: a row for every image of a split, with its labels and those
that are answered, between semicolons; `probability` is that of what is answered about the least certain label."""

from __future__ import annotations

import csv
import io

from thumbnet.data.class_counts import label_text
from thumbnet.data.dataset import Split
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.predictions_csv import PREFIX

COLUMNS = ("index", "path", "labels", "predicted_labels", "probability")


def label_predictions_to_csv(predictions: LabelPredictions, split: Split, class_names: tuple[str, ...]) -> str:
    """The table of the split's predictions, in its order; probabilities of labels have five digits."""
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
        writer.writerow([index, path, *texts, f"{probability:.6f}", *(f"{share:.5g}" for share in of_labels)])
    return text.getvalue()

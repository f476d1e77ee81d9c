"""scores.csv: what the out-of-fold models gave for every training image, suspected or not, to look further by."""

from __future__ import annotations

import csv
import io

import numpy as np

from thumbnet.data.dataset import Dataset
from thumbnet.data_check.folds import OutOfFold
from thumbnet.data_check.suspects import source_index

COLUMNS = ("index", "path", "label", "suggested", "score", "relative_distance")
PROBABILITY_PREFIX = "p_"  # of a class's column, as in predictions.csv


def scores_to_csv(dataset: Dataset, out_of_fold: OutOfFold) -> str:
    """A line for each training image, in order.

    `index` counts the source's own training images; `suggested` is the most probable class other than the label, and
    `score` is 1 less the label's probability; `relative_distance` is that to its neighbours over what is usual in the
    class; then comes the probability of each class, in a column `p_<class name>`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"{PROBABILITY_PREFIX}{name}" for name in dataset.class_names)])
    train, names = dataset.train, dataset.class_names
    labels = train.labels.numpy()
    everyone = np.arange(len(labels))
    others = out_of_fold.probabilities.copy()
    others[everyone, labels] = -1.0
    suggested = others.argmax(axis=1)
    scores = 1.0 - out_of_fold.probabilities[everyone, labels]
    for index, label in enumerate(labels.tolist()):
        writer.writerow(
            [
                source_index(train, index),
                "" if train.paths is None else train.paths[index],
                names[label],
                names[suggested[index]],
                f"{scores[index]:.6f}",
                f"{out_of_fold.relative_distances[index]:.6f}",
                *(f"{probability:.5g}" for probability in out_of_fold.probabilities[index]),
            ]
        )
    return text.getvalue()

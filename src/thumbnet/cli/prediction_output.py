"""How predictions are printed: lines for people, one JSON object, or CSV; each as soon as it is there.

The model's name comes first; beside CSV, which has no place for it, on stderr.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from io import StringIO
from typing import TYPE_CHECKING

from thumbnet.cli.output import put, put_part, put_utf8
from thumbnet.errors import ImageError
from thumbnet.specs.data import LABEL_SEPARATOR, NO_LABEL
from thumbnet.terminal.streams import tell
from thumbnet.terminal.text import escaped

if TYPE_CHECKING:
    from thumbnet.cli.predicting_model import PredictingModel
    from thumbnet.evaluation.image_answers import ImagePrediction

BY_THRESHOLD = " (by the model's threshold)"
EVEN = 0.5  # of two classes, below it the other one is likelier
Unreadable = Sequence[tuple[str, ImageError]]


class PredictionLines:
    """Writes predictions to stdout, a line each."""

    _has_threshold = False

    def begin(self, model: PredictingModel) -> None:
        """Called before the first, with the model that predicts."""
        self._has_threshold = model.card.decision is not None
        put(escaped(str(model)))

    def put(self, prediction: ImagePrediction, name: str) -> None:
        """Write one, of the picture of this name."""
        ranked = ", ".join(f"{escaped(guess.class_name)} {guess.probability:.1%}" for guess in prediction.top)
        if prediction.labels is not None:
            labels = "; ".join(escaped(label) for label in prediction.labels) or NO_LABEL
            put(f"{escaped(name)}: {labels} ({ranked})")
            return
        if prediction.other_answer is not None:
            put(f"{escaped(name)}: {prediction.answer} ({ranked})")
            return
        is_by_threshold = self._has_threshold and prediction.probability < EVEN
        put(f"{escaped(name)}: {ranked}{BY_THRESHOLD if is_by_threshold else ''}")

    def end(self, unreadable: Unreadable) -> None:
        """Called after the last, with the files that have no prediction."""


def writer_for(parsed: argparse.Namespace, num_top: int, *, has_several_labels: bool = False) -> PredictionLines:
    """What writes as --json or --csv ask, for a model whose pictures may have several labels, or one class."""
    if parsed.json:
        return _Json()
    return _Csv(num_top, has_several_labels=has_several_labels) if parsed.csv else PredictionLines()


class _Json(PredictionLines):
    """One object, in one line; each prediction has its `answer`: the class, `unsure` or `unknown`."""

    def __init__(self) -> None:
        self._is_first = True

    def begin(self, model: PredictingModel) -> None:
        put_part(f'{{"model": {json.dumps(model.to_dict(), allow_nan=False)}, "predictions": [')

    def put(self, prediction: ImagePrediction, name: str) -> None:
        separator = "" if self._is_first else ", "
        self._is_first = False
        values = asdict(replace(prediction, path=name))
        del values["is_unsure"], values["is_unknown"]
        if prediction.labels is None:
            del values["labels"]
            values["answer"] = prediction.answer
        put_part(separator + json.dumps(values, allow_nan=False))

    def end(self, unreadable: Unreadable) -> None:
        bad = [{"path": path, "error": error.message} for path, error in unreadable]
        put(f'], "unreadable": {json.dumps(bad)}}}')


class _Csv(PredictionLines):
    """RFC 4180 in UTF-8: the path, the class, its probability, and the same of the runners-up; last, of a model that
    may answer "unsure" or "unknown", its answer. Where a picture may have several labels, these stand between
    semicolons after the path.
    """

    def __init__(self, num_top: int, *, has_several_labels: bool) -> None:
        self._num_top = num_top
        self._labels = ["labels"] if has_several_labels else []
        self._text = StringIO()
        self._table = csv.writer(self._text)
        self._has_answers = False

    def begin(self, model: PredictingModel) -> None:
        tell(escaped(str(model)))
        self._has_answers = bool(model.card.other_answers)
        ranks = range(2, self._num_top + 1)
        runners_up = [name for rank in ranks for name in (f"class_{rank}", f"probability_{rank}")]
        self._put_row(
            ["path", *self._labels, "class", "probability", *runners_up, *(["answer"] if self._has_answers else [])]
        )

    def put(self, prediction: ImagePrediction, name: str) -> None:
        guesses = [value for guess in prediction.top for value in (guess.class_name, f"{guess.probability:.6f}")]
        labels = [] if prediction.labels is None else [LABEL_SEPARATOR.join(prediction.labels)]
        self._put_row([name, *labels, *guesses, *([prediction.answer] if self._has_answers else [])])

    def _put_row(self, values: Sequence[str]) -> None:
        self._table.writerow(values)
        put_utf8(self._text.getvalue())
        self._text.seek(0)
        self._text.truncate()

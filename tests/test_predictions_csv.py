"""predictions.csv: the probability of every class, there and back; what is damaged is refused, what is old is read."""

from __future__ import annotations

import pytest
import torch

from thumbnet.data.dataset import Split
from thumbnet.errors import RunError
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.predictions_csv import predictions_from_csv, predictions_to_csv

NAMES = ('a, "b"', "p_x", "prediction")


def table(names: tuple[str, ...] = NAMES) -> str:
    logits = torch.tensor([[30.0, 0.0, -30.0], [0.0, 1.0, 2.0]])
    split = Split(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))
    return predictions_to_csv(Predictions(logits, split.labels), split, names)


def test_probabilities_come_back_however_small() -> None:
    stored = predictions_from_csv(table(), name="predictions.csv", class_names=NAMES)
    assert stored.probabilities is not None
    expected = torch.tensor([[30.0, 0.0, -30.0], [0.0, 1.0, 2.0]], dtype=torch.float64).softmax(dim=1)
    torch.testing.assert_close(stored.probabilities, expected, rtol=1e-4, atol=0)
    assert stored.predicted.tolist() == [0, 2]


def test_a_table_of_an_earlier_version_has_none() -> None:
    lines = ["index,path,label,prediction,class_name,predicted_name,probability", "0,,0,1,a,b,0.75"]
    stored = predictions_from_csv("\n".join(lines), name="predictions.csv", class_names=("a", "b"))
    assert stored.probabilities is None
    assert stored.confidence.tolist() == [0.75]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("p_p_x", "p_y"), "no column 'p_p_x'"),
        (("0.66524\n", "0.76524\n"), "do not add up to 1"),
        (("0.66524\n", "nan\n"), "do not add up to 1"),
        (("0.66524\n", "much\n"), "could not convert"),
    ],
)
def test_damaged_probabilities_are_refused(change: tuple[str, str], told: str) -> None:
    text = table()
    assert change[0] in text
    with pytest.raises(RunError, match=told):
        predictions_from_csv(text.replace(*change), name="predictions.csv", class_names=NAMES)

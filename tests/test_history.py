"""history: CSV there and back, and the figures taken from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbnet.errors import RunError
from thumbnet.training.history import EpochRecord, History, history_from_csv, history_from_rows

FINITE = st.floats(0, 1e6)
RECORDS = st.builds(
    EpochRecord,
    epoch=st.integers(1, 999),
    **dict.fromkeys(("lr", "train_loss", "train_s", "images_per_s"), FINITE),
    train_accuracy=st.floats(0, 1),
    **dict.fromkeys(("val_loss", "test_loss"), st.none() | FINITE),
    **dict.fromkeys(("val_accuracy", "test_accuracy"), st.none() | st.floats(0, 1)),
)
HEADER = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,test_loss,test_accuracy,train_s,images_per_s"


def record(epoch: int, test_accuracy: float | None = None) -> EpochRecord:
    return EpochRecord(epoch, 0.1, 1.0, 0.5, None, None, None, test_accuracy, 2.0, 25.0)


@given(st.lists(RECORDS, max_size=4))
def test_csv_and_rows_give_back_the_same_history(records: list[EpochRecord]) -> None:
    history = History(tuple(replace(record, epoch=index) for index, record in enumerate(records, start=1)))
    assert history_from_csv(history.to_csv()) == history
    assert history_from_rows(history.to_rows()) == history


def test_the_table_has_the_documented_columns_and_blanks() -> None:
    text = History((record(1),)).to_csv()
    assert text == f"{HEADER}\n1,0.1,1.0,0.5,,,,,2.0,25.0\n"


def test_best_test_epoch_is_the_first_of_equals_and_none_where_not_scored() -> None:
    assert History((record(1),)).best_test_epoch() is None
    best = History((record(1, 0.6), record(2, 0.8), record(3, 0.8), record(4))).best_test_epoch()
    assert best is not None
    assert best.epoch == 2


def test_columns_and_time() -> None:
    history = History((record(1), record(2)))
    assert history.column("epoch") == [1, 2]
    assert history.train_s == 4.0
    assert history[-1].epoch == len(history) == 2


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", f"{HEADER}\n1,0.1,x,0.5,,,,,2.0,25.0\n", f"{HEADER}\n1,0.1\n"])
def test_damaged_tables_are_refused(text: str) -> None:
    with pytest.raises(RunError):
        history_from_csv(text)

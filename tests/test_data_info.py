"""data info: images by class and split, and what always answering the commonest class would score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from odd_pictures import make_classes
from thumbnet.cli import main
from thumbnet.data.class_counts import baseline, class_table, count_classes


def test_images_are_counted_by_class_and_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_classes(tmp_path, classes=("defective",), num_images=10)
    make_classes(tmp_path, classes=("good",), num_images=40)
    assert main(["data", "info", "--data", f"folder:{tmp_path}", "--val-fraction", "0.1", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    counts = values["class_counts"]
    assert counts == {"defective": {"train": 8, "val": 1, "test": 1}, "good": {"train": 32, "val": 4, "test": 4}}
    assert values["num_train"] == sum(of_class["train"] for of_class in counts.values())
    assert (values["commonest_class"], values["commonest_share"]) == ("good", 0.8)
    assert main(["data", "info", "--data", f"folder:{tmp_path}", "--val-fraction", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-5:-1]] == [
        ["class", "train", "test"], ["defective", "9", "1"], ["good", "36", "4"], ["all", "45", "5"]
    ]  # fmt: skip
    assert lines[-1] == "accuracy on the test images without a model: always 'good': 80.0%"


def test_a_table_shows_foreign_names_and_large_numbers() -> None:
    counts = count_classes({"train": [0] * 1200 + [1], "test": [0, 0]}, ("cat\x1b[2J", "dog"))
    assert class_table(counts).splitlines() == [
        "class       train  test",
        "cat\\x1b[2J  1,200     2",
        "dog             1     0",
        "all         1,201     2",
    ]
    assert str(baseline(torch.tensor([1, 1, 0]), ("cat", "dog"))) == "always 'dog': 66.7%"

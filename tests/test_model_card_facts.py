"""What a model card says of a training."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from thumbnet.export.model_card import sections as card
from thumbnet.runs.files.names import METRICS
from thumbnet.runs.run import load_run
from thumbnet.runs.shippable import load_shippable


def test_which_weights_the_figures_are_of(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shippable = load_shippable(small_run)
    usual = card.sections(shippable, files=[], command="")
    assert "(32-bit floats), after its last epoch and in one view" in usual
    assert "keep_weights" not in usual
    config = load_run(small_run).config.replace(keep_weights="best", patience=3)
    monkeypatch.setattr(card, "training_config", lambda shippable: config)
    text = card.sections(shippable, files=[], command="")
    assert "with the weights of the epoch that was best on validation images and in one view" in text
    assert "last epoch" not in text
    assert "patience `3`, keep_weights `best`" in text


def test_a_figure_that_owes_to_leaks_says_so(small_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(small_run, tmp_path / "copy"))
    assert "Leaks" not in card.sections(load_shippable(copy), files=[], command="")
    metrics = json.loads((copy / METRICS).read_text())
    leaks = {"num_leaks": 5, "num_test_leaked": 2, "test_accuracy_without_leaks": 0.25}
    (copy / METRICS).write_text(json.dumps(metrics | leaks))
    (copy / "SHA256SUMS").unlink()
    text = card.sections(load_shippable(copy), files=[], command="")
    assert "- **Leaks:** 5 images of training or validation equal, or nearly, to one that is held out. Without" in text
    assert "Without the 2 test images concerned, accuracy is 25.00% (" in text


def test_a_share_is_written_in_one_way(small_run: Path) -> None:
    text = card.sections(load_shippable(small_run), files=[], command="")
    results = text.partition("### Results")[2]
    assert "%" in results
    assert re.findall(r"\d %(?! interval)", results) == []

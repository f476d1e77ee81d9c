"""What a model card says of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from thumbnet.export.model_card import sections as card
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

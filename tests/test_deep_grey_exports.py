"""Exports that take pixels say which level is white, of models whose pictures have more than 8 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from random_exports import random_request
from thumbnet.data.white_levels import describe_white
from thumbnet.export.c import measure
from thumbnet.export.c.write import write as write_c
from thumbnet.export.model_card.sections import sections
from thumbnet.export.onnx.metadata import properties_of
from thumbnet.export.tflite.contents import file_bytes


def test_white_in_words() -> None:
    assert describe_white({"I;16": 4095.0}) == "255 stands for the level 4,095 of grey pictures with 16 bits"
    assert describe_white({"I;16": 1023.0, "F": 255.0}) == (
        "255 stands for the level 1,023 of grey pictures with 16 bits and the level 255 of grey pictures with "
        "floating-point levels"
    )
    assert describe_white({"I;16": 65535.0, "F": 1.0}) == describe_white({}) == describe_white(None) == ""


def test_each_export_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.shutil, "which", lambda name: None)
    request = random_request("one channel", tmp_path / "c")
    said = "; 255 stands for the level 4,095 of grey pictures with 16 bits"
    card = replace(request.shippable.card, white_levels={"I;16": 4095.0})
    deep = replace(request.shippable, card=card, run_path=None)
    assert properties_of(deep)["input"].endswith(said)
    assert said.encode() in file_bytes(deep)
    readme = (write_c(replace(request, shippable=deep)).path / "README.md").read_text()
    assert f"nothing is normalised beforehand{said}." in readme
    text = sections(deep, files=[], command="")
    assert "0 to 255 (255 stands for the level 4,095 of grey pictures with 16 bits); normalisation is part of" in text
    usual = replace(deep, card=request.shippable.card)
    assert "stands for" not in properties_of(usual)["input"]
    assert b"stands for" not in file_bytes(usual)
    assert "0 to 255; normalisation is part of" in sections(usual, files=[], command="")

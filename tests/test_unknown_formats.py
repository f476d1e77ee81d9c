"""Formats that refuse a model that pictures may be unknown to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import thumbnet
from thumbnet.errors import ExportError
from thumbnet.export.export import export_shippable
from thumbnet.export.formats import FORMATS
from thumbnet.export.request import ExportRequest
from unknown_requests import unknown_request


@pytest.fixture
def distant(tmp_path: Path) -> ExportRequest:
    return unknown_request(tmp_path / "out" / "model")


@pytest.mark.parametrize("target", [None, "frigate", "openmv"])
def test_a_format_with_one_output_refuses_it(distant: ExportRequest, tmp_path: Path, target: str | None) -> None:
    shippable = replace(distant.shippable, run_path=None)
    out = tmp_path / "elsewhere" / "model"
    with pytest.raises(ExportError, match="answer may be 'unknown', and tflite would answer with a class") as caught:
        export_shippable(shippable, "tflite", out=out, target=target)
    saying = [each for each in FORMATS.without_packages() if FORMATS[each].says_unknown]
    assert {"onnx", "onnx-int8"} <= set(saying)
    assert caught.value.hint == f'export it to one that says so: {", ".join(saying)}; or train with unknown = "off"'
    assert not out.parent.exists()


def test_formats_of_others_refuse_it_unless_they_say_so(
    distant: ExportRequest, own_things: None, tmp_path: Path
) -> None:
    writer = FORMATS["onnx"].write
    usual = thumbnet.ExportFormat(purpose="tests", writer=writer, suffix=".onnx", obeys_decisions=True)
    thumbnet.register_export_format("mine", usual)
    thumbnet.register_export_format("saying", replace(usual, says_unknown=True))
    shippable = replace(distant.shippable, run_path=None)
    with pytest.raises(ExportError, match="answer may be 'unknown', and mine would answer"):
        export_shippable(shippable, "mine", out=tmp_path / "mine.onnx")
    assert not (tmp_path / "mine.onnx").exists()
    result = export_shippable(shippable, "saying", out=tmp_path / "saying.onnx")
    assert result.checks[-1].unknown == result.checks[-1].original_unknown

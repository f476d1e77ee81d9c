"""The verb `export`: arguments are obeyed or refused, what it prints, where it writes. With a format of the tests."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import thumbnet
from thumbnet.cli import main
from thumbnet.errors import ConfigError, ExportError
from thumbnet.export.formats import FORMATS
from thumbnet.export.request import Agreement, CheckImages, ExportRequest, ExportResult, compare
from thumbnet.runs.run import RunDir
from thumbnet.specs import extras

SAMPLES = "20 sample pictures of the test split"
REQUESTS: list[ExportRequest] = []


def write_note(request: ExportRequest) -> ExportResult:
    """The test's format: a file, or in a folder a file, with the model's name; it answers as the model does."""
    REQUESTS.append(request)
    path = request.out
    if request.target is not None:
        path.mkdir(exist_ok=True)
        path /= "note.txt"
    path.write_text(request.shippable.name)
    images = [request.test] if request.held_out is None else [request.held_out, request.test]
    checks = tuple(compare(each, each.logits) for each in images)
    return ExportResult(
        "note", path, (path,), path.stat().st_size, checks, {"num_letters": len(request.shippable.name)}
    )


NOTE = thumbnet.ExportFormat(
    purpose="tests", writer=write_note, suffix=".txt", is_quantised=True, targets=("readers",), takes="all"
)


@pytest.fixture(autouse=True)
def note_format(own_things: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thumbnet.register_export_format("note", NOTE)
    monkeypatch.chdir(tmp_path)
    REQUESTS.clear()


def test_what_was_written_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "thumb-20k", "--format", "note"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:3] == [
        "exports/thumb-20k/thumb-20k.txt: note, 9 bytes",
        f"checked on {SAMPLES}: 100.00% get the model's class, largest difference of a probability 0",
        "accuracy of the original: 88.88% on 10,000 test images, from its training",
    ]
    assert "num letters: 9" in printed.out
    assert "give --data" in printed.err
    assert Path("exports/thumb-20k/thumb-20k.txt").read_text() == "thumb-20k"


def test_the_json_has_the_documented_keys(small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(small_run), "--format", "note", "--out", "a.txt", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"format", "path", "files", "num_bytes", "checks", "details", "metrics", "model_card"} <= set(result)
    assert [check["description"] for check in result["checks"]] == ["8 validation images", "4 test images"]
    assert set(result["checks"][0]) == {
        "description", "num_images", "agreement", "max_difference", "accuracy", "original_accuracy", "drop",
        "drop_error", "balanced_accuracy", "original_balanced_accuracy",
        "on_samples",
    }  # fmt: skip


def test_every_format_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name}: {FORMATS[name].purpose}\n" in f"\n{printed}" for name in FORMATS)
    assert main(["export", "--list", "--json"]) == 0
    formats = json.loads(capsys.readouterr().out)["formats"]
    assert [each["name"] for each in formats] == ["onnx", "onnx-int8", "tflite", "c", "html", "note"]
    assert set(formats[0]) == {
        "name", "purpose", "suffix", "takes", "takes_any_model", "is_folder", "is_quantised", "targets", "needs",
        "is_installed", "usage", "obeys_decisions", "takes_several_labels", "says_unknown",
    }  # fmt: skip


def test_the_options_reach_the_writer(small_run: Path) -> None:
    options = ["--max-drop", "0.25", "--for", "readers", "--out", "folder"]
    assert main(["export", str(small_run), "--format", "note", *options]) == 0
    (request,) = REQUESTS
    assert (request.max_drop, request.target, request.out, request.has_data) == (0.25, "readers", Path("folder"), True)


def test_without_data_a_drop_is_not_judged_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "thumb-20k", "--format", "note", "--max-drop", "0"]) == 0
    assert "what int8 costs in accuracy is not judged" in capsys.readouterr().err
    assert main(["export", "thumb-20k", "--format", "note", "--allow-unverified"]) == 2
    assert "give --data with it" in capsys.readouterr().err


def test_the_data_of_a_source_that_is_not_registered_here_is_not_there(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(small_run, tmp_path / "run")
    config = (run / "config.toml").read_text()
    RunDir(run).write("config.toml", re.sub("^data = .*$", 'data = "shapes"', config, flags=re.MULTILINE))
    assert main(["export", str(run), "--format", "note"]) == 0
    said = "checked on sample pictures only, since the run's data could not be read: unknown data 'shapes'"
    assert said in capsys.readouterr().err
    for option in (["--data", "shapes"], ["--allow-unverified"]):
        assert main(["export", str(run), "--format", "note", *option]) == 2


def test_a_package_that_is_missing_is_told_before_anything_is_read(
    small_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    monkeypatch.setattr("thumbnet.export.export.find_data", lambda *given, **named: pytest.fail("it was read"))
    assert main(["export", str(small_run), "--format", "onnx"]) == 2
    assert "pip install 'thumbnet[onnx]'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="extra is 'mine'"):
        replace(NOTE, extra="mine")


def agreement(num_images: int, *, lost: int, won: int = 0) -> Agreement:
    """Of images that the original got all right but those that were won."""
    labels = np.zeros(num_images, np.int64)
    original, exported = np.tile([1.0, 0.0], (num_images, 1)), np.tile([1.0, 0.0], (num_images, 1))
    exported[:lost] = exported[:lost, ::-1]
    original[num_images - won :] = original[num_images - won :, ::-1]
    images = CheckImages("images", np.zeros((num_images, 1, 1, 1), np.uint8), labels, original)
    return compare(images, exported)


def test_a_drop_that_is_given_is_strict_and_the_default_leaves_room_for_chance() -> None:
    assert agreement(1000, lost=9, won=3).drop_error == pytest.approx(12**0.5 / 1000)
    assert not agreement(1000, lost=5).costs_more_than(0.005)
    assert agreement(1000, lost=6).costs_more_than(0.005)
    assert not agreement(1000, lost=10, won=2).costs_more_than(None)  # 0.8 points, and 0.35 is the standard error
    assert agreement(1000, lost=9).costs_more_than(None)
    assert agreement(100_000, lost=600).costs_more_than(None)
    assert not agreement(8, lost=1).costs_more_than(None)
    assert agreement(8, lost=4).costs_more_than(None)
    assert agreement(8, lost=1).costs_more_than(0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["thumb-20k"], "no format"),
        (["thumb-20k", "--format", "png"], "unknown export format 'png'"),
        (["thumb-20k", "--format", "html", "--max-drop", "0.1"], "max_drop"),
        (["thumb-20k", "--format", "note", "--max-drop", "nan"], "max_drop is nan"),
        (["thumb-20k", "--format", "c", "--for", "frigate"], "not written for 'frigate'"),
        (["thumb-20k", "--format", "note", "--out", "-"], "stdout"),
        (["--list", "--format", "c"], "--format is given with --list"),
        (["--list", "--max-drop", "0"], "--max-drop is given with --list"),
        (["--list", "--for", "openmv"], "--for is given with --list"),
        (["nowhere", "--format", "note"], "neither a run folder nor a trained model"),
        (["thumb-20k", "--format", "c", "--out", "a-file"], "is a file"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a-file").touch()
    assert main(["export", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "hint: " in printed
    assert not Path("exports").exists()


def test_no_part_of_a_run_is_replaced(small_run: Path) -> None:
    with pytest.raises(ConfigError, match="part of the run"):
        thumbnet.export_model(small_run, "note", out=small_run / "metrics.json")
    with pytest.raises(ConfigError, match="is a run"):
        thumbnet.export_model(small_run, "note", out=small_run, target="readers")


def test_a_folder_given_for_a_file_gets_the_file(small_run: Path) -> None:
    Path("there").mkdir()
    assert thumbnet.export_model(small_run, "note", out="there").path == Path("there/run.txt")
    assert thumbnet.export_model(small_run, "note", out="new/").path == Path("new/run.txt")


def test_an_export_that_fails_leaves_no_folder(small_run: Path) -> None:
    def fail(request: ExportRequest) -> ExportResult:
        raise OSError("the disk is full")

    thumbnet.register_export_format("note", replace(NOTE, writer=fail), replace=True)
    with pytest.raises(ExportError, match="the disk is full"):
        thumbnet.export_model(small_run, "note", out="a/b/c.txt")
    assert not Path("a").exists()

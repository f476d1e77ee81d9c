"""The terminal: streams that break end no training, foreign text is shown escaped, exit codes are the usual ones."""

from __future__ import annotations

import ast
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import thumbnet
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.analysis import analyse
from thumbnet.evaluation.metrics import evaluate
from thumbnet.models.registry import create_model
from thumbnet.runs.resolve import speaker
from thumbnet.training.history import EpochRecord
from thumbnet.training.progress import EpochPlan, Progress, StepReport
from thumbnet.training.progress_displays import Bar, Lines, ReferenceLog

SOURCE = Path(thumbnet.__file__).parent
PLAN = EpochPlan(epoch=1, num_epochs=2, lr=0.1, num_images=10, num_steps=1)
STEP = StepReport(num_steps=1, num_images=10, mean_loss=1.5, accuracy=0.4, last_loss=1.1, images_per_s=9.0)
RECORD = EpochRecord(1, 0.1, 1.5, 0.4, None, 0.5, 1.3, 0.5, 31.25, 1600.0)
NASTY = "cat\x1b[2J\u202egod\u2066\x07\x9b"  # clears the screen, turns the reading direction round, rings the bell
RAW = ("\x1b", "\u202e", "\u2066", "\x07", "\x9b")


class Dead(io.StringIO):
    """A stream whose every write fails, as that of a terminal which was closed or of a disk that is full."""

    def __init__(self, error: Exception, *, is_terminal: bool) -> None:
        super().__init__()
        self.error = error
        self.is_terminal = is_terminal

    def write(self, text: str, /) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.ENOSPC, "No space"), ValueError("closed file")]
)
def test_a_dead_terminal_does_not_end_a_training(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        dead = Dead(error, is_terminal=is_terminal)
        progresses: tuple[Progress, ...] = (Bar(dead), Lines(dead), ReferenceLog(dead, num_test_images=10))
        for progress in progresses:
            progress.epoch_begins(PLAN)
            progress.step_ends(STEP)
            progress.forecast(3.0)
            progress.epoch_ends(RECORD)
        monkeypatch.setattr(sys, "stderr", dead)
        speaker("auto")("Run folder: runs/mine-1")


def test_no_stderr_at_all_does_not_end_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as Python has it where the descriptor is closed
    speaker("auto")("Run folder: runs/mine-1")
    assert main(["train", "--recipe", "no such recipe"]) == 2


def run(command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A line of the shell, with `thumbnet` as $T."""
    environment = {**os.environ, "T": f"{sys.executable} -m thumbnet", **variables}
    environment.pop("PYTHONUNBUFFERED", None)  # so that there is something to flush at the end
    return subprocess.run(["bash", "-c", command], capture_output=True, env=environment)


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "thumbnet", "recipes", "--json"], stdout=writing, stderr=-1)
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 141  # as a shell reports of a program that a closed pipe has ended


def test_a_full_device_is_told_without_a_traceback() -> None:
    for arguments in ("recipes", "recipes --json", "--version"):
        done = run(f"$T {arguments} > /dev/full")
        assert done.returncode == 2, arguments
        assert b"stdout cannot be written: " in done.stderr, arguments
        assert b"Traceback" not in done.stderr, arguments
        assert b"Exception ignored" not in done.stderr, arguments


def test_exit_codes_are_the_same_where_stderr_is_full_or_closed() -> None:
    assert run("$T train --recipe absent 2> /dev/full").returncode == 2
    assert run("$T train --recipe absent 2>&-").returncode == 2
    assert run("$T recipes 2>&-").stdout == run("$T recipes").stdout


def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path) -> None:
    picture = tmp_path / "café.png"
    Image.new("RGB", (40, 30), "red").save(picture)
    done = run(f"$T predict '{picture}'", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert rb"caf\xe9.png: " in done.stdout


INTERRUPT = """
import importlib.abc, os, runpy, signal, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == chosen:
            os.kill(os.getpid(), signal.SIGINT)

chosen = sys.argv[1]
sys.argv[1:] = ["predict", "absent.png"]
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
runpy.run_module("thumbnet", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["thumbnet.cli", "thumbnet.cli.parser", "numpy", "thumbnet.evaluation.images"])
def test_an_interruption_of_an_import_is_quiet(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPT, module], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "thumbnet: interrupted\n"


def test_class_names_and_paths_are_shown_escaped(
    tiny_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    lines = str(analyse(evaluate(model, tiny_dataset), (NASTY, "two\nlines", "blue"))).splitlines()
    assert not [line for line in lines if any(raw in line for raw in RAW)]
    assert [line for line in lines if line.startswith("two\\nlines  ")]
    for name in (NASTY, "dog"):
        (tmp_path / NASTY / name).mkdir(parents=True)
        for index in range(4):
            Image.new("RGB", (8, 8), (index, 9 + index, 9 * index)).save(tmp_path / NASTY / name / f"{index}.png")
    assert main(["data", "info", "--data", f"folder:{tmp_path / NASTY}"]) == 0
    shown = capsys.readouterr().out
    assert not [raw for raw in RAW if raw in shown]
    assert r"cat\x1b[2J\u202egod" in shown
    assert main(["predict", str(tmp_path / NASTY / "absent.png")]) == 2
    told = capsys.readouterr().err
    assert not [raw for raw in RAW if raw in told]
    assert r"cat\x1b[2J\u202egod" in told


def test_a_progress_line_of_foreign_text_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    speaker("auto")(f"Run folder: {NASTY}")
    told = capsys.readouterr().err
    assert told == "Run folder: cat\\x1b[2J\\u202egod\\u2066\\x07\\x9b\n"


def test_nothing_writes_to_stderr_but_through_a_stream_that_may_break() -> None:
    """A bar of tqdm, or a print, on the bare sys.stderr would end a training together with its terminal."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("tqdm", "print"):
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if getattr(node.func, "id", "") == "print" and "file" not in given:
                    assert path.name == "output.py", path  # what goes to stdout
                elif path.name != "__main__.py":
                    assert given.get("file") in ("self.stream", "stderr", "steady_stderr()"), (path, node.lineno)

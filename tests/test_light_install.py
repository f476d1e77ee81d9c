"""The wheel in an empty environment with the core dependencies at the lock's versions: small, quick, and enough to
predict, to export c and html and to open a report. Needs a package index; run by `.ci/run`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from installs import install_wheel, make_environment, run
from thumbnet.runs.files.names import REPORT
from thumbnet.specs.extras import EXTRAS

pytestmark = pytest.mark.install

MOST_BYTES = 150e6
MOST_SECONDS = 0.5  # of the processor, for a first prediction, the process's start included


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def added(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The environment's folder of commands, and the bytes that the installation added."""
    folder = tmp_path_factory.mktemp("light")
    commands = make_environment(folder)
    before = size_of(folder / "env")
    install_wheel(commands, wheels)
    return commands, size_of(folder / "env") - before


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_it_is_small_and_has_no_package_of_an_extra(added: tuple[Path, int]) -> None:
    commands, num_bytes = added
    sys.stdout.write(f"the light installation adds {num_bytes / 1e6:.1f} MB\n")
    assert num_bytes <= MOST_BYTES
    packages = [package for extra in EXTRAS.values() for package in extra]
    code = "import importlib.util, sys; print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    assert run(commands / "python", "-c", code, *packages).split() == []
    run(commands / "python", *["-m", "pip", "check"])


def test_it_predicts_at_once(added: tuple[Path, int], picture: Path) -> None:
    seconds = []
    for _ in range(5):
        before = sum(os.times()[2:4])  # of this process's children
        shown = run(added[0] / "thumbnet", "predict", picture, "--json", cwd=picture.parent)
        seconds.append(sum(os.times()[2:4]) - before)
    (prediction,) = json.loads(shown)["predictions"]
    assert len(prediction["top"]) == 3
    sys.stdout.write(f"the first prediction takes {min(seconds):.2f} s of the processor\n")
    assert min(seconds) < MOST_SECONDS


def test_it_predicts_by_a_run_exports_and_opens_the_report(
    added: tuple[Path, int], picture: Path, small_run: Path
) -> None:
    shutil.copytree(small_run, picture.parent / "run")
    (picture.parent / "run" / REPORT).write_text("<title>a report</title>")
    for arguments in (
        ["predict", picture, "--run", "run"],
        ["export", "run", "--format", "html", "--out", "page.html"],
        ["export", "run", "--format", "c", "--out", "c"],
        ["predict", picture, "--model", "c"],
    ):
        run(added[0] / "thumbnet", *arguments, cwd=picture.parent)
    assert (picture.parent / "page.html").stat().st_size > 1000
    shown = run(added[0] / "thumbnet", "report", "run", "--open", cwd=picture.parent)
    assert shown.strip() == str((picture.parent / "run" / REPORT).resolve())


def test_it_names_the_extra_that_is_missing(added: tuple[Path, int], picture: Path) -> None:
    for arguments, extra in (
        (["train", "--data", "digits"], "train"),
        (["export", "sprint", "--format", "onnx"], "onnx"),
        (["export", "sprint", "--format", "tflite"], "tflite"),
        (["serve", "sprint"], "serve"),
    ):
        shown = run(added[0] / "thumbnet", *arguments, cwd=picture.parent, exit_code=2)
        assert f"pip install 'thumbnet[{extra}]'" in shown

"""The light installation, as it is without the packages of the extras: what works, and what is named that is missing.
`.ci/run` does the same with a wheel in an empty environment."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from thumbnet import load_recipe, train
from thumbnet.cli import main
from thumbnet.errors import ExtraMissingError
from thumbnet.runs.files.names import REPORT
from thumbnet.specs import extras

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = {"sklearn": "scikit-learn", "psycopg": "psycopg[binary]"}

# Run by Python with the run's folder, a picture and a folder to write to: calls of the command, with the packages of
# the extras hidden as if they were not installed. Prints what each call returned and wrote.
WITHOUT_EXTRAS = """
import contextlib, io, json, sys, webbrowser
from importlib.machinery import PathFinder

from thumbnet.specs.extras import EXTRAS

HIDDEN = {package for packages in EXTRAS.values() for package in packages}

class Installed:
    find_distributions = PathFinder.find_distributions

    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [Installed if finder is PathFinder else finder for finder in sys.meta_path]
webbrowser.open = lambda address: address.startswith("file://") and address.endswith("report.html")

import thumbnet
from thumbnet.cli import main

run, picture, out = sys.argv[1:]
calls = {
    "predict": ["predict", picture, "--json"],
    "by run": ["predict", picture, picture, "--run", run],
    "html": ["export", "thumb-20k", "--format", "html", "--out", f"{out}/page.html"],
    "c": ["export", "thumb-20k", "--format", "c", "--out", f"{out}/c"],
    "run to html": ["export", run, "--format", "html", "--out", f"{out}/run.html"],
    "run to c": ["export", run, "--format", "c", "--out", f"{out}/run-c"],
    "with data": ["export", run, "--format", "c", "--out", f"{out}/data-c", "--data", "digits"],
    "open": ["report", run, "--open"],
    "report": ["report", run],
    "train": ["train", "--data", "digits"],
    "preview": ["data", "preview"],
    "onnx": ["export", "thumb-20k", "--format", "onnx", "--out", f"{out}/model.onnx"],
    "serve": ["serve", "thumb-20k"],
    "onnx file": ["predict", picture, "--model", picture.replace(".png", ".onnx")],
}
found = {}
for name, arguments in calls.items():
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(arguments)
    found[name] = (code, shown.getvalue(), told.getvalue())
found["in Python"] = thumbnet.predict("thumb-20k", [picture])[0].class_name
try:
    thumbnet.train
except thumbnet.ThumbnetError as error:
    found["public name"] = str(error)
found["imported"] = sorted(HIDDEN & set(sys.modules))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a report."""
    folder = tmp_path_factory.mktemp("reported") / "run"
    shutil.copytree(small_run, folder)
    (folder / REPORT).write_text("<title>a report</title>")
    return folder


@pytest.fixture(scope="module")
def without_extras(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    folder = tmp_path_factory.mktemp("light")
    Image.new("RGB", (40, 30), "red").save(folder / "red.png")
    (folder / "red.onnx").write_bytes(b"no model")
    arguments = [str(run), str(folder / "red.png"), str(folder)]
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str, str]] = json.loads(done.stdout)
    return found


def test_without_pytorch_pictures_are_predicted_pages_exported_and_reports_opened(
    without_extras: dict[str, tuple[int, str, str]], run: Path
) -> None:
    for name in ("predict", "by run", "html", "c", "run to html", "run to c", "open"):
        assert without_extras[name][0] == 0, without_extras[name]
    assert without_extras["open"][1] == f"{(run / REPORT).resolve()}\n"
    assert len(without_extras["by run"][1].splitlines()) == 1 + 2  # the model, and each picture
    (prediction,) = json.loads(without_extras["predict"][1])["predictions"]
    assert prediction["path"].endswith("red.png")
    assert without_extras["imported"] == []


@pytest.mark.parametrize(
    ("call", "extra", "purpose"),
    [
        ("train", "train", "`thumbnet train` needs torch"),
        ("report", "train", "writing a report anew needs torch"),
        ("preview", "train", "`thumbnet data preview` needs"),
        ("with data", "train", "reading a dataset needs torch"),
        ("onnx", "onnx", "the format onnx needs onnx"),
        ("onnx file", "onnx", "needs onnx"),
        ("serve", "serve", "needs starlette"),
    ],
)
def test_what_needs_an_extra_names_it(
    without_extras: dict[str, tuple[int, str, str]], call: str, extra: str, purpose: str
) -> None:
    code, _, told = without_extras[call]
    assert code == 2
    assert purpose in told
    assert f"pip install 'thumbnet[{extra}]'" in told
    assert ("--open" in told) == (call == "report")


def test_a_public_name_that_needs_an_extra_names_it(without_extras: dict[str, str]) -> None:
    assert "thumbnet.train needs torch" in without_extras["public name"]
    assert "pip install 'thumbnet[train]'" in without_extras["public name"]


def test_the_extras_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, packages in extras.EXTRAS.items():
        wanted = {text.split(">")[0] for text in project["optional-dependencies"][extra]}
        assert {DISTRIBUTIONS.get(package, package).replace("_", "-") for package in packages} == wanted, extra
    assert f"thumbnet[{','.join(extras.EXTRAS)}]" in project["optional-dependencies"]["dev"]


def test_other_failures_of_imports_are_no_missing_extras() -> None:
    with pytest.raises(ModuleNotFoundError) as caught, extras.extras_named("this"):
        import no_such_module_of_anyone  # noqa: F401
    assert not isinstance(caught.value, ExtraMissingError)
    with pytest.raises(ModuleNotFoundError) as caught, extras.extras_named("this"):
        import torch.no_such_part  # noqa: F401
    assert not isinstance(caught.value, ExtraMissingError)


def test_what_only_results_need_is_missed_before_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "matplotlib" else importlib.util.find_spec(name)
    )
    with pytest.raises(ExtraMissingError, match="a training needs matplotlib"):
        train(load_recipe("sprint", options={"data": "digits", "epochs": 1}), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_report_is_opened_where_there_is_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)  # which returns None: there is no browser
    assert main(["report", str(run), "--open"]) == 1
    shown = capsys.readouterr()
    assert opened == [(run / REPORT).resolve().as_uri()]
    assert shown.out == f"{(run / REPORT).resolve()}\n"
    assert "no browser could be started" in shown.err
    assert main(["report", str(tmp_path), "--open"]) == 2
    assert "there is no report in" in capsys.readouterr().err
    assert main(["report", str(run), "--open", "--out", "x.html"]) == 2
    assert "--out is given with --open" in capsys.readouterr().err
    assert len(opened) == 1

"""Every format takes every kind of model and of run, and no name does harm in any of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import thumbnet
from random_exports import request_of
from small_runs import small_config
from thumbnet.cli import main
from thumbnet.errors import DataError, ExportError
from thumbnet.export.export import export_shippable
from thumbnet.export.formats import FORMATS
from thumbnet.runs.train import train
from thumbnet.terminal.text import UNSHOWABLE
from thumbnet.trained.shippable import Shippable

OLD_RUN = Path(__file__).parent / "data" / "run-2026-11"


OWN = list(FORMATS.without_packages())
LIMIT = 0.2  # of the share of pictures that an int8 file may classify otherwise: a random network is often in doubt
HOSTILE = (
    '*/ int x = 1; /* "', "\\", "'\"`$(id)", "</script><script>alert(1)</script>", "a\n#error b", "\u202egnp", "??/",
    "%s%n", "<img src=x onerror=alert(1)>", "é\U0001f600", "\x1b[2J", "{{ 7 * 7 }}",
)  # fmt: skip


@pytest.fixture(scope="session")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of pictures of a user's, of several sizes and hostile names."""
    folder = tmp_path_factory.mktemp("pets")
    generator = np.random.default_rng(0)
    for number, name in enumerate(("cat", "d'\"o g", "</b>")):
        (folder / "data" / name.replace("/", "-")).mkdir(parents=True)
        for index in range(12):
            pixels = generator.integers(0, 100, (20 + index, 24, 3)) + 70 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "data" / name.replace("/", "-") / f"{index}.png")
    config = small_config(folder, image_size=12).replace(data=f"folder:{folder / 'data'}")
    return train(config, run_dir=folder / "run", log_style="silent", pictures=False).path


@cache
def odd_shippable() -> Shippable:
    """A network for grey pictures of 48x40 and a hundred classes, as a model of the package: without a run and data."""
    shippable = request_of("b8p b8 b16p", False, (1, 48, 40), 100, Path("out")).shippable
    metrics = {"test_accuracy": 0.75, "test_loss": 0.5, "ece": 0.1, "num_test": 40.0}
    return replace(shippable, run_path=None, card=replace(shippable.card, metrics=metrics))


def any_drop(name: str) -> float | None:
    """So few images say little about what quantisation costs."""
    return 1.0 if FORMATS[name].is_quantised else None


@pytest.mark.parametrize("name", OWN)
def test_every_format_takes_any_shape(name: str, tmp_path: Path) -> None:
    result = export_shippable(odd_shippable(), name, out=tmp_path / "out")
    assert result.num_bytes == sum(file.stat().st_size for file in result.files)
    (check,) = result.checks
    assert check.num_images == 20
    assert check.agreement >= 1 - (LIMIT if FORMATS[name].is_quantised else 0)
    assert result.model_card is not None
    assert result.model_card.is_file()


@pytest.mark.parametrize("name", OWN)
def test_every_format_takes_a_run_on_ones_own_pictures(
    name: str, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--max-drop", "1"] if FORMATS[name].is_quantised else []
    assert main(["export", str(pets), "--format", name, "--json", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [check["on_samples"] for check in result["checks"]] == [False, False]
    assert result["checks"][0]["description"].endswith("validation images")
    assert all(Path(file).is_file() for file in result["files"])


@pytest.mark.parametrize("name", OWN)
def test_hostile_names_are_harmless_in_every_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shippable = odd_shippable()
    names = (*HOSTILE, *shippable.card.class_names[len(HOSTILE) :])
    hostile = replace(shippable.card, class_names=names, data_description=HOSTILE[3], recipe=HOSTILE[0])
    result = export_shippable(replace(shippable, card=hostile, name='a"\n*?<b>\\'), name)
    assert UNSHOWABLE.sub("", str(result).replace("\n", "")) == str(result).replace("\n", "")
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert result.model_card is not None
    for file in (*result.files, result.model_card):
        content = file.read_bytes()
        try:
            text = content.decode()
        except UnicodeDecodeError:
            continue  # no text
        if "\0" not in text:
            if file.suffix == ".html":  # names are isolated by <bdi>: see tests/test_html_export.py
                assert "<script>alert" not in text
                assert "<img src=x" not in text
            else:
                assert not UNSHOWABLE.findall(text.replace("\n", "").replace("\t", "")), file


@pytest.mark.parametrize("name", OWN)
def test_a_run_of_a_hostile_name(name: str, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / '-a b"`$(id)\n<b>\\ü'
    shutil.copytree(small_run, run)
    result = thumbnet.export_model(run, name, max_drop=any_drop(name))
    assert result.path.parent == Path("exports") / run.name
    assert result.path.exists()


def test_a_run_from_before_export_data_was_kept(tmp_path: Path) -> None:
    """It is measured now, on the run's own data: the digits."""
    result = thumbnet.export_model(OLD_RUN, "onnx-int8", out=tmp_path / "out", max_drop=0.1)
    assert result.checks[-1].num_images == 359
    assert result.checks[-1].original_accuracy == pytest.approx(0.84958, abs=1e-4)


def test_without_its_data_such_a_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*arguments: Any, **options: Any) -> None:
        raise DataError("it has moved")

    monkeypatch.setattr("thumbnet.export.original.load_original_data", gone)
    said: list[str] = []
    with pytest.raises(ExportError, match="before runs kept") as caught:
        thumbnet.export_model(OLD_RUN, "onnx", out=tmp_path / "out", say=said.append)
    assert "--data" in caught.value.hint
    assert "it has moved" in said[0]

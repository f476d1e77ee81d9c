"""Report pages of every kind, with long names of folder, classes and files, of networks that guess."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from small_runs import small_config
from thumbnet.config import TrainConfig
from thumbnet.runs.folds.train import train_folds
from thumbnet.runs.seeds.train import train_seeds
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from two_class_report import CLASSES, write_two_class_report

NUM_IMAGES = 60
FILE = "string_north_east_module_{:05}_electroluminescence_2026-11-28.png"
FOLDER = "cells_of_the_north_east_field_that_were_measured_in_november"
LABELS = (*CLASSES, "dirty_with_another_name_that_cannot_be_broken")


def _noise(file: Path, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)).save(file)


def _config(folder: Path, *, several: bool) -> TrainConfig:
    """Noise whose classes, or labels, nothing tells apart, so that many answers are wrong."""
    lines = ["path,labels"]
    for number in range(NUM_IMAGES):
        path = Path(CLASSES[number % 2], FILE.format(number))
        _noise(folder / FOLDER / path, number)
        chosen = [name for name in LABELS if random.Random(f"{number} {name}").random() < 0.4]
        lines.append(f"{path.as_posix()},{';'.join(chosen)}")
    if several:
        (folder / FOLDER / "labels.csv").write_text("\n".join(lines))
    config = small_config(Path("unused"), image_size=16, report_robustness=True, epochs=3)
    return config.replace(data=f"folder:{folder / FOLDER}")


def _with_reports(folder: Path, runs: int) -> Path:
    """The report of all runs, which links to those of each."""
    members = [path for path in folder.iterdir() if (path / "config.toml").exists()]
    assert len(members) == runs
    for path in members:
        (path / "report.html").write_text("<title>the report of one run</title>")
    return write_report(folder)


def _two_classes(folder: Path) -> Path:
    write_two_class_report(folder / "report.html")
    return folder / "report.html"


def _seeds(folder: Path, *, several: bool) -> Path:
    runs = folder / f"runs_{FOLDER}"
    train_seeds(_config(folder, several=several), num_seeds=3, run_dir=runs, log_style="silent", pictures=False)
    return _with_reports(runs, 3)


def _folds(folder: Path, *, several: bool) -> Path:
    runs = folder / f"runs_{FOLDER}"
    config = _config(folder, several=several)
    train_folds(config, num_folds=2, num_seeds=2, run_dir=runs, log_style="silent", pictures=False)
    return _with_reports(runs, 4)


def _labels(folder: Path) -> Path:
    run = train(_config(folder, several=True), run_dir=folder / f"run_{FOLDER}", log_style="silent", pictures=False)
    return write_report(run.path)


PAGES: dict[str, Callable[[Path], Path]] = {
    "two-classes": _two_classes,
    "seeds": lambda folder: _seeds(folder, several=False),
    "folds": lambda folder: _folds(folder, several=False),
    "labels": _labels,
    "seeds-of-labels": lambda folder: _seeds(folder, several=True),
    "folds-of-labels": lambda folder: _folds(folder, several=True),
}  # each writes a report into a new folder and returns its file

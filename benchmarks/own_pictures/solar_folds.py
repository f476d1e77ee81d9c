"""Bar 1: all solar cells out of fold, by `--folds 4 --minutes M` and by the default of before, on the same folds."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from measuring import check_kept, describe_circumstances, holds

from own_pictures.folders import MadeSet, Part
from own_pictures.methods import NotThereYetError

NUM_FOLDS = 4
NUM_RESAMPLES = 2000
RARE = "defective"
LEAST_AREA, LEAST_ACCURACY = 0.91, 0.86
BEFORE = ("--recipe", "sprint", "--set", "image_size=32", "--set", "val_fraction=0.02")  # what a bare command was


@dataclass(frozen=True)
class OutOfFold:
    """What was said of every picture, by a model that had not seen it, in the order of their paths."""

    paths: tuple[str, ...]
    is_rare: Bool[np.ndarray, " n"]
    is_right: Bool[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]


def all_pictures(made_set: MadeSet) -> Path:
    """The folder with the pictures of both sides of a set's split, as links."""
    folder = made_set.folder / "all"
    done = folder / ".complete"
    if not done.exists():
        for name in ("train", "test"):
            part = Part.of(made_set.side("split") / name)
            for path, file in zip(part.paths, part.files, strict=True):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    os.link(file, target)
        done.touch()
    return folder


def trained(pictures: Path, keep: Path, name: str, options: tuple[str, ...]) -> Path:
    """The folder of a training by folds, which is gone on with where it was stopped.

    Raises:
        NotThereYetError: this version has no such options.
    """
    run_dir = keep / name
    command = [sys.executable, "-m", "thumbnet", "train"]
    told = subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
    missing = [word for word in ("--folds", *options) if word.startswith("--") and word not in told]
    if missing:
        raise NotThereYetError(f"this version of thumbnet has no `train {missing[0]}`")
    check_kept(run_dir, [name, *options])
    if not (run_dir / "metrics.json").exists():
        if (run_dir / "folds.json").exists():
            command += ["--resume", str(run_dir)]
        else:
            command += ["--data", f"folder:{pictures}", "--folds", str(NUM_FOLDS), *options, "--run-dir", str(run_dir)]
        subprocess.run([*command, "--log-style", "silent"], check=True, stdout=subprocess.DEVNULL)
    return run_dir


def out_of_fold(run_dir: Path) -> OutOfFold:
    """The predictions of a folder that `train --folds` made."""
    with (run_dir / "predictions.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["path"])
    return OutOfFold(
        tuple(row["path"] for row in rows),
        np.array([row["class_name"] == RARE for row in rows]),
        np.array([row["class_name"] == row["predicted_name"] for row in rows]),
        np.array([float(row[f"p_{RARE}"]) for row in rows]),
    )


def area(is_rare: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"], weights: Int64[np.ndarray, " n"]) -> float:
    """The area under the ROC curve: how often a rare picture scores higher than another, a tie counting half."""
    _, place = np.unique(scores, return_inverse=True)
    rare = np.bincount(place, weights * is_rare)
    others = np.bincount(place, weights * ~is_rare)
    below = np.cumsum(others) - others
    return float((rare * (below + others / 2)).sum() / (rare.sum() * others.sum()))


def measured(ours: OutOfFold, before: OutOfFold) -> dict[str, Any]:
    """Area and accuracy of both, and the gains in them with 95 % intervals (paired bootstrap over the pictures)."""
    assert ours.paths == before.paths
    num = len(ours.paths)
    once = np.ones(num, np.int64)
    random = np.random.default_rng(0)
    gains = np.empty((NUM_RESAMPLES, 2))
    for place in range(NUM_RESAMPLES):
        weights = np.bincount(random.integers(num, size=num), minlength=num)
        areas = [area(each.is_rare, each.scores, weights) for each in (ours, before)]
        gains[place] = areas[0] - areas[1], (weights * (ours.is_right.astype(int) - before.is_right)).sum() / num
    intervals = np.quantile(gains, [0.025, 0.975], axis=0)
    values: dict[str, Any] = {"num_pictures": num, "num_rare": int(ours.is_rare.sum())}
    for name, each in (("ours", ours), ("before", before)):
        values[name] = {"area": area(each.is_rare, each.scores, once), "accuracy": float(each.is_right.mean())}
    for column, name in enumerate(("area", "accuracy")):
        low, high = intervals[:, column].tolist()
        values[f"gain_in_{name}"] = {"value": values["ours"][name] - values["before"][name], "low": low, "high": high}
    values["holds"] = (
        values["ours"]["area"] >= LEAST_AREA
        and values["ours"]["accuracy"] >= LEAST_ACCURACY
        and values["gain_in_area"]["low"] > 0
    )
    return values


def describe(values: Mapping[str, Any]) -> str:
    """The report for people, in Markdown."""
    gains = {
        name: "{value:+.4f} [{low:+.4f}, {high:+.4f}]".format(**values[f"gain_in_{name}"])
        for name in ("area", "accuracy")
    }
    bar = f"Area at least {LEAST_AREA}, accuracy at least {LEAST_ACCURACY:.0%}, gain in area certainly above 0"
    rows = [
        f"| {title} | {values[name]['area']:.4f} | {values[name]['accuracy']:.2%} | {values[name]['minutes']:.1f} |"
        for name, title in (
            ("ours", f"`train --folds {NUM_FOLDS} --minutes {values['minutes']:g}`"),
            ("before", f"`train --folds {NUM_FOLDS} {' '.join(BEFORE)}`, the default of before"),
        )
    ]
    return "\n".join(
        [
            "# Solar cells out of fold",
            "",
            describe_circumstances(dict(values)),
            "",
            f"All {values['num_pictures']:,} pictures ({values['num_rare']:,} of them {RARE}), each predicted once by",
            "a model that was not trained on it; the same folds; one seed.",
            "",
            "| training | area under the ROC curve | accuracy | minutes of training, all folds |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Gain in area {gains['area']}, in accuracy {gains['accuracy']}: 95 % by a paired bootstrap over the",
            "pictures.",
            "",
            f"{bar}: **{holds(values['holds'])}**.",
            "",
        ]
    )


def measure(made_set: MadeSet, keep: Path, minutes: float, seed: int) -> dict[str, Any]:
    """Train both, or go on with them, and compare."""
    pictures = all_pictures(made_set)
    runs = {
        "ours": trained(pictures, keep, f"ours-{minutes:g}-{seed}", ("--minutes", f"{minutes:g}", "--seed", str(seed))),
        "before": trained(pictures, keep, f"before-{seed}", (*BEFORE, "--seed", str(seed))),
    }
    values = measured(out_of_fold(runs["ours"]), out_of_fold(runs["before"]))
    for name, run_dir in runs.items():
        metrics = json.loads((run_dir / "metrics.json").read_text())
        values[name]["minutes"] = metrics["total_s"] / 60
    return values | {"minutes": minutes, "seed": seed}

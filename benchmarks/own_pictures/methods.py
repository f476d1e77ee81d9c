"""What is trained on a set, each in a process of its own: `thumbnet train` as a user gives it, and the two baselines.

Each gives the predicted class of every test picture, in the order of their paths, and the seconds of the whole command.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from own_pictures.folders import Part

HERE = Path(__file__).parent.parent
METHODS = ("thumbnet", "plain-net", "svm")
TIMELESS = ("svm",)  # they take as long as they take, and have no seed


class NotThereYetError(Exception):
    """This version of thumbnet cannot do it."""


def trained(method: str, side: Path, *, minutes: float, seed: int, flips: bool, scratch: Path) -> dict[str, Any]:
    """`predicted` and `seconds`, and what else the method tells. `scratch` is a folder for a while."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if method == "thumbnet":
        found = _by_thumbnet(side, minutes=minutes, seed=seed, flips=flips, run_dir=scratch / "run")
    elif method == "plain-net":
        out = scratch / "out.json"
        arguments = [str(side), str(minutes), str(seed), str(int(flips)), str(out)]
        seconds = _timed([sys.executable, "-m", "own_pictures.plain_net", *arguments])
        found = json.loads(out.read_text()) | {"seconds": seconds}
    else:
        out = scratch / "out.json"
        seconds = _timed([sys.executable, "-m", "own_pictures.hog_svm", str(side), str(out)])
        found = json.loads(out.read_text()) | {"seconds": seconds}
    shutil.rmtree(scratch)
    return found


@cache
def check_minutes() -> None:
    """NotThereYetError where `thumbnet train` has no `--minutes`."""
    command = [sys.executable, "-m", "thumbnet", "train", "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    if "--minutes" not in told.stdout:
        raise NotThereYetError("this version of thumbnet has no `train --minutes`: its part is left out")


def _by_thumbnet(side: Path, *, minutes: float, seed: int, flips: bool, run_dir: Path) -> dict[str, Any]:
    check_minutes()
    command = [sys.executable, "-m", "thumbnet", "train", "--data", f"folder:{side}", "--minutes", f"{minutes:g}"]
    command += ["--seed", str(seed), "--run-dir", str(run_dir), "--log-style", "silent"]
    command += [] if flips else ["--set", "flip=false"]
    seconds = _timed(command)
    test = Part.of(side / "test")
    with (run_dir / "predictions.csv").open(newline="") as file:
        rows = {row["path"].removeprefix("test/"): row["predicted_name"] for row in csv.DictReader(file)}
    metrics = json.loads((run_dir / "metrics.json").read_text())
    return {
        "predicted": [test.class_names.index(rows[path]) for path in test.paths],
        "seconds": seconds,
        "epochs": metrics["epochs"],
        "num_params": metrics["num_params"],
        "config": (run_dir / "config.toml").read_text().replace(str(side), "SET"),
    }


def _timed(command: list[str]) -> float:
    begin_s = time.perf_counter()
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": path})
    return time.perf_counter() - begin_s

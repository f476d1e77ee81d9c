"""What `thumbnet runs` reads: runs, and folders of several seeds and of folds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from thumbnet.runs.files.names import ASKED, CHECKSUMS, CONFIG, FOLDS, HISTORY, METRICS, SEEDS, SHARED_CONFIG
from thumbnet.runs.folds.table import FoldList
from thumbnet.runs.listing import describe_runs, runs_to_csv, runs_to_dicts
from thumbnet.runs.listing_rows import read_row
from thumbnet.specs.json_text import to_json
from trust.reader import Reader, read_with

BOUNDS = {"low": 0.4, "high": 0.6}


def readers_of_listings(run: Path, place: Path) -> dict[str, Reader]:
    """The readers by name; `run` is a finished run of a small network, `place` a folder to work in."""
    single, unfinished = _copied(run, place / "listed"), _copied(run, place / "listed-unfinished")
    (unfinished / METRICS).unlink()
    seeds, folds = place / "listed-seeds", place / "listed-folds"
    for folder, names in ((seeds, ("seed-0", "seed-1")), (folds, ("fold-0", "fold-1"))):
        for name in names:
            _copied(run, folder / name)
        shutil.copyfile(run / CONFIG, folder / SHARED_CONFIG)
    _write(seeds / SEEDS, {"seeds": [0, 1]})
    _write(seeds / METRICS, {"figures": {"test_accuracy": BOUNDS}})
    _write(folds / FOLDS, FoldList(2, (0,), "0" * 64).to_dict())
    _write(folds / METRICS, {"test_accuracy_std": 0.1, "figures": {"accuracy": {"value": 0.5, **BOUNDS}}})
    files = {
        "listed-metrics": single / METRICS,
        "listed-config": single / ASKED,
        "listed-history": unfinished / HISTORY,
        "listed-seeds": seeds / METRICS,
        "listed-folds": folds / METRICS,
        "listed-run-of-seeds": seeds / "seed-1" / METRICS,
    }
    folder_of = {"listed-run-of-seeds": seeds}
    return {name: _reader(folder_of.get(name, file.parent), file) for name, file in files.items()}


def _reader(folder: Path, file: Path) -> Reader:
    def list_it() -> None:
        rows = [read_row(folder)]
        describe_runs(rows)
        runs_to_csv(rows)
        to_json({"runs": runs_to_dicts(rows)}, name="runs")

    return Reader([file.read_bytes()], lambda content: read_with(file, content, list_it))


def _copied(run: Path, folder: Path) -> Path:
    """A copy without SHA256SUMS."""
    shutil.copytree(run, folder, dirs_exist_ok=True)
    (folder / CHECKSUMS).unlink()
    return folder


def _write(path: Path, values: Mapping[str, object]) -> None:
    path.write_text(json.dumps({"format": 1, **values}))

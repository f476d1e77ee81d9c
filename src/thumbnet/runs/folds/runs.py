"""A folder of runs on several folds: what it holds, and how it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from thumbnet.data.dataset import Split
from thumbnet.data.statistics import images_at_once
from thumbnet.data.streamed import chunks_of
from thumbnet.errors import RunError
from thumbnet.runs.files.names import FOLD_TABLE, FOLDS
from thumbnet.runs.folds.table import FOLDS_FORMAT, FoldList, FoldTable, fold_list_from_dict, fold_table_from_csv
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.seeds.runs import check_same_classes
from thumbnet.specs.json_text import damaged, read_object
from thumbnet.terminal.text import quoted


@dataclass(frozen=True)
class FoldRuns:
    """The finished runs, fold by fold and in each seed by seed, and the metrics of all images out of fold."""

    path: Path
    runs: tuple[Run, ...]
    metrics: Mapping[str, object]


def is_fold_runs(path: str | Path) -> bool:
    """Whether the folder holds runs on several folds."""
    return (Path(path) / FOLDS).exists()


def load_folds(path: str | Path, *, trust_code: bool = False) -> FoldRuns:
    """The finished runs of a folder that `train_folds` made, and their metrics; `trust_code` as in `load_run`.

    Raises:
        RunError: it is no such folder, is not finished, or a file of it is damaged.
    """
    folder = opened_folds(path)
    if not folder.is_complete:
        raise RunError(
            f"the runs in {path} are not finished", hint=f"finish them with: thumbnet train --resume {quoted(path)}"
        )
    folds, _ = read_folds(folder)
    names = [folds.folder_of(fold, seed) for fold in range(folds.num_folds) for seed in folds.seeds]
    runs = tuple(load_run(folder.path / name, trust_code=trust_code) for name in names)
    check_same_classes(path, runs)
    return FoldRuns(folder.path, runs, folder.read_metrics())


def read_folds(folder: RunDir) -> tuple[FoldList, FoldTable]:
    """folds.json and folds.csv; RunError where they are damaged."""
    name = str(folder.path / FOLDS)
    values = read_object(folder.read_checked(FOLDS), name=name, known_format=FOLDS_FORMAT)
    folds, place = fold_list_from_dict(values, name=name), str(folder.path / FOLD_TABLE)
    table = fold_table_from_csv(folder.read_text(FOLD_TABLE), name=place)
    if {row.fold for row in table.rows} != set(range(folds.num_folds)):
        raise damaged(place, f"its images are not in the folds 0 to {folds.num_folds - 1}")
    return folds, table


def checksum_of(pool: Split) -> str:
    """SHA-256 of the pixels and labels that are divided, as hexadecimal digits."""
    digest = hashlib.sha256(repr(tuple(pool.images.shape)).encode())
    for chunk in chunks_of(pool.images, images_at_once(pool.images)):
        digest.update(chunk.contiguous().numpy().data)
    digest.update(pool.labels.contiguous().numpy().data)
    return digest.hexdigest()


def opened_folds(path: str | Path) -> RunDir:
    """The folder; RunError where it is no such one."""
    if not is_fold_runs(path):
        raise RunError(f"{path} holds no runs on several folds", hint="give a folder that `train --folds` made")
    return RunDir(Path(path))

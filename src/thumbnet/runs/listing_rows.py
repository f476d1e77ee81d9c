"""The runs in a folder, each read from what it keeps: its settings, its figures and how far it is. Without PyTorch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thumbnet.config import TrainConfig, config_from_toml
from thumbnet.errors import RunError, ThumbnetError
from thumbnet.evaluation.intervals import Interval, accuracy_interval
from thumbnet.runs.files.checksums import check_content, read_digests
from thumbnet.runs.files.lock import is_locked
from thumbnet.runs.files.metrics import METRICS_FORMAT, known_metrics
from thumbnet.runs.files.names import (
    ASKED,
    CONFIG,
    FOLDS,
    HISTORY,
    METRICS,
    PLAN,
    SEEDS,
    SHARED_CONFIG,
    SWEEP,
    TRIAL,
)
from thumbnet.runs.files.seed_list import SEEDS_FORMAT, seed_folder, seeds_from_dict
from thumbnet.runs.folds.table import FOLDS_FORMAT, fold_list_from_dict
from thumbnet.runs.settings import changed_settings, common_settings
from thumbnet.specs.json_text import read_object

FINISHED = "finished"
OTHER_FIGURES = ("balanced_accuracy", "auc", "mean_average_precision")  # as metrics.json has them, if it has them
FIGURES = ("accuracy", *OTHER_FIGURES)


@dataclass(frozen=True)
class RunRow:
    """A run, or a folder of several: of seeds the figures are means, of `folds` those of all images out of fold. `n` is
    the number of seeds that they are means of. Accuracies, areas (of two classes) and the mean average precision (where
    images may have several labels) are fractions; `_low` and `_high` bound each, at 95 %: of a run and of folds by what
    other images would give, of seeds by what other seeds would (see `Aggregate`).

    `state` is `finished`, `training`, `stopped after epoch 3 of 5`, `stopped in its second training` (refit), or
    `damaged: ...`; `settings` are those that differ from the recipe; `date` is that of its end. What a run does not
    know yet is None or empty.
    """

    path: str
    state: str
    recipe: str = ""
    model: str = ""
    data: str = ""
    n: int = 1
    seeds: tuple[int, ...] = ()
    folds: int | None = None
    epochs: int | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_std: float | None = None
    balanced_accuracy: float | None = None
    balanced_accuracy_low: float | None = None
    balanced_accuracy_high: float | None = None
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    mean_average_precision: float | None = None
    mean_average_precision_low: float | None = None
    mean_average_precision_high: float | None = None
    train_s: float | None = None
    date: str = ""
    settings: Mapping[str, object] | None = None


def run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Run folders, and those with several seeds or folds before the runs in them; links are not followed. A sweep's
    trial is none, unless it was trained to a whole run. A folder that cannot be read is given as one, too."""
    try:
        is_run, children = _looked_into(folder, depth)
    except OSError:  # its line says why
        is_run, children = True, []
    if is_run:
        yield folder
    for child in children:
        yield from run_folders(child, depth - 1)


def _looked_into(folder: Path, depth: int) -> tuple[bool, list[Path]]:
    """Whether there is a run in the folder, or several, and which folders in it, if `depth` allows, may hold others."""
    if (folder / CONFIG).is_file():
        is_trial = (folder / TRIAL).is_file() or (folder.parent / SWEEP).is_file()  # one that failed has no figures
        return not is_trial or (folder / METRICS).exists(), []
    is_run = (folder / SEEDS).is_file() or (folder / FOLDS).is_file()
    children = folder.iterdir() if depth else ()
    return is_run, sorted(child for child in children if child.is_dir() and not child.is_symlink())


def read_row(path: Path) -> RunRow:
    """The line of a run, or of a folder of several; of one that cannot be read, its state says why."""
    try:
        next(path.iterdir(), None)  # refused where the folder cannot be read
        if (path / FOLDS).is_file():
            return _folds_row(path)
        return _seeds_row(path) if (path / SEEDS).is_file() else _single_row(path)
    except (ThumbnetError, OSError, UnicodeDecodeError) as error:
        reason = error.message if isinstance(error, ThumbnetError) else str(error)
        return RunRow(str(path), f"damaged: {reason}")


def _single_row(path: Path) -> RunRow:
    config = _config(path, CONFIG)
    known: dict[str, object] = {
        "recipe": config.recipe,
        "model": config.model,
        "data": config.data,
        "seeds": (config.seed,),
        "epochs": config.epochs,
        "settings": _settings(path, changed_settings),
    }
    if not (path / METRICS).exists():
        done = max(0, len((path / HISTORY).read_text().splitlines()) - 1) if (path / HISTORY).exists() else 0
        return _made(path, _unfinished(path, done, config), known)
    values = _read_metrics(path)
    metrics = known_metrics(values, name=str(path / METRICS))
    known |= {
        "epochs": metrics.epochs,
        "accuracy": metrics.test_accuracy,
        "train_s": metrics.train_s,
        "date": str(values.get("date", "")),
        **_named("accuracy", accuracy_interval(metrics.test_accuracy, metrics.num_test)),
    }
    for figure in OTHER_FIGURES:
        known[figure] = _number(values, f"test_{figure}")
        known |= _named(figure, _bounds(values, f"test_{figure}_interval"))
    return _made(path, FINISHED, known)


def _seeds_row(path: Path) -> RunRow:
    """Means over the runs that are finished."""
    name = str(path / SEEDS)
    seeds = seeds_from_dict(read_object(_read_checked(path, SEEDS), name=name, known_format=SEEDS_FORMAT), name=name)
    known, done = _of_several(path, [seed_folder(seed) for seed in seeds])
    known |= {"seeds": seeds, "n": len(done)}
    for figure in FIGURES:
        values = [value for row in done if (value := getattr(row, figure)) is not None]
        if values and len(values) == len(done):
            known[figure] = statistics.fmean(values)
        if figure == "accuracy" and len(values) > 1:
            known["accuracy_std"] = statistics.stdev(values)
    state = _state_of_several(path, len(done), f"{len(seeds)} seeds")
    if state == FINISHED:
        figures = _read_metrics(path).get("figures")
        for figure in FIGURES:
            found = figures.get(f"test_{figure}") if isinstance(figures, Mapping) else None
            known |= _named(figure, _low_and_high(found, lowest=0.0, highest=1.0))
    return _made(path, state, known)


def _folds_row(path: Path) -> RunRow:
    """The figures of all images out of fold, once all runs are finished."""
    name = str(path / FOLDS)
    folds = fold_list_from_dict(
        read_object(_read_checked(path, FOLDS), name=name, known_format=FOLDS_FORMAT), name=name
    )
    names = [folds.folder_of(fold, seed) for fold in range(folds.num_folds) for seed in folds.seeds]
    known, done = _of_several(path, names)
    known |= {"seeds": folds.seeds, "folds": folds.num_folds, "n": 0}
    state = _state_of_several(path, len(done), f"{len(names)} runs")
    if state == FINISHED:
        values = _read_metrics(path)
        known |= {"n": len(folds.seeds), "accuracy_std": _number(values, "test_accuracy_std")}
        figures = values.get("figures")
        for figure in FIGURES:
            found = figures.get(figure) if isinstance(figures, Mapping) else None
            known[figure] = _number(found, "value") if isinstance(found, Mapping) else None
            known |= _named(figure, _low_and_high(found))
    return _made(path, state, known)


def _of_several(path: Path, names: Sequence[str]) -> tuple[dict[str, object], list[RunRow]]:
    """What is known of a folder of these runs, and the lines of the finished ones."""
    config = _config(path, SHARED_CONFIG)
    rows = [read_row(path / name) for name in names if (path / name / CONFIG).is_file()]
    done = [row for row in rows if row.state == FINISHED]
    known: dict[str, object] = {
        "recipe": config.recipe,
        "model": config.model,
        "data": config.data,
        "epochs": max((row.epochs for row in done if row.epochs is not None), default=config.epochs),
        "settings": _settings(path, common_settings),
        "date": max((row.date for row in done), default=""),
    }
    times = [row.train_s for row in done if row.train_s is not None]
    if times:
        known["train_s"] = statistics.median(times)
    return known, done


def _state_of_several(path: Path, num_done: int, wanted: str) -> str:
    """How far a folder is that is to hold `wanted`, such as `4 runs`."""
    if (path / METRICS).exists() and wanted.startswith(f"{num_done} "):
        return FINISHED
    return "training" if is_locked(path) else f"{num_done} of {wanted} are finished"


def _made(path: Path, state: str, known: Mapping[str, object]) -> RunRow:
    return RunRow(str(path), state, **known)  # type: ignore[arg-type]  # each value is that of its field


def _unfinished(path: Path, done: int, config: TrainConfig) -> str:
    if is_locked(path):
        return "training"
    has_plan = (path / PLAN).exists()  # the clock may have given it more epochs, or fewer
    if config.refit and done == config.epochs:
        return f"stopped {'before or ' * has_plan}in its second training"
    if has_plan:
        return f"stopped after epoch {done}, {config.epochs} were planned"
    return f"stopped after epoch {done} of {config.epochs}"


def _config(path: Path, name: str) -> TrainConfig:
    return config_from_toml(_read_checked(path, name).decode(), name=str(path / name))


def _settings(path: Path, read: Callable[[TrainConfig], Mapping[str, object]]) -> Mapping[str, object] | None:
    return read(_config(path, ASKED)) if (path / ASKED).exists() else None


def _read_metrics(path: Path) -> Mapping[str, object]:
    return read_object(_read_checked(path, METRICS), name=str(path / METRICS), known_format=METRICS_FORMAT)


def _read_checked(path: Path, name: str) -> bytes:
    content = (path / name).read_bytes()
    check_content(path, name, content, read_digests(path), error=RunError)
    return content


def _number(values: Mapping[str, object], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _named(figure: str, bounds: Interval | None) -> dict[str, object]:
    """The fields of a figure's interval."""
    low, high = (None, None) if bounds is None else bounds
    return {f"{figure}_low": low, f"{figure}_high": high}


def _bounds(values: Mapping[str, object], name: str) -> Interval | None:
    """An interval that metrics.json has as a list of two numbers; None where it has none, as of an earlier version."""
    pair = values.get(name)
    if not isinstance(pair, Sequence) or len(pair) != 2:
        return None
    return _low_and_high({"low": pair[0], "high": pair[1]})


def _low_and_high(found: object, *, lowest: float = -math.inf, highest: float = math.inf) -> Interval | None:
    """The bounds of a figure that metrics.json has with `low` and `high`, no wider than the values it can have."""
    if not isinstance(found, Mapping):
        return None
    low, high = _number(found, "low"), _number(found, "high")
    return None if low is None or high is None else (max(lowest, low), min(highest, high))

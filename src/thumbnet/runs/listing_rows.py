"""The runs in a folder, each read from what it keeps: its settings, its figures and how far it is. Without PyTorch."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from thumbnet.config import TrainConfig, config_from_toml
from thumbnet.errors import RunError, ThumbnetError
from thumbnet.runs.checksums import check_content, read_digests
from thumbnet.runs.lock import is_locked
from thumbnet.runs.metrics import METRICS_FORMAT, known_metrics
from thumbnet.runs.names import ASKED, CONFIG, HISTORY, METRICS, SEEDS, SHARED_CONFIG
from thumbnet.runs.seed_list import SEEDS_FORMAT, seeds_from_dict
from thumbnet.runs.settings import changed_settings
from thumbnet.specs.json_text import read_object

FINISHED = "finished"


@dataclass(frozen=True)
class RunRow:
    """A run, or a folder of runs with several seeds, whose figures are means. Accuracies and areas are fractions.

    `state` is `finished`, `training`, `stopped after epoch 3 of 5`, or `damaged: ...`; `settings` are those that differ
    from the recipe; `date` is that of its end. What a run does not know yet is None or empty.
    """

    path: str
    state: str
    recipe: str = ""
    model: str = ""
    data: str = ""
    n: int = 1
    seeds: tuple[int, ...] = ()
    epochs: int | None = None
    accuracy: float | None = None
    accuracy_std: float | None = None
    balanced_accuracy: float | None = None
    auc: float | None = None
    train_s: float | None = None
    date: str = ""
    settings: Mapping[str, object] | None = None


def run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Run folders, and those with several seeds before the runs in them; links are not followed."""
    if (folder / CONFIG).is_file():
        yield folder
        return
    if (folder / SEEDS).is_file():
        yield folder
    if depth:
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.is_symlink():
                yield from run_folders(child, depth - 1)


def read_row(path: Path) -> RunRow:
    try:
        return _seeds_row(path) if (path / SEEDS).is_file() else _single_row(path)
    except (ThumbnetError, OSError, UnicodeDecodeError) as error:
        reason = error.message if isinstance(error, ThumbnetError) else str(error)
        return RunRow(str(path), f"damaged: {reason}")


def _single_row(path: Path) -> RunRow:
    config, settings = _config(path, CONFIG), _settings(path)
    known: dict[str, object] = {
        "recipe": config.recipe,
        "model": config.model,
        "data": config.data,
        "seeds": (config.seed,),
        "epochs": config.epochs,
        "settings": settings,
    }
    if not (path / METRICS).exists():
        done = max(0, len((path / HISTORY).read_text().splitlines()) - 1) if (path / HISTORY).exists() else 0
        return _made(path, _unfinished(path, done, config), known)
    values = _read_metrics(path)
    metrics = known_metrics(values, name=str(path / METRICS))
    known |= {
        "accuracy": metrics.test_accuracy,
        "balanced_accuracy": _number(values, "test_balanced_accuracy"),
        "auc": _number(values, "test_auc"),
        "train_s": metrics.train_s,
        "date": str(values.get("date", "")),
    }
    return _made(path, FINISHED, known)


def _seeds_row(path: Path) -> RunRow:
    """Means over the runs that are finished; the settings without the seed, which each run has its own of."""
    config, settings = _config(path, SHARED_CONFIG), _settings(path)
    seeds = seeds_from_dict(
        read_object(_read_checked(path, SEEDS), name=str(path / SEEDS), known_format=SEEDS_FORMAT),
        name=str(path / SEEDS),
    )
    rows = [read_row(path / f"seed-{seed}") for seed in seeds if (path / f"seed-{seed}" / CONFIG).is_file()]
    done = [row for row in rows if row.state == FINISHED]
    is_finished = (path / METRICS).exists() and len(done) == len(seeds)
    known: dict[str, object] = {
        "recipe": config.recipe,
        "model": config.model,
        "data": config.data,
        "seeds": seeds,
        "n": len(done),
        "epochs": config.epochs,
        "settings": None if settings is None else {name: value for name, value in settings.items() if name != "seed"},
        "date": max((row.date for row in done), default=""),
    }
    for name in ("accuracy", "balanced_accuracy", "auc", "train_s"):
        values = [value for row in done if (value := getattr(row, name)) is not None]
        if values and len(values) == len(done):
            known[name] = statistics.median(values) if name == "train_s" else statistics.fmean(values)
        if name == "accuracy" and len(values) > 1:
            known["accuracy_std"] = statistics.stdev(values)
    unfinished = "training" if is_locked(path) else f"{len(done)} of {len(seeds)} seeds are finished"
    return _made(path, FINISHED if is_finished else unfinished, known)


def _made(path: Path, state: str, known: Mapping[str, object]) -> RunRow:
    return RunRow(str(path), state, **known)  # type: ignore[arg-type]  # each value is that of its field


def _unfinished(path: Path, done: int, config: TrainConfig) -> str:
    return "training" if is_locked(path) else f"stopped after epoch {done} of {config.epochs}"


def _config(path: Path, name: str) -> TrainConfig:
    return config_from_toml(_read_checked(path, name).decode(), name=str(path / name))


def _settings(path: Path) -> Mapping[str, object] | None:
    return changed_settings(_config(path, ASKED)) if (path / ASKED).exists() else None


def _read_metrics(path: Path) -> Mapping[str, object]:
    return read_object(_read_checked(path, METRICS), name=str(path / METRICS), known_format=METRICS_FORMAT)


def _read_checked(path: Path, name: str) -> bytes:
    content = (path / name).read_bytes()
    check_content(path, name, content, read_digests(path), error=RunError)
    return content


def _number(values: Mapping[str, object], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

"""The runs in a folder, with their settings and figures, read from what they keep. Without PyTorch."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
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

MAX_DEPTH = 3  # of folders within the one that is listed
SHOWN_CHARACTERS = 60  # of a run's settings in the table
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


def list_runs(folder: str | Path = "runs") -> list[RunRow]:
    """Every run in the folder and up to three folders below it, the oldest first.

    Raises:
        RunError: there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise RunError(f"there is no folder {place}", hint="name the folder that your runs are in")
    rows = [_row(path) for path in _run_folders(place, MAX_DEPTH)]
    return sorted(rows, key=lambda row: (row.date or "9", row.path))


def describe_runs(rows: Sequence[RunRow]) -> str:
    """The table for people."""
    if not rows:
        return "no runs"
    table = [("run", "model", "data", "accuracy", "balanced", "area", "epochs", "training", "state", "settings")]
    table += [
        (
            row.path,
            row.model or "-",
            row.data or "-",
            _share(row.accuracy)
            + ("" if row.accuracy_std is None else f" ± {100 * row.accuracy_std:.2f} (n = {row.n})"),
            _share(row.balanced_accuracy),
            "-" if row.auc is None else f"{row.auc:.3f}",
            "-" if row.epochs is None else f"{row.epochs}",
            "-" if row.train_s is None else f"{row.train_s:,.0f} s",
            row.state,
            _shortened(" ".join((row.recipe, *settings_texts(row)))),
        )
        for row in rows
    ]
    columns = [column for column in zip(*table, strict=True) if set(column[1:]) != {"-"}]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in zip(*columns, strict=True))


def runs_to_dicts(rows: Sequence[RunRow]) -> list[dict[str, object]]:
    """Plain values for JSON."""
    return [asdict(row) for row in rows]


def runs_to_csv(rows: Sequence[RunRow]) -> str:
    """A column for each field; seeds and settings as texts, numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([each.name for each in fields(RunRow)])
    for row in rows:
        values = asdict(row) | {"seeds": " ".join(map(str, row.seeds)), "settings": " ".join(settings_texts(row))}
        writer.writerow(["" if value is None else value for value in values.values()])
    return text.getvalue()


def settings_texts(row: RunRow) -> list[str]:
    """Each setting as KEY=VALUE."""
    return [f"{name}={_text(value)}" for name, value in (row.settings or {}).items()]


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_text(inner)}" for key, inner in value.items()) + "}"
    return "none" if value is None else str(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Run folders, and those with several seeds before the runs in them; links are not followed."""
    if (folder / CONFIG).is_file():
        yield folder
        return
    if (folder / SEEDS).is_file():
        yield folder
    if depth:
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.is_symlink():
                yield from _run_folders(child, depth - 1)


def _row(path: Path) -> RunRow:
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
    rows = [_row(path / f"seed-{seed}") for seed in seeds if (path / f"seed-{seed}" / CONFIG).is_file()]
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

"""What was measured of accuracy and time, from benchmarks/results and docs/results, by kind of processor."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from limited_processor import command_on
from speed_point import FAMILY, KINDS, Point

from thumbnet.config import TrainConfig, config_from_toml
from thumbnet.data.source_registry import CIFAR_VAL_FRACTION
from thumbnet.errors import ConfigError
from thumbnet.models.registry import create_model
from thumbnet.models.trace import trace_model
from thumbnet.recipes import load_recipe

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS.parent / "benchmarks" / "results"
ZOO = DOCS / "results" / "zoo"
EARLIER = DOCS / "results" / "earlier-speed.json"  # figures that docs/LOG.md has, and no file of a benchmark
THEMES = ("sprint", "epochs", "sprint-long")  # results of bench_sprint.py
PUBLISHED_ACCURACY = 0.8551  # the last of its 20 epochs
REFERENCE_EPOCHS = 20
PEERS = {  # of bench_peers.py, for the chart
    "airbench94": "airbench94's network",
    "resnet20": "ResNet-20",
    "resnet8": "MLPerf Tiny's ResNet-8",
    "tutorial": "a tutorial's network",
    "reference": "reference network by PyTorch",
}
NEW_KERNELS = "2026-11-29"  # since when convolutions are ours, and the older kernels are faster
BUSY = {  # by training and date: what ran beside it (docs/LOG.md)
    ("thumb-20k", "2026-11-26"): "other work beside the first two",
    ("thumb-50k", "2026-11-27"): "on a machine that was busy at times",
    ("thumb-100k", "2026-11-27"): "tests beside some epochs",
    ("thumb-200k", "2026-11-27"): "tests beside some epochs",
    ("sprint", "2026-11-26"): "on a machine that was slow at the time",
}
IMAGE_SHAPE = (3, 32, 32)
PLAIN = "reference network, the plain way"
OUR_REFERENCE = "reference network, our run, mostly on one thread beside others"


def read_all(theme: str) -> list[dict[str, Any]]:
    """The results of a theme, the newest first."""
    files = sorted(RESULTS.glob(f"{theme}_*.json"), key=lambda file: file.stem.rpartition("_")[2], reverse=True)
    return [json.loads(file.read_text()) | {"file": file.name} for file in files]


def newest(theme: str) -> dict[str, dict[str, Any]]:
    """The newest result of a theme for each kind of processor."""
    return newest_of(read_all(theme))


def newest_of(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By kind of processor the first of these."""
    return {values["processor_kind"]: values for values in reversed(results)}


def made(values: dict[str, Any], command: str = "") -> str:
    """Machine, versions and date of a result, and the command that it names."""
    command = values.get("command", command)
    text = f"{values['processor']}, torch {values['torch']}, {values['date']}"
    note = f". {values['note']}" if values.get("note") else ""
    origin = f"`{command_on(values['processor'], command)}`: " if command else ""
    return f"{origin}{text}{note}"


def notes_of(series: str, date: str) -> tuple[str, ...]:
    """What made a training of ours slower than it would be today."""
    found = [f"by the code of {date}, before convolutions of our own"] if date < NEW_KERNELS else []
    return (*found, *([BUSY[series, date]] if (series, date) in BUSY else []))


def peak_of(values: dict[str, Any]) -> float | None:
    """The best of a sitting's matrix peaks; None where none was measured."""
    peaks: list[float] = values.get("matrix_gflops", [])
    return max(peaks, default=None)


def sprint_points(values: dict[str, Any]) -> list[Point]:
    """A result of bench_sprint.py: one point for each number of epochs."""
    by_epochs: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for run in values["runs"]:
        by_epochs[run["epochs"]].append(run)
    return [
        Point(
            values["recipe"],
            values["processor_kind"],
            epochs,
            statistics.median(run["train_s"] for run in runs),
            tuple(run["test_accuracy"] for run in runs),
            runs[0]["num_params"],
            made(values),
            values["date"],
            version(values["recipe"], runs[0], values["config"], values["date"]),
            machine=values["processor"],
            command_s=statistics.median(run["command_s"] for run in runs) if "command_s" in runs[0] else None,
            peak_gflops=peak_of(values),
            notes=notes_of(values["recipe"], values["date"]),
        )
        for epochs, runs in sorted(by_epochs.items())
    ]


def version(recipe: str, run: dict[str, Any], config: str, date: str) -> str:
    """Empty where a run was that of today's recipe and network, for however many epochs; else when it was."""
    todays = load_recipe(recipe)
    other = f"the recipe as it was on {date}"
    try:
        then = config_from_toml(config, name=f"the recipe {recipe} of {date}").replace(epochs=todays.epochs)
    except ConfigError:  # with fields that there are no longer
        return other
    then, todays = (_with_cifars_val_fraction(config) for config in (then, todays))
    return "" if then == todays and (run["num_params"], run["macs"]) == size_of(recipe) else other


def _with_cifars_val_fraction(config: TrainConfig) -> TrainConfig:
    """What "auto" means on CIFAR-10, which all of these were trained on."""
    return config.replace(val_fraction=CIFAR_VAL_FRACTION) if config.val_fraction == "auto" else config


@cache
def size_of(recipe: str) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a recipe's network today."""
    config = load_recipe(recipe)
    trace = trace_model(create_model(config.model, seed=0, **config.model_options), IMAGE_SHAPE)
    return trace.num_params, trace.macs


def peer_points() -> list[Point]:
    """The newest result of bench_peers.py on each kind of processor, our own recipes among them."""
    points = []
    for kind, values in newest("peers").items():
        groups: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
        for run in values["runs"]:
            groups[run["peer"], run["minutes"]].append(run)
        for (peer, _), runs in sorted(groups.items()):
            if peer not in PEERS:
                points += sprint_points(values | {"recipe": peer, "config": runs[0]["config"], "runs": runs})
                continue
            epochs, train_s = (statistics.median(run[key] for run in runs) for key in ("epochs", "train_s"))
            accuracies = tuple(run["test_accuracy"] for run in runs)
            num_params, date = runs[0]["num_params"], values["date"]
            points.append(
                Point(
                    PEERS[peer],
                    kind,
                    epochs,
                    train_s,
                    accuracies,
                    num_params,
                    made(values),
                    date,
                    is_peer=True,
                    machine=values["processor"],
                    peak_gflops=peak_of(values),
                )
            )
    return points


def earlier_points() -> list[Point]:
    """Those of docs/LOG.md."""
    return [
        Point(
            values["recipe"],
            values["processor_kind"],
            values["epochs"],
            values["train_s"],
            tuple(values["test_accuracies"]),
            values["num_params"],
            made(values),
            values["date"],
            version(values["recipe"], values, values["config"], values["date"]),
            machine=values["processor"],
            notes=notes_of(values["recipe"], values["date"]),
        )
        for values in json.loads(EARLIER.read_text())
    ]


def trained_models() -> list[Point]:
    """The models of the family by size, the smallest first."""
    points = []
    for file in ZOO.glob(f"{FAMILY}*/pretrained.json"):
        runs = [json.loads(path.read_text()) for path in sorted(file.parent.glob("seed-*/metrics.json"))]
        record = json.loads(file.read_text())
        card = json.loads((file.parent / f"seed-{record['seed']}" / "model.json").read_text())
        seeds = f" --seeds {len(runs)}" if len(runs) > 1 else ""
        point = Point(
            file.parent.name,
            record["processor_kind"],
            runs[0]["epochs"],
            statistics.median(run["train_s"] for run in runs),
            tuple(run["test_accuracy"] for run in runs),
            runs[0]["num_params"],
            made(
                {"processor": record["processor"], "torch": card["versions"]["torch"], "date": record["date"]},
                f"thumbnet train --recipe {file.parent.name}{seeds}",
            ),
            record["date"],
            machine=record["processor"],
            notes=notes_of(file.parent.name, record["date"]),
        )
        points.append(point)
    return sorted(points, key=lambda point: point.num_params)


def reference_points() -> list[Point]:
    """The reference network: how long the plain way takes on each kind of processor, and our own whole run."""
    metrics = json.loads((DOCS / "results" / "reference" / "metrics.json").read_text())
    points = [
        Point(
            PLAIN,
            kind,
            REFERENCE_EPOCHS,
            REFERENCE_EPOCHS * 50_000 / values["images_per_s"]["plain"],
            (PUBLISHED_ACCURACY,),
            metrics["num_params"],
            made(values),
            values["date"],
            machine=values["processor"],
            num_timed_steps=values["steps"],
        )
        for kind, values in newest("train").items()
    ]
    if metrics["epochs"] == REFERENCE_EPOCHS:
        ran = json.loads((DOCS / "results" / "reference-machine.json").read_text())  # what its metrics leave out
        points.append(
            Point(
                OUR_REFERENCE,
                metrics["processor_kind"],
                metrics["epochs"],
                metrics["train_s"],
                (metrics["test_accuracy"],),
                metrics["num_params"],
                made(ran),
                ran["date"],
                machine=ran["processor"],
                notes=notes_of(OUR_REFERENCE, ran["date"]),
            )
        )
    return points


def collect() -> list[Point]:
    """Every point to be shown, by kind of processor.

    Of a recipe on one kind: those of today's version, or, where it was not measured, of the last one that was; all from
    the machine of the newest. Per length, the newest result with several runs, else the newest.
    """
    peers = peer_points()
    candidates = earlier_points() + [point for point in peers if not point.is_peer]
    for theme in THEMES:
        candidates += [point for values in read_all(theme) for point in sprint_points(values)]
    groups: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in candidates:
        groups[point.series, point.kind].append(point)
    kept: list[Point] = []
    for group in groups.values():
        newest_point = max(group, key=lambda point: (not point.version, point.date))
        alike = [
            point for point in group if (point.version, point.machine) == (newest_point.version, newest_point.machine)
        ]
        alike.sort(key=lambda point: (point.num_runs > 1, point.date))
        kept += {point.epochs: point for point in alike}.values()  # the best last
    points = sorted(kept, key=lambda point: (point.series, point.epochs))
    points = trained_models() + points + [point for point in peers if point.is_peer] + reference_points()
    return sorted(points, key=lambda point: KINDS.index(point.kind))

"""Write docs/speed.md and docs/speed.png: accuracy against time, from benchmarks/results and docs/results.

python tools/build_speed.py
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from thumbnet.training.progress import duration
from thumbnet.views.figure import new_figure, save_figure, styled

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS.parent / "benchmarks" / "results"
ZOO = DOCS / "results" / "zoo"
FAMILY = "thumb-"  # models by size, on one line
PUBLISHED_ACCURACY = 0.8551  # the last of its 20 epochs
REFERENCE_EPOCHS = 20
THEMES = ("sprint", "epochs", "sprint-long")  # results of bench_sprint.py
TICKS_S = (5, 10, 30, 60, 120, 300, 600, 1800, 3600, 10800)


@dataclass(frozen=True)
class Point:
    """Trainings of one length: median seconds, mean test accuracy, its sample deviation if there are several."""

    series: str
    epochs: int
    train_s: float
    accuracy: float
    deviation: float | None
    num_runs: int

    @property
    def line(self) -> str:
        """The line of the chart that it is on."""
        return f"{FAMILY}20k to {FAMILY}200k" if FAMILY in self.series else self.series.replace("`", "")

    @property
    def label(self) -> str:
        """What stands at it."""
        return self.series.strip("`") if FAMILY in self.series else f"{self.epochs} epoch{'s' * (self.epochs > 1)}"


def points_of(values: dict[str, Any]) -> list[Point]:
    """A result of bench_sprint.py: one point for each number of epochs."""
    by_epochs: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for run in values["runs"]:
        by_epochs[run["epochs"]].append(run)
    return [
        Point(
            f"`{values['recipe']}`",
            epochs,
            statistics.median(run["train_s"] for run in runs),
            statistics.mean(run["test_accuracy"] for run in runs),
            statistics.stdev(run["test_accuracy"] for run in runs) if len(runs) > 1 else None,
            len(runs),
        )
        for epochs, runs in sorted(by_epochs.items())
    ]


def trained_models() -> list[tuple[Point, str]]:
    """The models of the family by size, the smallest first, each with where and when it was trained."""
    found = []
    for file in ZOO.glob(f"{FAMILY}*/pretrained.json"):
        runs = [json.loads(path.read_text()) for path in sorted(file.parent.glob("seed-*/metrics.json"))]
        accuracies = [run["test_accuracy"] for run in runs]
        point = Point(
            f"`{file.parent.name}`",
            runs[0]["epochs"],
            statistics.median(run["train_s"] for run in runs),
            statistics.mean(accuracies),
            statistics.stdev(accuracies) if len(runs) > 1 else None,
            len(runs),
        )
        seeds = f" --seeds {len(runs)}" if len(runs) > 1 else ""
        record = json.loads(file.read_text())
        card = json.loads((file.parent / f"seed-{record['seed']}" / "model.json").read_text())
        made = (
            f"`thumbnet train --recipe {file.parent.name}{seeds}`: {record['processor']}, "
            f"torch {card['versions']['torch']}, {record['date']}."
        )
        found.append((card["num_params"], point, made))
    return [(point, made) for _, point, made in sorted(found, key=lambda each: each[0])]


def newest(theme: str) -> dict[str, Any] | None:
    """The newest result of a theme, or None."""
    files = sorted(RESULTS.glob(f"{theme}_*.json"), key=lambda file: file.stem.rpartition("_")[2])
    return json.loads(files[-1].read_text()) if files else None


def collect() -> list[Point]:
    """Every point there is a result for, the reference network's at the end."""
    points = []
    for theme in THEMES:
        values = newest(theme)
        points += [] if values is None else points_of(values)
    several = {(point.series, point.epochs) for point in points if point.num_runs > 1}
    points = [point for point in points if point.num_runs > 1 or (point.series, point.epochs) not in several]
    points.sort(key=lambda point: (point.series, point.epochs))
    points = [point for point, _ in trained_models()] + points
    train = newest("train")
    if train is not None:
        seconds = REFERENCE_EPOCHS * 50_000 / train["images_per_s"]["plain"]
        name = "reference network: published accuracy, the plain way's time here"
        points.append(Point(name, REFERENCE_EPOCHS, seconds, PUBLISHED_ACCURACY, None, 1))
    metrics = json.loads((DOCS / "results" / "reference" / "metrics.json").read_text())
    if metrics["epochs"] == REFERENCE_EPOCHS:
        ours = "reference network: our run, mostly on one thread beside other trainings"
        points.append(Point(ours, REFERENCE_EPOCHS, metrics["train_s"], metrics["test_accuracy"], None, 1))
    return points


@styled
def draw(points: list[Point]) -> Figure:
    """Test accuracy in per cent against seconds of training, one line a recipe."""
    figure = new_figure(1000, 600)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes = figure.subplots()
    axes.set_title("CIFAR-10 under 200,000 parameters on two CPU cores")
    for line in dict.fromkeys(point.line for point in points):
        chosen = sorted((point for point in points if point.line == line), key=lambda point: point.train_s)
        axes.errorbar(
            [point.train_s for point in chosen],
            [100 * point.accuracy for point in chosen],
            yerr=[100 * (point.deviation or 0) for point in chosen],
            marker="o",
            capsize=3,
            label=line,
        )
        for point in chosen:
            axes.annotate(
                point.label,
                (point.train_s, 100 * point.accuracy),
                xytext=(-8, -4) if line == "sprint-long" else (8, -14 if line == "sprint" else -4),
                textcoords="offset points",
                horizontalalignment="right" if line == "sprint-long" else "left",  # another line is at its right
            )
    axes.set_xscale("log")
    shortest_s = min(point.train_s for point in points)
    longest_s = max(point.train_s for point in points)
    axes.set_xlim(shortest_s / 1.5, longest_s * 3)  # the labels are at the right of their points
    axes.set_xticks([tick for tick in TICKS_S if shortest_s / 1.5 < tick < longest_s * 3])
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda seconds, _: duration(float(seconds)).removesuffix(" 0 s").removesuffix(" 0 min"))
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("time of training")
    axes.set_ylabel("test accuracy (last epoch, one view), %")
    axes.legend(loc="lower right")
    return figure


def describe(points: list[Point]) -> str:
    """The page's text."""
    lines = [
        "# Accuracy against time on two CPU cores",
        "",
        "Made by `python tools/build_speed.py` from benchmarks/results and docs/results. CIFAR-10, whose test set is",
        "exact but for 20 images here; last epoch, one view; seeds fixed beforehand; on the machines named below.",
        "",
        "![Accuracy against time](speed.png)",
        "",
        "| training | epochs | test accuracy | n | time of training |",
        "|---|---|---|---|---|",
    ]
    for point in points:
        deviation = "" if point.deviation is None else f" ± {100 * point.deviation:.2f}"
        lines.append(
            f"| {point.series} | {point.epochs} | {100 * point.accuracy:.2f}{deviation} % | {point.num_runs} | "
            f"{duration(point.train_s)} |"
        )
    for _, made in trained_models():
        lines += ["", made]
    for values in map(newest, ("train", *THEMES)):
        if values is not None:
            line = f"`{values['command']}`: {values['processor']}, torch {values['torch']}, {values['date']}."
            lines += ["", f"{line} {values['note']}" if values.get("note") else line]
    return "\n".join([*lines, ""])


def main() -> None:
    """Draw and write."""
    points = collect()
    save_figure(draw(points), DOCS / "speed.png")
    (DOCS / "speed.md").write_text(describe(points))


if __name__ == "__main__":
    main()

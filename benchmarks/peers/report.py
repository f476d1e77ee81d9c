"""The peers' results as a table and as curves of accuracy against time."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from measuring import describe_circumstances, describe_peaks

from peers import PEERS
from peers.ours import OURS
from thumbnet.training.progress import duration
from thumbnet.views.figure import new_figure, styled

TICKS_MIN = (0.5, 1, 2, 5, 10, 20, 40, 80)
SMALL_GAP = 0.005  # in accuracy: what seeds make


@dataclass(frozen=True)
class Point:
    """A peer's trainings for one budget: mean test accuracy, its sample deviation if there are several, median time."""

    peer: str
    minutes: float
    runs: tuple[dict[str, Any], ...]

    @property
    def accuracy(self) -> float:
        return statistics.mean(run["test_accuracy"] for run in self.runs)

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(run["test_accuracy"] for run in self.runs) if len(self.runs) > 1 else None

    @property
    def train_s(self) -> float:
        return statistics.median(run["train_s"] for run in self.runs)


def points_of(runs: list[dict[str, Any]]) -> list[Point]:
    """By peer, ours first, and by budget."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        groups[run["peer"], run["minutes"]].append(run)
    order = [*OURS, *PEERS]
    keys = sorted(groups, key=lambda key: (order.index(key[0]), key[1]))
    return [Point(*key, tuple(sorted(groups[key], key=lambda run: run["seed"]))) for key in keys]


def title_of(peer: str) -> str:
    """In tables and legends."""
    return f"ours: `{peer}`" if peer in OURS else PEERS[peer].title


@styled
def draw(machine: str, points: list[Point]) -> Figure:
    """Test accuracy in per cent against minutes of training, a line for each peer."""
    figure = new_figure(1000, 640)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes = figure.subplots()
    axes.set_title(f"CIFAR-10, trained on {machine}")
    for peer in dict.fromkeys(point.peer for point in points):
        chosen = [point for point in points if point.peer == peer]
        is_ours = peer in OURS
        axes.errorbar(
            [point.train_s / 60 for point in chosen],
            [100 * point.accuracy for point in chosen],
            yerr=[100 * (point.deviation or 0) for point in chosen],
            marker="o",
            capsize=3,
            linewidth=3 if is_ours else 1.5,
            linestyle="-" if is_ours else "--",
            zorder=3 if is_ours else 2,
            label=f"{title_of(peer).replace('`', '')}: {parameters(chosen[0])} parameters",
        )
    axes.set_xscale("log")
    axes.set_xticks(TICKS_MIN)
    shortest, longest = min(point.train_s for point in points) / 60, max(point.train_s for point in points) / 60
    axes.set_xlim(shortest / 1.3, longest * 1.3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda minutes, _: f"{minutes:g}"))
    axes.minorticks_off()
    axes.set_xlabel("training, minutes")
    axes.set_ylabel("test accuracy (at the end, one view), %")
    axes.legend(loc="lower right")
    return figure


def parameters(point: Point) -> str:
    """How many a network has, as 0.19 M."""
    return f"{point.runs[0]['num_params'] / 1e6:.2f} M"


def describe(values: dict[str, Any], picture: str) -> str:
    """The report for people, in Markdown."""
    points = points_of(values["runs"])
    lines = [
        "# What else could be trained in that time",
        "",
        describe_circumstances(values),
        "",
        "CIFAR-10, the test set scored once after each training, one view each. The peers are PyTorch alone, in",
        "float32, in the faster of NCHW and channels_last, each with published hyper-parameters: nothing is tuned.",
        "Their schedules are fitted to as many steps as the budget has room for by a short timing; ours is `thumbnet",
        "train`, with as many whole epochs as fit. The time is that of training with all that is done to the images,",
        "for all alike: without reading files, building the network, and scoring.",
        *(["", values["note"]] if values["note"] else []),
        "",
        f"![Accuracy against time]({picture})",
        "",
        "| training | parameters | minutes | time of training | epochs | test accuracy | n | images/s | computed in |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(row, points),
        "",
        *values["verdicts"],
        "",
        "## How long a step takes",
        "",
        "| training | NCHW, ms | channels_last, ms |",
        "|---|---|---|",
    ]
    for peer, timing in values["timings"].items():
        if peer in PEERS:
            both = timing["step_s_by_layout"]
            cells = [f"{1000 * both[layout]:.2f}" for layout in ("NCHW", "channels_last")]
            lines.append(f"| {title_of(peer)}, {PEERS[peer].batch_size} images | {' | '.join(cells)} |")
    sittings = sorted({f"{run['date']} (commit {run['commit']})" for run in values["runs"]})
    num_others = values["num_by_other_code"]
    others = f" {num_others} by earlier code left out." if num_others else ""
    return "\n".join(
        [*lines, "", describe_peaks(values["matrix_gflops"]), "", f"Trained on {', '.join(sittings)}.{others}", ""]
    )


def row(point: Point) -> str:
    """Its line of the table."""
    first = point.runs[0]
    deviation = "" if point.deviation is None else f" ± {100 * point.deviation:.2f}"
    how = first.get("layout") or first["precision"]
    over = point.train_s / 60 / point.minutes - 1
    time = duration(point.train_s) + (f" ({over:.0%} more)" if over >= 0.01 else "")
    return (
        f"| {title_of(point.peer)} | {parameters(point)} | {point.minutes:g} | {time} | "
        f"{first['epochs']:.3g} | {100 * point.accuracy:.2f}{deviation} % | {len(point.runs)} | "
        f"{statistics.median(run['images_per_s'] for run in point.runs):,.0f} | {how} |"
    )


def verdicts(points: list[Point]) -> list[str]:
    """For each budget, the best of the peers beside the best of ours after the time that this peer took."""
    lines = []
    for minutes in sorted({point.minutes for point in points}):
        theirs = [point for point in points if point.minutes == minutes and point.peer in PEERS]
        ours = [[point for point in points if point.peer == name] for name in OURS]
        if not theirs or not any(ours):
            continue
        rival = max(theirs, key=lambda point: point.accuracy)
        found = [each for each in (accuracy_after(rival.train_s, curve) for curve in ours) if each is not None]
        begin = f"- {minutes:g} minute{'s' * (minutes != 1)}: the best peer, `{rival.peer}`, {rival.accuracy:.2%} in "
        begin += duration(rival.train_s)
        if not found:
            lines.append(f"{begin}; none of ours is as short.")
            continue
        accuracy, how, num_runs = max(found)
        gap = accuracy - rival.accuracy
        word = "ahead" if gap > 0 else "not ahead"
        if min(num_runs, len(rival.runs)) == 1 and abs(gap) < SMALL_GAP:
            word = f"level (less than {100 * SMALL_GAP:g} points, n = 1)"
        lines.append(f"{begin}; {how}: {accuracy:.2%}: **{word}**.")
    return lines


def accuracy_after(train_s: float, curve: list[Point]) -> tuple[float, str, int] | None:
    """What one of our recipes reaches after so long, in words, and from how many runs; None where all of it is longer.

    Between two trainings by a straight line over the logarithm of time; after the longest, that of the longest.
    """
    by_time = sorted(curve, key=lambda point: point.train_s)
    before = [point for point in by_time if point.train_s <= train_s]
    after = [point for point in by_time if point.train_s > train_s]
    if not before:
        return None
    first, num_runs = before[-1], len(before[-1].runs)
    if not after or first.train_s == train_s:
        return first.accuracy, f"`{first.peer}` in {duration(first.train_s)}", num_runs
    second = after[0]
    part = math.log(train_s / first.train_s) / math.log(second.train_s / first.train_s)
    accuracy = first.accuracy + part * (second.accuracy - first.accuracy)
    both = f"{duration(first.train_s)} and {duration(second.train_s)}"
    return accuracy, f"`{first.peer}` after as long, from those of {both}", min(num_runs, len(second.runs))

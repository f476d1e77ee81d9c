"""Write docs/speed.md, its pictures, and the README's figures of speed: python tools/build_speed.py

From benchmarks/results and docs/results; each figure for its kind of processor. Run it after a benchmark.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from speed_chart import draw
from speed_point import KINDS, NAMES, Point
from speed_results import PLAIN, ZOO, collect, made, newest, newest_of, read_all

from thumbnet.recipes import load_recipe
from thumbnet.training.progress import duration
from thumbnet.views.figure import save_figure

DOCS = Path(__file__).parent.parent / "docs"
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- speed, made by tools/build_speed.py -->\n", "<!-- end of speed -->"
PICTURES = {"speed.png": 1000, "speed-narrow.png": 480}  # pixels across, the latter for phones
NOT_MEASURED = "not measured"
LAPTOP = "AVX2 float32"
SHOWN = KINDS[:3]  # columns that are there even where nothing was measured
CAPTION = (
    "Test accuracy (last epoch, one view) and time of training, by kind of processor; ARM was not measured. [All "
    "results](docs/speed.md), with machines, versions, dates and commands. `thumbnet bench` says what kind yours is "
    "and forecasts each recipe on it; `train` forecasts from its first steps."
)
LIMITED = (
    "A processor that is *limited to avx2* is a larger one that `THUMBNET_CPU=avx2` keeps from using more, in PyTorch "
    "as in our kernels."
)


def picture(folder: str) -> list[str]:
    """The chart, in its narrow form on a phone."""
    return [
        "<picture>",
        f'  <source media="(max-width: 600px)" srcset="{folder}speed-narrow.png">',
        f'  <img alt="Accuracy against time, by kind of processor" src="{folder}speed.png">',
        "</picture>",
    ]


def headline(points: list[Point], series: str, kind: str) -> Point | None:
    """That of the recipe's own epochs, else that of most runs; None where there is none."""
    here = [point for point in points if (point.series, point.kind) == (series, kind)]
    epochs = load_recipe(series).epochs if series != PLAIN else None
    return max(here, key=lambda point: (point.epochs == epochs, point.num_runs), default=None)


def accuracy(point: Point) -> str:
    """Mean and deviation in per cent."""
    if point.num_timed_steps:
        return f"{100 * point.accuracy:.2f} % (published)"
    deviation = "" if point.deviation is None else f" ± {100 * point.deviation:.2f}"
    return f"{100 * point.accuracy:.2f}{deviation} %"


class Footnotes:
    """Numbered as they come; the same text has one number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, point: Point) -> str:
        """What stands at the time of a point with notes."""
        text = "; ".join(point.all_notes)
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"

    def lines(self) -> list[str]:
        """To stand under the table."""
        return ["; ".join(f"[{number}] {text}" for number, text in enumerate(self.texts, 1)) + "."] * bool(self.texts)


def cell(point: Point | None, footnotes: Footnotes) -> str:
    """A field of the README's table."""
    if point is None:
        return NOT_MEASURED
    origin = f"n = {point.num_runs}, {point.version or point.date}"
    if point.num_timed_steps:
        origin = f"extrapolated from {point.num_timed_steps} steps, {point.date}"
    return f"{accuracy(point)} in {duration(point.train_s)}{footnotes.mark(point)} ({origin})"


def columns(kinds: tuple[str, ...] | list[str], first: str) -> list[str]:
    """The head of a table with a column for each kind of processor."""
    return [f"| {first} | {' | '.join(NAMES[kind] for kind in kinds)} |", f"|---|{'---|' * len(kinds)}"]


def shown_kinds(points: list[Point]) -> list[str]:
    """The three of x86, and others that something was measured on."""
    return [kind for kind in KINDS if kind in SHOWN or any(point.kind == kind for point in points)]


def readme_block(points: list[Point]) -> str:
    """The README's first figures."""
    lines = [laptop_sentence(headline(points, "sprint", LAPTOP)), "", *picture("docs/"), ""]
    kinds, footnotes = shown_kinds(points), Footnotes()
    lines += columns(kinds, "CIFAR-10 on two cores")
    shown = [point.series for point in points if not point.is_peer]
    series = [each for each in ("sprint", "sprint-long") if each in shown]
    series += sorted({each for each in shown if each.startswith("thumb-")}, key=shown_size(points))
    for each in [*series, PLAIN]:
        name = each if each == PLAIN else f"`{each}`"
        lines.append(f"| {name} | {' | '.join(cell(headline(points, each, kind), footnotes) for kind in kinds)} |")
    return "\n".join([*lines, "", *footnotes.lines(), *[""] * bool(footnotes.texts), CAPTION, ""])


def shown_size(points: list[Point]) -> Any:
    """A key that sorts series by their number of parameters."""
    sizes = {point.series: point.num_params for point in points}
    return sizes.__getitem__


def laptop_sentence(point: Point | None) -> str:
    """What an ordinary laptop takes."""
    if point is None:
        return "On an ordinary laptop (AVX2) nothing was measured yet."
    larger = ""
    if point.larger_processor:
        peak = "" if point.peak_gflops is None else f"; matrix peak {point.peak_gflops:.0f} GFLOP/s"
        larger = f" (here two of a larger {point.larger_processor}, limited to AVX2{peak})"
    whole = ""
    if point.command_s is not None:
        whole = f" ({duration(point.command_s)} with reading, scoring and the report)"
    return (
        f"On two AVX2 cores, as an ordinary laptop has them{larger}, `thumbnet train` trains in "
        f"**{duration(point.train_s)}**{whole} to {accuracy(point)} on CIFAR-10 (medians and mean of n = "
        f"{point.num_runs}, {point.version or point.date})."
    )


def describe(points: list[Point]) -> str:
    """The page's text."""
    lines = [
        "# Accuracy against time on two CPU cores, by kind of processor",
        "",
        "Made by `python tools/build_speed.py` from benchmarks/results and docs/results. CIFAR-10, whose test set is",
        "exact but for 20 images here; last epoch, one view; seeds fixed beforehand. How fast a network trains depends",
        "on what its processor can do, so each figure stands under its kind: `thumbnet bench` tells which yours is.",
        LIMITED,
        "",
        *picture(""),
        "",
    ]
    for kind in shown_kinds(points):
        here = [point for point in points if point.kind == kind]
        lines += [f"## {NAMES[kind]}", ""]
        lines += section(here) if here else ["Not measured.", ""]
    lines += ["## ARM", "", "Not measured.", ""] if not any("NEON" in point.kind for point in points) else []
    return "\n".join([*lines, *peers(), *ratios(), *forward_speeds()])


def section(points: list[Point]) -> list[str]:
    """What was measured on one kind of processor."""
    lines = ["| training | parameters | epochs | test accuracy | n | time of training |", "|---|---|---|---|---|---|"]
    footnotes = Footnotes()
    for point in points:
        version = f" ({point.version})" if point.version else ""
        num_runs = "-" if point.num_timed_steps else str(point.num_runs)
        extrapolated = f" (extrapolated from {point.num_timed_steps} steps)" if point.num_timed_steps else ""
        lines.append(
            f"| {point.series}{version} | {point.num_params:,} | {point.epochs:.3g} | {accuracy(point)} | "
            f"{num_runs} | {duration(point.train_s)}{extrapolated}{footnotes.mark(point)} |"
        )
    lines += ["", *footnotes.lines()] if footnotes.texts else []
    by_origin: dict[str, list[str]] = {}
    for point in points:
        by_origin.setdefault(point.made, []).append(point.series)
    lines.append("")
    lines += [f"- {', '.join(dict.fromkeys(series))}: {origin}" for origin, series in by_origin.items()]
    return [*lines, ""]


def ratios() -> list[str]:
    """How many times as fast ours is, from bench_convolutions.py, bench_commit.py and bench_train.py."""
    rows: dict[str, dict[str, str]] = {}
    origins = []
    for kind, values in newest("convolutions").items():
        for network in values["networks"]:
            name = f"all convolutions of a step, `{network['name']}`, against PyTorch's"
            rows.setdefault(name, {})[kind] = ratio(network["ratio"], network["ratios"])
        origins.append(made(values))
    for kind, values in newest_of(
        [values for values in read_all("commit-*") if "sprint" in values["pairs"] and is_of_base(values)]
    ).items():
        both = [ours / theirs for theirs, ours in values["pairs"]["sprint"]]
        epochs = values.get("epochs", {}).get("sprint")
        length = f"{values['images']:,} images an epoch" + (f", {epochs} epochs" if epochs else "")
        name = f"training steps of `sprint` ({length}) against commit {values['base'][:7]}, its recipe on both sides"
        rows.setdefault(name, {})[kind] = ratio(statistics.median(both), both)
        origins.append(made(values))
    for kind, values in newest("train").items():
        seconds = values["seconds"]
        both = [theirs / ours for theirs, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
        name = "training steps of the reference network against the plain way"
        rows.setdefault(name, {})[kind] = ratio(values["factor"], both)
        origins.append(made(values))
    lines = [
        "## Times as fast",
        "",
        *columns(SHOWN, "ours over the other, alternating in one run"),
    ]
    lines += [f"| {name} | {' | '.join(row.get(kind, NOT_MEASURED) for kind in SHOWN)} |" for name, row in rows.items()]
    return [*lines, "", *(f"- {origin}" for origin in origins), ""]


def ratio(value: float, turns: list[float]) -> str:
    """A ratio with the range of its turns and their number."""
    return f"{value:.2f} ({min(turns):.2f} to {max(turns):.2f}, n = {len(turns)})"


def is_of_base(values: dict[str, Any]) -> bool:
    """Whether bench_commit.py trained the other commit's recipes on both sides; an early file has it in its command."""
    return bool(values.get("recipes_of_base", "--recipes-of-base" in values["command"]))


def peers() -> list[str]:
    """What bench_peers.py found of other networks in the same time, or that it was not run."""
    lines = ["## Other networks in the same time", ""]
    results = newest("peers")
    if not results:
        return [*lines, "Not measured yet; `python benchmarks/bench_peers.py --keep DIR` trains them.", ""]
    lines += ["Networks and recipes in PyTorch alone that trained for as long; their points stand above, dashed.", ""]
    for kind, values in results.items():
        page = f"../benchmarks/results/{values['file'].removesuffix('.json')}"
        lines += [f"### {NAMES[kind]}", "", f"![Accuracy against time]({page}.png)", ""]
        lines += [*values.get("verdicts", []), "", f"[All figures]({page}.md): {made(values)}", ""]
    return lines


def forward_speeds() -> list[str]:
    """Images/s of the trained models, forward."""
    records: list[dict[str, Any]] = [json.loads(path.read_text()) for path in sorted(ZOO.glob("*/pretrained.json"))]
    records.sort(key=lambda record: record["num_bytes"])
    lines = ["## Forward, images/s in float32", "", *columns(SHOWN, "model")]
    for record in records:
        cells = [
            f"{record['forward_images_per_s']:,.0f} ({record['date']})"
            if record["processor_kind"] == kind
            else NOT_MEASURED
            for kind in SHOWN
        ]
        lines.append(f"| `{record['model']}` | {' | '.join(cells)} |")
    return [*lines, "", "By tools/build_pretrained.py, on the machines that docs/results/zoo names.", ""]


def main() -> None:
    """Draw and write."""
    points = collect()
    for name, width_px in PICTURES.items():
        save_figure(draw(points, width_px), DOCS / name)
    (DOCS / "speed.md").write_text(describe(points))
    before, _, rest = README.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"README.md has no place for the figures of speed: {BEGIN}{END}"
    README.write_text(before + BEGIN + "\n" + readme_block(points) + "\n" + END + after)


if __name__ == "__main__":
    main()

"""A recipe on several seeds: accuracy and time, against this machine's matrix peak and against the plain way.

python benchmarks/bench_sprint.py [--recipe sprint] [--seeds 0 1 2 3 4] [--epochs 8] [--data-dir DIR]

Each run is `thumbnet train` in a process of its own; nothing else may run beside it. In the same sitting the plain way
of training the reference network is timed over 60 steps (left out by --no-plain). For `sprint` and `sprint-long` with
their own epochs the report ends with verdicts; a bar of time holds for one kind of processor, and in proportion to the
matrix peak. Writes benchmarks/results/<recipe>_<hardware>_<date>.md and .json, never over those of another kind.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measuring import (
    Worker,
    check_kept,
    check_place,
    cifar_folder,
    circumstances,
    describe_circumstances,
    describe_peaks,
    holds,
    make_parser,
    plain_work,
    workers,
    write_results,
)

from thumbnet.bench.measure import matrix_gflops
from thumbnet.config import config_to_toml
from thumbnet.recipes import load_recipe
from thumbnet.training.processor import processor_kind

PLAIN_STEPS = 60
PLAIN_WARM_UP = 3
PLAIN_BATCH = 128
REFERENCE_IMAGES = 17 * 50_000  # to the published network's best epoch


@dataclass(frozen=True)
class Bar:
    """What a recipe has to reach with these seeds: a mean accuracy, and by kind of processor a median time.

    A time is in seconds at a matrix peak in GFLOP/s, float32; it is longer in proportion where the peak is lower.
    """

    seeds: tuple[int, ...]
    accuracy: float
    times: dict[str, tuple[float, float]] = field(default_factory=dict)


BARS = {
    "sprint": Bar((0, 1, 2, 3, 4), 0.8566, {"AVX2 float32": (60.0, 180.0), "AVX-512 bfloat16": (40.0, 240.0)}),
    "sprint-long": Bar((0, 1, 2), 0.911, {"AVX2 float32": (1200.0, 180.0)}),
}


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--recipe", default="sprint", help="default: sprint")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="default: 0 to 4")
    parser.add_argument("--epochs", type=int, nargs="+", help="one or several (default: the recipe's)")
    parser.add_argument("--theme", help="of the files with the results (default: the recipe)")
    parser.add_argument("--keep", metavar="DIR", help="keep the run folders there, and go on with those that are")
    parser.add_argument("--note", default="", help="a sentence for the report, as what ran beside")
    parser.add_argument("--no-plain", action="store_true", help="do not time the plain way")
    parsed = parser.parse_args()
    folder = cifar_folder(parsed.data_dir)
    values: dict[str, Any] = circumstances() | {"recipe": parsed.recipe, "note": parsed.note}
    theme = parsed.theme or Path(parsed.recipe).stem
    check_place(theme, values)
    values["config"] = config_to_toml(load_recipe(parsed.recipe))
    values["matrix_gflops"] = [matrix_gflops()]
    values["plain_images_per_s"] = None if parsed.no_plain else plain_images_per_s(folder)
    values["runs"] = []
    for epochs in parsed.epochs or [None]:
        for seed in parsed.seeds:
            with tempfile.TemporaryDirectory() as scratch:
                run_dir = Path(parsed.keep or scratch, f"{Path(parsed.recipe).stem}-{epochs or 'recipe'}-{seed}")
                run = train(parsed.recipe, seed, epochs, folder, run_dir)
            values["runs"].append(run)
            values["matrix_gflops"].append(matrix_gflops())
            print(
                f"seed {seed}, {run['epochs']} epochs: {run['test_accuracy']:.2%}, train_s {run['train_s']:.1f}, "
                f"whole command {run['command_s']:.1f} s",
                flush=True,
            )
    report = describe(values)
    print(report)
    print(write_results(theme, values, report))


def plain_images_per_s(folder: str) -> float:
    """Of the reference network trained the plain way."""
    worker = Worker(plain_work, "train", folder, 50_000)
    with workers(worker):
        worker.run(PLAIN_WARM_UP)
        seconds: float = worker.run(PLAIN_STEPS)[0]
    return PLAIN_STEPS * PLAIN_BATCH / seconds


def train(recipe: str, seed: int, epochs: int | None, folder: str, run_dir: Path) -> dict[str, Any]:
    """One run's metrics, and the time of its whole command; of a run gone on with, that of all its sittings."""
    check_kept(run_dir, [config_to_toml(load_recipe(recipe)), f"epochs: {epochs}", f"seed: {seed}"])
    command = [sys.executable, "-m", "thumbnet", "train", "--log-style", "silent"]
    is_new = not (run_dir / "config.toml").exists()
    if is_new:
        command += ["--recipe", recipe, "--seed", str(seed), "--run-dir", str(run_dir)]
        command += ["--data", "cifar10", "--data-dir", folder, "--allow-unverified"]
        command += [] if epochs is None else ["--epochs", str(epochs)]
    else:
        command += ["--resume", str(run_dir), "--data-dir", folder]
    begin_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command_s = time.perf_counter() - begin_s
    metrics: dict[str, Any] = json.loads((run_dir / "metrics.json").read_text())
    if metrics.get("processor_kind") != processor_kind():
        raise SystemExit(
            f"{run_dir} was trained on {metrics.get('processor_kind', 'an unknown kind of processor')}, this one is "
            f"{processor_kind()}: delete it"
        )
    return {**metrics, "command_s": command_s if is_new else metrics["total_s"]}


def describe(values: dict[str, Any]) -> str:
    """The report for people, in Markdown: one table, and a paragraph for each number of epochs."""
    runs, peaks = values["runs"], values["matrix_gflops"]
    verified = all(run["data_verified"] for run in runs)
    lines = [
        f"# Recipe `{values['recipe']}` on CIFAR-10",
        "",
        describe_circumstances(values),
        "",
        (
            f"Last epoch, one view{'' if verified else '; the test set is exact but for 20 images'}. "
            f"{describe_peaks(peaks)}"
        ),
        *(["", values["note"]] if values["note"] else []),
        "",
        "| epochs | seed | test accuracy | train_s | whole command, s | peak memory, MB | trained on |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {run['epochs']} | {run['seed']} | {run['test_accuracy']:.2%} | {run['train_s']:.1f} | "
        f"{run['command_s']:.1f} | {run['peak_memory_bytes'] / 2**20:,.0f} | {run['date']} |"
        for run in runs
    ]
    for epochs in sorted({run["epochs"] for run in runs}):
        some = [run for run in runs if run["epochs"] == epochs]
        lines += ["", describe_epochs(epochs, some, values["plain_images_per_s"])]
        bar = BARS.get(values["recipe"])
        if bar is not None and epochs == load_recipe(values["recipe"]).epochs:
            lines += ["", *(f"- {verdict}" for verdict in verdicts(bar, some, values["processor_kind"], max(peaks)))]
    return "\n".join([*lines, ""])


def describe_epochs(epochs: int, runs: list[dict[str, Any]], plain_images_per_s: float | None) -> str:
    """The metrics of the runs with so many epochs, in one paragraph."""
    accuracies = [run["test_accuracy"] for run in runs]
    train_s = statistics.median(run["train_s"] for run in runs)
    more_s = statistics.median(run["command_s"] - run["train_s"] for run in runs)
    deviation = f" ± {statistics.stdev(accuracies):.2%}" if len(runs) > 1 else ""
    text = (
        f"{epochs} epochs: **{statistics.mean(accuracies):.2%}{deviation}** (n = {len(runs)}), median train_s "
        f"**{train_s:.1f} s**, the whole command {more_s:.1f} s more."
    )
    if plain_images_per_s is not None:
        plain_s = REFERENCE_IMAGES / plain_images_per_s
        text += (
            f" The plain way trains the reference network at {plain_images_per_s:.1f} images/s ({PLAIN_STEPS} steps, "
            f"same sitting): {plain_s:,.0f} s to its 17th epoch, **{plain_s / train_s:.0f} times as long**."
        )
    return text


def verdicts(bar: Bar, runs: list[dict[str, Any]], kind: str, peak: float) -> list[str]:
    """Whether these runs reach a bar's accuracy, and its time on this kind of processor with this matrix peak."""
    accuracy = statistics.mean(run["test_accuracy"] for run in runs)
    seeds = tuple(sorted(run["seed"] for run in runs))
    lines = [f"Accuracy: {accuracy:.2%}, the bar is {bar.accuracy:.2%}: **{holds(accuracy >= bar.accuracy)}**."]
    if kind in bar.times:
        seconds, gflops = bar.times[kind]
        factor = gflops / peak
        train_s = statistics.median(run["train_s"] for run in runs)
        lines.append(
            f"Time on {kind}: the bar is {seconds:.0f} s at {gflops:.0f} GFLOP/s; at the peak of {peak:.0f} here, by a "
            f"factor of {factor:.3f}, {seconds * factor:.1f} s. {train_s:.1f} s is "
            f"{train_s / (seconds * factor):.2f} of it: "
            f"**{holds(train_s <= seconds * factor)}**."
        )
    else:
        lines.append(f"Time on {kind}: no bar for this kind of processor ({', '.join(bar.times)} have one).")
    if seeds != bar.seeds:
        lines.append(f"The bar is for the seeds {list(bar.seeds)}, not {list(seeds)}: the verdict is provisional.")
    return lines


if __name__ == "__main__":
    main()

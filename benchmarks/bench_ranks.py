"""One training by two processes against one process: losses, accuracy, images a second.

python benchmarks/bench_ranks.py [--data-dir DIR] [--keep DIR] [--parts losses speed accuracy] [--num-images N]

`losses`: 20 steps of `sprint` and `thumb-20k` in float32, by our kernels and by PyTorch's (two minutes). `speed`: two
processes of one thread against one of two threads, alternating (three minutes; nothing must run beside it).
`accuracy`: `sprint`, seeds 0 to 2, in one process, in two, and in two without sync_norm (ten minutes); with --keep the
runs stay in DIR, and what is finished there is not trained again. Writes
benchmarks/results/ranks_<hardware>_<date>.md and .json. That a killed process ends all, and that torchrun begins again,
is tests/test_torchrun.py: `pytest -m ranks`.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from measuring import cifar_folder, circumstances, describe_circumstances, holds, make_parser, write_results

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.data.sources import load_dataset
from thumbnet.recipes import load_recipe
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.runs.resolve import resolve_config
from thumbnet.specs.launch import launch_of
from thumbnet.training.progress import StepReport
from thumbnet.training.ranks import Ranks, joined
from thumbnet.training.watch import StepWatch

RECIPES = ("sprint", "thumb-20k")
KERNELS = ("auto", "pytorch")
NUM_STEPS = 20
NUM_CIFAR10 = 50_000  # training images
SEEDS = (0, 1, 2)
TURNS, STEPS_A_TURN, WARM_UP = 5, 24, 4
KINDS = {"one process": [], "two, sync_norm": [], "two, sync_norm off": ["--set", "sync_norm=false"]}
MOST_DIFFERENCE, LEAST_SPEED, MOST_POINTS = 1e-3, 0.9, 0.4  # the bars
PARTS = ("losses", "speed", "accuracy")


class EnoughError(Exception):
    """All steps are made that were asked for."""


class Watch(StepWatch):
    """Keeps the losses, too, and ends the training after `num_steps`."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.losses: list[float] = []

    def step_ends(self, report: StepReport) -> None:
        super().step_ends(report)
        self.losses.append(report.last_loss)
        if len(self.losses) == self.num_steps:
            raise EnoughError


def trained(config: TrainConfig, dataset: Dataset, ranks: Ranks | None, num_steps: int) -> Watch:
    """The first steps of a recipe, at the rates and sizes that they have on all of CIFAR-10."""
    watch = Watch(num_steps)
    steps = config.epochs * num_batches(NUM_CIFAR10, config.batch_size)
    config = resolve_config(config.replace(epochs=None, min_steps=None, steps=steps), dataset)
    with suppress(EnoughError):
        fit_config(config, dataset, build_model(config, dataset), progress=watch, ranks=ranks)
    return watch


def configs() -> dict[str, TrainConfig]:
    """What is compared step by step."""
    return {
        f"{recipe}, kernels {kernels}": load_recipe(
            recipe, settings=["precision=float32", f"kernels={kernels}", "device=cpu"]
        )
        for recipe in RECIPES
        for kernels in KERNELS
    }


def read_images(folder: str, num_images: int) -> Dataset:
    """The first training images of CIFAR-10."""
    dataset = load_dataset("cifar10", data_dir=folder, allow_unverified=True, val_fraction=0.0)
    return dataset.with_train(dataset.train.select(range(num_images)))


def by_two(dataset: Dataset, ranks: Ranks, parts: list[str]) -> dict[str, Any]:
    """What both processes do; the first one measures itself alone, too, while the other waits."""
    done: dict[str, Any] = {"losses": {}, "one": [], "two": []}
    if "losses" in parts:
        torch.set_num_threads(1)
        for name, config in configs().items():
            alone = trained(config, dataset, None, NUM_STEPS).losses if ranks.is_first else []
            ranks.agree("measured" if ranks.is_first else None)
            done["losses"][name] = {"one": alone, "two": trained(config, dataset, ranks, NUM_STEPS).losses}
    for turn in range(TURNS + 1 if "speed" in parts else 0):  # the first one warms up
        config = load_recipe("sprint", settings=["device=cpu"])
        if ranks.is_first:
            torch.set_num_threads(2)
            one = images_per_s(config, dataset, None)
        ranks.agree("measured" if ranks.is_first else None)
        torch.set_num_threads(1)
        two = images_per_s(config, dataset, ranks)
        if ranks.is_first and turn > 0:
            done["one"].append(one)
            done["two"].append(two)
    return done


def images_per_s(config: TrainConfig, dataset: Dataset, ranks: Ranks | None) -> float:
    watch = trained(config, dataset, ranks, WARM_UP + STEPS_A_TURN)
    return config.batch_size / watch.seconds_per_step(WARM_UP, WARM_UP + STEPS_A_TURN)


@contextmanager
def second_process(folder: str, num_images: int, parts: list[str]) -> Iterator[Ranks]:
    """This process as the first of two."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    command = [sys.executable, __file__, "--second", "--data-dir", folder, "--num-images", str(num_images), "--parts"]
    with subprocess.Popen([*command, *parts], env=os.environ | variables(1, port)) as second:
        launch = launch_of(variables(0, port))
        assert launch is not None
        with joined(launch) as ranks:
            yield ranks
        assert second.wait(60) == 0


def variables(rank: int, port: int) -> dict[str, str]:
    """What torchrun would set."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in numbers.items()}}


def accuracies(folder: str, keep: Path) -> dict[str, list[float]]:
    """Test accuracies of `sprint`, by kind and seed."""
    return {
        kind: [
            accuracy_of(folder, keep / f"{kind.replace(', ', '-').replace(' ', '-')}-{seed}", kind, seed)
            for seed in SEEDS
        ]
        for kind in KINDS
    }


def accuracy_of(folder: str, run: Path, kind: str, seed: int) -> float:
    """That of a run, which is made, or gone on with, if it is not finished."""
    if not (run / "metrics.json").exists():
        begun = (run / "config.toml").exists()
        new = ["--recipe", "sprint", "--seed", str(seed), "--run-dir", str(run), *KINDS[kind]]
        arguments = ["train", "--no-pictures", *(["--resume", str(run)] if begun else new), "--data-dir", folder]
        arguments += [] if begun else ["--allow-unverified"]
        several = ["-m", "torch.distributed.run", "--nproc-per-node", "2"] if kind != "one process" else []
        subprocess.run([sys.executable, *several, "-m", "thumbnet", *arguments], check=True)
    metrics = json.loads((run / "metrics.json").read_text())
    return 100 * float(metrics["test_accuracy"])


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="where the runs of `accuracy` stay")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--num-images", type=int, default=20_000, help="of `losses` and `speed`")
    parser.add_argument("--second", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = cifar_folder(given.data_dir)
    if given.second:
        launch = launch_of(os.environ)
        assert launch is not None
        with joined(launch) as ranks:
            by_two(read_images(folder, given.num_images), ranks, given.parts)
        return
    values: dict[str, Any] = {}
    if set(given.parts) & {"losses", "speed"}:
        dataset = read_images(folder, given.num_images)
        with second_process(folder, given.num_images, given.parts) as ranks:
            values |= by_two(dataset, ranks, given.parts)
    if "accuracy" in given.parts:
        with tempfile.TemporaryDirectory() as scratch:
            values["accuracy"] = accuracies(folder, given.keep or Path(scratch))
    values |= circumstances()
    print(write_results("ranks", values, report(values)))


def report(values: dict[str, Any]) -> str:
    """The figures, each against its bar."""
    lines = ["# One training by two processes", "", describe_circumstances(values), ""]
    for name, losses in values.get("losses", {}).items():
        worst = max(abs(two / one - 1) for one, two in zip(losses["one"], losses["two"], strict=True))
        lines.append(
            f"- {name}: {len(losses['one'])} losses within {worst:.1e} of one process's "
            f"(bar {MOST_DIFFERENCE:g}: {holds(worst <= MOST_DIFFERENCE)})"
        )
    if values.get("one"):
        one, two = statistics.median(values["one"]), statistics.median(values["two"])
        lines.append(
            f"- `sprint`, images/s: {one:,.0f} in one process of two threads, {two:,.0f} in two of one thread: "
            f"{two / one:.2f} times (medians of {TURNS}, alternating; bar {LEAST_SPEED}: "
            f"{holds(two / one >= LEAST_SPEED)})"
        )
    means = {kind: statistics.mean(each) for kind, each in values.get("accuracy", {}).items()}
    for kind, mean in means.items():
        each = values["accuracy"][kind]
        difference = mean - means["one process"]
        bar = f"; bar {MOST_POINTS}: {holds(abs(difference) <= MOST_POINTS)}" if kind == "two, sync_norm" else ""
        lines.append(
            f"- `sprint` on CIFAR-10, {kind}: {mean:.2f} ± {statistics.stdev(each):.2f} % (n = {len(each)}; "
            f"{difference:+.2f} points{bar})"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

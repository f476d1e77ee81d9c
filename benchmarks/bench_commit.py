"""Whether training is as fast as at another commit: recipes trained by both, alternating in one run.

git worktree add ../thumbnet-base f7609f6
python benchmarks/bench_commit.py ../thumbnet-base [--recipes sprint thumb-50k] [--images 12800] [--pairs 7]
python benchmarks/bench_commit.py ../thumbnet-base --recipes reference --images 1920
python benchmarks/bench_commit.py ../thumbnet-base --recipes sprint --recipes-of-base

With --recipes-of-base both train the other commit's version of a recipe: its network, batch and sizes. Each training
is `thumbnet train` in a process of its own, on the first images of CIFAR-10; nothing else may run beside it. A pair's
ratio is our images/s over those of the other commit; which of the two begins changes from pair to pair. The environment
is handed on: THUMBNET_CPU=avx2 measures AVX2, also by a commit that is older than this switch. About six minutes a
recipe on two cores. Writes, after each recipe, benchmarks/results/commit-<base>-<recipes>_<hardware>_<date>.md and
.json, with what was chosen otherwise in the name, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from checkouts import environment_of, options_of
from measuring import (
    HERE,
    check_place,
    cifar_folder,
    circumstances,
    describe_circumstances,
    holds,
    make_parser,
    theme_of,
    write_results,
)

from thumbnet.data.sources import load_dataset

NUM_IMAGES = 12_800
NUM_TEST = 500
EPOCHS = {"sprint": 5}  # its growing images need some; other recipes get one
MIN_RATIO = 0.98  # of the medians, for a change that is not about speed
BARS = {("f7609f6", "sprint", "AVX2 float32"): 1.8}  # by commit, recipe and kind of processor; aim 2.3


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("base", help="a checkout of the other commit")
    parser.add_argument("--recipes", nargs="+", default=["sprint", "thumb-50k"])
    parser.add_argument("--images", type=int, default=NUM_IMAGES, help=f"to train on (default: {NUM_IMAGES})")
    parser.add_argument("--pairs", type=int, default=7, help="default: 7")
    parser.add_argument("--recipes-of-base", action="store_true", help="train the other commit's recipes on both sides")
    parsed = parser.parse_args()
    base = Path(parsed.base).resolve()
    if not (base / "src" / "thumbnet").is_dir():
        raise SystemExit(f"{base} is no checkout of thumbnet: it has no src/thumbnet")
    git = ["git", "-C", str(base), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True)
    values: dict[str, Any] = circumstances() | {"base": commit.stdout.strip()[:10], "images": parsed.images}
    values |= {"recipes_of_base": parsed.recipes_of_base, "epochs": {}, "pairs": {}}
    theme = theme_for(values["base"], parsed)
    check_place(theme, values)
    with tempfile.TemporaryDirectory() as folder:
        data = write_subset(cifar_folder(parsed.data_dir), Path(folder) / "subset.npz", num_train=parsed.images)
        for recipe in parsed.recipes:
            ours = recipe_of(base, recipe, Path(folder)) if parsed.recipes_of_base else recipe
            sides = {base: recipe, HERE.parent: ours}
            networks = [train(checkout, sides[checkout], data, epochs=1) for checkout in sides]  # and kernels compiled
            if parsed.recipes_of_base:
                check_same(recipe, *networks)
            epochs = values["epochs"][recipe] = EPOCHS.get(recipe, 1)
            values["pairs"][recipe] = [measure_pair(sides, data, epochs, number) for number in range(parsed.pairs)]
            print(describe(recipe, values), flush=True)
            path = write_results(theme, values, report_of(values))
    print(path)


def theme_for(base: str, parsed: argparse.Namespace) -> str:
    """Of the files: the other commit, the recipes, whose version of these, and how many images if not as usual."""
    more = ["recipes of base"] * parsed.recipes_of_base
    more += [f"{parsed.images} images"] * (parsed.images != NUM_IMAGES)
    return theme_of(f"commit {base[:7]}", parsed.recipes, [], *more)


def report_of(values: dict[str, Any]) -> str:
    """The page of the results."""
    lines = [f"- {describe(recipe, values)}" for recipe in values["pairs"]]
    return (
        f"# Training speed against commit {values['base']}, {values['images']:,} images\n\n"
        + "\n".join(lines)
        + f"\n\n{describe_circumstances(values)}\n"
    )


def write_subset(folder: str, path: Path, *, num_train: int) -> str:
    """The first training and test images of CIFAR-10 as an .npz file; its name as --data takes it."""
    dataset = load_dataset("cifar10", data_dir=folder, allow_unverified=True, val_fraction=0.0)
    arrays = {
        f"{name}_{kind}": getattr(dataset.split(name), kind)[:count].numpy()
        for name, count in (("train", num_train), ("test", NUM_TEST))
        for kind in ("images", "labels")
    }
    np.savez(path, **arrays)
    return f"npz:{path}"


def recipe_of(base: Path, recipe: str, folder: Path) -> str:
    """The other commit's recipe with its network, as a file (old names of fields are read as today's); its name."""
    text = (base / "src" / "thumbnet" / "recipes" / f"{recipe}.toml").read_text()
    code = (
        "import sys; from thumbnet.models.registry import create_model; print(create_model(sys.argv[1]).default_blocks)"
    )
    model = tomllib.loads(text)
    if "blocks" not in model.get("model_options", {}):
        command = [sys.executable, "-c", code, model["model"]]
        environment = os.environ | {"PYTHONPATH": str(base / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:  # else it is no network of blocks, and has no others
            text += f'\n[model_options]\nblocks = "{done.stdout.strip()}"\n'
    path = folder / f"{recipe}.toml"
    path.write_text(text)
    return str(path)


def check_same(recipe: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """SystemExit where the two sides did not train the same network for as long."""
    for key in ("num_params", "macs", "epochs"):
        if theirs[key] != ours[key]:
            raise SystemExit(f"{recipe}: {key} is {theirs[key]:,} at the other commit, but {ours[key]:,} here")


def measure_pair(sides: dict[Path, str], data: str, epochs: int, number: int) -> tuple[float, float]:
    """Images/s of the other commit and ours; every second pair begins with ours."""
    order = list(sides) if number % 2 == 0 else list(sides)[::-1]
    speeds = {checkout: train(checkout, sides[checkout], data, epochs=epochs)["images_per_s"] for checkout in order}
    theirs, ours = (float(speeds[checkout]) for checkout in sides)
    return theirs, ours


def train(checkout: Path, recipe: str, data: str, *, epochs: int) -> dict[str, Any]:
    """Train in a new process by the code of `checkout`, and read the metrics that the run recorded."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "thumbnet", "train", "--recipe", recipe, "--data", data]
        command += ["--epochs", str(epochs), "--run-dir", f"{folder}/run"]
        command += options_of(checkout)
        environment = environment_of(checkout, Path(data.removeprefix("npz:")).with_name("lesser"))
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed in {checkout}:\n{done.stderr}")
        metrics: dict[str, Any] = json.loads((Path(folder) / "run" / "metrics.json").read_text())
        return metrics


def describe(recipe: str, values: dict[str, Any]) -> str:
    """The median ratio of a recipe's pairs, with its range and verdict."""
    kind = values["processor_kind"]
    bar = BARS.get((values["base"][:7], recipe, kind), MIN_RATIO)
    ratios = sorted(ours / theirs for theirs, ours in values["pairs"][recipe])
    median = statistics.median(ratios)
    return (
        f"`{recipe}` on {kind}: median ratio {median:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}, n = {len(ratios)} "
        f"pairs), {holds(median >= bar)} the bar of {bar}"
    )


if __name__ == "__main__":
    main()

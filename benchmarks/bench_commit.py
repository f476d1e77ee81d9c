"""Whether training is as fast as at another commit: recipes trained by both, alternating in one run.

git worktree add ../thumbnet-base f7609f6
python benchmarks/bench_commit.py ../thumbnet-base [--recipes sprint thumb-50k] [--images 12800] [--pairs 7]
python benchmarks/bench_commit.py ../thumbnet-base --recipes reference --images 1920

Each training is `thumbnet train` in a process of its own, on the first images of CIFAR-10; nothing else may run beside
it. A pair's ratio is our images/s over those of the other commit; which of the two begins changes from pair to pair.
The environment is handed on: THUMBNET_CPU=avx2 measures AVX2. About six minutes a recipe on two cores. Writes, after
each recipe, benchmarks/results/commit-<recipes>_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import HERE, cifar_folder, circumstances, describe_circumstances, make_parser, write_results

from thumbnet.data.sources import load_dataset

NUM_TEST = 500
EPOCHS = {"sprint": 5}  # its growing images need some; other recipes get one
MIN_RATIO = 0.98  # of the medians, for a change that is not about speed


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("base", help="a checkout of the other commit")
    parser.add_argument("--recipes", nargs="+", default=["sprint", "thumb-50k"])
    parser.add_argument("--images", type=int, default=12_800, help="to train on (default: 12800)")
    parser.add_argument("--pairs", type=int, default=7, help="default: 7")
    parsed = parser.parse_args()
    base = Path(parsed.base).resolve()
    if not (base / "src" / "thumbnet").is_dir():
        raise SystemExit(f"{base} is no checkout of thumbnet: it has no src/thumbnet")
    git = ["git", "-C", str(base), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True)
    values: dict[str, Any] = circumstances() | {"base": commit.stdout.strip()[:10], "images": parsed.images}
    values["pairs"] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = write_subset(cifar_folder(parsed.data_dir), Path(folder) / "subset.npz", num_train=parsed.images)
        for recipe in parsed.recipes:
            for checkout in (base, HERE.parent):
                images_per_s(checkout, recipe, data, epochs=1)  # kernels compiled, files in memory
            values["pairs"][recipe] = [measure_pair(base, recipe, data, number) for number in range(parsed.pairs)]
            print(describe(recipe, values["pairs"][recipe]), flush=True)
            path = write_results(f"commit-{'-'.join(parsed.recipes)}", values, report_of(values))
    print(path)


def report_of(values: dict[str, Any]) -> str:
    """The page of the results."""
    lines = [f"- {describe(recipe, pairs)}" for recipe, pairs in values["pairs"].items()]
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


def measure_pair(base: Path, recipe: str, data: str, number: int) -> tuple[float, float]:
    """Images/s of the other commit and ours; every second pair begins with ours."""
    order = [base, HERE.parent] if number % 2 == 0 else [HERE.parent, base]
    speeds = {checkout: images_per_s(checkout, recipe, data, epochs=EPOCHS.get(recipe, 1)) for checkout in order}
    return speeds[base], speeds[HERE.parent]


def images_per_s(checkout: Path, recipe: str, data: str, *, epochs: int) -> float:
    """Train in a new process by the code of `checkout`, and read the speed that the run recorded."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "thumbnet", "train", "--recipe", recipe, "--data", data]
        command += ["--epochs", str(epochs), "--run-dir", f"{folder}/run"]
        environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed in {checkout}:\n{done.stderr}")
        metrics = json.loads((Path(folder) / "run" / "metrics.json").read_text())
        return float(metrics["images_per_s"])


def describe(recipe: str, pairs: list[tuple[float, float]]) -> str:
    """The median ratio of a recipe's pairs, with its range and verdict."""
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    median = statistics.median(ratios)
    verdict = "holds" if median >= MIN_RATIO else "misses"
    return (
        f"`{recipe}`: median ratio {median:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}, n = {len(ratios)} pairs), "
        f"{verdict} the bar of {MIN_RATIO}"
    )


if __name__ == "__main__":
    main()

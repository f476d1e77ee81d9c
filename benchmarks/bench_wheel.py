"""Whether a wheel's kernels are as fast as those compiled on the spot: steps of `sprint`, alternating in one run.

python benchmarks/bench_wheel.py dist/thumbnet-...-x86_64.whl     (a minute on two cores; needs no data)

The wheel must have been built from this checkout's source. Each way is `thumbnet.fit` with the recipe's
optimizer, on the digits and on random images; the ways take turns. Writes benchmarks/results/wheel_<hardware>_<date>.md
and .json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import zipfile
from pathlib import Path

from measuring import circumstances, describe_circumstances, write_results

from thumbnet.data.dataset import Dataset
from thumbnet.data.random_images import random_dataset
from thumbnet.data.sources import load_dataset
from thumbnet.kernels import precompiled
from thumbnet.models.registry import create_model
from thumbnet.specs.engine import Engine
from thumbnet.specs.optimizers import Muon
from thumbnet.training.fit import fit
from thumbnet.training.watch import StepWatch

BATCH_SIZE = 128
STEPS_A_TURN = 8
WARM_UP_STEPS = 2
NUM_TURNS = 5
OPTIMIZER = Muon(lr=0.2, momentum=0.6, bias_lr=0.1, bias_momentum=0.85, head_lr=1.0)
ENGINE = Engine(device="cpu", kernels="native", precision="auto")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="a wheel for this machine")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        with zipfile.ZipFile(parsed.wheel) as archive:
            archive.extractall(name)
        installed = Path(name) / "thumbnet" / "kernels" / precompiled.FOLDER.name
        folders = {"wheel": installed, "on the spot": precompiled.FOLDER}
        datasets = {
            "digits": load_dataset("digits"),
            "random, 32 px": random_dataset(STEPS_A_TURN * BATCH_SIZE, (3, 32, 32), 10),
        }
        turns = {images: measure(dataset, folders) for images, dataset in datasets.items()}
    values = circumstances() | {"batch_size": BATCH_SIZE, "seconds_per_step": turns}
    lines = ["# A wheel's kernels and those compiled on the spot", "", describe_circumstances(values), ""]
    lines += [
        (
            f"Milliseconds a step of {BATCH_SIZE} images of `sprint`, median of {NUM_TURNS} turns in alternation; the "
            "wheel's time over the other one's in the same turn, median and range."
        ),
        "",
        "| images | wheel | on the spot | ratio |",
        "|---|---|---|---|",
        *(row(images, *times.values()) for images, times in turns.items()),
        "",
    ]
    report = "\n".join(lines)
    print(report)
    print(write_results("wheel", values, report))


def measure(dataset: Dataset, folders: dict[str, Path]) -> dict[str, list[float]]:
    """Seconds a step in each turn, for each folder of a wheel's kernels; where there is none, g++ compiles."""
    model = create_model("sprint", in_channels=dataset.train.images.shape[1])
    seconds: dict[str, list[float]] = {way: [] for way in folders}
    own = precompiled.FOLDER
    try:
        for turn in range(NUM_TURNS):
            for way, folder in list(folders.items())[:: 1 if turn % 2 else -1]:
                precompiled.FOLDER = folder
                watch = StepWatch()
                result = fit(
                    model,
                    dataset,
                    epochs=1,
                    batch_size=BATCH_SIZE,
                    optimizer=OPTIMIZER,
                    engine=ENGINE,
                    progress=watch,
                )
                if ("wheel for" in result.kernels) != (way == "wheel"):
                    raise SystemExit(f"{way}: the kernels were {result.kernels}; is the wheel of this source?")
                seconds[way].append(watch.seconds_per_step(WARM_UP_STEPS, STEPS_A_TURN))
    finally:
        precompiled.FOLDER = own
    return seconds


def row(images: str, wheel: list[float], spot: list[float]) -> str:
    """The images' line of the table."""
    ratios = [one / other for one, other in zip(wheel, spot, strict=True)]
    medians = " | ".join(f"{1000 * statistics.median(times):.1f}" for times in (wheel, spot))
    return f"| {images} | {medians} | {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |"


if __name__ == "__main__":
    main()

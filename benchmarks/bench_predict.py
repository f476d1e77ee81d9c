"""`thumbnet predict` as a whole process, its start included: pictures a second of a folder, and one picture's time.

python benchmarks/bench_predict.py [--python PYTHON ...]     (half a minute on two cores; needs no data)

2,000 PNG files of 32x32 pixels (sample pictures of the test split, each shifted differently) by thumb-50k, as CSV.
PYTHON is the interpreter of another environment with thumbnet, such as a light one; each is measured in turn. Writes
benchmarks/results/predict_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import circumstances, describe_circumstances, write_results
from PIL import Image

from thumbnet.trained.shippable import load_pretrained_shippable

MODEL = "thumb-50k"
NUM_PICTURES = 2000
NUM_TURNS = 5
PACKAGES = "import importlib.util; print(*[n for n in ('torch', 'onnxruntime') if importlib.util.find_spec(n)])"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="*", default=[], metavar="PYTHON", help="other interpreters with thumbnet")
    parser.add_argument("--pictures", type=int, default=NUM_PICTURES, help=f"how many (default: {NUM_PICTURES:,})")
    parsed = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        first = draw_pictures(Path(folder), parsed.pictures)
        for python in [sys.executable, *parsed.python]:
            many: list[float] = []
            one: list[float] = []
            for _ in range(NUM_TURNS):
                many.append(seconds_of(python, folder, num_lines=parsed.pictures + 1))
                one.append(seconds_of(python, str(first), num_lines=2))
            rows.append({"packages": packages_of(python), "seconds": many, "seconds_of_one": one})
            print(row(rows[-1], parsed.pictures))
    values = circumstances() | {"model": MODEL, "num_pictures": parsed.pictures, "environments": rows}
    lines = ["# Pictures predicted by the command", "", describe_circumstances(values), ""]
    lines += [
        f"{parsed.pictures:,} PNG files of 32x32 pixels by {MODEL}, the process's start included; {NUM_TURNS} runs."
    ]
    lines += ["", "| packages of extras | pictures/s, median (best) | one picture, median (best) |", "|---|---|---|"]
    lines += [row(entry, parsed.pictures) for entry in rows]
    print(write_results("predict", values, "\n".join(lines) + "\n"))


def draw_pictures(folder: Path, num_pictures: int) -> Path:
    """Write them; returns the first."""
    export_data = load_pretrained_shippable(MODEL).export_data
    assert export_data is not None
    samples = export_data.samples.images
    generator = np.random.default_rng(0)
    for index in range(num_pictures):
        pixels = np.roll(samples[index % len(samples)], generator.integers(0, 32, 2), axis=(1, 2))
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{index:06}.png")
    return folder / f"{0:06}.png"


def seconds_of(python: str, pictures: str, *, num_lines: int) -> float:
    """One process's, from its start to its end."""
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-m", "thumbnet", "predict", pictures, "--pretrained", MODEL, "--csv"], capture_output=True, check=True
    )
    seconds = time.perf_counter() - start
    assert done.stdout.count(b"\r\n") == num_lines
    return seconds


def packages_of(python: str) -> str:
    """Which of those that it may compute with an environment has beside NumPy."""
    return subprocess.run([python, "-c", PACKAGES], capture_output=True, text=True, check=True).stdout.strip() or "none"


def row(entry: dict[str, object], num_pictures: int) -> str:
    """Of the table."""
    many, one = entry["seconds"], entry["seconds_of_one"]
    assert isinstance(many, list)
    assert isinstance(one, list)
    return (
        f"| {entry['packages']} | {num_pictures / statistics.median(many):,.0f} ({num_pictures / min(many):,.0f}) | "
        f"{statistics.median(one):.2f} s ({min(one):.2f} s) |"
    )


if __name__ == "__main__":
    main()

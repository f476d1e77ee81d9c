"""What our kernels gain: training steps of networks by PyTorch's kernels and by ours, alternating in one run.

python benchmarks/bench_kernels.py [BLOCKS ...]     (two minutes on two cores; needs no data)

Each way is `thumbnet.fit` on random images, with Muon and batches of 128. Writes
benchmarks/results/kernels_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from measuring import circumstances, describe_circumstances, write_results

from thumbnet.bench.measure import StepWatch, random_dataset
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.registry import num_params
from thumbnet.training.fit import fit

BLOCKS = ("b32 b48p b48x4 b64p", "b32 b64p b64x5 b96p b96x5", "c32p c64x3 c64p c64")
WAYS = {
    "PyTorch": {"kernels": "pytorch", "precision": "float32"},
    "ours": {"kernels": "native", "precision": "float32"},
    "ours, `precision` auto": {"kernels": "native", "precision": "auto"},
}
BATCH_SIZE = 128
STEPS_A_TURN = 8
WARM_UP_STEPS = 2
NUM_TURNS = 5
FITS: dict[str, Any] = {
    "epochs": 1, "batch_size": BATCH_SIZE, "optimizer": "muon", "lr": 0.06, "momentum": 0.6, "vector_lr": 0.1,
    "vector_momentum": 0.85, "head_lr": 1.0, "augmentation": "shift-flip", "device": "cpu",
}  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blocks", nargs="*", default=list(BLOCKS), metavar="BLOCKS", help="networks as lines of text")
    parsed = parser.parse_args()
    dataset = random_dataset(STEPS_A_TURN * BATCH_SIZE)
    networks = []
    for blocks in parsed.blocks:
        model = BlockNet(blocks=blocks)
        turns: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(NUM_TURNS):
            for way, arguments in WAYS.items():
                watch = StepWatch()
                fit(model, dataset, progress=watch, **FITS, **arguments)
                turns[way].append(watch.seconds_per_step(WARM_UP_STEPS, STEPS_A_TURN))
        networks.append({"blocks": blocks, "num_params": num_params(model), "seconds_per_step": turns})
        print(row(networks[-1]))
    values = circumstances() | {"batch_size": BATCH_SIZE, "networks": networks}
    lines = ["# Training steps by kernels", "", describe_circumstances(values), ""]
    lines += [f"Milliseconds a step of {BATCH_SIZE} images, median of {NUM_TURNS} turns in alternation.", ""]
    lines += [f"| blocks | parameters | {' | '.join(WAYS)} | times as fast |", f"|---|---|{'---|' * (len(WAYS) + 1)}"]
    report = "\n".join([*lines, *map(row, networks), ""])
    print(report)
    print(write_results("kernels", values, report))


def row(network: dict[str, Any]) -> str:
    """A network's line of the table."""
    medians = [statistics.median(times) for times in network["seconds_per_step"].values()]
    cells = " | ".join(f"{1000 * median:.0f}" for median in medians)
    return f"| `{network['blocks']}` | {network['num_params']:,} | {cells} | {medians[0] / medians[-1]:.2f} |"


if __name__ == "__main__":
    main()

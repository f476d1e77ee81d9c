"""What our kernels gain: training steps of networks by PyTorch's kernels and by ours, alternating in one run.

python benchmarks/bench_kernels.py [BLOCKS ...]     (three minutes on two cores; needs no data)

Each way is `thumbnet.fit` on random images, with Muon and batches of 128; the ways take turns, in another order each
time, and what is compared are the steps of one turn. Writes benchmarks/results/kernels_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from measuring import circumstances, describe_circumstances, write_results

from thumbnet.data.random_images import random_dataset
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.registry import num_params
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.optimizers import Muon
from thumbnet.training.fit import fit
from thumbnet.training.watch import StepWatch

BLOCKS = ("b32 b48p b48x4 b64p", "b32 b64p b64x5 b96p b96x5", "c32p c64x3 c64p c64")
WAYS = {
    f"{whose}, {precision}": Engine(device="cpu", kernels=kernels, precision=precision)
    for precision in ("float32", "auto")
    for whose, kernels in (("PyTorch", "pytorch"), ("ours", "native"))
}
BATCH_SIZE = 128
STEPS_A_TURN = 8
WARM_UP_STEPS = 2
NUM_TURNS = 5
OPTIMIZER = Muon(lr=0.06, momentum=0.6, bias_lr=0.1, bias_momentum=0.85, head_lr=1.0)
INPUTS = Inputs(augmentation="shift-flip")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blocks", nargs="*", default=list(BLOCKS), metavar="BLOCKS", help="networks as lines of text")
    parsed = parser.parse_args()
    dataset = random_dataset(STEPS_A_TURN * BATCH_SIZE, (3, 32, 32), 10)
    networks = []
    for blocks in parsed.blocks:
        model = BlockNet(blocks=blocks)
        turns: dict[str, list[float]] = {way: [] for way in WAYS}
        for turn in range(NUM_TURNS):
            ways = list(WAYS)
            for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
                watch = StepWatch()
                fit(
                    model,
                    dataset,
                    epochs=1,
                    batch_size=BATCH_SIZE,
                    optimizer=OPTIMIZER,
                    inputs=INPUTS,
                    engine=WAYS[way],
                    progress=watch,
                )
                turns[way].append(watch.seconds_per_step(WARM_UP_STEPS, STEPS_A_TURN))
        networks.append({"blocks": blocks, "num_params": num_params(model), "seconds_per_step": turns})
        print(row(networks[-1]))
    values = circumstances() | {"batch_size": BATCH_SIZE, "networks": networks}
    lines = ["# Training steps by kernels", "", describe_circumstances(values), ""]
    lines += [
        (
            f"Milliseconds a step of {BATCH_SIZE} images, median of {NUM_TURNS} turns in alternation; times as fast: "
            "PyTorch's over ours at the same `precision` in the same turn, median and range. `auto` is bfloat16 where "
            "the processor multiplies it natively, or where ours do all convolutions; else it is float32 again."
        ),
        "",
        f"| blocks | parameters | {' | '.join(WAYS)} | times as fast, float32 | auto |",
        f"|---|---|{'---|' * (len(WAYS) + 2)}",
    ]
    report = "\n".join([*lines, *map(row, networks), ""])
    print(report)
    print(write_results("kernels", values, report))


def row(network: dict[str, Any]) -> str:
    """A network's line of the table."""
    seconds = list(network["seconds_per_step"].values())
    cells = [f"{1000 * statistics.median(times):.0f}" for times in seconds]
    for theirs, ours in (seconds[:2], seconds[2:]):
        ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return f"| `{network['blocks']}` | {network['num_params']:,} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

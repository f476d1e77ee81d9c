"""The convolutions of a training step one by one: PyTorch's against ours, alternating in one run, and their errors.

python benchmarks/bench_convolutions.py ["sprint at 16" "sprint at 24" "sprint at 32" sprint-long resnet8 dilated]
    [--run runs/sprint-1 ...] [--turns 7] [--data-dir DIR]

Each network gets real images, in its recipe's batch; maps lie channels_last. A layer that our kernels do not take
(1x1, in groups, frozen), or only together with its norm (the first, strided block of `sprint`), counts with PyTorch's
time on both sides; a second sum has that block whole, as training runs it, on both sides. Errors are those against
float64, on the weights of a finished run (--run) or of the package (`pretrained`); nothing else may run beside it. Two
minutes on two cores. Writes benchmarks/results/convolutions_<hardware>_<date>.md and .json, with the networks and the
number format in the name where they are not all and `auto`.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import (
    check_place,
    cifar_folder,
    circumstances,
    describe_circumstances,
    holds,
    make_parser,
    theme_of,
    write_results,
)

# isort: split
import torch
from convolution_layers import Case, by_ours, by_pytorch, cases_of, errors, seconds
from first_block import FirstBlock
from torch import nn

from thumbnet.bench.layers import OURS, kernels_by_layer
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.data.sources import load_dataset
from thumbnet.kernels.choice import runs_fully_fused
from thumbnet.kernels.library import load_kernels
from thumbnet.kernels.memory import keep_freed_memory
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.registry import create_model
from thumbnet.models.whitening import Whitening
from thumbnet.runs.run import load_run
from thumbnet.training.device import pick_precision
from thumbnet.training.inputs import resize

BAR_KIND = "AVX2 float32"
MAX_ERRORS = {"forward": 3e-6, "data gradient": 1e-5, "weight gradient": 1e-5}


@dataclass(frozen=True)
class Network:
    """A network as it is trained: the side and the number of its images, and how many times as fast it has to be."""

    model: str
    side: int
    batch_size: int
    bar: float


NETWORKS = {
    "sprint at 16": Network("sprint", 16, 512, 2.0),
    "sprint at 24": Network("sprint", 24, 512, 2.0),
    "sprint at 32": Network("sprint", 32, 512, 2.0),
    "sprint-long": Network("sprint-long", 32, 128, 2.0),
    "resnet8": Network("resnet8", 32, 128, 1.4),
    "dilated": Network("dilated", 32, 128, 1.5),
}


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK", help="default: all")
    parser.add_argument("--run", nargs="*", default=[], metavar="DIR", help="finished runs, for their trained weights")
    parser.add_argument("--turns", type=int, default=7, help="default: 7")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="default: auto")
    parsed = parser.parse_args()
    for name in parsed.networks:
        if name not in NETWORKS:
            raise SystemExit(f"no network {name!r}: choose from {', '.join(map(repr, NETWORKS))}")
    keep_freed_memory()  # as `fit` does, for both sides
    dataset = load_dataset("cifar10", data_dir=cifar_folder(parsed.data_dir), allow_unverified=True, val_fraction=0.0)
    values: dict[str, Any] = circumstances() | {"turns": parsed.turns, "networks": []}
    theme = theme_of(
        "convolutions", parsed.networks, list(NETWORKS), *[parsed.precision] * (parsed.precision != "auto")
    )
    check_place(theme, values)
    trained = {run.card.model: (run.model, f"the run {Path(run.path).name}") for run in map(load_run, parsed.run)}
    for name in parsed.networks:
        model, weights = trained.get(NETWORKS[name].model) or weights_of(NETWORKS[name].model, dataset)
        values["networks"].append(measure(name, model, weights, dataset, parsed.precision, parsed.turns))
        print(describe_network(values["networks"][-1], values["processor_kind"]), flush=True)
    lines = ["# Convolutions of a training step", "", describe_circumstances(values), "", explain(parsed.turns), ""]
    sections = [describe_network(network, values["processor_kind"]) for network in values["networks"]]
    print(write_results(theme, values, "\n".join([*lines, *sections])))


def weights_of(name: str, dataset: Dataset) -> tuple[nn.Module, str]:
    """A model with the package's trained weights, or new ones."""
    if name in list_pretrained():
        return create_model(name, pretrained=True), "the package's trained ones"
    model = create_model(name, seed=0)
    for layer in model.modules():
        if isinstance(layer, Whitening):
            layer.init_from_data(normalise(dataset.train.images[:2000], dataset.mean, dataset.std))
    return model, "untrained"


def measure(
    name: str, model: nn.Module, weights: str, dataset: Dataset, precision: str, num_turns: int
) -> dict[str, Any]:
    """Times of every layer in each turn, and the errors of those that are taken."""
    network, library = NETWORKS[name], load_kernels()
    dtype = pick_precision(precision, torch.device("cpu"), fully_fused=runs_fully_fused(model))
    part = dataset.train.select(range(min(network.batch_size, len(dataset.train))))
    pixels = part.images if network.side == part.images.shape[-1] else resize(part.images, (network.side,) * 2)
    images = normalise(pixels, dataset.mean, dataset.std)
    cases = cases_of(model, images, part.labels, dtype)
    trained_by_ours = {
        layer.name for layer in kernels_by_layer(model, library, images, dtype=dtype) if layer.kernels == OURS
    }
    ours = by_ours(library)
    fused = {case.name for case in cases if case.name in trained_by_ours and not case.is_taken}
    is_first_fused = isinstance(model, BlockNet) and FirstBlock.names[1] in fused
    first_block = FirstBlock(model, images, dtype) if is_first_fused else None
    turns, first_turns = [], []
    for turn in range(num_turns):
        turns.append([seconds_of_both(case, ours, begins_with_ours=turn % 2 == 1) for case in cases])
        if first_block is not None:
            first_turns.append(first_block.seconds_of_both(library, begins_with_ours=turn % 2 == 1))
    layers = [
        {
            "name": case.name,
            "shape": case.shape,
            "taken": case.is_taken,
            "fused": case.name in fused,
            "pytorch_s": [turn[index][0] for turn in turns],
            "ours_s": [turn[index][1] for turn in turns],
            "errors": errors(case, ours) if case.is_taken and dtype is torch.float32 else {},
            "errors_of_pytorch": errors(case, by_pytorch) if case.is_taken and dtype is torch.float32 else {},
        }
        for index, case in enumerate(cases)
    ]
    ratios = [sum(sum(theirs) for theirs, _ in turn) / sum(sum(mine) for _, mine in turn) for turn in turns]
    return {
        "name": name,
        "batch_size": len(part.images),
        "precision": str(dtype).removeprefix("torch."),
        "weights": weights,
        "ratios": ratios,
        "ratio": statistics.median_low(ratios),
        "layers": layers,
        "first_block": [{"pytorch_s": theirs, "ours_s": mine} for theirs, mine in first_turns],
    }


def seconds_of_both(
    case: Case, ours: Any, *, begins_with_ours: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Forward and backward by PyTorch's kernels and by ours; the same numbers twice where ours do not take it."""
    if not case.is_taken:
        theirs = seconds(case, by_pytorch)
        return theirs, theirs
    if begins_with_ours:
        mine = seconds(case, ours)
        return seconds(case, by_pytorch), mine
    return seconds(case, by_pytorch), seconds(case, ours)


def explain(num_turns: int) -> str:
    """What the tables hold."""
    return (
        f"Milliseconds forward and backward (both gradients), PyTorch's over ours, medians of {num_turns} alternating "
        "turns; what is fused with its norm counts with PyTorch's time on both sides. Errors: relative, in the 2-norm, "
        "against float64 on the first images of the batch: result, data gradient, weight gradient; PyTorch's in "
        "brackets."
    )


def describe_network(network: dict[str, Any], kind: str) -> str:
    """A network's table, its sum and its verdicts."""
    lines = [
        f"## `{network['name']}`: {network['batch_size']} images, {network['precision']}, weights {network['weights']}",
        "",
        "| layer | channels @ size | forward | times as fast | backward | times as fast | errors |",
        "|---|---|---|---|---|---|---|",
        *map(row, network["layers"]),
        "",
    ]
    ratios = network["ratios"]
    turn = ratios.index(network["ratio"])
    both = [sum(sum(layer[side][turn]) for layer in network["layers"]) for side in ("pytorch_s", "ours_s")]
    lines += [
        (
            f"All convolutions, in the turn with the median ratio: {1000 * both[0]:.1f} ms by PyTorch, "
            f"{1000 * both[1]:.1f} ms by ours: **{network['ratio']:.2f} times** as fast "
            f"({min(ratios):.2f} to {max(ratios):.2f}, n = {len(ratios)})."
        ),
        "",
        *with_first_block(network),
        *(f"- {verdict}" for verdict in verdicts(network, kind)),
        "",
    ]
    return "\n".join(lines)


def with_first_block(network: dict[str, Any]) -> list[str]:
    """The sum with a fused first block whole, if the network has one."""
    turns = network.get("first_block", [])  # a result of before has none
    if not turns:
        return []
    others = [layer for layer in network["layers"] if layer["name"] not in FirstBlock.names]

    def seconds_by(side: str, turn: int) -> float:
        return float(sum(turns[turn][side]) + sum(sum(layer[side][turn]) for layer in others))

    ratios = [seconds_by("pytorch_s", turn) / seconds_by("ours_s", turn) for turn in range(len(turns))]
    alone = [sum(turn["pytorch_s"]) / sum(turn["ours_s"]) for turn in turns]
    return [
        (
            "With the first block whole, as it is trained (whitening, ReLU, convolution of stride 2, norm and SiLU in "
            f"one, {statistics.median(alone):.2f} times as fast): **{statistics.median(ratios):.2f} times** "
            f"({min(ratios):.2f} to {max(ratios):.2f})."
        ),
        "",
    ]


def row(layer: dict[str, Any]) -> str:
    """A layer's line."""
    cells = []
    for index in range(2):
        theirs, ours = (statistics.median(turn[index] for turn in layer[side]) for side in ("pytorch_s", "ours_s"))
        times = f"{1000 * theirs:.2f} / {1000 * ours:.2f} | {theirs / ours:.2f}" if theirs else "- | -"
        whose = "ours, fused with its norm: not timed alone" if layer["fused"] else "PyTorch's"
        cells.append(times if layer["taken"] or not theirs else f"{1000 * theirs:.2f} | {whose}")
    found = [f"{error:.1e} ({layer['errors_of_pytorch'][kind]:.1e})" for kind, error in layer["errors"].items()]
    return f"| {layer['name']} | {layer['shape']} | {cells[0]} | {cells[1]} | {', '.join(found)} |"


def verdicts(network: dict[str, Any], kind: str) -> list[str]:
    """Whether the bars hold: of all convolutions, of each that is taken, and of errors on trained weights."""
    taken = [layer for layer in network["layers"] if layer["taken"]]
    if not taken:
        return ["Our kernels take none of these layers."]
    bar = NETWORKS[network["name"]].bar
    lines = [
        f"Times as fast: the bar on {kind} is {bar}: **{holds(network['ratio'] >= bar)}**."
        if kind == BAR_KIND
        else f"Times as fast: no bar on {kind} (on {BAR_KIND} it is {bar})."
    ]
    slower = [
        layer["name"]
        for layer in taken
        if statistics.median(map(sum, layer["ours_s"])) > statistics.median(map(sum, layer["pytorch_s"]))
    ]
    named = f" ({', '.join(slower)})" if slower else ""
    lines.append(f"No layer that is taken is slower: **{holds(not slower)}**{named}.")
    for part, most in MAX_ERRORS.items():
        found = [layer["errors"][part] for layer in taken if part in layer["errors"]]
        if found and network["weights"] == "untrained":
            lines.append(f"Largest error, {part}: {max(found):.1e}; no bar on untrained weights.")
        elif found:
            lines.append(
                f"Largest error, {part}: {max(found):.1e}, the bar is {most:.0e}: **{holds(max(found) <= most)}**."
            )
    return lines


if __name__ == "__main__":
    main()

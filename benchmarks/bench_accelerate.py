"""What `thumbnet.accelerate` gives a user's own loop: plain PyTorch in both layouts and accelerated, in turns.

python benchmarks/bench_accelerate.py [--networks vgg airbench94] [--data-dir DIR]     (25 minutes on two AVX2 cores)

Two networks in plain PyTorch, in float32, on the first images of CIFAR-10: a small one like VGG, in batches of 128, and
airbench94's (benchmarks/peers) with its optimizer, in batches of 1,000. Each way is in a process of its own; they take
turns, in another order each time, and train the same from the same weights on the same batches, so that their losses
stand side by side. `accelerate` also lets the process keep freed memory: two ways more, a plain loop with that and an
accelerated one without, both in channels_last, show what the kernels alone give. Writes
benchmarks/results/accelerate_<hardware>_<date>.md and .json, with the networks in the name where they are not all.
THUMBNET_CPU=avx2 measures AVX2, for all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import thumbnet

# isort: split
import torch
from measuring import (
    Work,
    Worker,
    cifar_folder,
    circumstances,
    describe_circumstances,
    describe_peaks,
    holds,
    make_parser,
    theme_of,
    workers,
    write_results,
)
from peers import airbench94
from peers.data import Images, normalise, read_images
from peers.plan import LAYOUTS, num_params
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.bench.measure import matrix_gflops
from thumbnet.kernels.accelerate import accelerated_layers
from thumbnet.kernels.memory import keep_freed_memory


@dataclass(frozen=True)
class Way:
    """How a loop runs: the layout of its maps, whether it is accelerated, whether the process keeps freed memory."""

    layout: str
    accelerated: bool
    keeps_memory: bool


WAYS = {
    "plain, NCHW": Way("NCHW", accelerated=False, keeps_memory=False),
    "plain, channels_last": Way("channels_last", accelerated=False, keeps_memory=False),
    "plain, channels_last, memory kept": Way("channels_last", accelerated=False, keeps_memory=True),
    "accelerated, NCHW": Way("NCHW", accelerated=True, keeps_memory=True),
    "accelerated, channels_last": Way("channels_last", accelerated=True, keeps_memory=True),
    "accelerated, channels_last, keep_memory=False": Way("channels_last", accelerated=True, keeps_memory=False),
}
NUM_TURNS = 5
NUM_WARM_UP_TURNS = 2
NUM_LOSSES = 20  # steps whose losses are compared
MAX_LOSS_DIFFERENCE = 1e-3
BATCH_SIZES = {"vgg": 128, "airbench94": 1000}
STEPS_A_TURN = {"vgg": 24, "airbench94": 6}
BARS = {"vgg": 1.5, "airbench94": 1.6}  # times the images/s of the faster plain way
BARS_KIND = "AVX2 float32"  # of processor, that the bars are for
TITLES = {
    "vgg": "five 3x3 convolutions of 32 to 96 channels, BatchNorm, ReLU",
    "airbench94": "airbench94: whitening, 64-256-256 channels, pools before norms, GELU",
}


class VggLike(nn.Sequential):
    """As a user writes a small network: five 3x3 convolutions, each normalised and rectified, three pools."""

    def __init__(self) -> None:
        def block(before: int, after: int) -> list[nn.Module]:
            return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]

        super().__init__(
            *block(3, 32),
            *block(32, 32),
            nn.MaxPool2d(2),
            *block(32, 64),
            *block(64, 64),
            nn.MaxPool2d(2),
            *block(64, 96),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(96, 10),
        )


def prepare(model: nn.Module, way: Way) -> nn.Module:
    """A model as a way has it; an accelerated one must have a layer that is taken."""
    model = model.to(memory_format=LAYOUTS[way.layout])  # type: ignore[call-overload]
    if way.keeps_memory and not way.accelerated and not keep_freed_memory():
        raise SystemExit("freed memory cannot be kept here: that takes Linux with glibc")
    if way.accelerated:
        accelerate(model, keep_memory=way.keeps_memory)
    return model


def accelerate(model: nn.Module, *, keep_memory: bool) -> None:
    """As a user does it, but it must take a layer."""
    layers = accelerated_layers(thumbnet.accelerate(model, keep_memory=keep_memory))
    if not layers.taken:
        raise SystemExit(f"nothing is accelerated here: {layers}")


def vgg_loop(images: Images, way: str) -> Iterator[float]:
    """The loss of each step."""
    torch.manual_seed(0)
    model = prepare(VggLike(), WAYS[way])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for batch, labels in batches(images, BATCH_SIZES["vgg"], WAYS[way].layout):
        loss = F.cross_entropy(model(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def airbench94_loop(images: Images, way: str) -> Iterator[float]:
    """The loss of each step, by its recipe at the first step's rate, without averages."""
    torch.manual_seed(0)
    batch_size = BATCH_SIZES["airbench94"]
    model = prepare(airbench94.build(images), WAYS[way])
    optimizer = airbench94.optimizer_of(model, batch_size)
    for group in optimizer.param_groups:
        group["lr"] *= airbench94.FIRST_LR
    for batch, labels in batches(images, batch_size, WAYS[way].layout):
        loss = F.cross_entropy(model(batch), labels, label_smoothing=airbench94.LABEL_SMOOTHING, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item() / batch_size


LOOPS = {"vgg": vgg_loop, "airbench94": airbench94_loop}


def batches(images: Images, batch_size: int, layout: str) -> Iterator[tuple[Tensor, Tensor]]:
    """The training images in their order, again and again."""
    begin = 0
    while True:
        chosen = torch.arange(begin, begin + batch_size) % len(images.labels)
        pixels = normalise(images.pixels[chosen]).contiguous(memory_format=LAYOUTS[layout])
        yield pixels, images.labels[chosen]
        begin += batch_size


def loop_work(network: str, way: str, folder: str) -> Work:
    """Steps of a loop. Gives (seconds, losses) of so many."""
    steps = LOOPS[network](read_images(folder), way)

    def work(num_steps: int) -> tuple[float, list[float]]:
        begin_s = time.perf_counter()
        losses = [next(steps) for _ in range(num_steps)]
        return time.perf_counter() - begin_s, losses

    return work


def measure(network: str, folder: str) -> dict[str, Any]:
    """Images/s and losses of every way, turn by turn; the first turns warm up."""
    ways = {way: Worker(loop_work, network, way, folder) for way in WAYS}
    num_steps = STEPS_A_TURN[network]
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    losses: dict[str, list[float]] = {way: [] for way in WAYS}
    with workers(*ways.values()):
        for turn in range(NUM_WARM_UP_TURNS + NUM_TURNS):
            order = list(ways)
            for way in order[turn % len(order) :] + order[: turn % len(order)]:
                turn_s, turn_losses = ways[way].run(num_steps)
                losses[way] += turn_losses
                seconds[way] += [turn_s] * (turn >= NUM_WARM_UP_TURNS)
            print(f"{network}: turn {turn + 1} of {NUM_WARM_UP_TURNS + NUM_TURNS}", flush=True)
    images = num_steps * BATCH_SIZES[network]
    return {
        "images_per_s": {way: [images / each for each in turns] for way, turns in seconds.items()},
        "losses": losses,
        "num_params": num_params(VggLike() if network == "vgg" else airbench94.Airbench94()),
    }


def ratios(measured: dict[str, Any], way: str, other: str) -> list[float]:
    """Turn by turn, the images/s of a way over those of another."""
    rates = measured["images_per_s"]
    return [one / two for one, two in zip(rates[way], rates[other], strict=True)]


def faster_plain_way(measured: dict[str, Any]) -> str:
    """Of those that a user has without thumbnet, by its median."""
    rates = measured["images_per_s"]
    usual = [name for name, way in WAYS.items() if not way.accelerated and not way.keeps_memory]
    return max(usual, key=lambda way: statistics.median(rates[way]))


def loss_difference(measured: dict[str, Any], way: str, other: str) -> float:
    """The greatest relative difference of a way's first losses from those of another."""
    pairs = zip(measured["losses"][way][:NUM_LOSSES], measured["losses"][other][:NUM_LOSSES], strict=True)
    return max(abs(mine - theirs) / abs(theirs) for mine, theirs in pairs)


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--networks", nargs="+", choices=list(LOOPS), default=list(LOOPS), help="default: both")
    parser.add_argument("--note", default="", help="a sentence for the report, as what ran beside")
    parsed = parser.parse_args()
    folder = cifar_folder(parsed.data_dir)
    theme = theme_of("accelerate", parsed.networks, list(LOOPS))
    values: dict[str, Any] = circumstances() | {"note": parsed.note, "matrix_gflops": [matrix_gflops()], "networks": {}}
    for network in parsed.networks:
        values["networks"][network] = measure(network, folder)
        values["matrix_gflops"].append(matrix_gflops())
    report = describe(values)
    print(report)
    print(write_results(theme, values, report))


def describe(values: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    lines = [
        "# `thumbnet.accelerate` in a plain loop",
        "",
        describe_circumstances(values),
        "",
        f"Float32, median of {NUM_TURNS} turns. {describe_peaks(values['matrix_gflops'])}",
        *(["", values["note"]] if values["note"] else []),
    ]
    for network, measured in values["networks"].items():
        heading = f"{TITLES[network]}; {measured['num_params']:,} parameters, batches of {BATCH_SIZES[network]:,}"
        lines += ["", f"## {heading}", "", "| way | images/s | range |", "|---|---|---|"]
        for way, rates in measured["images_per_s"].items():
            lines.append(f"| {way} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} |")
        lines += ["", *(verdict(network, measured, layout, values["processor_kind"]) for layout in LAYOUTS)]
        lines += kernels_alone(measured)
        plain = loss_difference(measured, "plain, NCHW", "plain, channels_last")
        lines.append(f"- PyTorch's own losses in the two layouts differ by at most {plain:.1e}.")
    return "\n".join([*lines, ""])


def verdict(network: str, measured: dict[str, Any], layout: str, kind: str) -> str:
    """How many times as fast, and how near the losses are, against the bars."""
    times, bar = ratios(measured, f"accelerated, {layout}", faster_plain_way(measured)), BARS[network]
    difference = loss_difference(measured, f"accelerated, {layout}", f"plain, {layout}")
    is_same = holds(difference <= MAX_LOSS_DIFFERENCE)
    is_fast = holds(statistics.median(times) >= bar) if kind == BARS_KIND else f"not judged, it is for {BARS_KIND}"
    return (
        f"- Accelerated in {layout}: **{statistics.median(times):.2f} times** as fast as the faster plain way "
        f"({min(times):.2f} to {max(times):.2f}); bar {bar}: {is_fast}. Losses of {NUM_LOSSES} steps differ by at most "
        f"{difference:.1e} from those of the plain loop in this layout; bar {MAX_LOSS_DIFFERENCE:g}: {is_same}."
    )


def kernels_alone(measured: dict[str, Any]) -> list[str]:
    """How much of the gain is the kernels', and not that of memory that the process keeps."""
    accelerated, plain = "accelerated, channels_last", "plain, channels_last"
    pairs = {
        "where both keep freed memory": (accelerated, f"{plain}, memory kept"),
        "where neither does": (f"{accelerated}, keep_memory=False", plain),
    }
    found = {when: ratios(measured, *pair) for when, pair in pairs.items()}
    return [
        f"- Accelerated over plain in channels_last, {when}: {statistics.median(times):.2f} times ({min(times):.2f} to "
        f"{max(times):.2f})."
        for when, times in found.items()
    ]


if __name__ == "__main__":
    main()

"""How fast the reference network trains: the plain way against ours, alternating in one run, with nothing beside it.

python benchmarks/bench_train.py [--data-dir DIR]     (six minutes on two cores)

Both do the same arithmetic in float32 on batches of 128. Ours is `thumbnet.fit`, as `train --recipe reference` calls
it. Writes benchmarks/results/train_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from measuring import (
    Work,
    Worker,
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
from thumbnet.data.sources import load_dataset
from thumbnet.models.registry import create_model
from thumbnet.models.trace import trace_model
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.optimizers import SGD
from thumbnet.training.device import peak_memory_bytes
from thumbnet.training.fit import fit
from thumbnet.training.watch import StepWatch

BATCH_SIZE = 128
STEPS_A_TURN = 15
NUM_TURNS = 5
WARM_UP_STEPS = 4
NUM_PROFILED_STEPS = 6
BARS = {"AVX2 float32": 2.2}  # times as fast as the plain way, by kind of processor; aim 2.6
PARTS = {  # of PyTorch's operations, by words in their names; the first that fits counts
    "convolutions": ("conv", "Convolution"),  # PyTorch's, and ours
    "batch normalisation": ("batch_norm",),
    "rectifiers": ("relu", "threshold", "clamp_min"),
    "dropout": ("_ZeroAt", "index_fill", "rand", "cumsum", "log_", "searchsorted"),
    "optimizer": ("Optimizer", "_foreach", "addcdiv", "add_"),
}


def ours(folder: str) -> Work:
    """Steps of `fit` on the reference network: what they took, and the most memory that the process has held so far."""
    dataset = load_dataset("cifar10", data_dir=folder, allow_unverified=True, val_fraction=0.0)

    def work(num_steps: int) -> dict[str, Any]:
        part = dataset.with_train(dataset.train.select(range(num_steps * BATCH_SIZE)))
        result = fit(
            create_model("dilated", seed=0),
            part,
            epochs=1,
            batch_size=BATCH_SIZE,
            optimizer=SGD(lr=0.1, momentum=0.9),
            inputs=Inputs(augmentation="crop-flip"),
            engine=Engine(device="cpu", precision="float32"),
            progress=StepWatch(),
        )
        return {"train_s": result.history.train_s, "peak_memory_bytes": peak_memory_bytes(torch.device("cpu"))}

    return work


def profile_of_ours(folder: str) -> Work:
    """Where the time of some steps goes: seconds by part, and the operations that take longest."""
    work = ours(folder)

    def profiled(num_steps: int) -> dict[str, Any]:
        work(WARM_UP_STEPS)
        with torch.profiler.profile() as profile:
            train_s = work(num_steps)["train_s"]
        events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
        seconds = dict.fromkeys([*PARTS, "other operations"], 0.0)
        for event in events:
            part = next((part for part, words in PARTS.items() if any(w in event.key for w in words)), None)
            seconds[part or "other operations"] += event.self_cpu_time_total / 1e6
        longest = {event.key: event.self_cpu_time_total / 1e6 for event in events[:15]}
        return {"train_s": train_s, "parts": seconds, "longest": longest}

    return profiled


def flops_of_training(images: int) -> float:
    """Floating-point operations of convolutions for so many images: forward, and twice that backward.

    No gradient of the images themselves is computed: the first layer's is left out.
    """
    trace = trace_model(create_model("dilated"), (3, 32, 32))
    first = next(node for node in trace.nodes if node.macs)
    return 2.0 * images * (3 * trace.macs - first.macs)


def main() -> None:
    """Measure, print and write."""
    folder = cifar_folder(make_parser(__doc__).parse_args().data_dir)
    values: dict[str, Any] = circumstances()
    check_place("train", values)
    peaks = [matrix_gflops()]
    plain = Worker(plain_work, "train", folder, 50_000)
    model_only = Worker(plain_work, "train_on_one_batch", folder, 1000)
    our = Worker(ours, folder)
    profiler = Worker(profile_of_ours, folder)
    with workers(plain, model_only, our, profiler):
        for worker in (plain, model_only, our):
            worker.run(WARM_UP_STEPS)
        seconds: dict[str, list[float]] = {"plain": [], "plain, model only": [], "ours": []}
        ways: dict[str, Callable[[], float]] = {
            "plain": lambda: plain.run(STEPS_A_TURN)[0],
            "ours": lambda: our.run(STEPS_A_TURN)["train_s"],
            "plain, model only": lambda: model_only.run(STEPS_A_TURN)[0],
        }
        for turn in range(NUM_TURNS):
            for way in in_turn(ways, turn):
                seconds[way].append(ways[way]())
            peaks.append(matrix_gflops())
            print(f"turn {turn + 1} of {NUM_TURNS}: " + ", ".join(f"{k} {v[-1]:.1f} s" for k, v in seconds.items()))
        by_length = {steps: our.run(steps)["train_s"] for steps in (10, 20, 40, 80)}
        memory = our.run(STEPS_A_TURN)["peak_memory_bytes"]
        profile = profiler.run(NUM_PROFILED_STEPS)
        peaks.append(matrix_gflops())
    images = STEPS_A_TURN * BATCH_SIZE
    rates = {name: NUM_TURNS * images / sum(times) for name, times in seconds.items()}
    step_flops = flops_of_training(BATCH_SIZE)
    peak = max(peaks)
    convolution_s = profile["parts"]["convolutions"] / NUM_PROFILED_STEPS
    values |= {
        "matrix_gflops": peaks,
        "steps": NUM_TURNS * STEPS_A_TURN,
        "batch_size": BATCH_SIZE,
        "seconds": seconds,
        "images_per_s": rates,
        "factor": rates["ours"] / rates["plain"],
        "flops_per_step": step_flops,
        "floor_s_per_step": step_flops / peak / 1e9,
        "convolution_s_per_step": convolution_s,
        "convolution_share_of_peak": step_flops / convolution_s / 1e9 / peak,
        "train_s_by_steps": by_length,
        "peak_memory_bytes": memory,
        "profile": profile,
    }
    report = describe(values)
    print(report)
    print(write_results("train", values, report))


def in_turn(ways: Iterable[str], turn: int) -> list[str]:
    """In another order in each turn: every second one backwards."""
    return list(ways)[:: -1 if turn % 2 else 1]


def verdict(values: dict[str, Any]) -> str:
    """Whether the bar of this kind of processor holds."""
    kind = values["processor_kind"]
    if kind not in BARS:
        return f"no bar on {kind}."
    return f"the bar on {kind} is {BARS[kind]}, which **{holds(values['factor'] >= BARS[kind])}**."


def describe(values: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    rates, peaks, batch_size = values["images_per_s"], values["matrix_gflops"], values["batch_size"]
    parts = {part: seconds / NUM_PROFILED_STEPS for part, seconds in values["profile"]["parts"].items()}
    longest = [f"`{name}` {seconds / NUM_PROFILED_STEPS:.3f}" for name, seconds in values["profile"]["longest"].items()]
    lines = ["# Training the reference network", "", describe_circumstances(values), ""]
    lines += [f"| way, float32, batches of {batch_size} | images/s ({values['steps']} steps) | s of each turn |"]
    lines += ["|---|---|---|"]
    lines += [
        f"| {name} | {rate:.1f} | {', '.join(f'{s:.1f}' for s in values['seconds'][name])} |"
        for name, rate in rates.items()
    ]
    lines += [
        "",
        (
            f"Ours is **{values['factor']:.2f} times** as fast as the plain way: {verdict(values)} Peak memory of its "
            f"process: {values['peak_memory_bytes'] / 2**20:,.0f} MB."
        ),
        "",
        (
            f"{describe_peaks(peaks)} Computed directly, convolutions take "
            f"{values['flops_per_step'] / 1e9:.1f} GFLOP a step: {values['floor_s_per_step']:.3f} s at the peak. They "
            f"took {values['convolution_s_per_step']:.3f} s, **{values['convolution_share_of_peak']:.0%} of the peak** "
            "(more than all of it where minimal filters save products); the whole step took "
            f"{batch_size / rates['ours']:.3f} s."
        ),
        "",
        "## Is an epoch's cost linear in its images?",
        "",
        "| steps | s | images/s |",
        "|---|---|---|",
    ]
    lines += [
        f"| {steps} | {s:.2f} | {int(steps) * batch_size / s:.1f} |" for steps, s in values["train_s_by_steps"].items()
    ]
    lines += [
        "",
        f"## Where a step's time goes (PyTorch's profiler, {NUM_PROFILED_STEPS} steps)",
        "",
        "| part | s a step | share |",
        "|---|---|---|",
    ]
    lines += [f"| {part} | {s:.3f} | {s / sum(parts.values()):.0%} |" for part, s in parts.items()]
    return "\n".join([*lines, "", f"The operations that take longest, s a step: {', '.join(longest)}.", ""])


if __name__ == "__main__":
    main()

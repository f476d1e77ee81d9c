"""Large images: what each network of blocks costs in training at several sizes, with the stem that it gets for them.

    python benchmarks/bench_large_images.py [--models sprint,thumb-50k] [--sides 32,96,224] [--augmentation strong]

By the process's own time rather than the clock's, on one thread, so that other work beside it counts little. Writes
benchmarks/results/large-images_<processor>_<date>.json and .md. The verdict is on 224 pixels over 32:
multiply-accumulates at most 6 times, images a second at least a third.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from measuring import circumstances, describe_circumstances, holds, make_parser, theme_of, write_results

from thumbnet.data.random_images import random_dataset
from thumbnet.models.architecture import OF_MODELS
from thumbnet.models.trace import trace_model
from thumbnet.recipes import load_recipe
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.runs.resolve import resolve_config
from thumbnet.training.history import EpochRecord
from thumbnet.training.progress import EpochPlan, Progress, StepReport

POLICY = "shift-flip"
SIDES = (32, 64, 96, 128, 160, 224)
BATCH_SIZE = 64
NUM_STEPS = 12
MOST_MACS, LEAST_SPEED = 6.0, 1 / 3  # of 224 pixels, over those of 32


class ProcessTimes(Progress):
    """The process's time at the end of each step."""

    def __init__(self) -> None:
        self.ends_s: list[float] = []

    def epoch_begins(self, plan: EpochPlan) -> None: ...

    def step_ends(self, report: StepReport) -> None:
        self.ends_s.append(time.process_time())

    def epoch_ends(self, record: EpochRecord) -> None: ...


def measure(model: str, side: int, *, num_steps: int, policy: str = POLICY) -> dict[str, Any]:
    """A training step of a model's recipe at its full size, with this augmentation."""
    dataset = random_dataset(num_steps * BATCH_SIZE, (3, side, side), 10)
    config = load_recipe(model).replace(
        epochs=1, min_steps=None, batch_size=BATCH_SIZE, scales=[1.0], scale_starts=[0.0], augmentation=policy
    )
    config = resolve_config(config, dataset)
    network = build_model(config, dataset)
    macs = trace_model(network, (3, side, side)).macs
    watch = ProcessTimes()
    result = fit_config(config, dataset, network, progress=watch)
    steps_s = [after - before for before, after in zip(watch.ends_s[1:], watch.ends_s[2:], strict=False)]
    return {
        "model": model,
        "side": side,
        "stem": config.model_options["stem"],
        "blocks": config.model_options["blocks"],
        "precision": str(result.precision),
        "kernels": str(result.kernels),
        "macs": macs,
        "image_s": statistics.median(steps_s) / BATCH_SIZE,
        "num_steps": len(steps_s),
    }


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--models", default=",".join(OF_MODELS), help="names, with commas between (default: all)")
    parser.add_argument("--sides", default=",".join(map(str, SIDES)), help="pixels, with commas (default: all)")
    parser.add_argument("--steps", type=int, default=NUM_STEPS, help=f"of each training (default: {NUM_STEPS})")
    parser.add_argument("--augmentation", default=POLICY, help=f"(default: {POLICY})")
    parsed = parser.parse_args()
    models, sides = parsed.models.split(","), list(map(int, parsed.sides.split(",")))
    torch.set_num_threads(1)
    rows = [
        measure(model, side, num_steps=parsed.steps, policy=parsed.augmentation) for model in models for side in sides
    ]
    values = {**circumstances(), "batch_size": BATCH_SIZE, "augmentation": parsed.augmentation, "rows": rows}
    report = describe(rows, circumstances=describe_circumstances(values), policy=parsed.augmentation)
    print(report)
    theme = "large-images" if parsed.augmentation == POLICY else f"large-images-{parsed.augmentation}"
    print(write_results(theme_of(theme, models, list(OF_MODELS)), values, report))


def describe(rows: list[dict[str, Any]], *, circumstances: str, policy: str = POLICY) -> str:
    """The report, in Markdown."""
    lines = [
        "# Large images",
        "",
        f"A training step's process time, an image; {policy}, batches of {BATCH_SIZE}, medians. {circumstances}",
        "",
        "| model | side | stem | MACs | over 32 pixels | ms an image | images a second, over 32 pixels |",
        "|---|---|---|---|---|---|---|",
    ]
    verdicts = []
    for row in rows:
        at_32 = next((each for each in rows if (each["model"], each["side"]) == (row["model"], 32)), None)
        macs = None if at_32 is None else row["macs"] / at_32["macs"]
        speed = None if at_32 is None else at_32["image_s"] / row["image_s"]
        ratios = ["-", "-"] if macs is None or speed is None else [f"{macs:.1f}", f"{speed:.2f}"]
        lines.append(
            f"| {row['model']} | {row['side']} | {row['stem']} | {row['macs'] / 1e6:.1f} M | {ratios[0]} | "
            f"{1000 * row['image_s']:.2f} | {ratios[1]} |"
        )
        if row["side"] == 224 and macs is not None and speed is not None:
            verdicts.append(macs <= MOST_MACS and speed >= LEAST_SPEED)
    if verdicts:
        lines += [
            "",
            (
                f"224 pixels take at most {MOST_MACS:g} times the multiply-accumulates of 32, and train at a third or "
                f"more of its images a second: **{holds(all(verdicts))}** for {sum(verdicts)} of {len(verdicts)} models"
            ),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

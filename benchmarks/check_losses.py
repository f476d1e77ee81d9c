"""Whether training with our dropout ends at the losses of the plain way: 3 seeds, 5,000 images, two standard errors.

python benchmarks/check_losses.py [--data-dir DIR]     (six minutes on two cores)

Each seed gives both ways the same initial weights; batches, augmentation and dropout are drawn by each way itself. The
final loss is the mean of the last 10 of 40 steps. Writes benchmarks/results/losses_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import plain_reference
import torch
from measuring import cifar_folder, circumstances, describe_circumstances, make_parser, write_results

from thumbnet.data.sources import load_dataset
from thumbnet.models.registry import create_model
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.optimizers import SGD
from thumbnet.specs.schedules import StepSchedule
from thumbnet.training.fit import fit
from thumbnet.training.progress import Silent, StepReport

SEEDS = (0, 1, 2)
NUM_IMAGES = 5000
NUM_STEPS = 40
NUM_LAST = 10


class Losses(Silent):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def step_ends(self, report: StepReport) -> None:
        self.losses.append(report.last_loss)


def plain_loss(seed: int, folder: str) -> float:
    """The final loss of the plain way."""
    model = plain_reference.PlainNet()
    weights = create_model("dilated", seed=seed).state_dict().values()
    model.load_state_dict(dict(zip(model.state_dict(), weights, strict=True)))
    torch.manual_seed(seed)
    steps = plain_reference.train(model, plain_reference.CifarImages(folder, NUM_IMAGES))
    return statistics.mean([loss for loss, _ in itertools.islice(steps, NUM_STEPS)][-NUM_LAST:])


def our_loss(seed: int, folder: str) -> float:
    """The final loss of `fit`."""
    dataset = load_dataset("cifar10", data_dir=folder, allow_unverified=True, val_fraction=0.0)
    dataset = dataset.with_train(dataset.train.select(range(NUM_IMAGES)))
    dataset = dataset.with_statistics(plain_reference.MEAN.flatten().tolist(), plain_reference.STD.flatten().tolist())
    losses = Losses()
    fit(
        create_model("dilated", seed=seed),
        dataset,
        epochs=1,
        batch_size=plain_reference.BATCH_SIZE,
        optimizer=SGD(lr=plain_reference.LR, momentum=plain_reference.MOMENTUM),
        schedule=StepSchedule(NUM_STEPS, 0.1),  # constant: it would step after so many epochs
        inputs=Inputs(augmentation="crop-flip"),
        seed=seed,
        engine=Engine(device="cpu"),
        progress=losses,
    )
    assert len(losses.losses) == NUM_STEPS
    return statistics.mean(losses.losses[-NUM_LAST:])


def main() -> None:
    """Train, compare, print and write."""
    folder = cifar_folder(make_parser(__doc__).parse_args().data_dir)
    plain = [plain_loss(seed, folder) for seed in SEEDS]
    ours = [our_loss(seed, folder) for seed in SEEDS]
    difference = statistics.mean(ours) - statistics.mean(plain)
    error = ((statistics.variance(ours) + statistics.variance(plain)) / len(SEEDS)) ** 0.5
    values: dict[str, Any] = circumstances()
    values |= {"plain": plain, "ours": ours, "difference": difference, "standard_error": error}
    rows = [f"| {name} | {', '.join(f'{loss:.4f}' for loss in values[name])} |" for name in ("plain", "ours")]
    report = [
        "# Final losses of the reference network, with dropout",
        "",
        describe_circumstances(values),
        "",
        f"| way | final loss, seeds {', '.join(map(str, SEEDS))} |",
        "|---|---|",
        *rows,
        "",
        f"The means differ by {difference:+.4f}, {abs(difference) / error:.2f} standard errors ({error:.4f}).",
        "",
    ]
    print("\n".join(report))
    print(write_results("losses", values, "\n".join(report)))
    if abs(difference) > 2 * error:
        raise SystemExit("the means differ by more than two standard errors")


if __name__ == "__main__":
    main()

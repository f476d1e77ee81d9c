"""Ten steps of each recipe with its own network, as exact numbers: to see whether a change of the code changes a bit.

python benchmarks/ten_steps.py OUT.json [--cifar] [--threads 2] [--kernels auto pytorch] [--against BEFORE.json]

Each recipe trains two epochs of five batches (so all its images' sizes, flips and averages come up) on random images,
or with --cifar on the first of CIFAR-10 in THUMBNET_DATA. OUT.json holds, by recipe and kernels, every step's loss, the
validation loss after each epoch and the sum over the final weights' bits. With --against, exit status 1 where any of it
differs. For commit f7609f6 take this file as it was at d0b90bb (`git show d0b90bb:benchmarks/ten_steps.py`), before the
move of modules, with that commit's src in PYTHONPATH.
The numbers that tests/test_recorded_losses.py compares with were written by

python benchmarks/ten_steps.py tests/data/losses.json --batch-size 8 --steps-per-epoch 2 --precision float32
    --threads 1 --kernels pytorch
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.sources import load_dataset
from thumbnet.recipes import list_recipes, load_recipe
from thumbnet.runs.parts import build_model
from thumbnet.runs.resolve import resolve_config
from thumbnet.training.progress import Silent, StepReport

NUM_EPOCHS = 2
STEPS_PER_EPOCH = 5
NUM_VAL = 50
NUM_CLASSES = 10
TAUGHT = "sprint, taught"  # with a teacher, whose logits are random ones
CASES: dict[str, tuple[str, list[str]]] = {  # besides the recipes as they are: what no recipe has
    TAUGHT: ("sprint", ["label_smoothing=0.0", "alternating_flip=true"]),
    "thumb-20k, mixed and averaged": ("thumb-20k", ["mixup=0.5", "average_decay=0.9", "cutout=6"]),
    "quick, cosine": ("quick", ["schedule=cosine", "warmup_fraction=0.1"]),
    "quick, steps": ("quick", ["schedule=step", "step_epochs=1", "gamma=0.5"]),
}


class Losses(Silent):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[str] = []

    def step_ends(self, report: StepReport) -> None:
        self.losses.append(report.last_loss.hex())


def cases() -> dict[str, TrainConfig]:
    """What is trained, by name."""
    recipes = {name: load_recipe(name) for name in list_recipes()}
    recipes = {name: config for name, config in recipes.items() if config.minutes is None}  # a plan has other steps
    return recipes | {name: load_recipe(recipe, settings=settings) for name, (recipe, settings) in CASES.items()}


def ten_steps(
    name: str, config: TrainConfig, images: Split, *, steps_per_epoch: int = STEPS_PER_EPOCH
) -> dict[str, Any]:
    """Losses and weights of a recipe's first steps, in hexadecimal."""
    num_train = steps_per_epoch * config.batch_size
    dataset = Dataset(
        train=images.select(range(num_train)),
        val=images.select(range(num_train, num_train + NUM_VAL)),
        test=images.select(range(num_train, num_train + NUM_VAL)),
        class_names=tuple(f"class {index}" for index in range(NUM_CLASSES)),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        flip_keeps_labels=True,
        source=Source("random", "the first images"),
        val_fraction=0.1,
    )
    config = resolve_config(config.replace(epochs=NUM_EPOCHS, min_steps=None, mean=None, std=None), dataset)
    model = build_model(config, dataset)
    progress = Losses()
    logits = torch.randn(num_train, 3, 3, NUM_CLASSES, generator=torch.Generator().manual_seed(7)).half()
    val_losses = _fit(model, dataset, config, progress, logits if name == TAUGHT else None)
    return {"losses": progress.losses, "val_losses": [loss.hex() for loss in val_losses], "weights": digest(model)}


def _fit(
    model: nn.Module, dataset: Dataset, config: TrainConfig, progress: Losses, teacher_logits: torch.Tensor | None
) -> list[float]:
    """Train as `train` would; the validation losses."""
    try:
        from thumbnet.runs.parts import fit_config
    except ImportError:
        return _fit_as_before(model, dataset, config, progress, teacher_logits)
    from thumbnet.evaluation.metrics import scorers
    from thumbnet.training.distillation import TeacherLogits
    from thumbnet.training.inputs import build_augmentations

    teacher = None
    if teacher_logits is not None:
        teacher = TeacherLogits(build_augmentations(config.inputs, dataset)[0], teacher_logits)
    result = fit_config(config, dataset, model, teacher=teacher, scorers=scorers(dataset, "val"), progress=progress)
    return result.history.column("val_loss")


def _fit_as_before(
    model: nn.Module, dataset: Dataset, config: TrainConfig, progress: Losses, teacher_logits: torch.Tensor | None
) -> list[float]:
    """The same in commit f7609f6."""
    from thumbnet.runs.resolve import build_policy, fit_arguments
    from thumbnet.training.distillation import Lessons

    arguments = fit_arguments(config, dataset)
    if teacher_logits is not None:
        arguments["lessons"] = Lessons(build_policy(config, dataset)[0], teacher_logits, 0.9, 2.0)
    history = fit(model, dataset, epochs=config.epochs, **arguments, score=("val",), progress=progress)
    return history.column("val_loss")


def digest(model: nn.Module) -> str:
    """Of the bits of all weights and running statistics."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha256.update(name.encode())
        sha256.update(tensor.cpu().contiguous().numpy().tobytes())
    return sha256.hexdigest()


def random_images(num_images: int, side: int = 32) -> Split:
    """Random images whose labels can be told from their brightest rows."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_images) % NUM_CLASSES
    images = torch.randint(0, 200, (num_images, 3, side, side), generator=generator, dtype=torch.uint8)
    images[torch.arange(num_images), :, labels] += 50
    return Split(images, labels)


def cifar_images(num_images: int) -> Split:
    """The first training images of CIFAR-10, in the folder that THUMBNET_DATA names."""
    train = load_dataset("cifar10", allow_unverified=True, val_fraction=0.0).train
    return Split(train.images[:num_images], train.labels[:num_images])


def main() -> None:
    """Train, write, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cifar", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernels", nargs="+", default=["auto", "pytorch"])
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="+", help="names of cases")
    parser.add_argument("--batch-size", type=int, help="smaller than the recipes', for a quick look")
    parser.add_argument("--steps-per-epoch", type=int, default=STEPS_PER_EPOCH)
    parser.add_argument("--precision", help="other than the recipes'")
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    chosen = {name: config for name, config in cases().items() if parsed.only is None or name in parsed.only}
    changes = {"batch_size": parsed.batch_size, "precision": parsed.precision}
    changes = {field: value for field, value in changes.items() if value is not None}
    chosen = {name: config.replace(device="cpu", **changes) for name, config in chosen.items()}
    num_images = NUM_VAL + parsed.steps_per_epoch * max(config.batch_size for config in chosen.values())
    images = cifar_images(num_images) if parsed.cifar else random_images(num_images)
    result: dict[str, Any] = {"torch": torch.__version__, "threads": parsed.threads, "cifar": parsed.cifar, "cases": {}}
    for name, config in chosen.items():
        for kernels in parsed.kernels:
            key = f"{name} ({kernels})"
            result["cases"][key] = ten_steps(
                name, config.replace(kernels=kernels), images, steps_per_epoch=parsed.steps_per_epoch
            )
            print(key, " ".join(f"{float.fromhex(loss):.4f}" for loss in result["cases"][key]["losses"]), flush=True)
    parsed.out.write_text(json.dumps(result, indent=1) + "\n")
    if parsed.against is not None:
        before = json.loads(parsed.against.read_text())["cases"]
        different = [key for key, case in result["cases"].items() if before.get(key) != case]
        print(f"{len(result['cases']) - len(different)} of {len(result['cases'])} are the same to the last bit")
        sys.exit(f"different: {', '.join(different)}" if different else 0)


if __name__ == "__main__":
    main()

"""What a bench measured, as values and as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from thumbnet.bench.layers import OURS, LayerKernels
from thumbnet.training.progress import duration

NUM_IMAGES = 50_000  # CIFAR-10's training images


@dataclass(frozen=True)
class ModelSpeed:
    """A model's speed on 32x32 colour images. Shares are of the time of a training step and add up to 1.

    `precision` is that of its convolutions in training, `layers` are these with whose kernels train them.
    `convolution_share` and `rest_share` are None where PyTorch's profiler does not see the device (mps).
    """

    model: str
    num_params: int
    precision: str
    forward_images_per_s: float
    training_images_per_s: float
    data_share: float
    convolution_share: float | None
    rest_share: float | None
    peak_memory_bytes: int
    layers: tuple[LayerKernels, ...]

    @property
    def num_ours(self) -> int:
        """How many convolutions train through our kernels."""
        return sum(layer.kernels == OURS for layer in self.layers)


@dataclass(frozen=True)
class RecipeTime:
    """What a recipe's training will take here on CIFAR-10: `train_s`, as a run's metrics have it, and peak memory."""

    recipe: str
    model: str
    epochs: int
    num_steps: int
    train_s: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Bench:
    """All that was measured; `str(bench)` is the table. `matrix_gflops` is in 10^9 operations/s, float32."""

    processor: str
    processor_kind: str
    num_threads: int
    torch_version: str
    device: str
    batch_size: int
    matrix_gflops: float
    models: tuple[ModelSpeed, ...]
    recipes: tuple[RecipeTime, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def layer_table(self) -> str:
        """Each model's convolutions, what they compute, their share of the arithmetic, and whose kernels train them."""
        lines = []
        for speed in self.models:
            macs = sum(layer.macs for layer in speed.layers)
            lines += ["", f"{speed.model}, in {speed.precision}:"]
            lines += [
                f"  {layer.name:34}{layer.shape:44}{layer.macs / macs:>6.1%}  {layer.kernels}" for layer in speed.layers
            ]
        return "\n".join(lines)

    def __str__(self) -> str:
        lines = [
            (
                f"{self.processor}, {self.processor_kind}, {self.num_threads} threads, torch {self.torch_version}, "
                f"{self.device}"
            ),
            f"Matrix products: {self.matrix_gflops:,.0f} GFLOP/s (float32)",
        ]
        if self.models:
            lines += ["", f"Models on 32x32 colour images, trained {self.batch_size} a step:"]
            lines += [
                (
                    f"{'model':16}{'parameters':>11}{'forward':>15}{'training':>15}{'in':>10}{'data':>7}{'conv':>6}{'rest':>6}"
                    f"{'peak memory':>13}{'ours':>10}"
                )
            ]
            lines += [_model_line(speed) for speed in self.models]
        if self.recipes:
            lines += ["", f"Recipes on CIFAR-10 ({NUM_IMAGES:,} images), training alone:"]
            lines += [f"{'recipe':26}{'model':16}{'epochs':>7}{'about':>14}{'peak memory':>13}"]
            lines += [_recipe_line(recipe) for recipe in self.recipes]
        return "\n".join(lines)


def _model_line(speed: ModelSpeed) -> str:
    shares = "".join(
        f"{'-' if share is None else f'{share:.0%}':>{width}}"
        for share, width in ((speed.data_share, 7), (speed.convolution_share, 6), (speed.rest_share, 6))
    )
    return (
        f"{speed.model:16}{speed.num_params:>11,}{speed.forward_images_per_s:>7,.0f} images/s"
        f"{speed.training_images_per_s:>6,.0f} images/s{speed.precision:>10}{shares}"
        f"{speed.peak_memory_bytes / 2**20:>10,.0f} MB{f'{speed.num_ours} of {len(speed.layers)}':>10}"
    )


def _recipe_line(recipe: RecipeTime) -> str:
    return (
        f"{recipe.recipe:26}{recipe.model:16}{recipe.epochs:>7}{duration(recipe.train_s):>14}"
        f"{recipe.peak_memory_bytes / 2**20:>10,.0f} MB"
    )

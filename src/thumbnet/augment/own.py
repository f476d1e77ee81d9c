"""An augmentation of the user's own: any function of a batch of uint8 images, with randomness that can be repeated."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.augment.augmentation import Augmentation, Draws
from thumbnet.errors import ConfigError
from thumbnet.specs.own_code import thing_of

MAX_NUMPY_SEED = 2**32
IN_A_FILE = 'a run goes on with an augmentation that is in a file: train anew, with augmentation = "aug.py:NAME"'


@dataclass(frozen=True)
class OwnAugmentation(Augmentation):
    """Images changed by a function from uint8 [N,C,H,W] to the same.

    Whatever it draws by PyTorch, NumPy or Python's `random` follows from the training's seed and the batch, so that a
    training that goes on draws what it would have drawn; the generators are then as they were.
    """

    function: Callable[[Tensor], object]

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Call it once: ConfigError where it does not give what it must."""
        self.apply(torch.zeros((2, *image_shape), dtype=torch.uint8), {"seed": torch.zeros(2, dtype=torch.int64)})

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        """A seed for each image, of which the first one is that of the batch."""
        return {"seed": torch.randint(2**62, (num_images,), generator=generator)}

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        """The images changed by the function, on their device."""
        with _seeded(int(draws["seed"][0])):
            changed = self.function(images.clone())
        if not isinstance(changed, Tensor) or changed.dtype != torch.uint8 or changed.shape != images.shape:
            got = f"{changed.dtype} {list(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise ConfigError(
                f"the augmentation {_name_of(self.function)} makes {got} of uint8 {list(images.shape)}",
                hint="return a tensor of the same shape and of dtype uint8, with levels from 0 to 255",
            )
        return changed.to(images.device)


def own_augmentation(thing: object, *, name: str) -> Augmentation:
    """What a user names or gives as an augmentation: one of ours, a function of a batch, or a class of either.

    Raises:
        ConfigError: it is none of these.
    """
    made = thing() if inspect.isclass(thing) else thing
    if isinstance(made, Augmentation):
        return made
    if not callable(made):
        raise ConfigError(
            f"the augmentation {name} is {type(made).__name__}",
            hint="give a function from a batch uint8 [N,C,H,W] to the same, or a thumbnet.augment.Augmentation",
        )
    return OwnAugmentation(made)


def augmentation_of(name: str) -> Augmentation:
    """The augmentation that a reference names; errors as of `own_augmentation` and `thing_of`."""
    return own_augmentation(thing_of(name, again=IN_A_FILE), name=name)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """PyTorch's, NumPy's and Python's global generators seeded while this lasts."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % MAX_NUMPY_SEED)  # noqa: NPY002  # what users' functions draw from
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002


def _name_of(function: Callable[[Tensor], object]) -> str:
    return getattr(function, "__name__", type(function).__name__)

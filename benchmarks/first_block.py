"""The first block of a network that strides, as it is trained: whitening, ReLU, convolution, norm and SiLU as one."""

from __future__ import annotations

from collections.abc import Callable

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import convolution_layers
import torch
from convolution_layers import computed_in
from torch import Tensor
from torch.nn import functional as F

from thumbnet.kernels.blocks import fused_strided
from thumbnet.kernels.library import Kernels
from thumbnet.models.blocknet import BlockNet
from thumbnet.training.watch import seconds_per_call

Times = tuple[float, float]  # seconds forward and backward


class FirstBlock:
    """That of a network in training, and the images that it gets."""

    names = ("whiten", "blocks.0.conv")  # of the convolutions in it

    def __init__(self, model: BlockNet, images: Tensor, dtype: torch.dtype) -> None:
        self.model, self.block, self.dtype = model, model.blocks[0], dtype
        self.images = images.contiguous(memory_format=torch.channels_last)

    def by_pytorch(self) -> Tensor:
        """Its result, by PyTorch's layers."""
        result: Tensor = self.block(F.relu(self.model.whiten(self.images)))
        return result

    def by_ours(self, library: Kernels) -> Tensor:
        """The same by our kernels."""
        block = self.block
        result = fused_strided(library, self.images, block.conv, block.norm, whitening=self.model.whiten)
        assert result is not None
        return result

    def seconds(self, run: Callable[[], Tensor]) -> Times:
        """Forward, and backward to what is trained; the means of as many calls as it takes."""

        def forward() -> Tensor:
            with computed_in(self.dtype):
                return run()

        result = forward()
        wanted = [each for each in self.block.parameters() if each.requires_grad]
        gradient = torch.randn(result.shape, generator=torch.Generator().manual_seed(0)).to(result.dtype)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        forward_s = seconds_per_call(forward, at_least_s=convolution_layers.AT_LEAST_S)
        backward_s = seconds_per_call(
            lambda: torch.autograd.grad(result, wanted, gradient, retain_graph=True),
            at_least_s=convolution_layers.AT_LEAST_S,
        )
        return forward_s, backward_s

    def seconds_of_both(self, library: Kernels, *, begins_with_ours: bool) -> tuple[Times, Times]:
        """By PyTorch's layers and by our kernels."""
        if begins_with_ours:
            mine = self.seconds(lambda: self.by_ours(library))
            return self.seconds(self.by_pytorch), mine
        return self.seconds(self.by_pytorch), self.seconds(lambda: self.by_ours(library))

"""Trained weights for grey images instead of colour ones, and the other way round: their first filters are adapted.

From colour to grey the filters are summed over the channels. From grey to colour each is shared out by the parts that
the channels have in a grey picture, so that a colour picture gives what its grey version gave. Both mind how the images
are normalised before and after.

A grey network has one mean where a colour one has three: it sees a grey picture as the colour network sees one that has
the tint of its training images' mean. So logits are those of three equal channels where the three means are equal, as
those of CIFAR-10 nearly are (9 of 255 levels at most).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thumbnet.models.weights import HEAD_PREFIX

LUMA = (0.299, 0.587, 0.114)  # of a grey picture, by channel: ITU-R 601, as Pillow makes one of a colour picture
FILTERS_NDIM = 4


def statistics_for(
    mean: Sequence[float], std: Sequence[float], *, num_channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and deviation by which images with 1 or 3 channels are normalised for weights that know such a mean and
    deviation."""
    if len(mean) == num_channels:
        return tuple(mean), tuple(std)
    if num_channels == 1:
        grey_mean, grey_std = (sum(part * of for part, of in zip(LUMA, values, strict=True)) for values in (mean, std))
        return (grey_mean,), (grey_std,)
    return tuple(mean) * num_channels, tuple(std) * num_channels


def filters_for(
    filters: Float[Tensor, "k c a b"], *, std_before: Sequence[float], std_after: Sequence[float]
) -> Float[Tensor, "k d a b"]:
    """Filters of images with as many channels as `std_before` has values, for images with as many as `std_after`.

    Images are divided by these deviations, before and after.
    """
    of_pixels = filters.double() / torch.tensor(std_before, dtype=torch.float64)[:, None, None]
    if len(std_after) == 1:
        adapted = of_pixels.sum(dim=1, keepdim=True)
    else:
        adapted = of_pixels * torch.tensor(LUMA, dtype=torch.float64)[:, None, None]
    return (adapted * torch.tensor(std_after, dtype=torch.float64)[:, None, None]).to(filters.dtype)


def weights_for(
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    *,
    std_before: Sequence[float],
    std_after: Sequence[float],
) -> dict[str, Tensor]:
    """Trained weights with those filters adapted that are given the images; all others as they are.

    These filters are the ones that differ from `own`, the weights of the network for the other number of channels, in
    how many channels they take, and not in how many they give.
    """
    before, after = len(std_before), len(std_after)

    def takes_images(name: str, tensor: Tensor) -> bool:
        if name not in own or name.startswith(HEAD_PREFIX) or tensor.ndim != FILTERS_NDIM:
            return False
        wanted = own[name].shape
        return len(wanted) == FILTERS_NDIM and (tensor.shape[:2], wanted[:2]) == (
            (wanted[0], before),
            (wanted[0], after),
        )

    return {
        name: filters_for(tensor, std_before=std_before, std_after=std_after) if takes_images(name, tensor) else tensor
        for name, tensor in weights.items()
    }

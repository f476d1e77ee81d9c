"""Where in an image a class is seen: class activation maps, or Grad-CAM if a network does not end in a global mean.

Both are weighted sums of the last maps. A map's weight is the sum over its positions of the logit's gradient. If the
network ends in a global average and a linear layer (or a 1x1 convolution), that is the layer's own weight, and the sum
is the class activation map: its mean plus the layer's bias is the logit. For any other network it is Grad-CAM's weight
times the number of positions. Which of the two holds is found by running the network, not by its name.
Sources: Zhou et al., "Learning Deep Features for Discriminative Localization" (2016, arXiv:1512.04150); Selvaraju et
al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017, arXiv:1610.02391).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.data.batches import normalise
from thumbnet.errors import ModelError
from thumbnet.evaluation.predictions import batch_size_for
from thumbnet.evaluation.watched_network import NoMapsError, WatchedNetwork

SALIENCY_BATCH_SIZE = 50  # with gradients a batch keeps its maps in memory: 10 MB an image for `dilated`
NUM_PROBES = 8  # images made to see how a network ends
TOLERANCE = 1e-4  # of the largest number compared; rounding in float32 stays below 1e-5

Kind: TypeAlias = Literal["cam", "grad-cam"]


@dataclass(frozen=True)
class ClassActivation:
    """Maps float32 [N,H',W'] as large as the layer's and with either sign, on the CPU: what speaks for a class there.

    `bias` is the logit less its map's mean: with `kind` "cam" the bias of the last layer. `layer` is as in
    `SaliencyMaps`.
    """

    maps: Float[Tensor, "n h w"]
    bias: Float[Tensor, " n"]
    kind: Kind
    layer: str


@dataclass(frozen=True)
class SaliencyMaps:
    """Maps float32 [N,H,W] as large as the images, on the CPU, from 0 to their maximum 1; all 0 if nothing speaks for
    the class.

    `kind` is "cam" for exact class activation maps, "grad-cam" otherwise. `layer` is the path of the module whose
    output was weighted, or the function's name, such as `relu`, if no module returned it.
    """

    maps: Float[Tensor, "n h w"]
    kind: Kind
    layer: str


def saliency_maps(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    classes: Int64[Tensor, " n"],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    layer: str | None = None,
    batch_size: int | None = None,
) -> SaliencyMaps:
    """Saliency of a class in each image, as the papers draw it: negative evidence counts as 0.

    The layer's maps are stretched bilinearly over the whole image, even if the network cropped its border.

    Args:
        model: any network whose logits are [N,K]; in evaluation mode a copy of it is run, on its device.
        images: grey levels 0..255; `mean` and `std` are of pixels in 0..1.
        classes: which logit each map explains.
        layer: the path of the module whose maps are weighted, as in `model.named_modules()`; by default the last maps
            of more than one position.

    Raises:
        ModelError: no such layer or class, or no maps there; the logits are none of these maps, or not finite.
    """
    activation = class_activation(model, images, classes, mean=mean, std=std, layer=layer, batch_size=batch_size)
    height, width = images.shape[2:]
    maps = activation.maps.clamp_min(0)
    if len(maps):
        maps = F.interpolate(maps[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    else:
        maps = maps.new_zeros(0, height, width)
    highest = maps.amax(dim=(1, 2), keepdim=True)
    return SaliencyMaps(torch.where(highest > 0, maps / highest, 0.0), activation.kind, activation.layer)


def saliency_if_any(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    classes: Int64[Tensor, " n"],
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> SaliencyMaps | None:
    """`saliency_maps`; None of a model without maps, as one of linear layers alone."""
    try:
        return saliency_maps(model, images, classes, mean=mean, std=std)
    except NoMapsError:
        return None


def resized_maps(maps: Float[Tensor, "n h w"], sides: tuple[int, int]) -> Float[Tensor, "n h2 w2"]:
    """Saliency maps of another height and width, for the same images in that size."""
    if not len(maps):
        return maps.new_zeros(0, *sides)
    if tuple(maps.shape[1:]) == sides:
        return maps
    return F.interpolate(maps[:, None], size=sides, mode="bilinear", align_corners=False)[:, 0]


def class_activation(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    classes: Int64[Tensor, " n"],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    layer: str | None = None,
    batch_size: int | None = None,
) -> ClassActivation:
    """The weighted maps as they are; arguments and errors are those of `saliency_maps`."""
    assert len(images) == len(classes)
    if batch_size is None:
        batch_size = batch_size_for(images, most=SALIENCY_BATCH_SIZE)
    assert batch_size >= 1
    device = next(model.parameters()).device
    maps, bias = [], []
    with torch.inference_mode(False), torch.enable_grad():
        watched = WatchedNetwork(model, layer)
        varied = torch.cat([images[:batch_size], _probes(images)])
        kind: Kind = "cam" if _ends_in_mean(watched, normalise(varied.to(device), mean, std)) else "grad-cam"
        for batch, indices in zip(images.split(batch_size), classes.split(batch_size), strict=True):
            values, logits = watched.run(normalise(batch.to(device), mean, std))
            _check_classes(indices, num_classes=logits.shape[1])
            # Cloned, since a tensor made in inference mode cannot be kept for gradients.
            chosen = logits.gather(1, indices.to(device).clone()[:, None])[:, 0]
            weights = watched.gradient(chosen).sum(dim=(2, 3), keepdim=True)
            weighted = (weights * values).sum(dim=1).detach()
            maps.append(weighted.float().cpu())
            bias.append((chosen.detach() - weighted.mean(dim=(1, 2))).float().cpu())
    sides = watched.maps.shape[2:]
    found = ClassActivation(
        torch.cat([torch.zeros(0, *sides), *maps]), torch.cat([torch.zeros(0), *bias]), kind, watched.name
    )
    if not found.maps.isfinite().all():
        raise ModelError("the maps of the model are not all finite", hint="its weights are damaged: train again")
    return found


def _ends_in_mean(watched: WatchedNetwork, images: Float[Tensor, "n c h w"]) -> bool:
    """Whether logits are the same weighted sum of the maps' means for all these images, and a constant.

    Tested on a mixture of the logits with random weights: its gradient is the same at every position of every image and
    the mixture less the maps' weighted sum is a constant.
    """
    maps, logits = watched.run(images)
    mixture = logits @ torch.randn(logits.shape[1], generator=torch.Generator().manual_seed(0)).to(logits)
    gradient = watched.gradient(mixture)
    parts = gradient * maps
    rest = mixture - parts.sum(dim=(1, 2, 3))
    is_uniform = (gradient - gradient[:1, :, :1, :1]).abs().max() <= TOLERANCE * gradient.abs().max()
    is_constant = (rest - rest[0]).abs().max() <= TOLERANCE * (rest.abs() + parts.abs().sum(dim=(1, 2, 3))).max()
    return bool(is_uniform and is_constant)


def _probes(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "p c h w"]:
    """Images of that size, half flat colours and half noise: as different from each other as can be."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (NUM_PROBES, *images.shape[1:]), generator=generator, dtype=torch.uint8)
    noise[::2] = noise[::2, :, :1, :1]
    return noise.to(images.device)


def _check_classes(classes: Int64[Tensor, " n"], *, num_classes: int) -> None:
    for label in classes.unique().tolist():
        if not 0 <= label < num_classes:
            raise ModelError(
                f"class {label} is to be explained, but the model has {num_classes}",
                hint=f"give classes from 0 to {num_classes - 1}",
            )

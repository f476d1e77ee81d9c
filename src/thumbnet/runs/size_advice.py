"""What a reader should know of the sizes of a folder's pictures, and what larger images would cost."""

from __future__ import annotations

from typing import NamedTuple

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.picture_sides import PictureSides
from thumbnet.data.sizes import describe_cut
from thumbnet.errors import ThumbnetError
from thumbnet.models.registry import create_with_options, resolved_options
from thumbnet.models.trace import trace_model
from thumbnet.specs.data import DataSpec
from thumbnet.specs.sizes import Fit

SIZES = (48, 64, 96, 128, 160, 224)  # pixels a side that are proposed
MUCH_LARGER = 1.5  # times the trained size: smaller differences are not worth a word
MOST_ENLARGED = 1.15  # times the size at which the pictures keep their own pixels
MOST_GROWTH = 3.0  # times the trained side, at once


def advise_size(config: TrainConfig, dataset: Dataset, sides: PictureSides) -> str:
    """For people: that pictures are much larger than the images that are trained on, and what square images leave out
    of them; empty where neither is so.

    Args:
        config: of the model, not yet resolved for the images' size.
        dataset: as it was read.
        sides: of the pictures' files.
    """
    is_packed = DataSpec(dataset.source.name).name == "packed"
    advice = advise_by_shape(
        config, dataset.image_shape, dataset.num_classes, sides, fit=dataset.fit, is_packed=is_packed
    )
    _, height, width = dataset.image_shape
    is_cut = height == width and not is_packed  # a pack's pictures were fitted when it was made
    cut_off = describe_cut((sides.height, sides.width), width, config.fit) if is_cut else ""
    return " ".join(text for text in (advice, cut_off) if text)


def advise_by_shape(
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    sides: PictureSides,
    *,
    fit: Fit = "crop",
    is_packed: bool = False,
) -> str:
    """As `advise_size`, for images of this shape: channels, height, width, to which pictures were brought so (`fit`).
    `is_packed`: they are those of a pack, whose size is that which it was packed at."""
    channels, height, width = image_shape
    trained = min(height, width)
    scales = sides.height / height, sides.width / width
    reduced = max(scales) if fit == "letterbox" else min(scales)
    if reduced < MUCH_LARGER:
        return ""
    sentence = f"The pictures have {sides.width}x{sides.height} pixels (median) and are trained on at {width}x{height}."
    most = trained * min(MOST_ENLARGED * reduced, MOST_GROWTH)
    larger = [size for size in SIZES if trained < size <= most]
    if not larger:
        return sentence
    try:
        of_images = _Images(channels, num_classes)
        times = _cost(config, of_images, (larger[-1], larger[-1])) / _cost(config, of_images, (height, width))
    except ThumbnetError:  # a model that takes no such images: what is wrong with it is told where it is made
        return sentence
    option = f"{'data pack ' if is_packed else ''}--image-size {larger[-1]}"
    return f"{sentence} {option} shows the network more of them, at {times:.1f} times the cost."


class _Images(NamedTuple):
    """What of images a network is made for, beside their sides."""

    num_channels: int
    num_classes: int


def _cost(config: TrainConfig, images: _Images, sides: tuple[int, int]) -> float:
    """Multiply-accumulates of an image with these sides."""
    model = create_with_options(
        config.model,
        resolved_options(config.model, config.model_options, sides=sides),
        num_classes=images.num_classes,
        in_channels=images.num_channels,
        image_size=sides,
        seed=0,
    )
    return float(trace_model(model, (images.num_channels, *sides)).macs)

"""The files of a folder's pictures, looked at again: their original sizes, and larger pixels of some to show people."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.images import read_header, read_image_array
from thumbnet.data.packs.manifest import read_manifest
from thumbnet.data.picture_sides import PictureSides
from thumbnet.data.white_levels import scale_for
from thumbnet.errors import ImageError
from thumbnet.specs.data import DataSpec
from thumbnet.specs.processors import num_processors

MAX_HEADERS = 512  # files whose sizes are read, evenly spaced
MAX_READ = 400  # files that are read again at once; others are shown as they were trained on


def picture_sides(dataset: Dataset) -> PictureSides | None:
    """The sizes of the pictures' files, by the headers of MAX_HEADERS of them, or as a pack of them has kept them; None
    where the data is no folder's, or of a pack that was made before packs kept them."""
    spec, root = DataSpec(dataset.source.name), _root(dataset)
    if spec.name == "packed":
        return read_manifest(spec.path).picture_sides
    if root is None:
        return None
    splits = [split for split in (dataset.train, dataset.val, dataset.test) if split is not None]
    return sides_of_files([root / path for path in sorted(path for split in splits for path in split.paths or ())])


def sides_of_files(files: Sequence[Path]) -> PictureSides | None:
    """The sizes of picture files, by the headers of MAX_HEADERS of them; None where none of these can be read."""
    step = max(1, -(-len(files) // MAX_HEADERS))
    with ThreadPoolExecutor(max_workers=num_processors()) as pool:
        found = [sides for sides in pool.map(_sides_of, files[::step]) if sides is not None]
    if not found:
        return None
    heights, widths = zip(*found, strict=True)
    shorter = [min(sides) for sides in found]
    return PictureSides(len(found), round(median(heights)), round(median(widths)), min(shorter), max(shorter))


def larger_images(dataset: Dataset, split: Split, indices: Sequence[int], *, side: int) -> UInt8[Tensor, "n c h w"]:
    """Images of a split for people to look at: those of a folder from their files, their longer side `side` pixels.

    Images that are that large already, those of a folder whose files are no larger than they, and those of other data
    are as the network sees them. So are, enlarged, those of files that cannot be read any more, and of files beyond the
    first MAX_READ.

    Args:
        dataset: that the split is one of.
        indices: of the images within the split.
    """
    own = split.images[list(indices)]
    root, longer = _root(dataset), max(dataset.image_shape[1:])
    if root is None or split.paths is None or longer >= side:
        return own
    sides = picture_sides(dataset)
    if sides is not None and sides.largest <= min(dataset.image_shape[1:]):
        return own
    files = [root / split.paths[index] for index in indices]
    height, width = (max(1, round(length * side / longer)) for length in dataset.image_shape[1:])

    def read(number: int) -> UInt8[np.ndarray, "c h w"] | None:
        if number >= MAX_READ:
            return None
        try:
            return read_image_array(
                files[number],
                image_size=(height, width),
                num_channels=dataset.num_channels,
                white_levels=scale_for(dataset.white_levels),
                fit=dataset.fit,
            )
        except ImageError:
            return None

    rows, columns = (
        torch.arange(now) * before // now for now, before in zip((height, width), own.shape[2:], strict=True)
    )
    images = own[:, :, rows][:, :, :, columns].contiguous()
    with ThreadPoolExecutor(max_workers=num_processors()) as pool:
        for number, pixels in enumerate(pool.map(read, range(len(files)))):
            if pixels is not None:
                images[number] = torch.from_numpy(pixels)
    return images


def _root(dataset: Dataset) -> Path | None:
    """The folder that the dataset's paths are in; None where it is no folder's."""
    spec = DataSpec(dataset.source.name)
    return spec.path if spec.name == "folder" and dataset.train.paths is not None else None


def _sides_of(file: Path) -> tuple[int, int] | None:
    try:
        header = read_header(file)
    except ImageError:
        return None
    return header.height, header.width

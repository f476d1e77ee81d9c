"""The report's gallery: which misclassified images are in it, and their pixels and saliency overlays as sprite sheets.

A report stays under 5 MB, whatever the data: the gallery shows MAX_GALLERY_IMAGES at most, large images are reduced,
and a sheet that is too heavy without loss is compressed with some.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from thumbnet.evaluation.metrics import misclassified
from thumbnet.evaluation.predictions import Predictions

MAX_GALLERY_IMAGES = 1500
MAX_TILE_PX = 64
MAX_TILE_PX_OF_FEW, FEW_IMAGES = 96, 300
COLUMNS = 40
MAX_SPRITE_BYTES = 3_200_000  # 4.3 MB in base64
LEAST_LOSSLESS_SHARE = 0.3  # of a sheet's pixels, that photographs take without loss: 0.37 enlarged, 0.55 as they are
LOSSLESS_EFFORT = 20  # of 100: three to five times as fast as WebP's usual 80, and 1 % larger
QUALITIES = (90, 75, 50, 25)  # of WebP, where the sheet without loss is too heavy
DIMMED = 0.8  # how dark the least salient pixels become


@dataclass(frozen=True)
class SpriteSheet:
    """Tiles of one size, row by row, as the bytes of a WebP picture."""

    content: bytes
    num_tiles: int
    num_columns: int
    tile_width: int
    tile_height: int


def choose_gallery_images(predictions: Predictions) -> list[int]:
    """Indices of the gallery's images: the misclassified ones, highest loss first.

    Where there are more than MAX_GALLERY_IMAGES, each cell of the confusion matrix shows as many as fit, or all it has.
    """
    labels, predicted = predictions.labels.tolist(), predictions.predicted.tolist()
    wrong = misclassified(predictions).tolist()
    most_per_cell = _most_per_cell(Counter((labels[index], predicted[index]) for index in wrong).values())
    per_cell: Counter[tuple[int, int]] = Counter()
    chosen = []
    for index in wrong:
        cell = labels[index], predicted[index]
        if per_cell[cell] < most_per_cell:
            per_cell[cell] += 1
            chosen.append(index)
        if len(chosen) == MAX_GALLERY_IMAGES:
            break
    return chosen


def _most_per_cell(counts: Collection[int]) -> int:
    """The highest number of images a cell with which the gallery does not exceed MAX_GALLERY_IMAGES; at least 1."""
    most = max(counts, default=1)
    while most > 1 and sum(min(count, most) for count in counts) > MAX_GALLERY_IMAGES:
        most -= 1
    return most


def tile_side(num_images: int) -> int:
    """The longest side in pixels of a tile, where the gallery has so many."""
    return MAX_TILE_PX_OF_FEW if num_images <= FEW_IMAGES else MAX_TILE_PX


def make_image_sprites(images: UInt8[Tensor, "n c h w"], *, max_side: int = MAX_TILE_PX) -> SpriteSheet:
    """The images, grey or RGB, as a sprite sheet: reduced where their longer side has more than `max_side` pixels."""
    pixels = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()
    return _make_sprites([Image.fromarray(image) for image in pixels], "RGB", max_side)


def make_overlay_sprites(maps: Float[Tensor, "n h w"], *, max_side: int = MAX_TILE_PX) -> SpriteSheet:
    """Saliency overlays as a sprite sheet: black, transparent where a map is 1, so that salient pixels keep their
    brightness."""
    opacities = (255 * DIMMED * (1 - maps.clamp(0, 1))).round().byte().numpy()
    black = [np.zeros(opacities.shape[1:], np.uint8)] * 3
    return _make_sprites([Image.fromarray(np.dstack([*black, opacity])) for opacity in opacities], "RGBA", max_side)


def _make_sprites(tiles: list[Image.Image], mode: str, max_side: int) -> SpriteSheet:
    width, height = tiles[0].size
    scale = min(1.0, max_side / max(width, height))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    columns = min(COLUMNS, len(tiles))
    sheet = Image.new(mode, (columns * width, math.ceil(len(tiles) / columns) * height))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        reduced = tile.resize((width, height), Image.Resampling.BOX) if scale < 1 else tile
        sheet.paste(reduced, (column * width, row * height))
    content = next(content for content in _encodings(sheet) if len(content) <= MAX_SPRITE_BYTES)
    return SpriteSheet(content, len(tiles), columns, width, height)


def _encodings(sheet: Image.Image) -> Iterable[bytes]:
    """The sheet as WebP, smaller and smaller."""
    num_bytes = sheet.width * sheet.height * len(sheet.getbands())
    if num_bytes <= MAX_SPRITE_BYTES / LEAST_LOSSLESS_SHARE:
        yield _webp(sheet, lossless=True, quality=LOSSLESS_EFFORT)
    for quality in QUALITIES:
        yield _webp(sheet, lossless=False, quality=quality)


def _webp(sheet: Image.Image, *, lossless: bool, quality: int) -> bytes:
    """Of a sheet without loss, `quality` is the effort to make it smaller."""
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", lossless=lossless, quality=quality, method=2)
    return buffer.getvalue()

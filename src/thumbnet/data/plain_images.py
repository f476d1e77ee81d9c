"""A decoded picture turned upright and put on white. Without PyTorch."""

from __future__ import annotations

import struct

from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # those by which width and height change places
STRIP_PIXELS = 2**20  # what is done at a time, so that a large picture needs no more copies of itself


def turned_upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF block says.

    Not by Pillow's `exif_transpose`, which writes the block anew and fails where any tag in it is wrongly typed.
    """
    image.load()
    turn = TURNS.get(exif_orientation(image))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = {key: value for key, value in image.info.items() if key == "transparency"}  # not turned again
    return turned


def exif_orientation(image: Image.Image) -> int:
    """How the image is turned, by its EXIF block; 1, upright, where that does not say."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error):  # a block that is none
        return 1
    return orientation if isinstance(orientation, int) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened image once it is upright; no pixel is decoded."""
    is_read_turned = image.format == "TIFF" or "exif" not in image.info  # of the latter, all would be decoded first
    if is_read_turned or exif_orientation(image) not in SIDEWAYS:
        return image.size
    return image.height, image.width


def composed_on_white(image: Image.Image) -> Image.Image:
    """`image` without alpha; a palette becomes RGB."""
    if not image.has_transparency_data:
        return image.convert("RGB") if image.mode == "P" else image
    composed = Image.new("RGB", image.size)
    num_rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, num_rows):
        strip = image.crop((0, top, image.width, min(top + num_rows, image.height)))
        colours = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")  # La knows no other way
        background = Image.new("RGBA", strip.size, "white")
        background.alpha_composite(colours)
        composed.paste(background.convert("RGB"), (0, top))
    return composed

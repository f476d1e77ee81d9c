"""Image files and Pillow images to arrays: uint8 [C,S,S], C 1 or 3, S the image_size; for folders and for `predict`.
Without PyTorch, which takes two seconds to import; image_tensors.py makes tensors of them.

Every picture takes the same way: the first frame, turned upright (EXIF), alpha composed on white, 8 bits, resized with
antialiasing so that its shorter side is `image_size`, the centre square kept. A JPEG file of at least four times that
size is decoded at a half, a quarter or an eighth of its size (at least twice the image_size), which JPEG can do for a
fraction of the cost.

Only the formats of RASTER_FORMATS are opened, whatever a file is called: Pillow would run Ghostscript on PostScript.
HEIC, and AVIF in some builds of Pillow, are read by plug-ins (see heif.py).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from thumbnet.data.heif import Content, add_plugin_for
from thumbnet.data.plain_images import upright_size
from thumbnet.data.standardise import Depth, Picture, fitted, highest_level_of_bands, standardised
from thumbnet.errors import ImageError
from thumbnet.specs.data import WhiteLevels
from thumbnet.specs.sizes import Fit, as_sides

RASTER_FORMATS = (
    "JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000", "DDS", "DIB", "ICNS", "ICO", "PCX", "PSD",
    "QOI", "SGI", "SUN", "TGA", "XBM", "XPM", "HEIF",
)  # fmt: skip
READER_VERSION = 1  # raised with whatever changes the pixels that a file becomes, here or in standardise.py
DRAFT_SCALE = 2  # a JPEG file is decoded at no less than so many times the size that is wanted
PictureFile: TypeAlias = Path | BytesIO  # a path, or what such a file holds

_warning_filters = threading.Lock()  # `warnings.catch_warnings` is not thread-safe before Python 3.14


@dataclass(frozen=True)
class PictureHeader:
    """What a picture's file says before any pixel is decoded: Pillow's name of the format, and the sides in pixels of
    the picture upright."""

    format: str
    width: int
    height: int


def read_header(file: PictureFile, *, formats: tuple[str, ...] = RASTER_FORMATS) -> PictureHeader:
    """A picture's format and size, by its first bytes; ImageError as of `read_picture`."""
    with _errors_named(file), _opened(file, formats) as image:
        assert image.format is not None
        return PictureHeader(image.format, *upright_size(image))


def read_image_array(
    file: PictureFile,
    *,
    image_size: int | tuple[int, int],
    num_channels: int | None = None,
    white_levels: WhiteLevels | None = None,
    formats: tuple[str, ...] = RASTER_FORMATS,
    fit: Fit = "crop",
) -> UInt8[np.ndarray, "c h w"]:
    """A picture's file as a network sees it: uint8 [C, image_size, image_size], the centre square, 0 to 255.

    `image_size` may be a height and a width instead, for the centre part of that shape. `num_channels` is 1 or 3; None
    takes the file's own: 1 if it is stored in greys, else 3. With `fit` "letterbox", all of the picture is kept, with
    grey around it. The other arguments and errors: see `read_picture`.
    """
    picture = read_picture(file, image_size=image_size, white_levels=white_levels, formats=formats)
    channels = picture.num_channels if num_channels is None else num_channels
    return fitted(picture.image, as_sides(image_size), channels, fit)


def read_image(
    path: Path, *, image_size: int | tuple[int, int] | None = None, white_levels: WhiteLevels | None = None
) -> Image.Image:
    """The picture of `read_picture`."""
    return read_picture(path, image_size=image_size, white_levels=white_levels).image


def read_picture(
    file: PictureFile,
    *,
    image_size: int | tuple[int, int] | None = None,
    white_levels: WhiteLevels | None = None,
    formats: tuple[str, ...] = RASTER_FORMATS,
) -> Picture:
    """The picture in a file: upright, on white, mode L if it is stored in greys, else RGB.

    Args:
        file: a file of one of `formats`.
        image_size: the size that it will be reduced to, so that a JPEG file may be decoded at a smaller scale; None:
            the picture in its own size.
        white_levels: the level that is white, by kind of deep grey pictures (see white_levels.py); where a kind is
            absent, 65,535 for 16 bits, and for others by the picture's highest level.
        formats: some of RASTER_FORMATS, which no other is tried.

    Raises:
        ImageError: it is missing, empty, no image, damaged, truncated, or has more pixels than Pillow deems safe.
    """
    with _errors_named(file), _opened(file, formats) as image:
        if image_size is not None and image.format in ("JPEG", "MPO"):
            side = DRAFT_SCALE * max(as_sides(image_size))
            image.draft(None, (side, side))
        is_deep_colour = any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
        image.load()
        picture = standardised(image, white_levels)
        if is_deep_colour and len(image.getbands()) > 1:
            return Picture(picture.image, Depth(highest_of_colour=highest_level_of_bands(image)))
        return picture


@contextmanager
def _errors_named(file: PictureFile) -> Iterator[None]:
    """Whatever goes wrong as an ImageError that names the file."""
    name = str(file) if isinstance(file, Path) else "the picture"
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name} cannot be used: {error.message}", hint=error.hint) from error
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {name}", hint="check the path") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder, not an image", hint="give the path of an image file") from error
    except PermissionError as error:
        raise ImageError(f"no permission to read {name}", hint="allow it, for instance with `chmod +r`") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name} is too large: it has more than {Image.MAX_IMAGE_PIXELS} pixels, the most that Pillow deems safe",
            hint="scale the picture down, or take it out",
        ) from error
    except UnidentifiedImageError as error:
        state = "is empty (0 bytes)" if _is_empty(file) else "is not an image of a format that thumbnet reads"
        raise ImageError(f"{name} {state}", hint="save it again as PNG or JPEG, or take it out") from error
    except Exception as error:  # on damaged files, Pillow's decoders raise whatever their parsing runs into
        raise ImageError(
            f"{name} is damaged or truncated: {error}", hint="replace it by an intact copy, or take it out"
        ) from error


def _is_empty(file: PictureFile) -> bool:
    return file.stat().st_size == 0 if isinstance(file, Path) else file.seek(0, 2) == 0


@contextmanager
def _opened(file: PictureFile, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Image.open of `formats`, with Pillow's warning about a suspiciously large image raised as an error.

    Of an open file rather than a path: of a path, Pillow would map uncompressed TIFF files into memory, and scramble
    those that are turned.
    """
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as content:
        with _warning_filters, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                image = _open(content, formats)
            except UnidentifiedImageError:
                if not add_plugin_for(content, formats):
                    raise
                image = _open(content, formats)
        with image:
            yield image


def _open(content: Content, formats: tuple[str, ...]) -> Image.Image:
    content.seek(0)
    try:
        return Image.open(content, formats=formats)
    except KeyError:  # this Pillow was built without one of them, or its plug-in is not there
        Image.init()
        return Image.open(content, formats=tuple(name for name in formats if name in Image.OPEN))

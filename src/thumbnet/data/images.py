"""Image files and Pillow images to arrays: uint8 [C,S,S], C 1 or 3, S the image_size; for folders and for `predict`.
Without PyTorch, which takes two seconds to import; image_tensors.py makes tensors of them.

Every picture takes the same way: the first frame, turned upright (EXIF), alpha composed on white, 8 bits, resized with
antialiasing so that its shorter side is `image_size`, the centre square kept.

Grey or colour is decided by how the file stores its pixels: 1, L, LA, I;16, I and F are grey, and so is a palette of
which only greys show; everything else is colour, also an RGB file that happens to look grey, so that JPEG's rounding
of one file cannot change the number of channels of a whole dataset.
"""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from thumbnet.errors import ConfigError, ImageError

RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens its kernel when it shrinks: that is the antialiasing

# A file of mode I or F does not say which level is white: the first of these that no pixel exceeds is taken.
INTEGER_WHITES = (2.0**8 - 1, 2.0**16 - 1, 2.0**31 - 1)
FLOAT_WHITES = (1.0, *INTEGER_WHITES)

_warning_filters = threading.Lock()  # `warnings.catch_warnings` is not thread-safe before Python 3.14


def read_image_array(
    path: Path, *, image_size: int | tuple[int, int], num_channels: int | None = None
) -> UInt8[np.ndarray, "c h w"]:
    """The file at `path` as a network sees it: uint8 [C, image_size, image_size], the centre square, 0 to 255.

    `image_size` may be a height and a width instead, for the centre part of that shape. `num_channels` is 1 or 3; None
    takes the file's own: 1 if it is stored in greys, else 3. Errors: those of `read_image` and `image_to_array`.
    """
    image = read_image(path)
    own_channels = 1 if image.mode == "L" else 3
    return _centre_part(image, image_size, own_channels if num_channels is None else num_channels)


def read_image(path: Path) -> Image.Image:
    """The picture in the file at `path` in its own size: upright, on white, mode L if it is stored in greys, else RGB.

    Raises:
        ImageError: it is missing, empty, no image, damaged, truncated, or has more pixels than Pillow deems safe.
    """
    try:
        with _open(path) as image:
            image.load()
            return standardise(image)
    except ImageError as error:
        raise ImageError(f"{path} cannot be used: {error.message}", hint=error.hint) from error
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {path}", hint="check the path") from error
    except IsADirectoryError as error:
        raise ImageError(f"{path} is a folder, not an image", hint="give the path of an image file") from error
    except PermissionError as error:
        raise ImageError(f"no permission to read {path}", hint="allow it, for instance with `chmod +r`") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{path} is too large: it has more than {Image.MAX_IMAGE_PIXELS} pixels, the most that Pillow deems safe",
            hint="scale the picture down, or take it out",
        ) from error
    except UnidentifiedImageError as error:
        state = "is empty (0 bytes)" if path.stat().st_size == 0 else "is not an image of a format that Pillow reads"
        raise ImageError(f"{path} {state}", hint="save it again as PNG or JPEG, or take it out") from error
    except Exception as error:  # on damaged files, Pillow's decoders raise whatever their parsing runs into
        raise ImageError(
            f"{path} is damaged or truncated: {error}", hint="replace it by an intact copy, or take it out"
        ) from error


def image_to_array(image: Image.Image, *, image_size: int, num_channels: int) -> UInt8[np.ndarray, "c h w"]:
    """The centre square of a Pillow image as uint8 [num_channels, image_size, image_size], 0 to 255.

    Any mode and size: what `read_image` does to a picture is done here too where it was not yet. A colour picture in
    one channel is its luma (ITU-R 601), a grey one in three is the same channel three times.

    Raises:
        ConfigError: `image_size` is below 1.
        ImageError: the image has no pixels, or levels that cannot be brought to 8 bits.
    """
    return _centre_part(standardise(image), image_size, num_channels)


def standardise(image: Image.Image) -> Image.Image:
    """`image` upright, composed on white, in 8 bits: mode L or RGB, the same size (width and height may swap places).

    Raises:
        ImageError: the image has no pixels, or levels that cannot be brought to 8 bits.
    """
    if 0 in image.size:
        raise ImageError(f"an image of {image.width}x{image.height} pixels", hint="take it out: it has no pixels")
    upright = _upright(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        return _scaled_to_8_bits(upright, white=_white_level(image))
    on_white = _on_white(upright)
    if upright.mode in ("P", "PA"):
        red, green, blue = on_white.split()
        same = not any(ImageChops.difference(red, other).getbbox() for other in (green, blue))
        return red if same else on_white
    return on_white.convert("L" if upright.mode in ("1", "L", "LA", "La") else "RGB")


def _open(path: Path) -> Image.Image:
    """Image.open, with Pillow's warning about a suspiciously large image raised as an error."""
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path)


def _centre_part(
    image: Image.Image, image_size: int | tuple[int, int], num_channels: int
) -> UInt8[np.ndarray, "c h w"]:
    assert num_channels in (1, 3)
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < 1:
        raise ConfigError(f"image_size is {image_size}", hint="give a side in pixels, for instance 32")
    channels = image.convert("L" if num_channels == 1 else "RGB")
    part = ImageOps.fit(channels, (width, height), method=RESAMPLING)
    pixels = np.array(part).reshape(height, width, num_channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except SyntaxError:  # Pillow's word for an EXIF block that is none: the file then says nothing of an orientation
        return image


def _on_white(image: Image.Image) -> Image.Image:
    """`image` without alpha; a palette becomes RGB."""
    if image.has_transparency_data:
        colours = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")  # La knows no other way
        background = Image.new("RGBA", image.size, "white")
        background.alpha_composite(colours)
        return background.convert("RGB")
    return image.convert("RGB") if image.mode == "P" else image


def _white_level(image: Image.Image) -> float:
    """The level that stands for white in an image of mode I;16, I or F."""
    is_deep_pgm = image.mode == "I" and image.format == "PPM"  # Pillow scales its levels to 16 bits
    if image.mode.startswith("I;16") or is_deep_pgm:
        return INTEGER_WHITES[1]
    levels = np.asarray(image)
    whites = FLOAT_WHITES if image.mode == "F" else INTEGER_WHITES
    lowest, highest = float(levels.min()), float(levels.max())
    if not (lowest >= 0 and highest <= whites[-1]):
        raise ImageError(
            f"its grey levels go from {lowest:g} to {highest:g}, and what is black and white in it is not known",
            hint="save it with 8 or 16 bits",
        )
    return min(white for white in whites if highest <= white)


def _scaled_to_8_bits(image: Image.Image, *, white: float) -> Image.Image:
    levels = np.asarray(image, dtype=np.float64)
    grey = np.rint(levels * (255 / white)).astype(np.uint8)
    if "transparency" in image.info:  # a 16-bit PNG may name one level that is transparent
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey)

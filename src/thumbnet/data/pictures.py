"""Many picture files to one array, by several threads: each decoded once, all in memory once, all bad ones named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from thumbnet.data.images import read_picture
from thumbnet.data.memory import memory_limit_bytes
from thumbnet.data.picture_request import PictureRequest, Pictures
from thumbnet.data.standardise import Depth, fitted
from thumbnet.data.white_levels import describe_scale, white_of_set
from thumbnet.errors import ConfigError, ImageError
from thumbnet.specs.data import WhiteLevels
from thumbnet.specs.processors import num_processors
from thumbnet.specs.sizes import Fit, Sides, as_image_size
from thumbnet.terminal.streams import steady_stderr
from thumbnet.terminal.text import counted

CHUNK_PICTURES = 64  # read by the threads before they are put in the array
LOG_INTERVAL_S = 10.0  # between progress lines where nobody watches a terminal
FLAT_SPREAD = 1  # levels: between the highest and the lowest of a picture of one colour
DIM_BELOW = 64  # of 255: colour pictures with 16 bits of which at most 14 are used


@dataclass(frozen=True)
class Decoded:
    """A picture resized (None once it is in its place), and how deep its file is."""

    pixels: UInt8[np.ndarray, "c h w"] | None
    depth: Depth
    is_flat: bool


def read_pictures(request: PictureRequest) -> Pictures:
    """Read picture files into memory; one channel if every file is stored in greys, else three.

    Raises:
        ConfigError: the images would take more memory than there is.
    """
    files, sides = request.files, request.sides
    room = _Room(len(files), sides)
    unreadable: dict[Path, ImageError] = {}
    found: list[tuple[Path, Decoded]] = []
    with (
        ThreadPoolExecutor(max_workers=num_processors()) as pool,  # Pillow decodes without the GIL
        reading_progress(request) as advance,
    ):
        for start in range(0, len(files), CHUNK_PICTURES):
            chunk = files[start : start + CHUNK_PICTURES]
            decode = partial(decode_picture, image_size=sides, fit=request.fit, white_levels=request.white_levels)
            for file, decoded in zip(chunk, pool.map(decode, chunk), strict=True):
                if isinstance(decoded, ImageError):
                    unreadable[file] = decoded
                elif decoded.pixels is not None:
                    room.add(decoded.pixels)
                    found.append((file, replace(decoded, pixels=None)))
                advance(1)
    scales = Scales.of([decoded.depth for _, decoded in found]) if request.white_levels is None else None
    if scales is not None:
        for place, (file, decoded) in enumerate(found):
            if decoded.depth.kind is not None and scales.whites[decoded.depth.kind] != decoded.depth.white:
                picture = read_picture(file, image_size=sides, white_levels=scales.whites)
                pixels = fitted(picture.image, sides, len(room.images[place]), request.fit)
                room.images[place], found[place] = pixels, (file, replace(decoded, is_flat=_is_flat(pixels)))
    flat = [file.relative_to(request.relative_to).as_posix() for file, decoded in found if decoded.is_flat]
    return Pictures(
        take_images=partial(_by_split, room.images[: len(found)], request, unreadable),
        unreadable=unreadable,
        white_levels={**(request.white_levels or {})} if scales is None else scales.whites,
        remarks=(*(() if scales is None else scales.remarks), *describe_flat(flat)),
    )


def _by_split(
    images: UInt8[np.ndarray, "n c h w"], request: PictureRequest, unreadable: Collection[Path]
) -> dict[str, UInt8[np.ndarray, "_ c h w"]]:
    """Views of the images, in which those of a split lie side by side."""
    parts, first_file, first = {}, 0, 0
    for name, number in request.num_files.items():
        last = first + sum(file not in unreadable for file in request.files[first_file : first_file + number])
        parts[name] = images[first:last]
        first_file, first = first_file + number, last
    return parts


def reading_progress(request: PictureRequest) -> AbstractContextManager[Callable[[int], object]]:
    """The line on stderr that shows how many files were read."""
    return progress_line(
        "reading pictures",
        total=len(request.files),
        show=request.show_progress,
        after_s=request.progress_after_s,
    )


@contextmanager
def progress_line(
    desc: str, *, total: int | None = None, show: bool, after_s: float
) -> Iterator[Callable[[int], object]]:
    """A bar on stderr, of `total` steps or of steps counted up, that is shown after so many seconds; what it gives is
    called with the number of steps done."""
    stderr = steady_stderr()
    with tqdm(
        desc=desc,
        total=total,
        unit="",
        delay=after_s,
        mininterval=0.1 if stderr.isatty() else LOG_INTERVAL_S,
        file=stderr,
        disable=not show,
    ) as bar:
        yield bar.update


class _Room:
    """The array that pictures are put in: of one channel until the first in colour comes."""

    def __init__(self, num_images: int, sides: Sides) -> None:
        self._num_images, self._sides = num_images, sides
        self.images = self._new(1)
        self._num_added = 0

    def add(self, pixels: UInt8[np.ndarray, "c h w"]) -> None:
        if len(pixels) > self.images.shape[1]:
            in_grey, self.images = self.images, self._new(3)
            self.images[: self._num_added] = in_grey[: self._num_added]
        self.images[self._num_added] = pixels
        self._num_added += 1

    def _new(self, num_channels: int) -> UInt8[np.ndarray, "n c h w"]:
        check_memory(self._num_images, num_channels, self._sides)
        return np.empty((self._num_images, num_channels, *self._sides), np.uint8)


def check_memory(num_images: int, num_channels: int, sides: Sides) -> None:
    """ConfigError where so many images would take more memory than data may take."""
    height, width = sides
    num_bytes, limit = num_images * num_channels * height * width, memory_limit_bytes()
    if num_bytes > limit:
        scale = (limit / (3 * num_images * height * width)) ** 0.5
        most = as_image_size((int(scale * height), int(scale * width)))
        raise ConfigError(
            f"{num_images:,} pictures of {width:,}x{height:,} pixels would take "
            f"{num_bytes / 1e9:,.1f} GB of memory, more than half of what there is ({2 * limit / 1e9:,.1f} GB)",
            hint=f"set image_size to {most if isinstance(most, int) else list(most)} or less, or take fewer pictures; "
            "in a pack (`thumbnet data pack`), or in the cache (THUMBNET_CACHE), they may be more",
        )


@dataclass
class Scales:
    """One white level for each kind of deep pictures, and what a reader should know of it."""

    whites: dict[str, float] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, depths: Sequence[Depth]) -> Scales:
        highest: dict[str, list[float]] = {}
        for depth in depths:
            if depth.kind is not None and depth.highest is not None:
                highest.setdefault(depth.kind, []).append(depth.highest)
        scales = cls()
        for kind, levels in highest.items():
            scales.whites[kind] = white_of_set(kind, max(levels))
            sentence = describe_scale(kind, len(levels), max(levels))
            scales.remarks += [sentence] if sentence else []
        in_colour = [depth.highest_of_colour for depth in depths if depth.highest_of_colour is not None]
        if in_colour and max(in_colour) < DIM_BELOW:
            scales.remarks.append(
                f"{counted(len(in_colour), 'colour picture')} with room for 16 bits a channel, of which at most 14 are "
                "used: dark here, where the upper 8 bits are kept. Save such pictures with 8 bits a channel."
            )
        return scales


def decode_picture(
    file: Path, *, image_size: Sides, fit: Fit, white_levels: WhiteLevels | None
) -> Decoded | ImageError:
    """A picture file decoded and resized, or what is wrong with it."""
    try:
        is_odd = not file.is_file() and file.exists()  # a pipe would keep us waiting
    except OSError as error:  # a link to a name that the system refuses
        return ImageError(f"{file} cannot be read: {error.strerror}", hint="take it out")
    if is_odd:
        return ImageError(f"{file} is not a regular file", hint="take it out")
    try:
        picture = read_picture(file, image_size=image_size, white_levels=white_levels)
    except ImageError as error:
        return error
    pixels = fitted(picture.image, image_size, picture.num_channels, fit)
    return Decoded(pixels, picture.depth, _is_flat(pixels))


def _is_flat(pixels: UInt8[np.ndarray, "c h w"]) -> bool:
    """Whether a picture has a single colour."""
    return max(int(channel.max()) - int(channel.min()) for channel in pixels) <= FLAT_SPREAD


def describe_flat(flat: Sequence[str]) -> tuple[str, ...]:
    """A sentence where pictures, whose names are given, have a single colour."""
    if not flat:
        return ()
    sentence = (
        f"{counted(len(flat), 'picture')} of a single colour, for instance {flat[0]}. What is transparent is shown on "
        "white, so that a drawing in white on a transparent ground is blank."
    )
    return (sentence,)

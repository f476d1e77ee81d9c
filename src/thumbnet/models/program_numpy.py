"""A folded program run by NumPy alone: a picture's logits in milliseconds, without two seconds of importing PyTorch.

What makes it quick: a few images at a time, so that their maps stay in the processor's cache, in buffers that are kept;
depthwise filters as nine multiplications and additions of whole rows of pixels; halves folded into filters and biases,
since x * sigmoid(x) = h + h * tanh(h) with h = x / 2; several threads, as NumPy computes without Python's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.models.program import Block, Program, Shape, Stem
from thumbnet.specs.processors import num_processors

Maps: TypeAlias = Float[np.ndarray, "n h w c"]
NewMaps: TypeAlias = Float[np.ndarray, "n h2 w2 k"]

CHUNK_VALUES = 2**18  # float32 values of the largest map of the images computed at a time: 1 MB
SERIAL_MACS = 2**18  # the largest matrix product that OpenBLAS leaves to the thread that calls it
FEWEST_ROWS = 48  # of a matrix product: with less of them it would be slow
ALIGNMENT = 64  # bytes: a row of the cache


@dataclass(frozen=True)
class ProgramResult:
    """Logits float32 [N,K], and the last maps float32 [N,H,W,M], whose mean the head sees."""

    logits: Float[np.ndarray, "n k"]
    maps: Float[np.ndarray, "n h w m"]

    @property
    def features(self) -> Float[np.ndarray, "n m"]:
        """What the head sees: the mean of each last map."""
        means: Float[np.ndarray, "n m"] = self.maps.mean(axis=(1, 2))
        return means


def run_program(program: Program, images: UInt8[np.ndarray, "n c h w"]) -> ProgramResult:
    """Logits and last maps of images of the program's shape."""
    return ProgramRunner(program).run(images)


class ProgramRunner:
    """A program made ready for many images; may be used by several threads.

    Args:
        num_threads: how many threads compute; None: as many as there are processors for this process.
    """

    def __init__(self, program: Program, *, num_threads: int | None = None) -> None:
        self.program = program
        self._num_threads = num_processors() if num_threads is None else num_threads
        self._stem_matrix = _as_matrix(program.stem.filters)
        self._blocks = tuple(_ReadyBlock.of(block) for block in program.blocks)
        largest = max([_stem_values(program.stem), *(ready.num_values for ready in self._blocks)])
        self._chunk_size = max(1, CHUNK_VALUES // largest)
        self._local = threading.local()

    def run(self, images: UInt8[np.ndarray, "n c h w"]) -> ProgramResult:
        """Logits and last maps."""
        channels, height, width = self._last_shape
        logits = np.empty((len(images), self.program.num_classes), np.float32)
        maps = np.empty((len(images), height, width, channels), np.float32)

        def run_chunk(chunk: slice) -> None:
            maps[chunk] = self._run_chunk(images[chunk])
            logits[chunk] = maps[chunk].mean(axis=(1, 2)) @ self.program.head.T

        chunks = list(_chunks(len(images), self._chunk_size))
        num_threads = min(self._num_threads, len(chunks))
        if num_threads < 2:
            for chunk in chunks:
                run_chunk(chunk)
        else:
            from concurrent.futures import ThreadPoolExecutor  # a hundredth of a second, which one picture saves

            with ThreadPoolExecutor(num_threads) as pool:
                list(pool.map(run_chunk, chunks))
        return ProgramResult(logits, maps)

    @property
    def _last_shape(self) -> Shape:
        return self.program.blocks[-1].out_shape if self.program.blocks else self.program.stem.out_shape

    def _run_chunk(self, images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n h2 w2 k"]:
        """The last maps, in a buffer that the next chunk of this thread overwrites."""
        room: _Room | None = getattr(self._local, "room", None)
        if room is None:
            room = self._local.room = _Room()
        maps = _run_stem(self.program.stem, self._stem_matrix, self.program.mean, images, room)
        for ready in self._blocks:
            maps = ready.run(maps, room)
        return maps


class _Room:
    """A thread's buffers, which grow as they are needed."""

    def __init__(self) -> None:
        self._buffers: dict[str, Float[np.ndarray, " size"]] = {}

    def take(self, name: str, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
        """An array of undefined values; the last one of this name is lost."""
        size = int(np.prod(shape))
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size:
            values = np.empty(size + ALIGNMENT // 4, np.float32)
            start = -values.ctypes.data % ALIGNMENT // 4
            buffer = self._buffers[name] = values[start : start + size]
        return buffer[:size].reshape(shape)


@dataclass(frozen=True)
class _ReadyBlock:
    """A block with what is computed once: filters and bias halved; each tap of depthwise filters for a whole row."""

    block: Block
    matrix: Float[np.ndarray, "c k"]  # the pointwise one's, or that of all filters of a plain block
    taps: Float[np.ndarray, "3 3 w k"] | None
    bias: Float[np.ndarray, " k"]

    @classmethod
    def of(cls, block: Block) -> _ReadyBlock:
        filters = block.filters * np.float32(0.5)
        if block.pointwise is None:
            return cls(block, _as_matrix(filters), None, block.bias * np.float32(0.5))
        num_channels, _, width = block.conv_shape
        taps = np.broadcast_to(filters[:, 0].transpose(1, 2, 0)[:, :, None], (3, 3, width, num_channels))
        return cls(
            block,
            np.ascontiguousarray(block.pointwise.T),
            np.ascontiguousarray(taps),
            block.bias * np.float32(0.5),
        )

    @property
    def num_values(self) -> int:
        """Of an image's largest buffer here."""
        channels, height, width = self.block.conv_shape
        return height * width * (channels if self.taps is not None else max(channels, len(self.matrix)))

    def run(self, maps: Maps, room: _Room) -> NewMaps:
        """The block's output, in the buffer of `maps`."""
        block = self.block
        half = self._convolve(maps, room)
        if block.pools:
            half = _max_pool(half, room)
        if block.sign is not None:
            np.multiply(half, block.sign, out=half)
        np.add(half, self.bias, out=half)
        product = room.take("scratch", half.shape)
        np.tanh(half, out=product)
        np.multiply(product, half, out=product)
        if block.has_shortcut:
            np.add(half, product, out=half)
            np.add(maps, half, out=maps)
            return maps
        activated = room.take("maps", half.shape)
        np.add(half, product, out=activated)
        return activated

    def _convolve(self, maps: Maps, room: _Room) -> NewMaps:
        """Half of what the filters give."""
        block, num_images = self.block, len(maps)
        channels, height, width = block.conv_shape
        sides = {"stride": block.stride, "out_height": height, "out_width": width}
        if self.taps is None:
            padded = _padded(maps, block.dilation, room)
            columns = _columns(padded, 3, room, dilation=block.dilation, **sides)
            return _multiply(columns, self.matrix, room.take("convolved", (num_images, height, width, channels)))
        mixed = _multiply(maps, self.matrix, room.take("convolved", (*maps.shape[:3], channels)))
        padded = _padded(mixed, block.dilation, room)
        convolved = room.take("convolved", (num_images, height, width, channels))
        product = room.take("scratch", convolved.shape)
        for index, shifted in enumerate(_shifts(padded, 3, dilation=block.dilation, **sides)):
            tap = self.taps[index // 3, index % 3]
            if index == 0:
                np.multiply(shifted, tap, out=convolved)
            else:
                np.multiply(shifted, tap, out=product)
                np.add(convolved, product, out=convolved)
        return convolved


def _stem_values(stem: Stem) -> int:
    """Of an image's largest buffer here."""
    channels, height, width = stem.out_shape
    patches = height * width * max(channels, int(np.prod(stem.filters.shape[1:])))
    return max(patches, int(np.prod(stem.in_shape)))


def _run_stem(
    stem: Stem,
    matrix: Float[np.ndarray, "abc k"],
    mean: Float[np.ndarray, " c"],
    images: UInt8[np.ndarray, "n c h w"],
    room: _Room,
) -> Float[np.ndarray, "n h2 w2 k"]:
    channels, height, width = stem.out_shape
    pixels = room.take("scratch", (len(images), *stem.in_shape[1:], stem.in_shape[0]))
    np.subtract(images.transpose(0, 2, 3, 1), mean, out=pixels)
    side = stem.filters.shape[2]
    padded = _padded(pixels, stem.padding, room)
    columns = _columns(padded, side, room, stride=stem.stride, out_height=height, out_width=width)
    maps = _multiply(columns, matrix, room.take("maps", (len(images), height, width, channels)))
    np.maximum(maps, 0, out=maps)
    return maps


def _as_matrix(filters: Float[np.ndarray, "k c a b"]) -> Float[np.ndarray, "abc k"]:
    """What columns of `_columns` are multiplied by."""
    return np.ascontiguousarray(filters.transpose(2, 3, 1, 0).reshape(-1, len(filters)))


def _padded(maps: Maps, padding: int, room: _Room) -> NewMaps:
    """The maps with zeros around them, in the buffer "padded"."""
    num_images, height, width, channels = maps.shape
    padded = room.take("padded", (num_images, height + 2 * padding, width + 2 * padding, channels))
    padded[:, :padding] = 0
    padded[:, padding + height :] = 0
    padded[:, :, :padding] = 0
    padded[:, :, padding + width :] = 0
    padded[:, padding : padding + height, padding : padding + width] = maps
    return padded


def _shifts(
    padded: Maps, side: int, *, out_height: int, out_width: int, stride: int = 1, dilation: int = 1
) -> Iterator[NewMaps]:
    """Of padded maps, for each place in a filter row by row: the pixels that meet it. Views."""
    for row, column in np.ndindex(side, side):
        top, left = row * dilation, column * dilation
        yield padded[:, top::stride, left::stride][:, :out_height, :out_width]


def _columns(
    padded: Maps, side: int, room: _Room, *, out_height: int, out_width: int, stride: int = 1, dilation: int = 1
) -> Float[np.ndarray, "n h2 w2 abc"]:
    """The patches that a convolution's filters see, in the buffer "scratch"."""
    num_images, channels = len(padded), padded.shape[3]
    columns = room.take("scratch", (num_images, out_height, out_width, side * side * channels))
    shifts = _shifts(padded, side, out_height=out_height, out_width=out_width, stride=stride, dilation=dilation)
    for index, shifted in enumerate(shifts):
        columns[..., index * channels : (index + 1) * channels] = shifted
    return columns


def _multiply(
    maps: Maps, matrix: Float[np.ndarray, "c k"], out: Float[np.ndarray, "n h w k"]
) -> Float[np.ndarray, "n h w k"]:
    """Every pixel times the matrix, so many pixels at a time that no other thread is woken for them."""
    num_inputs, num_outputs = matrix.shape
    num_rows = min(max(FEWEST_ROWS, SERIAL_MACS // matrix.size), maps.size // num_inputs)
    rows, results = maps.reshape(-1, num_inputs), out.reshape(-1, num_outputs)
    whole = len(rows) // num_rows * num_rows
    np.matmul(
        rows[:whole].reshape(-1, num_rows, num_inputs), matrix, out=results[:whole].reshape(-1, num_rows, num_outputs)
    )
    np.matmul(rows[whole:], matrix, out=results[whole:])
    return out


def _max_pool(maps: Maps, room: _Room) -> Float[np.ndarray, "n h2 w2 c"]:
    """Of 2x2 pixels, in the buffer of `maps`; a last odd row or column is left out."""
    num_images, height, width, num_channels = maps.shape
    even = maps[:, : height // 2 * 2, : width // 2 * 2]
    rows = room.take("scratch", (num_images, height // 2, even.shape[2], num_channels))
    np.maximum(even[:, 0::2], even[:, 1::2], out=rows)
    pooled = room.take("convolved", (num_images, height // 2, width // 2, num_channels))
    np.maximum(rows[:, :, 0::2], rows[:, :, 1::2], out=pooled)
    return pooled


def _chunks(num_images: int, chunk_size: int) -> Iterator[slice]:
    for start in range(0, num_images, chunk_size):
        yield slice(start, min(start + chunk_size, num_images))

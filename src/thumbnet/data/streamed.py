"""Images that stay on the disk: a tensor [N,C,H,W] of which only what is asked for is read.

Where a set is larger than the memory that data may take, or than a share of what is free, `Split.images` is such a
tensor. An index, `index_select` and `images[5]` read these rows. A slice, `split`, `torch.cat` of several, and grey
images in colour (`expand`) stay on the disk. Whatever else is done to them is done to all of them, read into memory,
and refused where they are too many: nothing reads a whole set unnoticed. `chunks_of` goes through images in passes,
streamed or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Never, SupportsIndex

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils._pytree import tree_map_only

from thumbnet.data.packs.maps import check_mapped
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.row_reader import RowReader
from thumbnet.errors import DataError

KEPT_BYTES = 2**26  # of images that stay in memory once they were read: a small validation split
MOST_BYTES = 2**28  # of images that are read whole where something needs them so


class StreamedImages(Tensor):
    """Images uint8 [N,C,H,W] on the disk: the rows `rows` of `reader`, in this order. They cannot be changed."""

    reader: RowReader
    rows: Int64[np.ndarray, " n"]
    in_colour: bool  # grey on the disk
    kept: Tensor | None
    is_large: bool  # more than memory may take, whatever is free: an epoch is then shuffled by blocks

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as PyTorch has it

    @staticmethod
    def __new__(
        cls,
        reader: RowReader,
        rows: Int64[np.ndarray, " n"],
        in_colour: bool = False,
        kept: Tensor | None = None,
        is_large: bool = True,
    ) -> StreamedImages:
        channels, height, width = reader.row_shape
        shape = (len(rows), 3 if in_colour else channels, height, width)
        made: StreamedImages = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.uint8)
        made.reader, made.rows, made.in_colour, made.kept = reader, rows, in_colour, kept
        made.is_large = is_large
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # its default is no method
        cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        lazily = LAZY.get(func)
        result = None if lazily is None else lazily(*args, **(kwargs or {}))
        if result is not None:
            return result
        args, kwargs = tree_map_only(StreamedImages, whole, (args, kwargs or {}))
        return func(*args, **kwargs)

    def __setitem__(self, index: object, value: object) -> Never:
        raise DataError("images on the disk cannot be changed", hint="change a copy: images[start:stop].clone()")

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # its stub has another name
        return f"StreamedImages(uint8 {list(self.shape)})"

    def __deepcopy__(self, _memo: object) -> StreamedImages:
        return self

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Any, ...]:
        return StreamedImages, (self.reader, self.rows, self.in_colour, None, self.is_large)

    def numpy(self, *, force: bool = False) -> UInt8[np.ndarray, "n c h w"]:
        """All images as an array in memory, where they are not too many."""
        return whole(self).numpy(force=force)

    def at(self, places: slice | Int64[np.ndarray, " m"]) -> StreamedImages:
        """Some of the images, still on the disk."""
        kept = None
        if self.kept is not None:
            kept = self.kept[places] if isinstance(places, slice) else self.kept[torch.from_numpy(places)]
        return StreamedImages(self.reader, self.rows[places], self.in_colour, kept, self.is_large)

    def read(self, places: Int64[np.ndarray, " m"]) -> UInt8[Tensor, "m c h w"]:
        """Some of the images, in memory."""
        if self.kept is not None:
            return self.kept[torch.from_numpy(places)]
        pixels = torch.from_numpy(self.reader.read(self.rows[places]))
        return pixels.expand(-1, 3, -1, -1) if self.in_colour else pixels


def streamed(file: RowFile, *, is_large: bool = True) -> StreamedImages:
    """All images of a file; `is_large`: they belong to a set that is more than memory may take."""
    return StreamedImages(RowReader([file]), np.arange(len(file)), is_large=is_large)


def is_streamed(images: Tensor) -> bool:
    """Whether images are on the disk."""
    return isinstance(images, StreamedImages)


def is_large(images: Tensor) -> bool:
    """Whether images are on the disk since their set is more than memory may take, however much of it is free."""
    return isinstance(images, StreamedImages) and images.is_large


def whole(images: StreamedImages) -> UInt8[Tensor, "n c h w"]:
    """All images in memory; DataError where they are too many for it."""
    if images.kept is not None:
        return images.kept
    if images.numel() > MOST_BYTES:
        raise DataError(
            f"{len(images):,} images of {images.numel() / 1e9:,.1f} GB would be read into memory at once",
            hint="they are on the disk since they are more than memory takes: go through them by images[start:stop]",
        )
    pixels = images.read(np.arange(len(images)))
    if images.numel() <= KEPT_BYTES:
        images.kept = pixels
    return pixels


def chosen_of(
    images: UInt8[Tensor, "n c h w"], chosen: Sequence[int] | Int64[Tensor, " m"]
) -> UInt8[Tensor, "m c h w"]:
    """The images at these places, in this order: a copy, or still on the disk."""
    if isinstance(images, StreamedImages):
        return images.at(np.asarray(chosen, np.int64))
    return images[chosen]


def places_at_once(images: UInt8[Tensor, "n c h w"]) -> list[int] | None:
    """Places, at equal distances, of as many images as are read into memory at once; None: of all of them."""
    if not isinstance(images, StreamedImages) or images.numel() <= MOST_BYTES:
        return None
    number = max(1, MOST_BYTES * len(images) // images.numel())
    return [place * len(images) // number for place in range(number)]


def chunks_of(images: UInt8[Tensor, "n c h w"], size: int) -> Iterator[UInt8[Tensor, "m c h w"]]:
    """`images.split(size)`, each in memory; from the disk the next one is read while one is worked on.

    DataError where a file that they are mapped from got shorter meanwhile.
    """
    if not isinstance(images, StreamedImages):
        check_mapped(images.data_ptr())
        yield from images.split(size)
        return
    if images.numel() <= KEPT_BYTES:
        yield from whole(images).split(size)
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = None
        for first in range(0, len(images), size):
            coming = pool.submit(images.read, np.arange(first, min(first + size, len(images))))
            if ahead is not None:
                yield ahead.result()
            ahead = coming
        if ahead is not None:
            yield ahead.result()


def _index(images: StreamedImages, indices: Sequence[Any]) -> Tensor | None:
    if len(indices) != 1 or indices[0].dtype not in (torch.int64, torch.bool) or indices[0].ndim != 1:
        return None
    index = indices[0].nonzero().flatten() if indices[0].dtype == torch.bool else indices[0]
    return _index_select(images, 0, index)


def _index_select(images: StreamedImages, dim: int, index: Tensor) -> Tensor | None:
    if dim != 0:
        return None
    places = index.cpu().numpy()
    if len(places) and (places.min() < -len(images) or places.max() >= len(images)):
        raise IndexError(f"image {places.max()} of {len(images)}")
    return images.read(np.where(places < 0, places + len(images), places))


def _select(images: StreamedImages, dim: int, index: int) -> Tensor | None:
    return None if dim else images.read(np.array([index % len(images)]))[0]


def _slice(
    images: StreamedImages, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor | None:
    return None if dim else images.at(slice(start, end, step))


def _split(images: StreamedImages, size: int, dim: int = 0) -> list[StreamedImages] | None:
    return None if dim else [images.at(slice(first, first + size)) for first in range(0, max(1, len(images)), size)]


def _expand(images: StreamedImages, sizes: Sequence[int], *, implicit: bool = False) -> Tensor | None:
    shape = [len(images), 3, *images.shape[2:]]
    wanted = [there if size == -1 else size for size, there in zip(sizes, shape, strict=False)]
    if images.shape[1] != 1 or wanted != shape:
        return None
    return StreamedImages(images.reader, images.rows, in_colour=True, is_large=images.is_large)


def _cat(parts: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    if dim or not all(isinstance(part, StreamedImages) for part in parts):
        return None
    first, *others = (part for part in parts if isinstance(part, StreamedImages))
    reader, rows, is_large = first.reader, [first.rows], first.is_large
    for other in others:
        if other.in_colour != first.in_colour or other.reader.row_shape != first.reader.row_shape:
            return None
        rows.append(len(reader) + other.rows)
        reader, is_large = reader.followed_by(other.reader), is_large or other.is_large
    return StreamedImages(reader, np.concatenate(rows), first.in_colour, is_large=is_large)


def _same(images: StreamedImages) -> StreamedImages:
    return StreamedImages(images.reader, images.rows, images.in_colour, images.kept, images.is_large)


LAZY: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.index.Tensor: _index,
    torch.ops.aten.index_select.default: _index_select,
    torch.ops.aten.select.int: _select,
    torch.ops.aten.slice.Tensor: _slice,
    torch.ops.aten.split.Tensor: _split,
    torch.ops.aten.expand.default: _expand,
    torch.ops.aten.cat.default: _cat,
    torch.ops.aten.detach.default: _same,
    torch.ops.aten.alias.default: _same,
}

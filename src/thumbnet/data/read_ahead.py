"""The images of an epoch, batch by batch; from the disk, they are read ahead of the training, a window at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.block_shuffle import window_ends
from thumbnet.data.packs.maps import check_mapped
from thumbnet.data.streamed import StreamedImages


def read_batches(
    images: UInt8[Tensor, "n c h w"], batches: Iterable[Int64[Tensor, " _"]]
) -> Iterator[tuple[Int64[Tensor, " b"], UInt8[Tensor, "b c h w"]]]:
    """The indices of each batch, on the device of the images, with its images.

    From the disk, a window of the epoch's images (see block_shuffle.py) is read while that before it is trained on:
    two are in memory, and the images of each are read in the order in which they lie on the disk.

    DataError where a file that is read, or that they are mapped from, got shorter meanwhile.
    """
    if isinstance(images, StreamedImages):
        yield from _read_ahead(images, list(batches))
        return
    check_mapped(images.data_ptr())
    for chosen in batches:
        here = chosen.to(images.device)
        yield here, images.index_select(0, here)  # on a CPU 20 times faster than an index in brackets


def _read_ahead(
    images: StreamedImages, batches: list[Int64[Tensor, " _"]]
) -> Iterator[tuple[Int64[Tensor, " b"], UInt8[Tensor, "b c h w"]]]:
    order = torch.cat(batches).numpy()
    ends = window_ends(len(order), tuple(images.shape[1:]))
    most = max(end - start for start, end in pairwise([0, *ends]))
    buffers = [np.empty((most, *images.reader.row_shape), np.uint8) for _ in range(min(2, len(ends)))]
    with ThreadPoolExecutor(max_workers=1) as pool:

        def begin(number: int) -> Future[UInt8[np.ndarray, "m c h w"]]:
            first, last = ends[number - 1] if number else 0, ends[number]
            rows = images.rows[order[first:last]]
            return pool.submit(images.reader.read, rows, buffers[number % 2][: last - first])

        coming, number, rest = begin(0), 0, np.empty((0, *images.reader.row_shape), np.uint8)
        window, used = rest, 0
        for chosen in batches:
            while len(rest) + len(window) - used < len(chosen):
                rest = np.concatenate([rest, window[used:]])
                window, used = coming.result(), 0
                number += 1
                if number < len(ends):  # into the buffer of the window whose last images are in `rest`
                    coming = begin(number)
            own = len(chosen) - len(rest)
            pixels = torch.from_numpy(np.concatenate([rest, window[used : used + own]]))
            rest, used = rest[:0], used + own
            yield chosen, pixels.expand(-1, 3, -1, -1) if images.in_colour else pixels

"""Digests of images, by which equal ones are found: 16 bytes an image, whatever its size."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.statistics import images_at_once
from thumbnet.data.streamed import chunks_of

DIGEST_BYTES = 16


def digests_of(images: UInt8[Tensor, "n c h w"]) -> UInt8[np.ndarray, "n 16"]:
    """Of the pixels of each image; equal images have equal ones."""
    digests = np.empty((len(images), DIGEST_BYTES), np.uint8)
    place = 0
    for chunk in chunks_of(images, images_at_once(images)):
        for image in chunk.numpy():
            digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=DIGEST_BYTES).digest()
            digests[place] = np.frombuffer(digest, np.uint8)
            place += 1
    return digests


def first_equals(
    digests: UInt8[np.ndarray, "n 16"], parts: Int64[np.ndarray, " n"] | None = None
) -> Int64[np.ndarray, " n"]:
    """For each image, the first one that is equal to it (itself, if it is that); of its own part, if there are any."""
    halves = digests.view(np.uint64)
    keys = (halves[:, 1], halves[:, 0], *([] if parts is None else [parts]))
    order = np.lexsort(keys)  # which keeps the order of equal ones
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = np.logical_or.reduce([np.diff(key[order]) != 0 for key in keys])
    starts = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))
    first_of = np.empty(len(order), np.int64)
    first_of[order] = order[starts]
    return first_of

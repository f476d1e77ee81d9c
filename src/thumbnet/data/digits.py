"""The embedded data set: 1,797 handwritten digits that come with scikit-learn, so it is there without any network.

Source: the test part of the UCI "Optical Recognition of Handwritten Digits" set (E. Alpaydin, C. Kaynak, 1998), as
`sklearn.datasets.load_digits` returns it: 8x8 pixels, levels 0 (background) to 16. Here images are uint8 [N,1,32,32]:
the levels times 255/16, rounded, enlarged by the bicubic filter that a folder of such images would go through.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from thumbnet.data.dataset import Source, SourceSplits, Split
from thumbnet.data.hold_out import hold_out
from thumbnet.data.image_tensors import image_to_tensor

IMAGE_SIZE = 32
MAX_LEVEL = 16  # of the 8x8 images
TEST_FRACTION = 0.2
TEST_SEED = 0  # a constant, so the test images are the same in every run


def read_digits() -> SourceSplits:
    """The digits: a stratified fifth, always the same, is the test split; no validation split; classes "0" to "9"."""
    everything, class_names = _all_digits()
    indices = hold_out(
        everything.labels, val_fraction=0.0, test_fraction=TEST_FRACTION, seed=TEST_SEED, class_names=class_names
    )
    return SourceSplits(
        train=replace(everything.select(indices.train), positions=None),  # what `data check` counts
        val=None,
        test=replace(everything.select(indices.test), positions=None),
        class_names=class_names,
        flip_keeps_labels=False,
        source=Source("digits", f"scikit-learn's {len(everything):,} real handwritten digits, 8x8 enlarged to 32x32"),
    )


@cache
def _all_digits() -> tuple[Split, tuple[str, ...]]:
    """Every digit and the class names, enlarged once in a process; a caller that selects from them gets copies."""
    from sklearn.datasets import load_digits  # takes a second, which other data need not wait for

    digits = load_digits()
    images = torch.stack([_enlarged(levels) for levels in digits.images])
    return Split(images, torch.from_numpy(digits.target.astype(np.int64))), tuple(map(str, digits.target_names))


def _enlarged(levels: np.ndarray) -> UInt8[torch.Tensor, "1 h w"]:
    grey = np.rint(levels * (255 / MAX_LEVEL)).astype(np.uint8)
    return image_to_tensor(Image.fromarray(grey), image_size=IMAGE_SIZE, num_channels=1)

"""The embedded data set: 1,797 handwritten digits that come with scikit-learn, so it is there without any network.

Source: the test part of the UCI "Optical Recognition of Handwritten Digits" set (E. Alpaydin, C. Kaynak, 1998), as
`sklearn.datasets.load_digits` returns it: 8x8 pixels, levels 0 (background) to 16. Here images are uint8 [N,1,32,32]:
the levels times 255/16, rounded, enlarged by the bicubic filter that a folder of such images would go through.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from PIL import Image

from thumbnet.data.dataset import Source, Split
from thumbnet.data.hold_out import hold_out
from thumbnet.data.image_tensors import image_to_tensor
from thumbnet.data.source_splits import SourceSplits

IMAGE_SIZE = 32
FILE = "datasets/data/digits.csv.gz"  # in scikit-learn
SIDE, MAX_LEVEL = 8, 16  # of the images there
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
    table = _table()
    images = torch.stack([_enlarged(levels) for levels in table[:, :-1].reshape(-1, SIDE, SIDE)])
    return Split(images, torch.from_numpy(table[:, -1].astype(np.int64))), tuple(map(str, range(10)))


def _table() -> Float64[np.ndarray, "n 65"]:
    """The levels of each digit, row by row, then its label: scikit-learn's file, or what scikit-learn makes of it where
    that stands elsewhere; to import it takes a second, which no training need wait for."""
    package = find_spec("sklearn")
    assert package is not None, "scikit-learn is a dependency"
    try:
        return np.loadtxt(Path(*(package.submodule_search_locations or [])[:1], FILE), delimiter=",")
    except FileNotFoundError:
        from sklearn.datasets import load_digits

        return np.column_stack(load_digits(return_X_y=True))


def _enlarged(levels: np.ndarray) -> UInt8[torch.Tensor, "1 h w"]:
    grey = np.rint(levels * (255 / MAX_LEVEL)).astype(np.uint8)
    return image_to_tensor(Image.fromarray(grey), image_size=IMAGE_SIZE, num_channels=1)

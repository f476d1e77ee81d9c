"""The first fixed baseline: support vectors on oriented gradients and statistics of the levels, as before networks.

python -m own_pictures.hog_svm SIDE_OF_A_SET OUT

N. Dalal, B. Triggs: Histograms of oriented gradients for human detection (2005): 9 orientations without sign, cells of
8x8 pixels, blocks of 2x2 cells, normalised by L2-Hys; here of pictures resized to 64x64. Beside them each channel's
mean, deviation and histogram of 8 levels. A kernel of radial basis functions; its C is chosen on a fifth of the
training pictures. Above MAX_EXACT pictures the kernel is approximated (Nystroem) for a linear machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from own_pictures.folders import Part
from own_pictures.pictures import in_test

SIDE, CELL, NUM_ORIENTATIONS = 64, 8, 9
CLIP = 0.2  # of L2-Hys
SMALL = 1e-3  # so that an empty block is not divided by 0; gradients are of pixels in 0..1
COSTS = (1.0, 10.0, 100.0)
MAX_EXACT = 10_000
NUM_COMPONENTS = 2000
HELD_OUT = 0.2


def main(side: str, out: str) -> None:
    """Train and predict; OUT gets the predicted class of each test picture as JSON."""
    train, test = (Part.of(Path(side) / name) for name in ("train", "test"))
    Path(out).write_text(json.dumps({"predicted": predictions(train, test).tolist()}))


def predictions(train: Part, test: Part) -> Int64[np.ndarray, " n"]:
    """The classes of the test pictures, by a machine that is trained on the others."""
    features, labels = features_of(train.files), train.labels
    groups = [str(index) for index in range(len(labels))]
    held_out = np.array(in_test([str(label) for label in labels], groups, share=HELD_OUT))
    scores = []
    for cost in COSTS:
        machine = _machine(cost, len(labels)).fit(features[~held_out], labels[~held_out])
        scores.append(balanced_accuracy_score(labels[held_out], machine.predict(features[held_out])))
    best = COSTS[int(np.argmax(scores))]
    found: Int64[np.ndarray, " n"] = _machine(best, len(labels)).fit(features, labels).predict(features_of(test.files))
    return found


def _machine(cost: float, num_pictures: int) -> Any:
    if num_pictures <= MAX_EXACT:
        return make_pipeline(StandardScaler(), SVC(C=cost, gamma="scale", class_weight="balanced", cache_size=1000))
    # SVC's "scale" is 1 / (number of features x their variance), which is 1 after the scaler.
    nystroem = Nystroem(gamma=1 / NUM_FEATURES, n_components=NUM_COMPONENTS, random_state=0)
    linear = LinearSVC(C=cost, class_weight="balanced", random_state=0)
    return make_pipeline(StandardScaler(), nystroem, linear)


def features_of(files: Sequence[Path]) -> Float[np.ndarray, "n f"]:
    """A row for each picture."""
    return np.stack([_features(_read(file)) for file in files])


def _read(file: Path) -> UInt8[np.ndarray, "h w 3"]:
    with Image.open(file) as image:
        on_white = Image.new("RGBA", image.size, "white")
        on_white.alpha_composite(image.convert("RGBA"))
    return np.asarray(on_white.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _features(pixels: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " f"]:
    levels = pixels / 255
    statistics = [levels.mean(axis=(0, 1)), levels.std(axis=(0, 1))]
    statistics += [np.histogram(levels[..., channel], 8, (0, 1))[0] / levels[..., 0].size for channel in range(3)]
    grey = levels @ np.array([0.299, 0.587, 0.114])
    return np.concatenate([oriented_gradients(grey), *statistics])


def oriented_gradients(grey: Float[np.ndarray, "h w"]) -> Float[np.ndarray, " f"]:
    """Histograms of the gradients' directions in each block of 2x2 cells, normalised."""
    down, across = np.gradient(grey)
    size = np.hypot(down, across)
    place = (np.arctan2(down, across) % np.pi) / np.pi * NUM_ORIENTATIONS - 0.5
    lower = np.floor(place)
    share = place - lower  # of the upper of two neighbouring orientations
    num_cells = len(grey) // CELL
    cells = np.zeros((num_cells, num_cells, NUM_ORIENTATIONS))
    rows, columns = np.indices(grey.shape) // CELL
    for offset, weight in ((0, 1 - share), (1, share)):
        orientation = (lower.astype(int) + offset) % NUM_ORIENTATIONS
        np.add.at(cells, (rows, columns, orientation), size * weight)
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=-1)
    clipped = np.minimum(_normalised(blocks), CLIP)
    return _normalised(clipped).ravel()


def _normalised(blocks: Float[np.ndarray, "h w f"]) -> Float[np.ndarray, "h w f"]:
    normalised: Float[np.ndarray, "h w f"] = blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + SMALL**2)
    return normalised


NUM_FEATURES = (SIDE // CELL - 1) ** 2 * 4 * NUM_ORIENTATIONS + 3 * (2 + 8)


if __name__ == "__main__":
    main(*sys.argv[1:])

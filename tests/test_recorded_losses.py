"""The first steps of each recipe have the losses that were recorded, through PyTorch's layers on any processor.

tests/data/losses.json was written by benchmarks/ten_steps.py on an Intel Xeon with AVX-512, with random scheme 2.
On the same processor limited to SSE4.2 these losses differ by less than 2e-4 of themselves; with dropout, where a
rounding moves what is dropped, by less than 5e-3. Another shuffling, augmentation or optimizer moves them by more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RECORDED = json.loads((ROOT / "tests/data/losses.json").read_text())["cases"]
TOLERANCE = 1e-3
TOLERANCE_WITH_DROPOUT = 2e-2
WITH_DROPOUT = ("reference", "reference-albumentations")
WITH_AVERAGE = "thumb-20k, mixed and averaged"


@pytest.fixture(scope="module")
def ten_steps() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import ten_steps

        return ten_steps
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("key", RECORDED)
def test_the_first_steps_have_the_recorded_losses(ten_steps: Any, key: str) -> None:
    name = key.removesuffix(" (pytorch)")
    config = ten_steps.cases()[name].replace(batch_size=8, precision="float32", kernels="pytorch", device="cpu")
    images = ten_steps.random_images(ten_steps.NUM_VAL + 2 * config.batch_size)
    done = ten_steps.ten_steps(name, config, images, steps_per_epoch=2)
    kinds = ("losses", "val_losses") if name == WITH_AVERAGE else ("losses",)
    tolerance = TOLERANCE_WITH_DROPOUT if name in WITH_DROPOUT else TOLERANCE
    for kind in kinds:
        recorded = [float.fromhex(loss) for loss in RECORDED[key][kind]]
        assert [float.fromhex(loss) for loss in done[kind]] == pytest.approx(recorded, rel=tolerance)


def test_every_recipe_is_recorded(ten_steps: Any) -> None:
    assert {key.removesuffix(" (pytorch)") for key in RECORDED} == set(ten_steps.cases())

"""Exports to C of trained models, on CIFAR-10's test images."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from c_builds import fixed_program, write_sources
from thumbnet.data.sources import load_dataset
from thumbnet.export.c.measure import CHECK_SOURCE, compile_check
from thumbnet.export.c.reference import run_fixed
from thumbnet.export.c.source import fill
from thumbnet.export.reference import reference_logits
from thumbnet.trained.shippable import load_pretrained_shippable

pytestmark = pytest.mark.acceptance
NUM_IMAGES = {"thumb-20k": 10_000, "sprint": 2_500}  # of the latter every fourth: it is ten times as large


@pytest.mark.skipif("THUMBNET_DATA" not in os.environ, reason="THUMBNET_DATA has no CIFAR-10")
@pytest.mark.parametrize("name", NUM_IMAGES)
def test_the_compiled_program_on_test_images(name: str) -> None:
    """The integer reference's numbers to the bit; within 0.3 points of float, and the same class for 98 %."""
    shippable = load_pretrained_shippable(name)
    program = fixed_program(shippable)
    split = load_dataset("cifar10", allow_unverified=True).test
    some = slice(None, None, len(split) // NUM_IMAGES[name])
    images, labels = split.images.numpy()[some], split.labels.numpy()[some]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_sources(program, folder, "net", shippable.card.class_names)
        sources = {path.name: path.read_bytes() for path in folder.iterdir()}
        sources[CHECK_SOURCE] = fill(CHECK_SOURCE, name="net", NAME="NET").encode()
        compiled = compile_check(sources, folder, name="net", num_classes=10)
        assert compiled is not None
        logits, _ = compiled.run(images)
    np.testing.assert_array_equal(logits, run_fixed(program, images))
    predicted, original = logits.argmax(axis=1), reference_logits(shippable, images).argmax(axis=1)
    assert (predicted == original).mean() >= 0.98
    assert (predicted == labels).mean() >= (original == labels).mean() - 0.003

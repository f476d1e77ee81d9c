"""Networks in C: the integer reference's numbers for blocks of every kind, no warning, clean under sanitizers."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8

from c_builds import STRICT, Built, compile_all, fixed_program, needs, pixels_of, rows_of, write_main, write_sources
from random_exports import KINDS, random_dataset, request_of
from thumbnet.errors import ExportError
from thumbnet.export.c.plan import best_plan, last_row_seen
from thumbnet.export.c.reference import run_fixed
from thumbnet.export.c.source import PROBABILITY_ERROR
from thumbnet.export.request import softmax
from thumbnet.models.program_numpy import run_program
from thumbnet.trained.shippable import Shippable

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MORE_KINDS = {
    "odd pools": ("b8p b8p b8", False, (3, 15, 11), 4),
    "dilated": ("c8d3 c8d2 b8d3 b8pd2", False, (1, 15, 11), 3),
    "growing": ("b4 c6 b12 c20 b32s c40", False, (3, 9, 9), 4),
    "shrinking": ("c24 b12 c8 b4p c4 c4", True, (3, 12, 14), 4),
    "strided and pooled": ("b8s b8s c8s c8", False, (3, 24, 17), 4),
}
ALL_KINDS = {**KINDS, **MORE_KINDS}

PROBABILITIES = """
#include <stdio.h>
#include "many.h"
static int32_t logits[MANY_CLASSES];
static uint16_t probabilities[MANY_CLASSES];
int main(void)
{
    while (fread(logits, sizeof logits, 1, stdin) == 1) {
        many_probabilities(logits, probabilities);
        fwrite(probabilities, sizeof probabilities, 1, stdout);
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Networks:
    """A compiled program of one network of each kind, and pictures for each."""

    folder: Path
    built: dict[str, Built]
    shippables: dict[str, Shippable]
    images: dict[str, UInt8[np.ndarray, "n c h w"]]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = tmp_path_factory.mktemp("networks")
    built: dict[str, Built] = {}
    shippables: dict[str, Shippable] = {}
    images: dict[str, UInt8[np.ndarray, "n c h w"]] = {}
    for index, (kind, description) in enumerate(ALL_KINDS.items()):
        request = request_of(*description, folder / kind)
        program = fixed_program(request.shippable)
        built[kind] = Built(index, f"net{index}", program)
        shippables[kind], images[kind] = request.shippable, request.test.images[:10]
        write_sources(program, folder, f"net{index}", request.shippable.card.class_names)
    write_main(list(built.values()), folder)
    return Networks(folder, built, shippables, images)


@pytest.fixture(scope="module")
def compiled(networks: Networks) -> Networks:
    compile_all(networks.folder, "gcc", "-O0", *STRICT, *SANITIZE, "-o", "main")
    return networks


@needs("gcc")
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_compiled_program_gives_the_references_numbers(kind: str, compiled: Networks) -> None:
    one, images = compiled.built[kind], compiled.images[kind]
    extremes = np.stack([np.zeros_like(images[0]), np.full_like(images[0], 255)])
    images = np.concatenate([images, extremes])
    done = subprocess.run([compiled.folder / "main", str(one.index)], input=pixels_of(images), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = rows_of(done.stdout, one.program.num_classes)
    expected = run_fixed(one.program, images)
    np.testing.assert_array_equal(rows["logits"], expected)
    np.testing.assert_array_equal(rows["first"], expected.argmax(axis=1))
    exact = softmax(expected / 2.0**one.program.logit_bits)
    assert np.abs(rows["probabilities"] / 65535 - exact).max() <= PROBABILITY_ERROR


@needs("gcc")
def test_many_probabilities_of_next_to_nothing_add_up(networks: Networks, tmp_path: Path) -> None:
    few = networks.built["separable"].program
    rows = np.arange(1000) % few.num_classes
    scaling = replace(few.head_scaling, multipliers=few.head_scaling.multipliers[rows])
    program = replace(few, head=few.head[rows], head_scaling=scaling)
    write_sources(program, tmp_path, "many", [str(row) for row in range(len(rows))])
    (tmp_path / "main.c").write_text(PROBABILITIES)
    compile_all(tmp_path, "gcc", "-O0", *STRICT, *SANITIZE, "-o", "main")
    logits = np.zeros((5, len(rows)), "<i4")
    logits[:, 7] = np.array([0, 6, 8, 10.45, 20]) * 2.0**program.logit_bits
    done = subprocess.run([tmp_path / "main"], input=logits.tobytes(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    found = np.frombuffer(done.stdout, "<u2").reshape(logits.shape) / 65535
    assert np.abs(found - softmax(logits / 2.0**program.logit_bits)).max() <= PROBABILITY_ERROR


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_whole_numbers_agree_with_the_network(kind: str, networks: Networks) -> None:
    """On the images whose ranges were measured: beyond these, maps are clamped."""
    program, shippable = networks.built[kind].program, networks.shippables[kind]
    assert shippable.program is not None
    images = random_dataset(shippable.card.image_shape, program.num_classes).train.images.numpy()
    expected = run_program(shippable.program, images).logits
    found = run_fixed(program, images) / 2.0**program.logit_bits
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.1 * expected.std()


@needs("clang", "g++")
def test_no_warning_from_clang_and_no_header_that_cpp_refuses(networks: Networks) -> None:
    compile_all(networks.folder, "clang", *STRICT, "-fsyntax-only")
    headers = "\n".join(f'#include "{one.name}.h"' for one in networks.built.values())
    (networks.folder / "headers.cpp").write_text(headers)
    command = ["g++", *STRICT[1:], "-fsyntax-only", "headers.cpp"]
    done = subprocess.run(command, cwd=networks.folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_places_in_memory(networks: Networks) -> None:
    """Checked as the program goes: no row is written over one that was not read yet."""
    for one in networks.built.values():
        blocks = one.program.blocks
        plan = best_plan(blocks)
        for block, place in list(zip(blocks, plan.places, strict=True))[plan.num_streamed :]:
            assert place.source is not None
            assert place.target is not None
            read, written = (shape[0] * shape[2] for shape in (block.in_shape, block.out_shape))
            for row in range(block.out_shape[1]):
                end = place.target + (row + 1) * written
                next_read = last_row_seen(block, row) + 1
                assert next_read == block.in_shape[1] or end <= place.source + next_read * read
            ring_end = place.ring + place.ring_rows * block.in_shape[2] * block.ring_channels
            assert max(end, place.source + block.in_shape[1] * read) <= place.ring < ring_end <= plan.num_bytes


def test_weights_that_are_no_numbers_are_refused(networks: Networks) -> None:
    shippable = networks.shippables["plain"]
    assert shippable.program is not None
    head = np.full_like(shippable.program.head, np.nan)
    with pytest.raises(ExportError, match="infinity or NaN"):
        fixed_program(replace(shippable, program=replace(shippable.program, head=head)))

"""The pages' engine in WebAssembly and JavaScript agrees with NumPy; its compiled bytes are those of its source."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from html_scripts import HTML, EngineResult, needs_node, run_engine
from test_program import MEAN, STD, folded, with_statistics
from thumbnet.evaluation.saliency import saliency_maps
from thumbnet.export.html.halves import to_halves
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.export.request import softmax
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.pretrained import read_pretrained_weights
from thumbnet.models.program import Shape
from thumbnet.models.program_numpy import run_program
from thumbnet.models.sprint import SprintNet
from thumbnet.trained.shippable import load_pretrained_shippable

TOOL = Path(__file__).parent.parent / "tools" / "build_engine.py"
can_compile = shutil.which("clang") is not None and shutil.which("wasm-ld") is not None
needs_compiler = pytest.mark.skipif(not can_compile, reason="clang or wasm-ld is not installed")
CLANG_OF_ENGINE = "14.0.6"  # that engine.wasm was compiled with

CASES: list[tuple[type[BlockNet], str, Shape, int]] = [
    (SprintNet, "c8 c8x2 c16p", (3, 32, 32), 4),
    (BlockNet, "c8s c9 b10", (1, 13, 10), 100),
    (BlockNet, "b8 b8 b17p b17d2", (3, 48, 40), 2),
    (BlockNet, "b8s b8s b12sd2", (1, 7, 9), 3),
    (SprintNet, "c5d3 c5d2 b7d3x2", (3, 11, 6), 5),
    (BlockNet, "b8p b8p b8p b8p", (1, 9, 35), 4),
    (BlockNet, "c6p b33x2 c40x2", (3, 15, 15), 4),
    (BlockNet, "w4s2: b8 b8p", (3, 30, 23), 4),
    (SprintNet, "w7s7: c8s c8", (1, 66, 50), 3),
]
NUM_IMAGES = 2


def prepared(model: BlockNet) -> BlockNet:
    """The same model with filters that half precision can hold, as those are that come with the package; they are
    larger, too, so that what is in an image matters."""
    with torch.no_grad():
        model.whiten.weight.mul_(20)
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and not name.startswith("whiten"):
                parameter.copy_((4 * parameter).half().float())
    return model


@pytest.fixture(scope="module")
def networks() -> list[tuple[BlockNet, np.ndarray]]:
    """Networks with images for each."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    return [
        (
            prepared(with_statistics(made(model_class, words, in_channels=shape[0], num_classes=num_classes))),
            generator.integers(0, 256, (NUM_IMAGES, *shape), np.uint8),
        )
        for model_class, words, shape, num_classes in CASES
    ]


def made(model_class: type[BlockNet], words: str, *, in_channels: int, num_classes: int) -> BlockNet:
    """A network of blocks, which stand after a stem and a colon if it is another than the usual one."""
    stem, _, blocks = words.rpartition(": ")
    return model_class(stem=stem or None, blocks=blocks, in_channels=in_channels, num_classes=num_classes)


@pytest.fixture(scope="module")
def jobs(networks: list[tuple[BlockNet, np.ndarray]]) -> list[tuple[bytes, np.ndarray]]:
    """Their weights, and the images."""
    return [(program_to_bytes(folded(model, images.shape[1:])), images) for model, images in networks]


@pytest.fixture(scope="module", params=["wasm-simd", "javascript"])
def results(request: pytest.FixtureRequest, jobs: list[tuple[bytes, np.ndarray]]) -> list[EngineResult]:
    """What the engine makes of them, with WebAssembly and without."""
    results = run_engine(jobs, javascript=request.param == "javascript")
    assert {result.kind for result in results} == {request.param}
    return results


@needs_node
@pytest.mark.parametrize("index", range(len(CASES)))
def test_it_agrees_with_numpy_for_any_blocks(
    networks: list[tuple[BlockNet, np.ndarray]], results: list[EngineResult], index: int
) -> None:
    model, images = networks[index]
    expected = run_program(folded(model, images.shape[1:]), images).logits
    assert np.ptp(expected[0] - expected[1]) > 1e-3 * np.abs(expected).max(), "the images must make a difference"
    np.testing.assert_allclose(results[index].logits, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(results[index].probabilities, softmax(results[index].logits), atol=1e-6)


@needs_node
@pytest.mark.parametrize("index", range(len(CASES)))
def test_its_saliency_maps_are_those_of_the_report(
    networks: list[tuple[BlockNet, np.ndarray]], results: list[EngineResult], index: int
) -> None:
    model, images = networks[index]
    channels, num_classes = images.shape[1], results[index].logits.shape[1]
    for image, found in zip(images, results[index].maps, strict=True):
        repeated = torch.from_numpy(np.repeat(image[None], num_classes, axis=0))
        expected = saliency_maps(
            model, repeated, torch.arange(num_classes), mean=MEAN[:channels], std=STD[:channels], layer=last(model)
        )
        np.testing.assert_allclose(found, expected.maps.numpy(), atol=1e-3)


def last(model: BlockNet) -> str:
    """The path of its last block."""
    return f"blocks.{len(model.blocks) - 1}"


@needs_node
@pytest.mark.parametrize("name", ["sprint", "thumb-50k"])
def test_models_of_the_package_lose_nothing(name: str) -> None:
    """Their weights are of half precision before the norms are folded, and again after."""
    shippable = load_pretrained_shippable(name)
    assert shippable.program is not None
    assert shippable.export_data is not None
    weights, images = program_to_bytes(shippable.program), shippable.export_data.samples.images[:2]
    (result,) = run_engine([(weights, images)])
    np.testing.assert_allclose(result.logits, run_program(shippable.program, images).logits, atol=1e-4)
    assert len(weights) < 2.1 * sum(array.size for array in read_pretrained_weights(name).values())


def test_half_precision_finds_the_scales_that_it_was_multiplied_with() -> None:
    generator = np.random.default_rng(0)
    halves = generator.normal(size=(70, 30)).astype(np.float16).astype(np.float32)
    halves[3], halves[4, 1:] = 0, 0
    matrix = halves * generator.uniform(1e-6, 1e3, (70, 1)).astype(np.float32)
    found, scales = to_halves(matrix)
    np.testing.assert_allclose(found.astype(np.float32) * scales[:, None], matrix, rtol=3e-7)
    rounded, scales = to_halves(generator.normal(size=(70, 30)).astype(np.float32))
    assert np.abs(rounded).max() < 2


@needs_node
@needs_compiler
def test_the_compiled_engine_is_that_of_its_source(jobs: list[tuple[bytes, np.ndarray]], tmp_path: Path) -> None:
    """Byte for byte with the compiler that it was made with; with another one, what both compute is the same."""
    compiled = tmp_path / "engine.wasm"
    subprocess.run([sys.executable, TOOL, compiled], check=True)
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    if CLANG_OF_ENGINE in version:
        assert compiled.read_bytes() == (HTML / "engine.wasm").read_bytes(), "run tools/build_engine.py"
        return
    for one, other in zip(run_engine(jobs), run_engine(jobs, wasm=compiled), strict=True):
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-5, atol=1e-5 * np.abs(one.logits).max())

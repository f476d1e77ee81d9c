"""bench: what this machine does in a second, and what a recipe will take on it."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from thumbnet.bench import measure
from thumbnet.bench.layers import kernels_by_layer
from thumbnet.bench.measure import matrix_gflops, run_bench, time_recipe
from thumbnet.bench.report import Bench
from thumbnet.cli import main
from thumbnet.data.random_images import random_dataset
from thumbnet.errors import ConfigError
from thumbnet.kernels.choice import using_kernels
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.library import load_kernels
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.registry import create_model
from thumbnet.recipes import load_recipe
from thumbnet.training.processor import processor_kind
from thumbnet.training.progress import EpochPlan, StepReport
from thumbnet.training.watch import StepWatch


@contextmanager
def errors_kept(path: Path) -> Iterator[Path]:
    """What this process and those that it starts write to stderr, C++ or Python, goes to a file."""
    sys.stderr.flush()
    before = os.dup(2)
    with path.open("w") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield path
    finally:
        os.dup2(before, 2)
        os.close(before)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch, errors_kept(tmp_path_factory.mktemp("bench") / "stderr") as errors:
        patch.setattr(measure, "MATRIX_SIZES", (256, 512))
        patch.setenv("OMP_NUM_THREADS", "1")  # of the process that measures: two threads wait for each other, busily
        measured = run_bench(
            models=["sprint"], recipes=[], batch_size=4, precision="float32", device="cpu", say=said.append
        )
    assert "profiler" not in errors.read_text()
    assert said == ["matrix products ...", "model sprint ..."]
    return measured


def test_a_model_is_measured_forward_and_in_training(measured: Bench) -> None:
    (speed,) = measured.models
    assert (speed.model, speed.num_params, speed.precision) == ("sprint", 194_464, "float32")
    assert speed.forward_images_per_s > speed.training_images_per_s > 1
    assert speed.convolution_share is not None
    assert speed.rest_share is not None
    assert 0 < speed.data_share < 1
    assert 0 < speed.convolution_share < 1
    assert speed.data_share + speed.convolution_share + speed.rest_share == pytest.approx(1)
    assert speed.peak_memory_bytes > 100e6
    assert measured.matrix_gflops > 1
    assert measured.processor_kind == processor_kind()


def test_the_table_and_the_plain_values_say_the_same(measured: Bench) -> None:
    table = str(measured)
    values = json.loads(json.dumps(measured.to_dict()))
    assert f"{measured.matrix_gflops:,.0f} GFLOP/s" in table
    assert f"{values['models'][0]['training_images_per_s']:,.0f} images/s" in table
    assert "Recipes" not in table
    assert table.startswith(f"{measured.processor}, {measured.processor_kind}, ")
    layers = values["models"][0]["layers"]
    blocks = [f"blocks.{index}.conv" for index in range(len(layers) - 1)]
    assert [layer["name"] for layer in layers] == ["whiten", *blocks]
    assert f" {measured.models[0].num_ours} of {len(layers)}" in table
    listed = measured.layer_table().splitlines()[2:]
    assert [(line.split()[0], line.split()[-1]) for line in listed] == [
        (layer["name"], layer["kernels"]) for layer in layers
    ]


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
def test_the_layers_that_train_through_our_kernels_are_those_that_pytorch_does_not_compute() -> None:
    """In each number format as `fit` has it: seen by PyTorch's profiler, which names no layers but counts calls."""
    model = BlockNet(blocks="b16p c16d2 c32s c32p")
    images = torch.randn(2, 3, 16, 16)
    for dtype in (torch.float32, torch.bfloat16):
        layers = kernels_by_layer(model, load_kernels(), images, dtype=dtype)
        assert {layer.kernels for layer in layers[:1]} == {"frozen"}
        assert all(layer.kernels in ("ours", "PyTorch") for layer in layers[1:])
        assert [layer.kernels for layer in layers[1:3]] == ["ours", "ours"]  # a separable block's two
        assert layers[3].shape == "3x3, 16 to 16, 8x8, dilated by 2"
        assert layers[4].shape == "3x3, 16 to 32, 4x4, stride 2"
        copied = copy.deepcopy(model).train()
        with torch.autograd.profiler.profile() as profile, using_kernels(copied, load_kernels()):
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
                loss = copied(images.contiguous(memory_format=torch.channels_last)).sum()
            loss.backward()
        calls = sum(event.count for event in profile.key_averages() if event.key == "aten::convolution_backward")
        assert calls == sum(layer.kernels == "PyTorch" for layer in layers)
    by_pytorch = kernels_by_layer(model, None, images, dtype=torch.float32)
    assert {layer.kernels for layer in by_pytorch} == {"frozen", "PyTorch"}
    assert model.training
    assert model.blocks[0].norm.num_batches_tracked == 0


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
def test_a_network_without_blocks_trains_its_3x3_convolutions_through_our_kernels() -> None:
    model, images = create_model("dilated", seed=0), torch.randn(2, 3, 32, 32)
    layers = kernels_by_layer(model, load_kernels(), images, dtype=torch.float32)
    assert len(layers) == sum(isinstance(each, torch.nn.Conv2d) for each in model.modules())
    left = [layer.shape for layer in layers if layer.kernels == "PyTorch"]
    assert left[0] == "3x3, 3 to 32, 32x32"
    assert left[1:] == [shape for shape in (layer.shape for layer in layers) if shape.startswith("1x1")]
    assert "1x1, 64 to 64, 26x26, 64 groups" in left


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
def test_whose_kernels_run_is_seen_in_a_step_of_as_many_images(measured: Bench) -> None:
    """2 images would be too few for any, and 4 are for the smaller maps."""
    found = [layer.kernels for layer in measured.models[0].layers]
    assert found == ["frozen", "ours", "ours", "ours", "PyTorch", "PyTorch", "PyTorch"]
    images = torch.randn(128, 3, 32, 32)
    layers = kernels_by_layer(create_model("sprint"), load_kernels(), images, dtype=torch.float32)
    assert [layer.kernels for layer in layers] == ["frozen", *["ours"] * 6]


def test_a_recipes_time_adds_up_its_steps_at_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock by which a step takes 1, 2 and 3 s at the three sizes; 60 training images are fewer than are timed."""
    watched = []

    def seconds_per_step(watch: StepWatch, after: int, until: int) -> float:
        watched.append((after, until, len(watch.ends)))
        return until / measure.CPU_STEPS

    monkeypatch.setattr(measure, "NUM_IMAGES", 60)
    monkeypatch.setattr(StepWatch, "seconds_per_step", seconds_per_step)
    options = {"device": "cpu", "batch_size": 4, "epochs": 10, "val_fraction": 0.0, "precision": "float32"}
    settings = ["scales=[0.5, 0.75, 1]", "scale_starts=[0, 0.4, 0.8]"]
    recipe = time_recipe(load_recipe("sprint", options=options, settings=settings))
    assert recipe.num_steps == 150
    assert recipe.train_s == 60 * 1 + 60 * 2 + 30 * 3
    assert watched == [(2, 10, 30), (12, 20, 30), (22, 30, 30)]


def test_steps_are_watched_between_two_counts() -> None:
    watch = StepWatch()
    watch.ends = [(1, 10.0), (2, 11.0), (3, 11.5), (4, 12.0), (5, 90.0)]
    assert watch.seconds_per_step(2, 4) == 0.5
    watch.step_ends(StepReport(6, 12, 1.0, 0.5, 1.0, 3.0))
    assert watch.ends[-1][0] == 6


def test_steps_are_counted_over_epochs() -> None:
    watch = StepWatch()
    for num_steps in (1, 2, 1, 2):
        if num_steps == 1:
            watch.epoch_begins(EpochPlan(1, 2, 0.1, 20, 2))
        watch.step_ends(StepReport(num_steps, 10, 1.0, 0.5, 1.0, 100.0))
    assert [num_steps for num_steps, _ in watch.ends] == [1, 2, 3, 4]


def test_random_images_have_the_shape_that_is_asked_for() -> None:
    dataset = random_dataset(20, (1, 24, 32), 7)
    assert dataset.image_shape == (1, 24, 32)
    assert (len(dataset.train), dataset.num_classes) == (20, 7)


def test_matrix_products_are_counted_in_gflops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MATRIX_SIZES", (256, 512))
    assert 1 < matrix_gflops() < 1e6


@pytest.mark.parametrize(
    "arguments", [["--models", "nothing"], ["--recipes", "nothing"], ["--batch-size", "1"], ["--device", "mps"]]
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert "thumbnet: error:" in capsys.readouterr().err


def test_an_unknown_recipe_is_refused_before_anything_is_measured() -> None:
    said: list[str] = []
    with pytest.raises(ConfigError):
        run_bench(recipes=["nothing"], say=said.append)
    assert said == []


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
def test_the_profiler_names_what_our_kernels_compute() -> None:
    images = torch.randn(64, 3, 16, 16)
    model = create_model("sprint", seed=0, blocks="c16s c16 b16")
    alone = torch.nn.Conv2d(16, 16, 3, padding=1)
    kernels = load_kernels()
    with using_kernels(model, kernels), using_kernels(alone, kernels), torch.profiler.profile() as profile:
        model.train()(images).sum().backward()
        alone(torch.randn(64, 16, 16, 16)).sum().backward()
    named = {event.key for event in profile.key_averages() if measure.CONVOLUTION.fullmatch(event.key)}
    functions = ("Strided", "Plain", "Separable", "Convolution")
    assert named >= {f"{function}{end}" for function in functions for end in ("", "Backward")}

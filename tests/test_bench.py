"""bench: what this machine does in a second, and what a recipe will take on it."""

from __future__ import annotations

import json

import pytest

from thumbnet.bench import Bench, StepWatch, matrix_gflops, random_dataset, run_bench, time_recipe
from thumbnet.cli import main
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.training.progress import StepReport


@pytest.fixture(scope="module")
def bench() -> Bench:
    said: list[str] = []
    bench = run_bench(models=["sprint"], recipes=[], batch_size=16, precision="float32", device="cpu", say=said.append)
    assert said == ["matrix products ...", "model sprint ..."]
    return bench


def test_a_model_is_measured_forward_and_in_training(bench: Bench) -> None:
    (speed,) = bench.models
    assert (speed.model, speed.num_params) == ("sprint", 194_464)
    assert speed.forward_images_per_s > speed.training_images_per_s > 1
    assert speed.convolution_share is not None
    assert speed.rest_share is not None
    assert 0 < speed.data_share < 1
    assert 0 < speed.convolution_share < 1.5  # steps were timed twice, and the machine may be busy in between
    assert 0 <= speed.rest_share < 1
    assert speed.peak_memory_bytes > 100e6
    assert bench.matrix_gflops > 1


def test_the_table_and_the_plain_values_say_the_same(bench: Bench) -> None:
    table = str(bench)
    values = json.loads(json.dumps(bench.to_dict()))
    assert f"{bench.matrix_gflops:,.0f} GFLOP/s" in table
    assert f"{values['models'][0]['training_images_per_s']:,.0f} images/s" in table
    assert "Recipes" not in table


def test_a_recipes_time_adds_up_its_steps_at_each_size() -> None:
    options = {"device": "cpu", "batch_size": 16, "precision": "float32"}
    sprint = load_recipe("sprint", options=options)
    growing = time_recipe(sprint)
    full = time_recipe(sprint.replace(scales=(1.0,), scale_starts=(0.0,)))
    longer = time_recipe(sprint.replace(epochs=4 * sprint.epochs))
    assert growing.num_steps == full.num_steps == sprint.epochs * 3063  # 49,000 images, 16 a step, and a rest of 8
    assert growing.train_s < full.train_s
    assert longer.num_steps == 4 * growing.num_steps
    assert longer.train_s == pytest.approx(4 * growing.train_s, rel=0.6)


def test_steps_are_watched_between_two_counts() -> None:
    watch = StepWatch()
    watch.ends = [(1, 10.0), (2, 11.0), (3, 11.5), (4, 12.0), (5, 90.0)]
    assert watch.seconds_per_step(2, 4) == 0.5
    watch.step_ends(StepReport(6, 12, 1.0, 0.5, 1.0, 3.0))
    assert watch.ends[-1][0] == 6


def test_random_images_have_the_size_of_cifar10() -> None:
    dataset = random_dataset(20)
    assert dataset.image_shape == (3, 32, 32)
    assert (len(dataset.train), dataset.num_classes) == (20, 10)


def test_matrix_products_are_counted_in_gflops() -> None:
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

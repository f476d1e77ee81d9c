"""What no machine could do, or no file can hold, is refused at once, with what it would take."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from thumbnet.cli import main
from thumbnet.config import config_from_dict, config_from_toml, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, ModelError
from thumbnet.models.registry import create_model
from thumbnet.recipes import list_recipes, load_recipe
from thumbnet.runs.run import RunDir
from thumbnet.specs.pace import Pace
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.specs.schedules import OneCycle
from thumbnet.specs.toml_text import parse_setting, parse_toml
from thumbnet.training.course import Course
from thumbnet.training.fit import fit
from thumbnet.training.forecast import Forecast
from thumbnet.training.lr_finder import find_lr
from thumbnet.training.progress import Silent

REQUIRED: dict[str, Any] = {
    "recipe": "mine", "model": "resnet8", "epochs": 3, "lr": 0.1, "schedule": "one-cycle", "warmup_fraction": 0.2,
}  # fmt: skip
MUON = {"optimizer": "muon", "momentum": 0.6, "bias_lr": 0.1, "bias_momentum": 0.85, "head_lr": 1.0}
HUGE = "9" * 5000  # Python refuses to read or write so long a number in decimals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 10**12}, r"epochs is 1000000000000: .* years"),
        ({"min_steps": 10**15}, r"min_steps is 1000000000000000: .* years"),
        ({"image_size": 20_000}, r"image_size is 20000: .* GB"),
        ({"batch_size": 10**12}, "batch_size is 1000000000000"),
        ({"lr": 1e308}, r"lr is 1e\+308"),
        ({"weight_decay": 1e300}, r"weight_decay is 1e\+300"),
        ({"mixup": 1e300}, r"mixup is 1e\+300"),
        ({**MUON, "head_lr": 1e308}, r"head_lr is 1e\+308"),
        ({**MUON, "bias_lr": 1e308}, r"bias_lr is 1e\+308"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"split_seed": 2**64}, "split_seed is 18446744073709551616"),
        ({"cutout": 10**12}, "cutout is 1000000000000"),
        ({"recipe": "../../x"}, r"recipe is '\.\./\.\./x'"),
        ({"recipe": ".."}, r"recipe is '\.\.'"),
        ({"recipe": ""}, "recipe is ''"),
        ({"recipe": "a\\b"}, "recipe is "),
        ({"recipe": "a\x1b[2J"}, "recipe is "),
        ({"recipe": "r" * 200}, "recipe is "),
        ({"data": "folder:/pets/\udcff"}, "not UTF-8"),
        ({"exclude": "\udcff.csv"}, "not UTF-8"),
        ({"model_options": {"blocks": "\ud800"}}, "not UTF-8"),
    ],
)
def test_what_is_out_of_reach_is_refused_with_what_it_would_take(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config_from_dict({**REQUIRED, **change})
    assert caught.value.hint


def test_generous_values_are_taken() -> None:
    for change in (
        {"epochs": 10_000}, {"min_steps": 10_000_000}, {"image_size": 512}, {"lr": 1e30}, {"seed": 2**64 - 1},
        {"recipe": "my own-1.2"}, {"data": "folder:/Bilder/Grüße"}, {"data": "folder:/a\x01\n\x7fb"},
    ):  # fmt: skip
        config = config_from_dict({**REQUIRED, **change})
        assert config_from_toml(config_to_toml(config), name="it") == config


@pytest.mark.parametrize(
    "text",
    [f"epochs = {HUGE}", f"epochs = 0x{HUGE}", f"model_options = {{n = 0x{HUGE}}}", "epochs = " + "[" * 100_000],
    ids=["decimal", "hexadecimal", "an option", "nested"],
)
def test_toml_that_python_stumbles_over_is_refused(text: str, tmp_path: Path) -> None:
    recipe = load_recipe("quick")
    lines = [line for line in config_to_toml(recipe).splitlines() if not line.startswith("epochs")]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join([text, *lines]))
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(path))
    assert len(str(caught.value)) < 1000
    with pytest.raises(ConfigError):
        load_recipe("quick", settings=[text])


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(config_to_toml(load_recipe("sprint")), encoding="utf-8-sig")
    assert load_recipe(str(path)) == load_recipe("sprint")
    folder = RunDir(tmp_path)
    folder.write("config.toml", path.read_bytes())
    assert folder.read_config() == load_recipe("sprint")


def test_mutated_recipes_raise_nothing_of_others(tmp_path: Path) -> None:
    """Bytes of recipes deleted, doubled and replaced: a config, or a ConfigError."""
    rng = random.Random(0)
    path = tmp_path / "mine.toml"
    pieces = [
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b'"',
        b"[",
        b"{",
        b"=",
        b"1e999",
        b"nan",
        b"-",
        b"1979-05-27",
        b"'''",
        b"\n",
    ]
    for _ in range(60):
        content = bytearray(config_to_toml(load_recipe(rng.choice(list_recipes()))), "utf-8")
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            content[at : at + rng.randint(0, 4)] = rng.choice([*pieces, bytes(content[at : at + 9]), HUGE.encode()])
        path.write_bytes(content)
        try:
            load_recipe(str(path))
        except ConfigError:
            continue


def test_settings_of_other_types_are_refused() -> None:
    for setting in ("epochs=1979-05-27", "mean=[[1]]", "a.b.c=1", "model_options.a.b=1", f"lr={HUGE}", "flip=3"):
        with pytest.raises(ConfigError):
            load_recipe("quick", settings=[setting])
    assert parse_setting("data=folder:[a") == {"data": "folder:[a"}
    with pytest.raises(ConfigError, match="is not valid TOML"):
        parse_toml("a", name="it")


def test_the_notes_before_a_config_are_comments_whatever_is_in_them(tmp_path: Path) -> None:
    folder = RunDir(tmp_path)
    folder.write_config(load_recipe("quick"), note="Data: pets\x01\x7f\r in \udcff\x0bx\u2028y\x85z\nnext")
    assert folder.read_config() == load_recipe("quick")


def test_fit_refuses_what_would_take_for_ever(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12)
    with pytest.raises(ConfigError, match="epochs is 1000000000000"):
        fit(model, tiny_dataset, epochs=10**12, progress=Silent())


def test_images_of_a_side_that_no_network_takes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"image_size is 20000: .* GB"):
        load_dataset(f"folder:{tmp_path}", image_size=20_000)


class Told(Silent):
    def __init__(self) -> None:
        self.forecasts: list[float] = []

    def forecast(self, train_s: float) -> None:
        self.forecasts.append(train_s)


def growing_course(num_steps: int, *, full_size: tuple[int, int] = (64, 64)) -> Course:
    """Half of its steps are on images of half the height and width."""
    growth = ProgressiveResizing([0.5, 1.0], [0.0, 0.5])
    return Course(Pace(num_steps), 1, 1, 0.1, OneCycle(), growth, full_size)


def test_a_forecast_knows_growing_images_without_a_list_of_steps() -> None:
    """Half of the steps on images of a quarter of the area: they count a quarter."""
    num_steps = 10**15
    assert growing_course(num_steps).area_between(0, num_steps) == num_steps // 2 * (32 * 32 + 64 * 64)
    assert growing_course(8).area_between(3, 5) == 32 * 32 + 64 * 64
    assert growing_course(8).area_between(5, 5) == 0
    course = growing_course(7, full_size=(40, 64))
    for first, last in ((0, 7), (1, 3), (2, 6)):
        areas = [course.sides_at(step) for step in range(first, last)]
        assert course.area_between(first, last) == sum(h * w for h, w in areas)


def test_a_forecast_counts_the_pixels_that_are_still_to_come() -> None:
    told = Told()
    clock = itertools.count()  # a second between two looks at it: at the start, and at each step from the third on
    forecast = Forecast(
        told,
        growing_course(40).area_between,
        num_steps=40,
        first_step=0,
        now=lambda: float(next(clock)),
    )
    for step in range(10):
        forecast.step_ends(step)
    # Told after the sixth step, at 4 s, when three small steps took a second each: 14 more, and 20 of four times that.
    assert told.forecasts == [4 + 14 + 20 * 4]


def test_an_option_that_the_model_refuses_is_told_once() -> None:
    with pytest.raises(ModelError) as caught:
        create_model("sprint", blocks="zz9")
    assert str(caught.value).count("hint: ") == 1
    assert "zz9" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary", "resnet8", "--image-size", "20000"], "image_size is 20000"),
        (["graph", "resnet8", "--image-size", "1" + "0" * 30], "image_size is 1000"),
        (["summary", "resnet8", "--num-classes", "1000000000000"], "num_classes is 1000000000000"),
        (["graph", "dilated", "--num-classes", "1" + "0" * 30], "num_classes is 1000"),
        (["train", "--data", "digits", "--seeds", "1000000000000"], "seeds is 1000000000000"),
        (["data", "check", "--data", "digits", "--repeats", "1000000000000"], "repeats is 1000000000000"),
        (["data", "preview", "--data", "digits", "--seed", "1" + "0" * 30], "seed is 1000"),
        (["data", "preview", "--data", "digits", "--seed", "-1"], "seed is -1"),
    ],
)
def test_options_out_of_reach_are_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_rate_finder_takes_no_larger_batches_than_there_are_images(tiny_dataset: Dataset) -> None:
    model = create_model("sprint", num_classes=3, blocks="c8p", seed=0)
    sizes = []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    find_lr(model, tiny_dataset, batch_size=1_000_000, num_steps=20, device="cpu")
    assert set(sizes) == {len(tiny_dataset.train)}

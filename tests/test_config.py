"""config: fields are typed, ranged and cross-checked; TOML there and back is the same config."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbnet.config import TrainConfig, config_from_dict, config_from_toml, config_to_toml
from thumbnet.errors import ConfigError
from thumbnet.specs.optimizers import SGD
from thumbnet.specs.schedules import OneCycle
from thumbnet.specs.toml_text import parse_setting

REQUIRED = {
    "recipe": "mine",
    "model": "resnet8",
    "epochs": 3,
    "lr": 0.1,
    "schedule": "one-cycle",
    "warmup_fraction": 0.2,
}


def test_config_round_trips_through_toml() -> None:
    config = config_from_dict(
        {**REQUIRED, "mean": [0.1, 0.2, 0.3], "std": [1, 0.5, 0.25], "model_options": {"dropout": 0.05}, "flip": False}
    )
    assert config.std == (1.0, 0.5, 0.25)
    assert config_from_toml(config_to_toml(config), name="it") == config


@given(
    lr=st.floats(1e-8, 10),
    epochs=st.integers(1, 1000),
    momentum=st.floats(0, 0.999),
    val_fraction=st.floats(0, 0.5),
    flip=st.sampled_from([True, False, "auto"]),
)
def test_any_valid_config_round_trips(**fields: Any) -> None:
    config = config_from_dict({**REQUIRED, **fields})
    assert config_from_toml(config_to_toml(config), name="it") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"epochs": True}, "epochs is True"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": "fast"}, "lr is 'fast'"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov is true"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"val_fraction": 0.6}, "val_fraction"),
        ({"image_size": 2}, "image_size"),
        ({"seed": -1}, "seed is -1"),
        ({"split_seed": -1}, "split_seed"),
        ({"flip": "sometimes"}, "flip is 'sometimes'"),
        ({"flip": False, "alternating_flip": True}, "alternating_flip is true but flip is false"),
        ({"augmentation": "none", "alternating_flip": True}, "augmentation is 'none', which flips nothing"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"mean": [0.5]}, "only one of mean and std"),
        ({"mean": [0.5], "std": [0.0]}, "std is"),
        ({"mean": [125.3], "std": [0.2]}, "mean is"),
        ({"mean": [float("nan")], "std": [0.2]}, "mean is"),
        ({"mean": [0.5], "std": [63.0]}, "std is"),
        ({"mean": "grey", "std": [1.0]}, "mean is 'grey'"),
        ({"gamma": 0.1}, "gamma is given"),
        ({"warmup_fraction": 1.0}, "warmup_fraction"),
        ({"model_options": 3}, "model_options is 3"),
        ({"momentun": 0.9}, "unknown field 'momentun'"),
    ],
)
def test_bad_fields_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config_from_dict({**REQUIRED, **change})
    assert caught.value.hint


def test_schedules_need_their_own_fields() -> None:
    without = {name: value for name, value in REQUIRED.items() if name != "warmup_fraction"}
    assert config_from_dict(without).schedule == OneCycle()
    with pytest.raises(ConfigError, match="needs step_epochs"):
        config_from_dict({**without, "schedule": "step", "gamma": 0.1})
    with pytest.raises(ConfigError, match="num_drops"):
        config_from_dict({**without, "schedule": "step", "gamma": 0.1, "step_epochs": 1, "num_drops": 0})


def test_missing_fields_are_named() -> None:
    with pytest.raises(ConfigError, match="missing: model, lr"):
        config_from_dict({"recipe": "mine", "epochs": 1, "schedule": "one-cycle"})


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("momentum=0.95", {"momentum": 0.95}),
        ("nesterov=true", {"nesterov": True}),
        ("flip=auto", {"flip": "auto"}),
        ("augmentation=crop-flip", {"augmentation": "crop-flip"}),
        ("mean=[0.5, 0.5]", {"mean": [0.5, 0.5]}),
        ("model_options.dropout=0", {"model_options": {"dropout": 0}}),
        ("data=folder:a=b", {"data": "folder:a=b"}),
        ("costs.bad one=5", {"costs": {"bad one": 5}}),
        ('costs."St. Bernard"=5', {"costs": {"St. Bernard": 5}}),
        ('class_weights."a=b.c"=2', {"class_weights": {"a=b.c": 2}}),
    ],
)
def test_settings_are_toml_or_bare_words(setting: str, expected: dict[str, Any]) -> None:
    assert parse_setting(setting) == expected


@pytest.mark.parametrize("setting", ["momentum", "=3", ""])
def test_settings_without_key_or_value_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_setting(setting)


def test_replace_checks_anew() -> None:
    config = TrainConfig(recipe="x", model="y", epochs=1, optimizer=SGD(lr=0.1), schedule=OneCycle(0.0))
    with pytest.raises(ConfigError):
        config.replace(epochs=0)


def test_config_and_cli_import_no_torch() -> None:
    code = "import thumbnet.cli, thumbnet.config, sys; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

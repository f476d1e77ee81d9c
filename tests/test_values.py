"""A training's values: spelled once, checked by themselves, read by their old names, typed up to the first step."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest

import thumbnet
from scripts import ROOT
from thumbnet.config import config_from_dict, config_to_dict
from thumbnet.errors import ConfigError
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective
from thumbnet.specs.optimizers import SGD, Muon
from thumbnet.specs.plain import checked
from thumbnet.specs.schedules import Cosine, OneCycle, StepSchedule
from thumbnet.training.fit import fit

SOURCE = Path(thumbnet.__file__).parent
RECIPE: dict[str, object] = {"recipe": "x", "model": "resnet8", "epochs": 1, "lr": 0.1, "schedule": "one-cycle"}
MUON: dict[str, Any] = {"lr": 0.1, "bias_lr": 0.2, "bias_momentum": 0.8, "head_lr": 0.3}


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (SGD, {"lr": 0.0}, "lr is 0.0"),
        (SGD, {"lr": 0.1, "momentum": 1.0}, "momentum is 1.0"),
        (SGD, {"lr": 0.1, "momentum": 0.0, "nesterov": True}, "nesterov is true but momentum is 0"),
        (Muon, {**MUON, "bias_momentum": -0.1}, "bias_momentum is -0.1"),
        (StepSchedule, {"step_epochs": 0, "gamma": 0.1}, "step_epochs is 0"),
        (StepSchedule, {"step_epochs": 1, "gamma": 1.5}, "gamma is 1.5"),
        (OneCycle, {"warmup_fraction": 1.0}, "warmup_fraction is 1.0"),
        (Cosine, {"warmup_fraction": float("nan")}, "warmup_fraction is nan"),
        (Inputs, {"cutout": -1}, "cutout is -1"),
        (Inputs, {"augmentation": "blur"}, "unknown augmentation policy 'blur'"),
        (Inputs, {"augmentation": [], "cutout": 3}, "given one by one"),
        (Inputs, {"alternating_flip": True, "flip": False}, "alternating_flip is true but flip is false"),
        (Inputs, {"scales": (0.5,)}, "scales go from 0.5 to 0.5"),
        (Objective, {"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        (Objective, {"teacher_weight": 0.5}, "teacher_weight is given, but there is no teacher"),
        (Engine, {"device": "tpu"}, "device is 'tpu'"),
        (Engine, {"kernels": "cuda"}, "kernels is 'cuda'"),
    ],
)
def test_a_value_refuses_what_does_not_fit(kind: type, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**fields)


def test_a_recipes_fields_are_those_of_its_values() -> None:
    config = config_from_dict({**RECIPE, "optimizer": "muon", **MUON, "scales": [0.5, 1], "scale_starts": [0, 0.5]})
    assert config.optimizer == Muon(**MUON)
    assert (config.schedule, config.inputs.scales, config.objective) == (OneCycle(), (0.5, 1.0), Objective())
    assert config_from_dict(config_to_dict(config)) == config
    changed = config.replace(
        optimizer=SGD(lr=0.5, nesterov=True), schedule=Cosine(0.1), engine=Engine(kernels="pytorch")
    )
    assert (changed.optimizer, changed.schedule) == (SGD(lr=0.5, nesterov=True), Cosine(0.1))
    assert changed.replace(kernels="auto", mixup=0.2).objective == Objective(mixup=0.2)
    assert config_from_dict(config_to_dict(changed)) == changed


def test_old_names_and_what_old_runs_kept_are_read() -> None:
    old = {**RECIPE, "optimizer": "muon", "lr": 0.1, "vector_lr": 0.2, "vector_momentum": 0.8, "head_lr": 0.3}
    off = {"nesterov": False, "weight_decay": 0.0}  # which configs held for every optimizer
    assert config_from_dict({**old, **off}).optimizer == Muon(**MUON)
    with pytest.raises(ConfigError, match="bias_lr is given twice"):
        config_from_dict({**old, "bias_lr": 0.2})
    with pytest.raises(ConfigError, match="weight_decay is given, but optimizer is 'muon'"):
        config_from_dict({**old, "weight_decay": 0.1})
    kept = (ROOT / "docs/results/teacher/config.toml").read_text()
    assert "vector_lr" in kept
    config = thumbnet.load_recipe(str(ROOT / "docs/results/teacher/config.toml"))
    assert config.optimizer == thumbnet.load_recipe("teacher").optimizer
    with_old_name = thumbnet.load_recipe("sprint", settings=["vector_lr=0.3"])
    assert isinstance(with_old_name.optimizer, Muon)
    assert with_old_name.optimizer.bias_lr == 0.3


def test_fit_has_at_most_sixteen_parameters_each_with_a_type() -> None:
    parameters = inspect.signature(fit).parameters.values()
    hints = get_type_hints(inspect.unwrap(fit))
    assert len(parameters) <= 16
    assert not [each for each in parameters if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    assert all(hints[each.name] is not Any for each in parameters)


def test_training_stands_beside_evaluation_not_on_it() -> None:
    for above, below in (("training", "evaluation"), ("evaluation", "training")):
        for path in (SOURCE / above).rglob("*.py"):
            assert f"thumbnet.{below}" not in path.read_text(), path


def test_values_import_no_torch() -> None:
    modules = [f"thumbnet.specs.{path.stem}" for path in (SOURCE / "specs").glob("[a-z]*.py")]
    code = (
        f"import sys, importlib\nfor name in {modules}: importlib.import_module(name)\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("hint", "given", "expected"),
    [
        (tuple[float, ...], [0, 0.5], (0.0, 0.5)),
        (tuple[int, ...], [3, 40], (3, 40)),
        (tuple[str, ...], ["model", "epochs"], ("model", "epochs")),
        (int | Literal["auto"] | tuple[int, ...], [96, 128], (96, 128)),
    ],
)
def test_a_list_holds_items_of_its_type(hint: Any, given: list[Any], expected: tuple[Any, ...]) -> None:
    found = checked("field", given, hint)
    assert found == expected
    assert isinstance(found, tuple)
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("hint", "given", "words"),
    [
        (tuple[int, ...], [3, 4.5], "a whole number"),
        (tuple[str, ...], ["a", 1], "a text"),
        (tuple[int, ...], 3, "a list of whole numbers"),
        (tuple[float, ...], "3", "a list of numbers"),
        (tuple[str, ...], "a", "a list of texts"),
    ],
)
def test_a_list_of_another_type_is_refused(hint: Any, given: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked("field", given, hint)
    assert caught.value.hint == f"field must be {words}"

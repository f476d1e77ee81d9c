"""A model, an optimizer, a schedule and a policy from outside the package: by a call, and by an installed package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import thumbnet
from fitting import fit_flat
from plugins import install_plugin
from thumbnet.augment import HorizontalFlip, RandomCrop, create_policy
from thumbnet.config import config_from_toml, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, ModelError
from thumbnet.training.state import TrainingState

pytestmark = pytest.mark.usefixtures("own_things")


@dataclass(frozen=True, kw_only=True)
class Adam(thumbnet.Optimizer):
    beta: float = 0.9
    decays: bool = False

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=self.lr, betas=(self.beta, 0.999))


@dataclass(frozen=True)
class Linear(thumbnet.Schedule):
    to: float = 0.0

    def factor(self, step: int, *, num_steps: int, steps_per_epoch: int) -> float:
        return 1 + (self.to - 1) * step / num_steps


def tiny_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(432, 3))


def test_an_optimizer_is_one_class_and_one_registration(tiny_dataset: Dataset) -> None:
    thumbnet.register_optimizer("adam", Adam)
    config = thumbnet.load_recipe("quick", settings=["optimizer=adam", "lr=0.01", "beta=0.5"])
    assert config.optimizer == Adam(lr=0.01, beta=0.5)
    assert config_from_toml(config_to_toml(config), name="it") == config
    ours, plain = tiny_net(), tiny_net()
    states: list[TrainingState] = []
    flat = {"optimizer": "adam", "lr": 0.01, "beta": 0.5, "batch_size": 32, "device": "cpu", "augmentation": "none"}
    result = fit_flat(ours, tiny_dataset, epochs=2, **flat, schedule=Linear(1.0), on_epoch_end=states.append)
    assert result.history[-1].train_loss < result.history[0].train_loss
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01, betas=(0.5, 0.999))
    assert [group["betas"] for group in states[0].optimizer["param_groups"]] == [(0.5, 0.999)]
    assert states[0].optimizer["param_groups"][0]["lr"] == optimizer.param_groups[0]["lr"]
    resumed = tiny_net()
    fit_flat(resumed, tiny_dataset, epochs=2, **flat, schedule=Linear(1.0), resume_from=states[0])
    assert all(a.equal(b) for a, b in zip(ours.parameters(), resumed.parameters(), strict=True))


def test_what_the_optimizer_of_a_recipe_does_not_have_is_refused() -> None:
    thumbnet.register_optimizer("adam", Adam)
    for settings, message in (
        (["optimizer=adam", "weight_decay=0.1"], "weight_decay is given, but optimizer is 'adam'"),
        (["beta=0.5"], "beta is given, but optimizer is 'sgd'"),
        (["optimizer=adam", "beta=fast"], "beta is 'fast'"),
        (["optimizer=adam", "gamma=0.5"], "gamma is given, but schedule is 'one-cycle'"),
        (["optimizer=adam", "betta=0.5"], "unknown field 'betta'"),
    ):
        with pytest.raises(ConfigError, match=message):
            thumbnet.load_recipe("quick", settings=settings)


def test_classes_that_cannot_be_optimizers_or_schedules_are_refused() -> None:
    class Bare(thumbnet.Optimizer):
        pass

    @dataclass(frozen=True, kw_only=True)
    class Unbuilt(thumbnet.Optimizer):
        pass

    @dataclass(frozen=True, kw_only=True)
    class Seeded(Adam):
        seed: int = 0

    for kind, message in ((Bare, "no dataclass"), (Unbuilt, "does not say how it is built")):
        with pytest.raises(ConfigError, match=message):
            thumbnet.register_optimizer("mine", kind)  # type: ignore[arg-type]

    class Falling(thumbnet.Schedule):
        def factor(self, step: int, *, num_steps: int, steps_per_epoch: int) -> float:
            return 1 - step / num_steps

    with pytest.raises(ConfigError, match="no dataclass"):
        thumbnet.register_schedule("mine", Falling)
    thumbnet.register_optimizer("seeded", Seeded)
    with pytest.raises(ConfigError, match="both Seeded and TrainConfig have a field 'seed'"):
        thumbnet.load_recipe("quick", settings=["optimizer=seeded"])
    with pytest.raises(ConfigError, match="of no registered optimizer"):
        thumbnet.load_recipe("quick").replace(optimizer=Adam(lr=0.1))


def test_a_schedule_is_one_class_and_one_registration(tiny_dataset: Dataset) -> None:
    thumbnet.register_schedule("linear", Linear)
    config = thumbnet.load_recipe("sprint", settings=["schedule=linear", "to=0.25"])
    assert config.schedule == Linear(0.25)
    assert config_from_toml(config_to_toml(config), name="it") == config
    result = fit_flat(tiny_net(), tiny_dataset, epochs=2, batch_size=48, lr=0.01, schedule=config.schedule)
    assert result.history.column("lr") == pytest.approx([0.01 * (1 - 0.75 / 4), 0.01 * (1 - 0.75 * 3 / 4)])


def test_a_policy_is_flipped_after_its_crop_and_named_in_a_recipe() -> None:
    policy = thumbnet.Policy(build=lambda mean: [RandomCrop(2)], begins_with_crop=True)
    thumbnet.register_policy("mine", policy)
    assert thumbnet.load_recipe("quick", settings=["augmentation=mine"]).inputs.augmentation == "mine"
    assert create_policy("mine", flip=True, mean=(0.5,)) == (RandomCrop(2), HorizontalFlip())
    config = thumbnet.load_recipe("quick", settings=["augmentation=mine", "teacher=runs/x"])
    assert config.objective.teacher == "runs/x"
    thumbnet.register_policy("mine", thumbnet.Policy(build=policy.build), replace=True)
    with pytest.raises(ConfigError, match="begins_with_crop=False"):
        create_policy("mine", flip=True, mean=(0.5,))
    with pytest.raises(ConfigError, match="a teacher is given, but augmentation is 'mine'"):
        thumbnet.load_recipe("quick", settings=["augmentation=mine", "teacher=runs/x"])
    with pytest.raises(ConfigError, match="unknown augmentation policy 'yours'"):
        thumbnet.load_recipe("quick", settings=["augmentation=yours"])


def test_a_model_is_made_with_its_options() -> None:
    def flat(*, num_classes: int, in_channels: int, hidden: int = 8) -> nn.Module:
        """One hidden layer."""
        layers = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * in_channels, hidden), nn.SiLU()]
        return nn.Sequential(*layers, nn.Linear(hidden, num_classes))

    thumbnet.register_model("flat", flat)
    model = thumbnet.create_model("flat", num_classes=3, in_channels=1, hidden=5)
    assert model(torch.zeros(2, 1, 9, 9)).shape == (2, 3)
    assert "flat" in thumbnet.list_models()
    with pytest.raises(ModelError, match="no option 'width'"):
        thumbnet.create_model("flat", width=5)
    with pytest.raises(ConfigError, match="does not take in_channels"):
        thumbnet.register_model("half", lambda num_classes: nn.Identity())
    thumbnet.register_model("none", lambda num_classes, in_channels: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match=r"is no torch\.nn\.Module"):
        thumbnet.create_model("none")


def test_an_installed_package_brings_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from dataclasses import dataclass
import thumbnet, torch
from torch import nn
from thumbnet.augment import RandomCrop

@dataclass(frozen=True, kw_only=True)
class Adam(thumbnet.Optimizer):
    beta: float = 0.9
    def build(self, model): return torch.optim.Adam(model.parameters(), lr=self.lr)

@dataclass(frozen=True)
class Constant(thumbnet.Schedule):
    level: float = 1.0
    def factor(self, step, *, num_steps, steps_per_epoch): return self.level

class Flat(nn.Sequential):
    def __init__(self, *, num_classes, in_channels):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))

MINE = thumbnet.Policy(build=lambda mean: [RandomCrop(3)], begins_with_crop=True)
"""
    groups = {
        "thumbnet.optimizers": {"adam": "Adam"},
        "thumbnet.schedules": {"constant": "Constant"},
        "thumbnet.policies": {"mine": "MINE"},
        "thumbnet.models": {"flat": "Flat"},
    }
    install_plugin(tmp_path, monkeypatch, groups, code)
    settings = ["optimizer=adam", "lr=0.01", "beta=0.8", "schedule=constant", "level=0.5", "augmentation=mine"]
    config = thumbnet.load_recipe("quick", options={"model": "flat"}, settings=settings)
    assert (config.optimizer.lr, config.schedule.factor(0, num_steps=1, steps_per_epoch=1)) == (0.01, 0.5)
    assert config_from_toml(config_to_toml(config), name="it") == config
    assert create_policy("mine", flip=False, mean=(0.5,)) == (RandomCrop(3),)
    assert thumbnet.create_model(config.model)(torch.zeros(1, 3, 4, 4)).shape == (1, 10)


def test_an_installed_package_brings_an_export_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from thumbnet import ExportFormat, ExportResult

def write(request):
    request.out.write_text(request.shippable.name)
    return ExportResult("name", request.out, (request.out,), 9, ())

name = ExportFormat(purpose="the name alone", writer=write, suffix=".txt")
"""
    install_plugin(tmp_path, monkeypatch, {"thumbnet.export_formats": {"name": "name"}}, code)
    assert thumbnet.export_model("thumb-20k", "name", out=tmp_path / "a.txt").path.read_text() == "thumb-20k"
    with pytest.raises(ConfigError, match="one of thumbnet's own"):
        thumbnet.register_export_format("onnx", thumbnet.ExportFormat(purpose="", writer="", suffix=""))

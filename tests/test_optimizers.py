"""Muon and the choice of an optimizer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from thumbnet.config import config_from_dict
from thumbnet.errors import ConfigError
from thumbnet.models.registry import create_model
from thumbnet.recipes import load_recipe
from thumbnet.specs.optimizers import SGD, Muon
from thumbnet.training.optimizers import MuonOptimizer, build_optimizer, orthogonalise

MUON = {"lr": 0.2, "momentum": 0.6, "bias_lr": 0.1, "bias_momentum": 0.85, "head_lr": 1.0}


@pytest.mark.parametrize("shape", [(8, 40), (40, 8)])
def test_orthogonalise_brings_singular_values_near_one_and_keeps_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.linalg.matrix_norm(result - left @ right) < 0.35 * min(shape) ** 0.5


def test_muon_takes_filters_and_leaves_the_rest_to_sgd() -> None:
    model = create_model("sprint", seed=0)
    optimizer = build_optimizer(Muon(**MUON), model)
    filters, vectors, heads = (group["params"] for group in optimizer.param_groups)
    assert all(parameter.ndim == 4 for parameter in filters)
    assert len(filters) == 6
    assert all(parameter.ndim == 1 for parameter in vectors)
    assert [tuple(parameter.shape) for parameter in heads] == [(10, 104)]


def test_plain_groups_equal_sgd_with_nesterov_momentum() -> None:
    ours, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    muon = MuonOptimizer([{"params": [ours], "lr": 0.1, "momentum": 0.9, "orthogonal": False}])
    sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, nesterov=True)
    for step in range(4):
        for parameter, optimizer in ((ours, muon), (theirs, sgd)):
            parameter.grad = torch.arange(5.0) + step
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_a_filter_keeps_its_norm_but_for_the_step() -> None:
    weight = nn.Parameter(torch.randn(8, 4, 3, 3))
    muon = MuonOptimizer([{"params": [weight], "lr": 1e-6, "momentum": 0.6, "orthogonal": True}])
    weight.grad = torch.randn_like(weight)
    muon.step()
    assert weight.norm().item() == pytest.approx(8**0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "adam"}, "unknown optimizer 'adam'"),
        ({"bias_lr": 0.1}, "bias_lr is given, but optimizer is 'sgd'"),
        ({"optimizer": "muon", "bias_lr": 0.1}, "optimizer 'muon' needs bias_momentum and head_lr"),
        ({"optimizer": "muon", **MUON, "nesterov": True}, "nesterov is given, but optimizer is 'muon'"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, float | str], message: str) -> None:
    recipe = {"recipe": "x", "model": "resnet8", "epochs": 1, "lr": 0.1, "schedule": "one-cycle"}
    with pytest.raises(ConfigError, match=message):
        config_from_dict({**recipe, **fields})


def test_muon_is_refused_for_a_model_without_a_linear_layer() -> None:
    with pytest.raises(ConfigError, match="linear layer"):
        build_optimizer(Muon(**MUON), create_model("dilated"))


def test_orthogonalise_leaves_what_is_near_zero_small() -> None:
    result = orthogonalise(torch.diag(torch.tensor([1.0, 0.5, 0.1, 1e-4])))
    values = result.diagonal()
    assert values[:3].min() > 0.5
    assert values[:3].max() < 1.3
    assert values[3] < 0.05


@pytest.mark.parametrize(
    "settings",
    [
        ["bias_lr=0.1"],
        ["optimizer=muon"],
        [*(f"{k}={v}" for k, v in MUON.items()), "optimizer=muon", "nesterov=true"],
    ],
)
def test_a_recipe_with_fields_of_another_optimizer_is_refused(settings: list[str]) -> None:
    with pytest.raises(ConfigError):
        load_recipe("quick", settings=["nesterov=false", "weight_decay=0", *settings])


def test_sprint_takes_sgd_when_told() -> None:
    config = load_recipe("sprint", options={"optimizer": "sgd"})
    assert config.optimizer == SGD(lr=0.2)

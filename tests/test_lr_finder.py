"""find_lr: a number that trains, from a trial that leaves no trace."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from fitting import fit_flat
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, TrainingError
from thumbnet.models.registry import create_model
from thumbnet.specs.optimizers import Muon
from thumbnet.training.lr_finder import DIVERGED, SKIPPED_FIRST, SKIPPED_LAST, find_lr, suggest_lr


def test_the_rate_found_trains_the_model(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    trial = find_lr(model, tiny_dataset, num_steps=60, batch_size=32, device="cpu")
    assert 1e-3 < trial.suggestion < 2
    assert trial.suggestion in trial.rates
    result = fit_flat(model, tiny_dataset, epochs=4, batch_size=16, lr=trial.suggestion, device="cpu")
    assert result.history[-1].train_loss < math.log(3) / 2


def test_model_and_random_state_stay_as_they_are(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    first = find_lr(model, tiny_dataset, num_steps=30, batch_size=8, device="cpu", seed=4)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.get_rng_state().equal(random_state)
    assert find_lr(model, tiny_dataset, num_steps=30, batch_size=8, device="cpu", seed=4) == first


def test_the_trial_stops_where_the_loss_diverges(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    trial = find_lr(model, tiny_dataset, num_steps=100, max_lr=1e6, batch_size=8, device="cpu")
    assert len(trial.rates) < 100
    assert len(trial.rates) == len(trial.losses) == len(trial.smoothed_losses)
    assert trial.smoothed_losses[-1] > DIVERGED * min(trial.smoothed_losses)
    assert all(smoothed <= DIVERGED * min(trial.smoothed_losses) for smoothed in trial.smoothed_losses[:-1])


def test_the_steepest_fall_is_the_answer_and_the_ends_do_not_count() -> None:
    lrs = np.geomspace(1e-4, 10, 101).tolist()
    falling = 1 / (1 + np.exp(4 * (np.log10(lrs) + 1.5)))  # steepest at 10^-1.5
    assert suggest_lr(lrs, falling.tolist()) == pytest.approx(10**-1.5, rel=0.2)
    spoilt = falling.copy()
    spoilt[: SKIPPED_FIRST - 1] += np.linspace(100, 0, SKIPPED_FIRST - 1)
    spoilt[len(spoilt) - SKIPPED_LAST + 1 :] -= 100
    assert suggest_lr(lrs, spoilt.tolist()) == suggest_lr(lrs, falling.tolist())


def test_hopeless_trials_are_errors() -> None:
    lrs = np.geomspace(1e-4, 1, 40).tolist()
    with pytest.raises(TrainingError, match="no learning rate"):
        suggest_lr(lrs, np.linspace(1, 2, 40).tolist())
    with pytest.raises(TrainingError, match="diverged after 5 steps"):
        suggest_lr(lrs[:5], [1.0] * 5)


def test_rates_and_steps_are_checked(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12)
    for arguments in ({"min_lr": 1.0, "max_lr": 0.1}, {"min_lr": 0.0}, {"num_steps": 5}):
        with pytest.raises(ConfigError, match="cannot try"):
            find_lr(model, tiny_dataset, **arguments)  # type: ignore[arg-type]


def test_muons_other_rates_keep_their_ratio(tiny_dataset: Dataset) -> None:
    model = create_model("sprint", num_classes=3, seed=0)
    muon = Muon(lr=0.2, momentum=0.6, bias_lr=0.1, bias_momentum=0.85, head_lr=1.0)
    doubled = dataclasses.replace(muon, lr=0.4, bias_lr=0.2, head_lr=2.0)
    still = dataclasses.replace(muon, bias_lr=1e-9, head_lr=1e-9)
    trial, again, other = (
        find_lr(model, tiny_dataset, max_lr=1.0, num_steps=40, batch_size=16, optimizer=optimizer, device="cpu")
        for optimizer in (muon, doubled, still)
    )
    assert again == trial  # only the ratios count
    assert other != trial

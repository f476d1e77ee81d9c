"""Our recipes at the same budgets: `thumbnet train` with as many epochs as fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import check_kept

from peers.plan import fitting_epochs
from thumbnet.bench.measure import time_recipe
from thumbnet.config import config_to_toml
from thumbnet.data.random_images import random_dataset
from thumbnet.recipes import load_recipe
from thumbnet.runs.environment import environment_of
from thumbnet.runs.parts import build_model
from thumbnet.runs.resolve import resolve_config

OURS = ("sprint", "sprint-long")
TIMED_EPOCHS = 100  # of which the share of each size of images is that of a long training
NUM_IMAGES = 1000  # to resolve a config


def time_ours(recipe: str) -> dict[str, Any]:
    """Seconds of an epoch, the number format, and whose kernels `auto` chooses."""
    config = load_recipe(recipe).replace(device="cpu")
    dataset = random_dataset(NUM_IMAGES, (3, 32, 32), 10)
    resolved = resolve_config(config, dataset)
    environment = environment_of(resolved, build_model(resolved, dataset))
    return {
        "epoch_s": time_recipe(config.replace(epochs=TIMED_EPOCHS)).train_s / TIMED_EPOCHS,
        "precision": environment.precision,
        "kernels": environment.kernels,
    }


def train_ours(
    recipe: str, folder: str, budget_s: float, seed: int, speed: dict[str, Any], keep: Path
) -> dict[str, Any]:
    """One training in a process of its own, with its folder in `keep`; one that was stopped is gone on with."""
    epochs = fitting_epochs(budget_s, speed["epoch_s"])
    run_dir = keep / f"{recipe}-{epochs}-{seed}"
    check_kept(run_dir, [config_to_toml(load_recipe(recipe)), f"epochs: {epochs}", f"seed: {seed}"])
    command = [sys.executable, "-m", "thumbnet", "train", "--log-style", "silent", "--no-pictures"]
    if (run_dir / "config.toml").exists():
        command += ["--resume", str(run_dir)]
    else:
        command += ["--recipe", recipe, "--epochs", str(epochs), "--seed", str(seed), "--run-dir", str(run_dir)]
        command += ["--data", "cifar10", "--allow-unverified"]
    subprocess.run([*command, "--data-dir", folder], check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((run_dir / "metrics.json").read_text())
    kept = ("train_s", "test_accuracy", "num_params", "macs", "epochs", "images_per_s")
    how = {"precision": speed["precision"], "kernels": speed["kernels"], "config": config_to_toml(load_recipe(recipe))}
    return {key: metrics[key] for key in kept} | how

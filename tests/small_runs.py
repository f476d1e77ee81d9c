"""Trainings of a second: forty pictures of 16x16 pixels in two classes, and a network of one block."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import thumbnet
from thumbnet.config import TrainConfig, config_from_dict

if TYPE_CHECKING:
    from thumbnet.runs.sweeps.results import SweepResult

NUM_IMAGES = 40
LR = "lr=0.01..0.5:log"


def write_small_data(path: Path, *, seed: int = 0) -> Path:
    """An npz file of noise whose two classes differ in brightness."""
    labels = np.arange(NUM_IMAGES) % 2
    images = np.random.default_rng(seed).integers(0, 150, (NUM_IMAGES, 16, 16), np.uint8) + 100 * labels[:, None, None]
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return path


def small_config(data: Path, **fields: Any) -> TrainConfig:
    """A config that trains for an epoch of two steps by PyTorch's layers."""
    values: dict[str, Any] = {
        "recipe": "small",
        "model": "sprint",
        "model_options": {"blocks": "c8p"},
        "data": f"npz:{data}",
        "epochs": 1,
        "batch_size": 16,
        "lr": 0.05,
        "momentum": 0.9,
        "schedule": "one-cycle",
        "warmup_fraction": 0.5,
        "val_fraction": 0.2,
        "augmentation": "none",
        "device": "cpu",
        "kernels": "pytorch",
    }
    return config_from_dict({**values, **fields})


def small_sweep(data: Path, run_dir: Path, *, search: Sequence[str] = (LR,), **options: Any) -> SweepResult:
    """Three trials, unless the options say otherwise; `fields` are of the config."""
    fields = options.pop("fields", {})
    options = {"trials": 3, "log_style": "silent", **options}
    return thumbnet.sweep(small_config(data, **fields), search=search, run_dir=run_dir, **options)


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table, as texts by the names of the columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))

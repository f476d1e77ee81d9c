"""The pretrained weights, which come with the package, and their cards. Without PyTorch.

They lie beside this file, one `<model>.safetensors` each, whose metadata holds the model's card, as a run's model.json;
`export_data/` has what an export needs to know of the data.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from thumbnet.errors import ModelError
from thumbnet.models.export_data import ExportData, export_data_from_bytes

SUFFIX = ".safetensors"
CARD = "card"
EXPORT_DATA_FOLDER = "export_data"


def list_pretrained() -> list[str]:
    """The models whose trained weights come with the package."""
    return sorted(file.name.removesuffix(SUFFIX) for file in _folder().iterdir() if file.name.endswith(SUFFIX))


def pretrained_path(name: str) -> Path:
    """The weights of a model of `list_pretrained`; ModelError for another."""
    if name not in list_pretrained():
        raise ModelError(
            f"no trained weights of {name!r} come with the package",
            hint=f"choose one of {', '.join(list_pretrained())}, or train it and give the run",
        )
    return _folder() / f"{name}{SUFFIX}"


def read_pretrained_card(name: str) -> dict[str, Any]:
    """The card of a pretrained model, as its run's model.json had it."""
    with safetensors.safe_open(pretrained_path(name), framework="np") as file:
        values: dict[str, Any] = json.loads(file.metadata()[CARD])
    return values


def read_pretrained_weights(name: str) -> dict[str, np.ndarray]:
    """The weights of a pretrained model, as its file has them."""
    return safetensors.numpy.load_file(pretrained_path(name))


def read_pretrained_export_data(name: str) -> ExportData:
    """What an export of a pretrained model needs to know of its data."""
    path = _folder() / EXPORT_DATA_FOLDER / pretrained_path(name).name
    return export_data_from_bytes(path.read_bytes(), name=str(path))


def _folder() -> Path:
    return Path(str(resources.files("thumbnet.models.pretrained")))

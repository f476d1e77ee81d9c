"""The pretrained weights, which come with the package, and their cards. Without PyTorch.

They lie beside this file, one `<model>.safetensors` each, whose metadata holds the model's card, as a run's model.json,
and its architecture.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from thumbnet.errors import ModelError
from thumbnet.models.architecture import Architecture
from thumbnet.models.numpy_blocknet import NumpyBlockNet

SUFFIX = ".safetensors"
CARD = "card"
ARCHITECTURE = "architecture"


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
    return _read_metadata(name, CARD)


def load_numpy_blocknet(name: str) -> NumpyBlockNet:
    """A pretrained model that needs no PyTorch."""
    architecture = Architecture(**_read_metadata(name, ARCHITECTURE))
    return NumpyBlockNet(architecture, safetensors.numpy.load_file(pretrained_path(name)))


def _read_metadata(name: str, key: str) -> dict[str, Any]:
    with safetensors.safe_open(pretrained_path(name), framework="np") as file:
        values: dict[str, Any] = json.loads(file.metadata()[key])
    return values


def _folder() -> Path:
    return Path(str(resources.files("thumbnet.models.pretrained")))

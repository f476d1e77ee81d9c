"""Names that a recipe may give, known without importing what they stand for: PyTorch takes seconds.

A test holds them equal to the names of the models and of the data sources.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

from thumbnet.errors import ConfigError, DatasetNotFoundError, ModelError
from thumbnet.specs.checks import did_you_mean
from thumbnet.specs.data import ARRAYS, DataSpec

MODELS = (
    "dilated", "dilated-fixed", "resnet8", "sprint", "sprint-long",
    "thumb-20k", "thumb-50k", "thumb-100k", "thumb-200k",
)  # fmt: skip
DATA_SOURCES = {
    "auto": "", "cifar10": "", "cifar100": "", "digits": "", "folder": "PATH", "npz": "FILE", "packed": "DIR",
}  # fmt: skip


def is_torch_there() -> bool:
    """Whether PyTorch is imported already, so that what was registered counts, too, and nothing is gained by looking
    at names first."""
    return "torch" in sys.modules


def check_model_name(name: str) -> None:
    """ModelError where no model is called so; a file of the user's own (`net.py:Net`) is looked at later."""
    names = [*MODELS, *_of_packages("thumbnet.models")]
    if name not in names and ":" not in name:
        raise ModelError(f"unknown model {name!r}", hint=f"{did_you_mean(name, names)}choose one of {', '.join(names)}")


def check_data_name(data: str) -> None:
    """ConfigError where there is no such data source; DatasetNotFoundError where its folder or file is not there."""
    spec = DataSpec(data)
    sources = {**DATA_SOURCES, **dict.fromkeys(_of_packages("thumbnet.data_sources"), "")}
    if spec.name not in sources and data != ARRAYS:
        choices = ", ".join(f"{name}:{place}" if place else name for name, place in sources.items())
        hint = f"{did_you_mean(spec.name, sources)}choose one of {choices}"
        raise ConfigError(f"unknown data {data!r}", hint=hint)
    if spec.name in ("folder", "npz", "packed") and spec.place and not _exists(spec):
        what = "file" if spec.name == "npz" else "folder"
        raise DatasetNotFoundError(f"there is no {what} {spec.path}", hint=f"check the path after {spec.name}:")


def _of_packages(group: str) -> list[str]:
    """The names that installed packages bring; none of them is imported."""
    return [point.name for point in entry_points(group=group)]


def _exists(spec: DataSpec) -> bool:
    try:
        return spec.path.exists()
    except OSError:  # a name that the system refuses
        return False

"""Under which licence a trained model is. Without PyTorch."""

from __future__ import annotations

import re
from dataclasses import replace

from thumbnet.errors import ConfigError
from thumbnet.trained.shippable import Shippable

OF_THE_PACKAGE = "MIT"
NOT_STATED = "not stated"
SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")


def licence_of(shippable: Shippable) -> str:
    """That of the package for the trained models that come with it; whoever trained another one decides."""
    if shippable.run_path is None:
        return OF_THE_PACKAGE
    return NOT_STATED if shippable.licence is None else shippable.licence


def with_licence(shippable: Shippable, licence: str | None) -> Shippable:
    """The model under a licence that its maker states; None: not stated.

    Raises:
        ConfigError: it is no SPDX identifier, or the model is not the user's.
    """
    if licence is None:
        return shippable
    if shippable.run_path is None:
        raise ConfigError(
            f"a licence is given, but {shippable.name} comes with thumbnet under {OF_THE_PACKAGE}",
            hint="leave --license out",
        )
    if not SPDX.fullmatch(licence):
        raise ConfigError(f"{licence!r} is no licence's identifier", hint="give one of spdx.org/licenses: CC-BY-4.0")
    return replace(shippable, licence=licence)

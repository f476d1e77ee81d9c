"""Where a run's figures go besides history.csv, by name. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import did_you_mean, shown
from thumbnet.specs.extras import require_extra

LOGGERS = ("tensorboard",)  # each needs the extra of its name, and has a folder of its name in the run's


def check_loggers(names: Sequence[str]) -> None:
    """Refuse what is no list of loggers.

    Raises:
        ConfigError: it is a text, or an unknown one is among them; ExtraMissingError: a package is not installed.
    """
    if isinstance(names, str):
        raise ConfigError(f"loggers is {shown(names)}", hint=f"give a list, as loggers=[{LOGGERS[0]!r}]")
    for name in names:
        if name not in LOGGERS:
            guess = did_you_mean(name, LOGGERS) if isinstance(name, str) else ""
            raise ConfigError(f"there is no logger {shown(name)}", hint=f"{guess}choose among {', '.join(LOGGERS)}")
        require_extra(name, f"the logger {name}")

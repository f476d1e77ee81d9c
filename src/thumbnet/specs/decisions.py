"""How the answers of two unequal classes are picked, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require, require_choice, shown

RULES = ("none", "f1", "recall", "costs")
MIN_RECALL, MAX_RECALL = 0.01, 0.99
MAX_COST = 1e6
AUTO_UNSURE = 0.4  # of answers of so little confidence that are wrong, from which on `auto` is unsure
MIN_UNSURE, MAX_UNSURE = 0.05, 0.9
MIN_UNKNOWN, MAX_UNKNOWN = 0.001, 0.2


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """How answers are made of probabilities; picked on validation after training. Of two classes, from which
    probability on the positive one is answered; of any, when the answer is `unsure` or `unknown`. Where a picture may
    have several labels, from which probability on each of them is answered, without `positive`, `costs`, `unsure` and
    `unknown`.

    Args:
        threshold: `none`: the likelier class is answered; `f1`: where F1 is highest; `recall`: where so many of the
            positive images are found as `recall` says; `costs`: where wrong answers cost least; or a probability.
        recall: the fraction of the positive images to find; it implies `threshold = "recall"`.
        positive: the class to be found; None: the one with fewer training images.
        costs: what a wrong answer costs, by the image's class, 1 where it is not named; implies `threshold = "costs"`.
        unsure: the answer is unsure below the confidence at which this fraction of the answers is wrong; `auto`: 0.4,
            and never with a threshold, which says already how errors are weighed; `off`: never.
        unknown: the answer is unknown where a picture is further from what was trained on than all but this fraction of
            the validation images; `off`: never.

    Raises:
        ConfigError: out of range, or two of these contradict each other.
    """

    threshold: Literal["none", "f1", "recall", "costs"] | float = "none"
    recall: float | None = None
    positive: str | None = None
    costs: Mapping[str, str | int | float | bool] | None = None
    unsure: Literal["auto", "off"] | float = "auto"
    unknown: Literal["off"] | float = "off"

    def __post_init__(self) -> None:
        if isinstance(self.threshold, str):
            require_choice("threshold", self.threshold, RULES)
        else:
            require(0 < self.threshold < 1, "threshold", self.threshold, "above 0 and below 1")
        if self.recall is not None:
            is_right = MIN_RECALL <= self.recall <= MAX_RECALL
            require(is_right, "recall", self.recall, f"at least {MIN_RECALL} and at most {MAX_RECALL}")
        for name, cost in (self.costs or {}).items():
            is_number = isinstance(cost, (int, float)) and not isinstance(cost, bool)
            if not (is_number and 0 < float(cost) <= MAX_COST):
                raise ConfigError(
                    f"costs.{name} is {shown(cost)}", hint=f"a cost is a number above 0 and at most {MAX_COST:,.0f}"
                )
        for name in ("recall", "costs"):
            if getattr(self, name) is not None and self.threshold == "none":
                object.__setattr__(self, "threshold", name)
            if (getattr(self, name) is not None) != (self.threshold == name):
                self._refuse(name)
        if self.positive is not None and self.threshold == "none":
            raise ConfigError(
                f"positive is {self.positive!r}, but there is no threshold", hint="give threshold or recall, too"
            )
        self._check_unsure()
        if isinstance(self.unknown, str):
            require_choice("unknown", self.unknown, ("off",))
        else:
            is_right = MIN_UNKNOWN <= self.unknown <= MAX_UNKNOWN
            require(is_right, "unknown", self.unknown, f"at least {MIN_UNKNOWN} and at most {MAX_UNKNOWN}")

    @property
    def most_unsure_error(self) -> float | None:
        """The fraction of wrong answers above which these are unsure; None: never."""
        if self.unsure == "auto":
            return AUTO_UNSURE if self.threshold == "none" else None
        return None if isinstance(self.unsure, str) else self.unsure

    @property
    def share_unknown(self) -> float | None:
        """The fraction of the validation images that is unknown; None: the answer never is."""
        return None if isinstance(self.unknown, str) else self.unknown

    def _check_unsure(self) -> None:
        if isinstance(self.unsure, str):
            require_choice("unsure", self.unsure, ("auto", "off"))
            return
        is_right = MIN_UNSURE <= self.unsure <= MAX_UNSURE
        require(is_right, "unsure", self.unsure, f"at least {MIN_UNSURE} and at most {MAX_UNSURE}")
        if self.threshold != "none":
            raise ConfigError(
                f"unsure is {self.unsure}, but threshold is {self.threshold!r}, which says how errors are weighed",
                hint="leave one of them out",
            )

    def _refuse(self, name: str) -> None:
        if self.threshold == name:
            example = "--recall 0.8" if name == "recall" else "--set costs.NAME=5"
            raise ConfigError(f"threshold is {name!r}, but {name} is not given", hint=f"give it: {example}")
        raise ConfigError(
            f"{name} is given, but threshold is {self.threshold!r}", hint=f"leave one out, or set threshold = {name!r}"
        )

"""Numbers as a reader sees them: on axes, in sentences and in columns of tables."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

NUM_DIGITS, MAX_DECIMALS = 4, 8  # of numbers in tables

NUMBER_AND_UNIT = re.compile(r"(-?\d+)(?:\.(\d+))?(\D*)")

Format = Callable[[float], str]


def plain(value: float) -> str:
    """A number for an axis, with four digits at most."""
    return f"{value:.4g}"


def per_cent(value: float) -> str:
    """A fraction as per cent for an axis or a sentence, to a decimal where that is not 0."""
    return f"{round(100 * value, 1):g} %"


def share(value: float) -> str:
    """A fraction as per cent for a table, where all of a column have as many decimals."""
    return f"{100 * value:.1f} %"


def bounds_text(bounds: tuple[float, float] | None) -> str:
    """An interval of fractions as per cent, as it stands below a figure that `share` shows; empty for None."""
    return "" if bounds is None else f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"


def exact_share(value: float) -> str:
    """A fraction as per cent to two decimals, as a headline has it."""
    return f"{100 * value:.2f} %"


def unparted(text: str) -> str:
    """A text in which no line ends between a number and its per cent sign."""
    return text.replace(" %", "\u00a0%")


def always_text(class_name: str, accuracy: float) -> str:
    """What answering every image alike scores, as the note of a headline has it."""
    return f"always {class_name!r}: {exact_share(accuracy)} accuracy"


def column(values: Sequence[float], number_format: Format) -> list[str]:
    """The values of a table's column, all with as many decimals: four digits of the greatest, one of the least."""
    if number_format is per_cent:
        return [share(value) for value in values]
    sizes = [math.floor(math.log10(abs(value))) for value in values if value]
    if not sizes or all(value == int(value) for value in values):
        return [f"{value:.0f}" for value in values]
    decimals = min(MAX_DECIMALS, max(0, NUM_DIGITS - 1 - max(sizes), -min(sizes)))
    return [f"{value:.{decimals}f}" for value in values]


def tick_texts(values: Sequence[float], number_format: Format) -> list[str]:
    """The numbers of an axis, all with as many decimals as the one that needs most."""
    texts = [number_format(value) for value in values]
    parts = [NUMBER_AND_UNIT.fullmatch(text) for text in texts]
    decimals = max((len(part[2] or "") for part in parts if part is not None), default=0)
    return [
        text if part is None else f"{float(text.removesuffix(part[3])):.{decimals}f}{part[3]}"
        for text, part in zip(texts, parts, strict=True)
    ]

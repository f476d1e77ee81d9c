"""Numbers along an axis of a figure, all with as many decimals."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.ticker import Formatter

from thumbnet.views.numbers import tick_texts


class PerCentFormatter(Formatter):
    """Values that are already in per cent: `80 %` and `85 %`, or `84.5 %` and `85.0 %`."""

    def __call__(self, value: float, position: int | None = None) -> str:
        """The value alone."""
        return f"{value:g} %"

    def format_ticks(self, values: Iterable[float]) -> list[str]:
        """The texts of all ticks."""
        return tick_texts([float(value) for value in values], self)

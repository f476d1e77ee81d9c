"""A threshold picked on validation images: by the highest F1, by a recall, or by the lowest cost.

It lies midway between the margins of two images, so that rounding in an exported model moves none of them across it.
"""

from __future__ import annotations

import numpy as np

from thumbnet.evaluation.binary import BinaryCurves

BEYOND = 1.0  # how far a margin that all or no images reach lies from theirs


def margin_for_f1(curves: BinaryCurves) -> float:
    """The margin with the highest F1; of several the highest."""
    wrong = curves.num_false + curves.num_positives - curves.num_true
    return _after(curves, int((2 * curves.num_true / (2 * curves.num_true + wrong)).argmax()))


def margin_for_costs(curves: BinaryCurves, *, missed: float, false_alarm: float) -> float:
    """The margin with the lowest cost, `missed` for each positive image and `false_alarm` for each other one that is
    answered wrong; of several the highest."""
    costs = missed * (curves.num_positives - curves.num_true) + false_alarm * curves.num_false
    return _after(curves, int(costs.argmin()))


def margin_for_recall(curves: BinaryCurves, recall: float) -> float:
    """The margin above which this fraction of new positive images is expected: not at least so many of them, but so
    many on average.

    Harrell and Davis's estimate of the quantile of the positive images' margins: a mean of all of them, weighted by how
    likely each is the quantile (docs/decisions/0028-thresholds.md has others that were tried). Source: Harrell and
    Davis, "A new distribution-free quantile estimator" (1982, Biometrika 69:635).
    """
    from scipy.stats.mstats import hdquantiles

    of_positives = np.repeat(curves.margins[1:], np.diff(curves.num_true))
    quantile = float(np.asarray(hdquantiles(of_positives, prob=[1 - recall]))[0])
    return _after(curves, int((curves.margins >= quantile).sum()) - 1)


def _after(curves: BinaryCurves, index: int) -> float:
    """The margin midway between that at `index` and the next lower one."""
    margins = curves.margins
    if index == 0:
        return float(margins[1]) + BEYOND
    if index == len(margins) - 1:
        return float(margins[-1]) - BEYOND
    return float(margins[index] + margins[index + 1]) / 2

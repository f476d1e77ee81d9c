"""The report of one recipe with several seeds: what the seeds have in common, and how far they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

import thumbnet
from thumbnet.evaluation.aggregate import Aggregate
from thumbnet.evaluation.class_aggregates import ClassAggregates
from thumbnet.evaluation.robustness import Robustness
from thumbnet.training.history import History
from thumbnet.views.house import house_style
from thumbnet.views.numbers import share
from thumbnet.views.report.content import Headline
from thumbnet.views.report.labels_page import ALL_LABELS_RIGHT
from thumbnet.views.report.page import MAX_TABLE_CLASSES, asset, heats, template
from thumbnet.views.report.robustness_of_seeds import robustness_section_of_seeds
from thumbnet.views.report.spread_charts import draw_spread

NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class SeedRow:
    """A seed's figures as texts, its training's time, and its report, empty where it has none."""

    seed: int
    report: str
    figures: Sequence[str]
    training: str


@dataclass(frozen=True)
class OftenWrong:
    """An image, its class or labels, what most of the wrong seeds answer, and how many are wrong."""

    name: str
    truth: str
    prediction: str
    num_wrong: int


@dataclass(frozen=True)
class SeedsContent:
    """All that the report shows: `figures` are the headings of the seeds' figures, `summary` the mean and the deviation
    of each, and `confusion` int64 [K,K], truth by row, is summed over the seeds; None where an image may have several
    labels. `robustness` is that of each seed that measured it."""

    title: str
    lead: str
    headlines: Sequence[Headline]
    figures: Sequence[str]
    seeds: Sequence[SeedRow]
    summary: Sequence[tuple[str, str]]
    histories: Sequence[History]
    classes: Sequence[ClassAggregates]
    class_names: Sequence[str]
    confusion: Int64[np.ndarray, "k k"] | None
    often_wrong: Sequence[OftenWrong]
    num_images: int
    robustness: Sequence[Robustness] = ()


def render_seeds_report(content: SeedsContent) -> str:
    """The page, as HTML text."""
    return template("seeds.html.jinja").render(
        content=content,
        style=house_style() + asset("page.css"),
        script=asset("page.js"),
        curves=draw_spread(content.histories),
        has_table=len(content.class_names) <= MAX_TABLE_CLASSES,
        matrix=None if content.confusion is None else content.confusion.tolist(),
        heats=None if content.confusion is None else heats(content.confusion),
        mean_text=_mean_text,
        robustness=robustness_section_of_seeds(
            content.robustness,
            num_seeds=len(content.seeds),
            num_test=content.num_images,
            counted_as=ALL_LABELS_RIGHT if content.confusion is None else "",
        ),
        version=thumbnet.__version__,
    )


def _mean_text(figure: Aggregate | None) -> str:
    if figure is None:
        return "-"
    mean = share(figure.mean).replace(" ", NO_BREAK)
    return mean + ("" if figure.std is None else f" ±{NO_BREAK}{100 * figure.std:.1f}")

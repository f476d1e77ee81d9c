"""The report of a model whose pictures may have several labels: figures, curves, labels, what is missed or added."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

import thumbnet
from thumbnet.data.class_counts import label_text
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.robustness import Robustness
from thumbnet.specs.data import NO_LABEL
from thumbnet.training.history import History
from thumbnet.views.house import house_style
from thumbnet.views.numbers import per_cent
from thumbnet.views.report.charts import Chart, draw_lines
from thumbnet.views.report.content import FoldsContent, Headline
from thumbnet.views.report.gallery_images import make_image_sprites, tile_side
from thumbnet.views.report.page import asset, bare_svg, template
from thumbnet.views.report.robustness_section import robustness_section
from thumbnet.views.report.section_charts import draw_curves, reliability_line
from thumbnet.views.report.spread_charts import draw_spread
from thumbnet.views.summary import Summary

NUM_WRONG_SETS = 30
BETWEEN = "; "  # labels, for people
ALL_LABELS_RIGHT = " (all labels of a picture right)"  # which accuracy is meant


@dataclass(frozen=True)
class LabelReportContent:
    """All that the report shows, as in ReportContent: `gallery` are the images of the test split that are shown, whose
    `tiles` are in the size to show and whose `names` are for people; `decision` says from which probabilities on labels
    are answered."""

    title: str
    lead: str
    headlines: Sequence[Headline]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    history: History
    evaluation: LabelEvaluation
    decision: str
    gallery: Sequence[int]
    tiles: UInt8[Tensor, "g c h w"]
    names: Sequence[str]
    summary: Summary
    graph_svg: str
    command: str
    config_toml: str
    robustness: Robustness | None = None
    folds: FoldsContent | None = None
    robustness_note: str = ""


@dataclass(frozen=True)
class WrongImage:
    """An image with a label missed or added: its pixels as a data URI, its name, and its labels as texts."""

    url: str
    name: str
    labels: str
    missed: str
    added: str


def render_labels_report(content: LabelReportContent) -> str:
    """The page, as HTML text."""
    evaluation = content.evaluation
    return template("labels.html.jinja").render(
        content=content,
        evaluation=evaluation,
        style=house_style() + asset("page.css") + asset("labels.css"),
        script=asset("page.js"),
        graph=bare_svg(content.graph_svg),
        curves=draw_curves(content.history) if content.folds is None else draw_spread(content.folds.histories),
        calibration=_draw_calibration(evaluation),
        robustness=robustness_section(
            content.robustness,
            num_test=evaluation.num_images,
            out_of_fold=content.folds is not None,
            counted_as=ALL_LABELS_RIGHT,
            note=content.robustness_note,
        ),
        num_wrong=int((~evaluation.predictions.right).sum()),
        wrong_sets=_wrong_sets(evaluation)[:NUM_WRONG_SETS],
        images=_wrong_images(content),
        version=thumbnet.__version__,
    )


def _draw_calibration(evaluation: LabelEvaluation) -> Chart:
    line = reliability_line("labels", evaluation.calibration)
    return draw_lines(
        "Reliability", [line], x_label="probability of a label", x_format=per_cent, y_format=per_cent,
        x_range=(0, 1), y_range=(0, 1), diagonal=True,
    )  # fmt: skip


def _missed_and_added(evaluation: LabelEvaluation, index: int) -> tuple[str, str]:
    predictions, names = evaluation.predictions, evaluation.class_names
    truth, answered = predictions.labels[index], predictions.predicted[index]
    missed, added = (label_text(marks, names, separator=BETWEEN) for marks in (truth & ~answered, answered & ~truth))
    return missed, added


def _wrong_sets(evaluation: LabelEvaluation) -> list[tuple[str, str, int]]:
    """Which labels are missed together and added together, of how many images; the most frequent first."""
    wrong = (~evaluation.predictions.right).nonzero().flatten().tolist()
    counts = Counter(_missed_and_added(evaluation, index) for index in wrong)
    return [(missed, added, count) for (missed, added), count in counts.most_common()]


def _wrong_images(content: LabelReportContent) -> list[WrongImage]:
    evaluation = content.evaluation
    images = []
    for place, index in enumerate(content.gallery):
        sheet = make_image_sprites(content.tiles[place : place + 1], max_side=tile_side(len(content.gallery)))
        missed, added = _missed_and_added(evaluation, index)
        labels = label_text(evaluation.predictions.labels[index], evaluation.class_names, separator=BETWEEN)
        url = f"data:image/webp;base64,{base64.b64encode(sheet.content).decode()}"
        images.append(WrongImage(url, content.names[place], labels or NO_LABEL, missed, added))
    return images

"""The report's page: metrics, charts, the confusion matrix and the gallery put into the template beside this file.

What it needs comes as plain values; `thumbnet.runs.reports.run` collects them from a run.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Int64
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

import thumbnet
from thumbnet.evaluation.calibration import SHOWN_COVERAGES
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.views.house import house_style
from thumbnet.views.numbers import bounds_text, per_cent, share, unparted
from thumbnet.views.report.content import ReportContent
from thumbnet.views.report.gallery_images import (
    SpriteSheet,
    make_image_sprites,
    make_overlay_sprites,
    tile_side,
)
from thumbnet.views.report.robustness_section import robustness_section
from thumbnet.views.report.section_charts import draw_calibration, draw_curves
from thumbnet.views.report.sections import render_sections
from thumbnet.views.report.spread_charts import draw_spread
from thumbnet.views.report.threshold import threshold_section

MAX_TABLE_CLASSES = 20  # above it the matrix is a picture, and its largest cells a list
NUM_PAIRS = 30  # of that list; beside a table it is shorter
NUM_PAIRS_BESIDE_TABLE = 10
NUM_SALIENT = 100  # the images of highest loss get saliency overlays
MOST_HEAT = 50.0  # per cent of a cell's colour


def render_report(content: ReportContent) -> str:
    """The page, as HTML text."""
    analysis = content.analysis
    evaluation = analysis.evaluation
    predictions = evaluation.predictions
    has_table = len(analysis.class_names) <= MAX_TABLE_CLASSES
    side = tile_side(len(content.gallery))
    image_sprites = make_image_sprites(content.tiles, max_side=side) if content.gallery else None
    overlay_sprites = make_overlay_sprites(content.saliency, max_side=side) if len(content.saliency) else None
    shown = Counter((int(predictions.labels[index]), int(predictions.predicted[index])) for index in content.gallery)
    return template("page.html.jinja").render(
        content=content,
        analysis=analysis,
        evaluation=evaluation,
        style=house_style() + asset("page.css"),
        script=asset("page.js"),
        graph=bare_svg(content.graph_svg),
        curves=draw_curves(content.history) if content.folds is None else draw_spread(content.folds.histories),
        calibration_charts=draw_calibration(analysis),
        robustness=robustness_section(
            content.robustness,
            num_test=evaluation.num_images,
            out_of_fold=content.folds is not None,
            note=content.robustness_note,
        ),
        coverages=[
            (wanted, analysis.coverage.accuracy_at(wanted), analysis.coverage.interval_at(wanted))
            for wanted in SHOWN_COVERAGES
        ],
        has_table=has_table,
        matrix=evaluation.confusion.tolist(),
        heats=heats(evaluation.confusion),
        shown=shown,
        pairs=analysis.confused[: NUM_PAIRS_BESIDE_TABLE if has_table else NUM_PAIRS],
        index_of={name: index for index, name in enumerate(analysis.class_names)},
        num_wrong=int(evaluation.confusion.sum() - evaluation.confusion.trace()),
        gallery=_gallery_values(content, image_sprites, overlay_sprites),
        most_per_cell=max(shown.values(), default=0),
        own_sections=render_sections(content),
        threshold=threshold_section(analysis, how="" if content.folds is None else content.folds.thresholds),
        threshold_script=asset("threshold.js"),
        version=thumbnet.__version__,
    )


def bare_svg(text: str) -> Markup:
    """An SVG file of ours as an element of a page: without its XML header and its metadata, full of web addresses."""
    element = text[text.index("<svg") :]
    return Markup(re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL))  # noqa: S704  # escaped by its maker


@cache
def template(name: str) -> Template:
    """One of the templates beside this file."""
    environment = Environment(
        loader=PackageLoader("thumbnet.views.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(bounds_text=bounds_text, level=CONFIDENCE_LEVEL, per_cent=per_cent, share=share)
    environment.filters["unparted"] = unparted
    return environment.get_template(name)


def asset(name: str) -> Markup:
    """A style sheet or a script beside this file."""
    return Markup((resources.files("thumbnet.views.report") / name).read_text(encoding="utf-8"))  # noqa: S704  # a file of ours


def heats(confusion: Int64[np.ndarray, "k k"]) -> list[list[float]]:
    """How much colour each cell of the matrix gets, in per cent: little enough that its number stays readable."""
    fractions = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    heats = MOST_HEAT * np.where(np.eye(len(confusion), dtype=bool), fractions, np.sqrt(fractions))
    return [[round(float(heat), 1) for heat in row] for row in heats]


def _gallery_values(content: ReportContent, images: SpriteSheet | None, overlays: SpriteSheet | None) -> dict[str, Any]:
    """What the page's script needs: names, the matrix (of each row its filled cells), the sprite sheets, and a row for
    every image of the gallery."""
    analysis = content.analysis
    predictions = analysis.evaluation.predictions
    rows = [
        [
            index,
            int(predictions.labels[index]),
            int(predictions.predicted[index]),
            round(float(predictions.confidence[index]), 4),
            round(float(predictions.losses[index]), 3),
            *([content.paths[index]] if content.paths is not None else []),
        ]
        for index in content.gallery
    ]
    return {
        "classes": analysis.class_names,
        "confusion": [
            [[int(column), int(row[column])] for column in np.flatnonzero(row)] for row in analysis.evaluation.confusion
        ],
        "gallery": rows,
        "images": _sprite_values(images),
        "overlays": _sprite_values(overlays),
    }


def _sprite_values(sheet: SpriteSheet | None) -> dict[str, Any] | None:
    if sheet is None:
        return None
    return {
        "url": f"data:image/webp;base64,{base64.b64encode(sheet.content).decode()}",
        "tiles": sheet.num_tiles,
        "columns": sheet.num_columns,
        "width": sheet.tile_width,
        "height": sheet.tile_height,
    }

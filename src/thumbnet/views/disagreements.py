"""Images that one model gets right and another wrong, with both predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int64, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from thumbnet.data.class_counts import label_text
from thumbnet.evaluation.comparison import PairedComparison, Stored
from thumbnet.specs.data import NO_LABEL
from thumbnet.views.figure import (
    BLUE,
    DEEP_VERMILION,
    INK,
    MUTED,
    TEXT_PT,
    Images,
    display_images,
    image_scale,
    line_height_px,
    new_figure,
    place_image,
    styled,
    text_width_px,
    wrap_text,
)

NUM_IMAGES = 8  # of either model
IMAGE_PX = 128  # four pixels for each of a 32x32 image
CAPTION_MIN_PX, CAPTION_MAX_PX = 200, 330
MARGIN_PX, GAP_PX, COLUMN_GAP_PX = 22, 16, 40
TITLE_PT = 11
BETWEEN = "; "  # labels

Line = tuple[str, str]  # text and colour


@dataclass(frozen=True)
class Disagreement:
    """Images that the model `right_name` gets right and `wrong_name` wrong: `num_images` of them in all, and of those
    to show the pixels uint8 [N,C,H,W], the labels, the wrong model's classes, both models' confidence, and the files if
    they have any. Labels and classes are uint8 [N,K] where an image may have several."""

    right_name: str
    wrong_name: str
    num_images: int
    images: Images
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"]
    wrong_predicted: Int64[Tensor, " n"] | UInt8[Tensor, "n k"]
    right_confidence: Float[Tensor, " n"]
    wrong_confidence: Float[Tensor, " n"]
    paths: tuple[str, ...] | None = None


def disagreements_of(
    baseline_name: str,
    baseline: Stored,
    other_name: str,
    other: Stored,
    comparison: PairedComparison,
    images_at: Callable[[Sequence[int]], Images],
    *,
    num_images: int = NUM_IMAGES,
) -> tuple[Disagreement, Disagreement]:
    """The first `num_images` that only the baseline gets right, and those that only the other does; `images_at` gives
    the pixels to show of some of the images that both answered."""

    def side(
        right_name: str,
        right: Stored,
        wrong_name: str,
        wrong: Stored,
        indices: Int64[Tensor, " m"],
    ) -> Disagreement:
        shown = indices[:num_images]
        return Disagreement(
            right_name=right_name,
            wrong_name=wrong_name,
            num_images=len(indices),
            images=images_at(shown.tolist()),
            labels=right.labels[shown],
            wrong_predicted=wrong.predicted[shown],
            right_confidence=right.confidence[shown],
            wrong_confidence=wrong.confidence[shown],
            paths=None if right.paths is None else tuple(right.paths[index] for index in shown.tolist()),
        )

    return (
        side(baseline_name, baseline, other_name, other, comparison.only_baseline),
        side(other_name, other, baseline_name, baseline, comparison.only_other),
    )


@styled
def draw_disagreements(pairs: Sequence[tuple[Disagreement, Disagreement]], class_names: Sequence[str]) -> Figure:
    """A block for each pair of models: on the left the images that only the one gets right, on the right the other's.

    Beside each image stand its class and what both models say, the right one in blue and the wrong one in orange.
    """
    assert pairs
    sides = [side for pair in pairs for side in pair]
    captions = [_captions(side, class_names) for side in sides]
    widest_px = max(
        (text_width_px(text, TEXT_PT) for side in captions for caption in side for text, _ in caption), default=0
    )
    caption_px = min(max(widest_px + 1, CAPTION_MIN_PX), CAPTION_MAX_PX)
    captions = [
        [[(wrap_text(text, width_px=caption_px, size_pt=TEXT_PT), colour) for text, colour in lines] for lines in side]
        for side in captions
    ]
    scale = image_scale(sides[0].images, IMAGE_PX)
    height_px, width_px = (length * scale for length in sides[0].images.shape[2:])
    line_px = line_height_px(TEXT_PT)
    most_lines = max((_num_lines(lines) for side in captions for lines in side), default=1)
    row_px = max(height_px, most_lines * line_px) + GAP_PX
    column_px = width_px + GAP_PX + caption_px
    titles = [wrap_text(_title(side), width_px=column_px, size_pt=TITLE_PT) for side in sides]
    title_px = max(title.count("\n") + 1 for title in titles) * line_height_px(TITLE_PT) + line_px + GAP_PX

    num_rows = [max(1, *(len(side.images) for side in pair)) for pair in pairs]
    figure = new_figure(
        2 * MARGIN_PX + 2 * column_px + COLUMN_GAP_PX,
        2 * MARGIN_PX + len(pairs) * title_px + sum(num_rows) * row_px + (len(pairs) - 1) * COLUMN_GAP_PX,
    )
    canvas_width, canvas_height = figure.bbox.width, figure.bbox.height

    def write(text: str, *, left_px: float, top_px: float, size_pt: float = TEXT_PT, colour: str = INK) -> None:
        place = left_px / canvas_width, 1 - top_px / canvas_height
        figure.text(*place, text, ha="left", va="top", fontsize=size_pt, color=colour, linespacing=1.25)

    top_px = float(MARGIN_PX)
    for number, rows in enumerate(num_rows):
        for column in (0, 1):
            side, lines_of = sides[2 * number + column], captions[2 * number + column]
            left_px = MARGIN_PX + column * (column_px + COLUMN_GAP_PX)
            title = titles[2 * number + column]
            write(title, left_px=left_px, top_px=top_px, size_pt=TITLE_PT)
            below_px = (title.count("\n") + 1) * line_height_px(TITLE_PT)
            write(_subtitle(side), left_px=left_px, top_px=top_px + below_px, colour=MUTED)
            for row, (image, lines) in enumerate(zip(display_images(side.images), lines_of, strict=True)):
                middle_px = top_px + title_px + row * row_px + (row_px - GAP_PX) / 2
                image_top_px = round(middle_px - height_px / 2)
                place_image(figure, image, left_px=round(left_px), top_px=image_top_px, scale=scale)
                caption_top_px = middle_px - _num_lines(lines) * line_px / 2
                for text, colour in lines:
                    write(text, left_px=left_px + width_px + GAP_PX, top_px=caption_top_px, colour=colour)
                    caption_top_px += (text.count("\n") + 1) * line_px
        top_px += title_px + rows * row_px + COLUMN_GAP_PX
    return figure


def _title(side: Disagreement) -> str:
    return f"Only {side.right_name} is right"


def _subtitle(side: Disagreement) -> str:
    shown = len(side.images)
    if shown < side.num_images:
        return f"{side.num_images:,} test images, the {shown} surest"
    return f"{shown} test image{'s' * (shown > 1)}" if shown else "no test image"


def _captions(side: Disagreement, class_names: Sequence[str]) -> list[list[Line]]:
    """For each image texts with their colours: its file if it has one, its class, and both models' predictions."""
    paths = side.paths or [""] * len(side.labels)
    return [
        [
            *([(path, MUTED)] if path else []),
            (f"truth: {label}", INK),
            (f"{side.right_name}: {label} ({100 * right:.0f} %)", BLUE),
            (f"{side.wrong_name}: {guess} ({100 * wrong:.0f} %)", DEEP_VERMILION),
        ]
        for path, label, guess, right, wrong in zip(
            paths,
            _texts(side.labels, class_names),
            _texts(side.wrong_predicted, class_names),
            side.right_confidence.tolist(),
            side.wrong_confidence.tolist(),
            strict=True,
        )
    ]


def _texts(labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"], class_names: Sequence[str]) -> list[str]:
    return [label_text(label, class_names, separator=BETWEEN) or NO_LABEL for label in labels]


def _num_lines(lines: Sequence[Line]) -> int:
    return sum(text.count("\n") + 1 for text, _ in lines)

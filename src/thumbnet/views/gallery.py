"""A gallery of images, uint8 [N,C,H,W], each with its true class, the prediction, its probability and its saliency.

The caller chooses the images and their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from thumbnet.views.figure import (
    BLUE,
    DEEP_VERMILION,
    MUTED,
    TEXT_PT,
    Images,
    display_images,
    image_scale,
    line_height_px,
    message_figure,
    new_figure,
    place_image,
    styled,
    text_width_px,
    wrap_text,
)
from thumbnet.views.overlay import colour_scale, overlay_saliency

IMAGE_PX = 160  # five pixels for each of a 32x32 image
CAPTION_MIN_PX, CAPTION_MAX_PX = 165, 330
MARGIN_PX, GAP_PX, COLUMN_GAP_PX, OVERLAY_GAP_PX = 22, 16, 30, 5
KEY_WIDTH_PX, KEY_HEIGHT_PX = 90, 10
KEY_TEXTS = ("Speaks for the prediction: not at all", "most")  # before and after the scale of colours
NO_IMAGES = "No image is misclassified."


@styled
def draw_gallery(
    images: Images,
    labels: Int[Tensor, " n"] | Int[np.ndarray, " n"] | Sequence[int],
    predictions: Int[Tensor, " n"] | Int[np.ndarray, " n"] | Sequence[int],
    probabilities: Float[Tensor, " n"] | Float[np.ndarray, " n"] | Sequence[float],
    class_names: Sequence[str],
    *,
    columns: int = 2,
    paths: Sequence[str] | None = None,
    saliency: Float[Tensor, "n h w"] | Float[np.ndarray, "n h w"] | None = None,
) -> Figure:
    """The images row by row in `columns`, each captioned `truth: cat` and `prediction: dog (93 %)`.

    Args:
        images: uint8 [N,C,H,W], grey or RGB; small ones are magnified by a whole number.
        labels, predictions: the true and the predicted class of each image.
        probabilities: of the predicted class, from 0 to 1.
        class_names: by class.
        columns: how many images stand side by side.
        paths: the images' files, written above the truth.
        saliency: of each image's prediction, from 0 to 1. A second copy of the image, in grey under the colours of its
            saliency, stands next to it, and a colour scale below all.

    A wrong prediction is orange, a right one blue. Without any image the figure says that none is misclassified.
    """
    assert columns >= 1
    assert len(images) == len(labels) == len(predictions) == len(probabilities)
    assert saliency is None or tuple(saliency.shape) == (len(images), *images.shape[2:])
    if len(images) == 0:
        return message_figure(NO_IMAGES)
    names = [""] * len(labels) if paths is None else [f"{path}\n" for path in paths]
    truths = [f"{name}truth: {class_names[int(label)]}" for name, label in zip(names, labels, strict=True)]
    guesses = [
        f"prediction: {class_names[int(guess)]} ({100 * float(probability):.0f} %)"
        for guess, probability in zip(predictions, probabilities, strict=True)
    ]
    widest_px = max(text_width_px(line, TEXT_PT) for text in (*truths, *guesses) for line in text.splitlines())
    caption_px = min(max(widest_px + 1, CAPTION_MIN_PX), CAPTION_MAX_PX)
    truths, guesses = (
        [
            "\n".join(wrap_text(line, width_px=caption_px, size_pt=TEXT_PT) for line in text.splitlines())
            for text in texts
        ]
        for texts in (truths, guesses)
    )
    # Truth stands above the middle of its image and the prediction below: the taller of them sets the row's height.
    num_lines = max(text.count("\n") + 1 for text in (*truths, *guesses))
    scale = image_scale(images, IMAGE_PX)
    pictures = display_images(images)
    if saliency is not None:
        pictures = _beside_overlays(pictures, saliency, num_between=max(1, round(OVERLAY_GAP_PX / scale)))
    height_px, width_px = (side * scale for side in pictures[0].shape[:2])
    row_px = max(height_px, 2 * (num_lines + 0.5) * line_height_px(TEXT_PT)) + GAP_PX
    column_px = width_px + GAP_PX + caption_px + COLUMN_GAP_PX

    num_columns = min(columns, len(images))
    num_rows = -(-len(images) // columns)
    content_px, content_height_px = num_columns * column_px - COLUMN_GAP_PX, num_rows * row_px - GAP_PX
    if saliency is None:
        figure = new_figure(2 * MARGIN_PX + content_px, 2 * MARGIN_PX + content_height_px)
    else:
        content_px, key_px = max(content_px, _key_width_px()), GAP_PX + line_height_px(TEXT_PT)
        figure = new_figure(2 * MARGIN_PX + content_px, 2 * MARGIN_PX + content_height_px + key_px)
        _place_key(figure, middle_px=MARGIN_PX + content_height_px + (GAP_PX + key_px) / 2)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        axes = place_image(
            figure,
            picture,
            left_px=round(MARGIN_PX + column * column_px),
            top_px=round(MARGIN_PX + row * row_px + (row_px - GAP_PX - height_px) / 2),
            scale=scale,
        )
        beside, line = 1 + GAP_PX / width_px, line_height_px(TEXT_PT) / height_px
        is_right = int(labels[number]) == int(predictions[number])
        axes.text(beside, 0.5 + 0.15 * line, truths[number], transform=axes.transAxes, va="bottom")
        axes.text(
            beside,
            0.5 - 0.15 * line,
            guesses[number],
            transform=axes.transAxes,
            va="top",
            color=BLUE if is_right else DEEP_VERMILION,
        )
    return figure


def _beside_overlays(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]],
    saliency: Float[Tensor, "n h w"] | Float[np.ndarray, "n h w"],
    *,
    num_between: int,
) -> list[UInt8[np.ndarray, "h w2 3"]]:
    """Each picture, so many columns of white, and the picture under its saliency."""
    maps = saliency.cpu().numpy() if isinstance(saliency, Tensor) else saliency
    white = np.full((len(pictures[0]), num_between, 3), 255, dtype=np.uint8)
    return [
        np.concatenate([picture, white, overlay_saliency(picture, values)], axis=1)
        for picture, values in zip(pictures, maps, strict=True)
    ]


def _key_width_px() -> float:
    return sum(text_width_px(text, TEXT_PT) for text in KEY_TEXTS) + 2 * GAP_PX + KEY_WIDTH_PX


def _place_key(figure: Figure, *, middle_px: float) -> None:
    """The scale of colours between its two texts, its middle so far from the figure's upper edge."""
    left_px = round(MARGIN_PX + text_width_px(KEY_TEXTS[0], TEXT_PT) + GAP_PX)
    for text, text_px in zip(KEY_TEXTS, (MARGIN_PX, left_px + KEY_WIDTH_PX + GAP_PX), strict=True):
        place = text_px / figure.bbox.width, 1 - middle_px / figure.bbox.height
        figure.text(*place, text, va="center", color=MUTED)
    colours = np.repeat(colour_scale(KEY_WIDTH_PX), KEY_HEIGHT_PX, axis=0)
    place_image(figure, colours, left_px=left_px, top_px=round(middle_px - KEY_HEIGHT_PX / 2), scale=1)

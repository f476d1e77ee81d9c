"""A gallery of images with what a model made of them: ground truth, prediction and its probability beside each.

Which images, and in which order, is the caller's choice; here they are uint8 [N,C,H,W] with a value each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from thumbnet.views.figure import (
    BLUE,
    DEEP_VERMILION,
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

IMAGE_PX = 160  # five pixels for each of a 32x32 image
CAPTION_MIN_PX, CAPTION_MAX_PX = 165, 330
MARGIN_PX, GAP_PX, COLUMN_GAP_PX = 22, 16, 30
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
) -> Figure:
    """The images row by row in `columns`, each captioned `truth: cat` and `prediction: dog (93 %)`.

    Args:
        images: uint8 [N,C,H,W], grey or RGB; small ones are magnified by a whole number.
        labels, predictions: the true and the predicted class of each image.
        probabilities: of the predicted class, from 0 to 1.
        class_names: by class.
        columns: how many images stand side by side.

    A wrong prediction is orange, a right one blue. Without any image the figure says that none is misclassified.
    """
    assert columns >= 1
    assert len(images) == len(labels) == len(predictions) == len(probabilities)
    if len(images) == 0:
        return message_figure(NO_IMAGES)
    truths = [f"truth: {class_names[int(label)]}" for label in labels]
    guesses = [
        f"prediction: {class_names[int(guess)]} ({100 * float(probability):.0f} %)"
        for guess, probability in zip(predictions, probabilities, strict=True)
    ]
    widest_px = max(text_width_px(text, TEXT_PT) for text in (*truths, *guesses))
    caption_px = min(max(widest_px + 1, CAPTION_MIN_PX), CAPTION_MAX_PX)
    truths, guesses = (
        [wrap_text(text, width_px=caption_px, size_pt=TEXT_PT) for text in texts] for texts in (truths, guesses)
    )
    # Truth stands above the middle of its image and the prediction below: the taller of them sets the row's height.
    num_lines = max(text.count("\n") + 1 for text in (*truths, *guesses))
    scale = image_scale(images, IMAGE_PX)
    height_px, width_px = (side * scale for side in images.shape[2:])
    row_px = max(height_px, 2 * (num_lines + 0.5) * line_height_px(TEXT_PT)) + GAP_PX
    column_px = width_px + GAP_PX + caption_px + COLUMN_GAP_PX

    num_columns = min(columns, len(images))
    num_rows = -(-len(images) // columns)
    figure = new_figure(
        2 * MARGIN_PX + num_columns * column_px - COLUMN_GAP_PX, 2 * MARGIN_PX + num_rows * row_px - GAP_PX
    )
    for number, image in enumerate(display_images(images)):
        row, column = divmod(number, columns)
        axes = place_image(
            figure,
            image,
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

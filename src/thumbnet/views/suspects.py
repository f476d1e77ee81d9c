"""Images that are suspected of something, each with a caption; of a duplicate, both images side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from thumbnet.views.figure import (
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

IMAGE_PX = 128  # four pixels for each of a 32x32 image
CAPTION_PT = 8.5
COLUMNS = {1: 8, 2: 4}  # by how many images belong together
MARGIN_PX, GAP_PX, PAIR_GAP_PX, CAPTION_GAP_PX, ROW_GAP_PX = 22, 26, 4, 3, 18


@styled
def draw_suspects(groups: Sequence[Images], captions: Sequence[str], *, title: str) -> Figure:
    """The images row by row under a title, each with its caption below it.

    Args:
        groups: for each suspect uint8 [1,C,H,W], or [2,C,H,W] for two images that belong together.
        captions: of each; lines are broken where they are too long.
    """
    assert len(groups) == len(captions)
    if not groups:
        return message_figure("No image is suspected.")
    group_size = len(groups[0])
    assert all(len(group) == group_size for group in groups)
    scale = image_scale(groups[0], IMAGE_PX)
    height_px, width_px = (round(side * scale) for side in groups[0].shape[2:])
    group_px = max(group_size * (width_px + PAIR_GAP_PX) - PAIR_GAP_PX, IMAGE_PX)  # room for a narrow one's caption
    wrapped = [_wrap_caption(caption, width_px=group_px) for caption in captions]
    num_lines = max(text.count("\n") + 1 for text in wrapped)
    caption_px = round(num_lines * line_height_px(CAPTION_PT)) + CAPTION_GAP_PX
    title_px = round(2 * line_height_px(TEXT_PT))
    row_px = height_px + caption_px + ROW_GAP_PX

    num_columns = min(COLUMNS[group_size], len(groups))
    num_rows = -(-len(groups) // num_columns)
    width_of_all_px = num_columns * (group_px + GAP_PX) - GAP_PX
    figure = new_figure(
        2 * MARGIN_PX + max(width_of_all_px, text_width_px(title, TEXT_PT) + 1),
        2 * MARGIN_PX + title_px + num_rows * row_px - ROW_GAP_PX,
    )
    figure.text(MARGIN_PX / figure.bbox.width, 1 - MARGIN_PX / figure.bbox.height, title, va="top")
    for number, (group, caption) in enumerate(zip(groups, wrapped, strict=True)):
        row, column = divmod(number, num_columns)
        left_px = MARGIN_PX + column * (group_px + GAP_PX)
        top_px = MARGIN_PX + title_px + row * row_px
        for place, image in enumerate(display_images(group)):
            axes = place_image(
                figure, image, left_px=left_px + place * (width_px + PAIR_GAP_PX), top_px=top_px, scale=scale
            )
            if place == 0:
                axes.text(
                    0, -CAPTION_GAP_PX / height_px, caption, transform=axes.transAxes, va="top", fontsize=CAPTION_PT
                )
    return figure


def _wrap_caption(caption: str, *, width_px: float) -> str:
    """The caption with its own line breaks kept and further ones where a line is too long."""
    return "\n".join(wrap_text(line, width_px=width_px, size_pt=CAPTION_PT) for line in caption.split("\n"))

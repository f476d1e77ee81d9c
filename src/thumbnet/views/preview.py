"""A batch before and after augmentation, one above the other. Images are uint8 [N,C,H,W]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure

from thumbnet.augment import Augmentation, augment
from thumbnet.data.class_counts import label_text
from thumbnet.data.dataset import Dataset
from thumbnet.data.sources import load_dataset
from thumbnet.specs.checks import require_seed
from thumbnet.specs.data import IMAGE_SIZE, NO_LABEL
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.sizes import ImageSize
from thumbnet.training.inputs import build_augmentations
from thumbnet.views.figure import (
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

NUM_PREVIEW_IMAGES = 16
COLUMNS = 8
IMAGE_PX = 128  # four pixels for each of a 32x32 image
CAPTION_PT = 8.5
MARGIN_PX, GAP_PX, PAIR_GAP_PX, ROW_GAP_PX = 22, 12, 6, 22
ROW_LABELS = ("before", "after")


def preview_augmentation(
    data: str = "auto",
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
    image_size: ImageSize = IMAGE_SIZE,
    augmentation: str = "crop-flip",
    seed: int = 0,
) -> Figure:
    """A few training images of a dataset before and after a named augmentation policy, as a training changes them.

    Args:
        data, data_dir, allow_unverified, image_size: as in `load_dataset`.
        augmentation: the policy's name.
        seed: of the choice of images and of their changes.

    Raises:
        ThumbnetError: as `load_dataset`; ConfigError: an unknown policy, or one that these images do not fit.
    """
    require_seed("seed", seed)
    inputs = Inputs(augmentation=augmentation)
    dataset = load_dataset(
        data,
        data_dir=data_dir,
        allow_unverified=allow_unverified,
        image_size=image_size,
        val_fraction=0.0,  # of which nothing is shown: so a class needs no image for it
    )
    return draw_batch(dataset, build_augmentations(inputs, dataset), seed=seed)


def draw_batch(dataset: Dataset, augmentations: Sequence[Augmentation], *, seed: int = 0) -> Figure:
    """Some training images, drawn from the seed, before and after augmentation."""
    require_seed("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(dataset.train), generator=generator)[:NUM_PREVIEW_IMAGES]
    images = dataset.train.images[chosen]
    names = [label_text(label, dataset.class_names) or NO_LABEL for label in dataset.train.labels[chosen]]
    return draw_preview(images, augment(images, augmentations, generator), names)


@styled
def draw_preview(before: Images, after: Images, captions: Sequence[str]) -> Figure:
    """Each image under its caption with its augmented self below it, eight pairs side by side in a row."""
    assert before.shape == after.shape
    assert len(before) == len(captions)
    if len(before) == 0:
        return message_figure("No image to show.")
    scale = image_scale(before, IMAGE_PX)
    height_px, width_px = (round(side * scale) for side in before.shape[2:])
    column_px = max(width_px, IMAGE_PX) + GAP_PX  # a narrow image still has room for its caption
    wrapped = [wrap_text(caption, width_px=column_px - GAP_PX, size_pt=CAPTION_PT) for caption in captions]
    caption_px = round((max(text.count("\n") for text in wrapped) + 1.4) * line_height_px(CAPTION_PT))
    label_px = round(max(text_width_px(label, TEXT_PT) for label in ROW_LABELS)) + GAP_PX
    row_px = caption_px + 2 * height_px + PAIR_GAP_PX + ROW_GAP_PX

    num_columns = min(COLUMNS, len(before))
    num_rows = -(-len(before) // COLUMNS)
    figure = new_figure(
        2 * MARGIN_PX + label_px + num_columns * column_px - GAP_PX, 2 * MARGIN_PX + num_rows * row_px - ROW_GAP_PX
    )
    pairs = zip(display_images(before), display_images(after), strict=True)
    for number, pair in enumerate(pairs):
        row, column = divmod(number, COLUMNS)
        left_px = MARGIN_PX + label_px + column * column_px
        for place, image in enumerate(pair):
            top_px = MARGIN_PX + row * row_px + caption_px + place * (height_px + PAIR_GAP_PX)
            axes = place_image(figure, image, left_px=left_px, top_px=top_px, scale=scale)
            if place == 0:
                axes.set_title(wrapped[number], fontsize=CAPTION_PT, pad=5)
            if column == 0:
                label = ROW_LABELS[place]
                axes.text(
                    -GAP_PX / width_px, 0.5, label, transform=axes.transAxes, ha="right", va="center", color=MUTED
                )
    return figure

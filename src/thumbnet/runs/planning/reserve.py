"""What of the minutes is kept for the end: the test images, what exports need, pictures and report, leaving."""

from __future__ import annotations

from thumbnet.runs.planning.constants import (
    LEAVING_S,
    MARGIN_SHARE,
    MIN_MARGIN_S,
    NUM_EXPORT_IMAGES,
    NUM_SALIENT_EVALUATIONS,
    REFERENCE_IMAGE_S,
    REPORT_S,
)

SLOWNESS = (0.5, 6.0)  # of this machine, over the one that REPORT_S was measured on: at least, and at most


def end_s(
    *, minutes: float, num_train: int, num_test: int, eval_image_s: float, image_s: float, pictures: bool
) -> float:
    """Seconds from the last scoring of the validation images to the end of the command.

    Args:
        eval_image_s: of scoring one image; `image_s` of training one of 32 pixels by the first recipe of the ladder.
        pictures: whether pictures and a report are made.
    """
    num_scored = num_test + min(num_train, NUM_EXPORT_IMAGES) + (NUM_SALIENT_EVALUATIONS if pictures else 0)
    slowness = max(SLOWNESS[0], min(SLOWNESS[1], image_s / REFERENCE_IMAGE_S))
    report_s = REPORT_S * slowness if pictures else 0.0
    margin_s = max(MIN_MARGIN_S, MARGIN_SHARE * 60 * minutes)
    return num_scored * eval_image_s + report_s + LEAVING_S + margin_s

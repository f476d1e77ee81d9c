"""What of the minutes is kept for the end: the test images, what exports need, pictures and report with what
they import, leaving."""

from __future__ import annotations

from thumbnet.evaluation.corruptions import CORRUPTIONS
from thumbnet.evaluation.custom_intervals import SECONDS
from thumbnet.evaluation.robustness_scoring import NUM_IMAGES_OF_TRAINING
from thumbnet.runs.planning.constants import (
    CORRUPTION_S,
    IMPORTS_S,
    LEAVING_S,
    MARGIN_SHARE,
    MIN_MARGIN_S,
    NUM_EXPORT_IMAGES,
    NUM_SALIENT_EVALUATIONS,
    REFERENCE_IMAGE_S,
    REPORT_IMAGE_S,
    REPORT_S,
)

EVALUATED_AGAIN = 1.5  # times an image's usual scoring, since images are scored in small groups
SLOWNESS = (0.5, 6.0)  # of this machine, over the one that REPORT_S was measured on: at least, and at most


def end_s(
    *,
    minutes: float,
    num_train: int,
    num_test: int,
    eval_image_s: float,
    image_s: float,
    pictures: bool,
    robustness_s: float = 0.0,
    num_measured: int = 0,
    num_own_metrics: int = 0,
) -> float:
    """Seconds from the last scoring of the validation images to the end of the command.

    Args:
        eval_image_s: of scoring one image; `image_s` of training one of 32 pixels by the first recipe of the ladder.
        pictures: whether pictures and a report are made.
        robustness_s: of accuracy under corruptions, if the report shows it.
        num_measured: images whose distances are measured, where the answer may be unknown.
        num_own_metrics: metrics of the user's own, each of which is computed on resamples for as long as it may be.
    """
    num_scored = num_test + min(num_train, NUM_EXPORT_IMAGES) + (NUM_SALIENT_EVALUATIONS if pictures else 0)
    num_scored += num_measured
    report_s = (REPORT_S + REPORT_IMAGE_S * num_test) * _slowness(image_s) + robustness_s if pictures else 0.0
    margin_s = max(MIN_MARGIN_S, MARGIN_SHARE * 60 * minutes)
    own_s = SECONDS * num_own_metrics
    return num_scored * eval_image_s + IMPORTS_S * _slowness(image_s) + report_s + LEAVING_S + margin_s + own_s


def robustness_s(*, sides: tuple[int, int], num_test: int, eval_image_s: float, image_s: float) -> float:
    """Seconds for accuracy under corruptions, as a training measures it; arguments as in `end_s`."""
    height, width = sides
    num_images = min(num_test, NUM_IMAGES_OF_TRAINING) * (1 + sum(len(each.strengths) for each in CORRUPTIONS))
    corrupted_s = CORRUPTION_S * _slowness(image_s) * (height * width) / 32**2
    return num_images * (EVALUATED_AGAIN * eval_image_s + corrupted_s)


def _slowness(image_s: float) -> float:
    """Of this machine, over the one that REPORT_S was measured on."""
    return max(SLOWNESS[0], min(SLOWNESS[1], image_s / REFERENCE_IMAGE_S))

"""The metrics of images that may have several labels as text for people: what `thumbnet evaluate` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbnet.evaluation.class_texts import IN_BRACKETS, class_texts, number_with_interval
from thumbnet.evaluation.interval_texts import with_interval
from thumbnet.terminal.table import aligned
from thumbnet.terminal.text import escaped

if TYPE_CHECKING:
    from thumbnet.evaluation.multi_label import LabelEvaluation


def describe_labels(evaluation: LabelEvaluation) -> str:
    """The metrics for people, in lines."""
    bounds = evaluation.intervals
    low, high = bounds["accuracy"]
    known = f"{low:.2%} to {high:.2%}; {escaped(str(evaluation.baseline))}"
    mean = number_with_interval(evaluation.mean_average_precision, bounds.get("mean_average_precision"))
    f1s = (
        f"micro F1 {with_interval(evaluation.micro_f1, bounds['micro_f1'])}, "
        f"macro F1 {with_interval(evaluation.macro_f1, bounds['macro_f1'])}"
    )
    wrong = with_interval(evaluation.hamming_loss, bounds["hamming_loss"])
    loss = number_with_interval(evaluation.loss, evaluation.loss_interval)
    calibration = with_interval(evaluation.calibration.error, evaluation.calibration.interval)
    decision = evaluation.predictions.known_decision
    answered = "as stored" if decision is None else decision.describe(evaluation.class_names)
    table = [("label", "images", "average precision", "precision", "recall", "F1", "threshold")]
    for each in evaluation.classes:
        average = number_with_interval(each.average_precision, each.average_precision_interval)
        threshold = "-" if each.threshold is None else f"{each.threshold:.4g}"
        name, num_images = escaped(each.class_name), f"{each.num_images:,}"
        table.append((name, num_images, average, *class_texts(each), threshold))
    return "\n".join(
        [
            f"accuracy (all labels right) {evaluation.accuracy:.2%} ({known})",
            f"mean average precision {mean}, {f1s}",
            f"labels answered wrong {wrong} (Hamming loss), loss {loss}",
            f"expected calibration error {calibration}",
            f"answered {escaped(answered)}",
            "",
            *aligned(table, num_left=1),
            IN_BRACKETS,
        ]
    )

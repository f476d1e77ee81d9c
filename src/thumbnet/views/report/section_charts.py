"""The charts of the report's sections on training and calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence

from thumbnet.evaluation.analysis import Analysis
from thumbnet.evaluation.calibration import Calibration
from thumbnet.evaluation.figure_names import are_apart
from thumbnet.training.history import History
from thumbnet.views.numbers import per_cent
from thumbnet.views.report.charts import Chart, Line, draw_lines

NUM_COVERAGE_POINTS = 100
FRACTION, POSITIVE = (0.0, 1.0), (0.0, math.inf)  # what a chart's y cannot pass
SPLITS = {"train": "training", "val": "validation", "test": "test"}


def draw_curves(history: History) -> list[Chart]:
    """Loss, accuracy and learning rate by epoch; balanced accuracy, too, where it is another number."""
    epochs = history.column("epoch")
    rates = [Line("learning rate", epochs, history.column("lr"), 3)]

    def lines(column: str) -> list[Line]:
        drawn = [
            Line(name, epochs, history.column(f"{split}_{column}"), style)
            for style, (split, name) in enumerate(SPLITS.items())
        ]
        return [line for line in drawn if line.points]

    accuracies = {"Accuracy": lines("accuracy")}
    if has_other_balanced([history]):
        balanced = lines("balanced_accuracy")
        of_one = f", {balanced[0].label}" if len(balanced) == 1 else ""  # which has no legend
        accuracies[f"Balanced accuracy{of_one}"] = balanced
    return [
        *(
            draw_lines(title, drawn, x_label="epoch", y_format=per_cent, y_limits=FRACTION, x_integer=True)
            for title, drawn in accuracies.items()
        ),
        draw_lines("Loss", lines("loss"), x_label="epoch", y_limits=POSITIVE, x_integer=True, leaves_out_outliers=True),
        draw_lines("Learning rate", rates, x_label="epoch", y_limits=POSITIVE, x_integer=True),
    ]


def has_other_balanced(histories: Sequence[History]) -> bool:
    """Whether balanced accuracy is another number than accuracy, of any split after any epoch."""
    return any(
        are_apart(getattr(record, f"{split}_accuracy"), getattr(record, f"{split}_balanced_accuracy"))
        for history in histories
        for record in history
        for split in SPLITS
    )


def draw_calibration(analysis: Analysis) -> list[Chart]:
    """Accuracy against confidence, before and after the temperature, and accuracy against coverage."""

    reliability = [reliability_line("as it is", analysis.calibration)]
    if analysis.calibrated is not None:
        reliability.append(reliability_line("with the temperature", analysis.calibrated, 1))
    wanted = [(1 + index) / NUM_COVERAGE_POINTS for index in range(NUM_COVERAGE_POINTS)]
    accuracies = [analysis.coverage.accuracy_at(share) for share in wanted]
    coverage = Line("accuracy", wanted, accuracies, bounds=[analysis.coverage.interval_at(share) for share in wanted])
    sure = analysis.when_sure
    answered = None if sure is None or sure.accuracy is None else (1 - sure.share, sure.accuracy)
    return [
        draw_lines(
            "Reliability", reliability, x_label="confidence", x_format=per_cent, y_format=per_cent,
            x_range=(0, 1), y_range=(0, 1), diagonal=True,
        ),
        draw_lines(
            "Accuracy where it may abstain", [coverage], x_label="share answered, most confident first",
            x_format=per_cent, y_format=per_cent, x_range=(0, 1), y_limits=FRACTION, mark=answered,
        ),
    ]  # fmt: skip


def reliability_line(label: str, calibration: Calibration, style: int = 0) -> Line:
    """What is true against what was foretold, bin by bin."""
    filled = [each for each in calibration.bins if each.confidence is not None]
    return Line(
        label,
        [each.confidence or 0.0 for each in filled],
        [each.accuracy for each in filled],
        style,
        bounds=[each.accuracy_interval for each in filled],
    )

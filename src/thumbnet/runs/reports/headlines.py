"""The figures that a report opens with."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.evaluation.analysis import Analysis
from thumbnet.evaluation.calibration import Calibration
from thumbnet.evaluation.custom_intervals import MetricInterval
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval, accuracy_interval
from thumbnet.evaluation.metrics import Evaluation, standard_error
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.training.progress import duration
from thumbnet.views.numbers import always_text, exact_share, per_cent
from thumbnet.views.report.content import Headline


def report_headlines(analysis: Analysis, metrics: Mapping[str, object], *, num_val: int) -> list[Headline]:
    """The metrics of the test split, of the `num_val` validation images, what the training took, and custom metrics;
    accuracy never alone."""
    evaluation, known = analysis.evaluation, known_metrics(metrics)
    headlines = [
        Headline("test accuracy", exact_share(evaluation.accuracy), _error(evaluation.accuracy, evaluation.num_images))
    ]
    if "val_accuracy" in metrics and num_val:
        error = _error(known.val_accuracy, num_val)
        headlines.append(Headline("validation accuracy", exact_share(known.val_accuracy), error))
    headlines += [
        *_of_the_classes(analysis),
        Headline("test loss", f"{evaluation.loss:.4f}", _of_loss(evaluation)),
        Headline("calibration error", exact_share(analysis.calibration.error), _of_calibration(analysis.calibration)),
        Headline("parameters", f"{known.num_params:,}", f"{known.macs / 1e6:.1f} M multiply-accumulates"),
        Headline("training", duration(known.train_s), f"{known.images_per_s:,.0f} images/s"),
    ]
    return headlines + [
        Headline(name, f"{value:.4g}", interval_note(analysis.custom_metric_intervals[name]))
        for name, value in evaluation.custom_metrics.items()
        if value is not None
    ]


def label_headlines(evaluation: LabelEvaluation, metrics: Mapping[str, object]) -> list[Headline]:
    """The same of pictures that may have several labels, where accuracy means that all labels are right."""
    known = known_metrics(metrics)
    bounds = evaluation.intervals
    always = f"always {evaluation.baseline.class_name!r}: {exact_share(evaluation.baseline.accuracy)}"
    note = f"all labels of a picture, {_span(bounds['accuracy'])}, {evaluation.num_images:,} images; {always}"
    headlines = [Headline("test accuracy", exact_share(evaluation.accuracy), note)]
    if "val_accuracy" in metrics:
        error = _error(known.val_accuracy, known.num_val)
        headlines.append(Headline("validation accuracy", exact_share(known.val_accuracy), error))
    mean = evaluation.mean_average_precision
    if mean is not None:
        span = "{:.3f} to {:.3f}".format(*bounds["mean_average_precision"])
        note = f"over the labels, whatever the thresholds, {span}"
        headlines.append(Headline("mean average precision", f"{mean:.3f}", note))
    answers = (
        f"of {evaluation.num_images * len(evaluation.class_names):,} (Hamming loss), {_span(bounds['hamming_loss'])}"
    )
    return [
        *headlines,
        Headline("F1 over all answers", exact_share(evaluation.micro_f1), f"micro F1, {_span(bounds['micro_f1'])}"),
        Headline("macro F1", exact_share(evaluation.macro_f1), f"mean of the labels, {_span(bounds['macro_f1'])}"),
        Headline("wrong answers", exact_share(evaluation.hamming_loss), answers),
        Headline("test loss", f"{evaluation.loss:.4f}", _of_loss(evaluation, " a label")),
        Headline("parameters", f"{known.num_params:,}", f"{known.macs / 1e6:.1f} M multiply-accumulates"),
        Headline("training", duration(known.train_s), f"{known.images_per_s:,.0f} images/s"),
    ]


def _of_the_classes(analysis: Analysis) -> list[Headline]:
    """What unequal classes do not flatter; of two classes, the areas under their curves too."""
    overall, intervals = analysis.overall, analysis.overall_intervals
    always = always_text(overall.commonest_class, overall.commonest_share)
    headlines = [
        Headline(
            "balanced accuracy",
            exact_share(overall.balanced_accuracy),
            f"mean recall of the classes, {_span(intervals.balanced_accuracy)}; {always}",
        ),
        Headline("macro F1", exact_share(overall.macro_f1), f"mean F1 of the classes, {_span(intervals.macro_f1)}"),
        Headline("Matthews\u2019 coefficient", f"{overall.mcc:.3f}", "{:.3f} to {:.3f}".format(*intervals.mcc)),
    ]
    if analysis.binary is not None:
        curves = analysis.binary.curves
        rows = (
            ("area under ROC", curves.auc, analysis.binary.auc_interval),
            ("average precision", curves.average_precision, analysis.binary.average_precision_interval),
        )
        headlines += [
            Headline(name, f"{area:.3f}", f"{per_cent(CONFIDENCE_LEVEL)} interval {low:.3f} to {high:.3f}")
            for name, area, (low, high) in rows
        ]
    if len(analysis.class_names) > 2:  # of two classes, the label is always the first or the second
        note = f"top-2 accuracy, {_span(analysis.top2_accuracy_interval)}"
        headlines.append(Headline("right or second", exact_share(analysis.top2_accuracy), note))
    return headlines


def _error(accuracy: float, num_images: int) -> str:
    """How far an accuracy on so many images can be trusted."""
    bounds = _span(accuracy_interval(accuracy, num_images))
    error = exact_share(standard_error(accuracy, num_images))
    return f"± {error} standard error, {per_cent(CONFIDENCE_LEVEL)} interval {bounds}, {num_images:,} images"


def interval_note(found: MetricInterval) -> str:
    """The interval of a metric of the user's own, or why there is none."""
    return str(found) if found.interval is None else f"{per_cent(CONFIDENCE_LEVEL)} interval {found}"


def _of_loss(evaluation: Evaluation | LabelEvaluation, counted: str = "") -> str:
    bounds = evaluation.loss_interval
    return f"negative log-likelihood{counted}" + ("" if bounds is None else f", {bounds[0]:.4f} to {bounds[1]:.4f}")


def _of_calibration(calibration: Calibration) -> str:
    return f"expected, before any temperature, {_span(calibration.interval)}"


def _span(bounds: Interval) -> str:
    low, high = (exact_share(bound).removesuffix(" %") for bound in bounds)
    return f"{low} to {high}"

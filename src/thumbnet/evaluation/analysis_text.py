"""The metrics of a model on a split as text for people: what `thumbnet evaluate` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbnet.evaluation.calibration import SHOWN_COVERAGES
from thumbnet.evaluation.class_texts import IN_BRACKETS, class_texts, number_with_interval
from thumbnet.evaluation.interval_texts import with_interval
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.evaluation.refused import Refusals
from thumbnet.terminal.table import aligned
from thumbnet.terminal.text import escaped

if TYPE_CHECKING:
    from thumbnet.evaluation.analysis import Analysis

NUM_PAIRS_IN_TEXT, NUM_IMAGES_IN_TEXT = 5, 5


def describe_analysis(analysis: Analysis) -> str:
    """The metrics for people, in lines."""
    evaluation, coverage, overall = analysis.evaluation, analysis.coverage, analysis.overall
    always = f"always {escaped(overall.commonest_class)!r}: {overall.commonest_share:.2%}"
    loss, two = analysis.intervals.loss, len(analysis.class_names) == 2
    top2 = "" if two else f"top-2 accuracy {with_interval(analysis.top2_accuracy, analysis.top2_accuracy_interval)}, "
    bounds = f"{CONFIDENCE_LEVEL:.0%} interval {_span(analysis.intervals.accuracy)}"
    lines = [
        f"accuracy {evaluation.accuracy:.2%} ± {analysis.standard_error:.2%}, {bounds} ({always})",
        *_overall_lines(analysis),
        f"{top2}loss {number_with_interval(evaluation.loss, loss)}",
        f"expected calibration error {with_interval(analysis.calibration.error, analysis.calibration.interval)}",
    ]
    if analysis.temperature is not None and analysis.calibrated is not None:
        calibrated = with_interval(analysis.calibrated.error, analysis.calibrated.interval)
        lines[-1] += f", with temperature {analysis.temperature:.3f} {calibrated}"
    if evaluation.custom_metrics:
        intervals = analysis.custom_metric_intervals
        texts = [
            f"{name} -" if value is None else f"{name} {value:.4g} ({escaped(str(intervals[name]))})"
            for name, value in evaluation.custom_metrics.items()
        ]
        lines.append(", ".join(texts))
    lines += ["", "accuracy where it answers only the most confident:"]
    lines += aligned(
        [
            (f"{share:.0%}", with_interval(coverage.accuracy_at(share), coverage.interval_at(share)))
            for share in SHOWN_COVERAGES[1:]
        ]
    )
    lines.append("")
    table = [("class", "images", "precision", "recall", "F1")]
    table += [(escaped(each.class_name), f"{each.num_images:,}", *class_texts(each)) for each in analysis.classes]
    lines += [*aligned(table, num_left=1), IN_BRACKETS]
    pairs = [
        f"{escaped(pair.truth)} taken for {escaped(pair.prediction)} {pair.num_images} ({pair.share:.1%})"
        for pair in analysis.confused[:NUM_PAIRS_IN_TEXT]
    ]
    lines += ["", f"most confused: {'; '.join(pairs) or 'none'}"]
    for name, indices in analysis.lists().items():
        listed = [
            f"{escaped(str(each.get('path', each['index'])))} ({escaped(each['label'])} as "
            f"{escaped(each['prediction'])}, {each['probability']:.0%})"
            for each in analysis.listed(indices[:NUM_IMAGES_IN_TEXT])
        ]
        lines.append(f"{name.replace('_', ' ')}: {', '.join(listed) or 'none'}")
    return "\n".join(lines)


def _overall_lines(analysis: Analysis) -> list[str]:
    """The metrics over all classes, and the areas of two, with their intervals."""
    overall, intervals = analysis.overall, analysis.overall_intervals
    balanced = f"{overall.balanced_accuracy:.2%} ({CONFIDENCE_LEVEL:.0%} interval {_span(intervals.balanced_accuracy)})"
    macro_f1 = f"{overall.macro_f1:.2%} ({_span(intervals.macro_f1)})"
    low, high = intervals.mcc
    mcc = f"{overall.mcc:.3f} ({low:.3f} to {high:.3f})"
    lines = [f"balanced accuracy {balanced}, macro F1 {macro_f1}, Matthews' coefficient {mcc}"]
    if analysis.binary is not None:
        curves, name = analysis.binary.curves, escaped(analysis.class_names[analysis.binary.curves.positive])
        area = number_with_interval(curves.auc, analysis.binary.auc_interval)
        precision = number_with_interval(curves.average_precision, analysis.binary.average_precision_interval)
        lines.append(f"{name!r} against the other class: area under ROC {area}, average precision {precision}")
    decision, point = analysis.evaluation.decision, analysis.evaluation.at_threshold
    if decision is not None:
        found = ""
        if point is not None:
            own = analysis.classes[decision.positive]
            recall = with_interval(own.recall, own.intervals.recall)
            found = f": recall {recall}, precision {with_interval(own.precision, own.intervals.precision)} here"
        lines.append(f"answered {escaped(decision.describe(analysis.class_names))}{found}")
    unsure, sure = analysis.evaluation.unsure, analysis.when_sure
    if unsure is not None and sure is not None:
        lines.append(f"answered {unsure.describe()}; here {_refused(sure)}")
    unknown, known = analysis.evaluation.unknown, analysis.when_known
    if unknown is not None and known is not None:
        lines.append(f"answered {unknown.describe()}; here {_refused(known)}")
    return lines


def _refused(found: Refusals) -> str:
    others = with_interval(found.accuracy, found.accuracy_interval)
    ending = "" if found.accuracy is None else f", {others} of the others are right"
    return f"{with_interval(found.share, found.share_interval)} are{ending}"


def _span(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.2%} to {bounds[1]:.2%}"

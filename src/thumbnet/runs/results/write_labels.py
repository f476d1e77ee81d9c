"""What a finished training leaves in its run folder where images may have several labels: weights, card, predictions,
curves, metrics."""

from __future__ import annotations

from dataclasses import asdict

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.export_data import collect_export_data
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.label_predictions_csv import label_predictions_to_csv
from thumbnet.evaluation.multi_label import LabelEvaluation, intervals_of_label_metrics, metrics_of_labels
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.trace import trace_model
from thumbnet.runs.leaks import kept_leaks, leak_metrics
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.refit import Refit
from thumbnet.runs.reports.labels import build_labels_report
from thumbnet.runs.resolve import Say
from thumbnet.runs.results.decide_labels import decide_labels
from thumbnet.runs.results.record import metrics_of_training, model_card
from thumbnet.runs.robustness import measure_for_report, write_robustness
from thumbnet.runs.run import REPORT, RunDir
from thumbnet.runs.settings import changed_settings
from thumbnet.terminal.text import escaped
from thumbnet.training.result import FitResult
from thumbnet.views.curves import curves_of, draw_curves
from thumbnet.views.figure import only_saved, png_bytes
from thumbnet.views.graph import graph_svg
from thumbnet.views.summary import summarize_trace


def write_label_results(
    folder: RunDir,
    *,
    config: TrainConfig,
    asked: TrainConfig | None,
    dataset: Dataset,
    model: nn.Module,
    result: FitResult[LabelEvaluation],
    evaluation: LabelEvaluation,
    data_checksum: str,
    pictures: bool,
    say: Say,
    plan: PlanRecord | None = None,
    refit: Refit | None = None,
) -> dict[str, object]:
    """As `write_results`: everything but metrics.json, whose values are returned."""
    leaks = kept_leaks(folder)
    leaks_into_val, picks = bool(leaks.held_out_of("val")), config.decisions.threshold in ("f1", "recall")
    held_out = _held_out(model, dataset, result) if picks or leaks_into_val else None
    model = model if refit is None else refit.model
    decision = decide_labels(config, held_out, num_classes=dataset.num_classes)
    evaluation = evaluation.decided_by(decision)
    trace = trace_model(model, dataset.image_shape)
    scores = metrics_of_labels(evaluation)
    folder.write_results(
        history=result.history,
        weights=model.state_dict(),
        card=model_card(
            config,
            dataset,
            trace,
            model,
            data_checksum=data_checksum,
            metrics=scores,
            label_decision=decision,
            refit=refit is not None,
        ),
        export_data=collect_export_data(model, dataset),
        predictions=label_predictions_to_csv(evaluation.predictions, dataset.test, dataset.class_names),
    )
    folder.write("summary.txt", f"{summarize_trace(trace, dataset.image_shape)}\n")
    metrics = metrics_of_training(
        config,
        dataset,
        trace,
        result,
        scores={
            **scores,
            **intervals_of_label_metrics(evaluation),
            "commonest_labels": evaluation.baseline.class_name,
            "classes": [asdict(each) for each in evaluation.classes],
            "threshold_rule": decision.rule,
        },
    )
    metrics |= leak_metrics(
        leaks,
        evaluation.predictions,
        val=held_out if leaks_into_val else None,
    )
    if refit is not None:
        metrics = refit.added_to(metrics)
    if plan is not None:
        metrics["minutes"] = plan.minutes
    if asked is not None:
        metrics["settings"] = changed_settings(asked)
    if not pictures:
        return metrics
    graph = graph_svg(trace, type(model).__name__)
    folder.write("graph.svg", graph)
    with only_saved():
        curves = png_bytes(draw_curves([curves_of(result.history, label=escaped(folder.path.name))]))
    folder.write("curves.png", curves)
    robustness = None
    if config.report_robustness is True:
        robustness = measure_for_report(model, dataset, decision=decision, say=say)
        write_robustness(folder, robustness)
    report = build_labels_report(
        config=config,
        asked=asked,
        dataset=dataset,
        model=model,
        history=result.history,
        evaluation=evaluation,
        metrics=metrics,
        title=escaped(folder.path.resolve().name),
        trace=trace,
        graph=graph,
        plan=plan,
        robustness=robustness,
    )
    folder.write(REPORT, report)
    return metrics


def _held_out(model: nn.Module, dataset: Dataset, result: FitResult[LabelEvaluation]) -> LabelPredictions | None:
    """Predictions of the validation images: as they were scored last, or made here; None where none are held out."""
    if dataset.val is None:
        return None
    if "val" in result.scores:
        return result.scores["val"].predictions
    logits = predict_logits(model, dataset.val.images, mean=dataset.mean, std=dataset.std)
    return LabelPredictions(logits, dataset.val.labels)

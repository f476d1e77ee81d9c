"""What a finished training leaves in its run folder: weights, card, predictions, views, metrics."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.originals import larger_images
from thumbnet.evaluation.custom_intervals import custom_to_dict
from thumbnet.evaluation.export_data import collect_export_data
from thumbnet.evaluation.metrics import (
    Evaluation,
    card_metrics,
    intervals_of_metrics,
    metrics_over_classes,
    misclassified,
)
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.evaluation.predictions_csv import predictions_to_csv
from thumbnet.evaluation.saliency import resized_maps, saliency_if_any
from thumbnet.evaluation.unknown import when_known, with_unknown
from thumbnet.evaluation.unsure import when_sure
from thumbnet.models.trace import Trace, trace_model
from thumbnet.runs.files.names import CONFUSION, MISCLASSIFIED
from thumbnet.runs.leaks import kept_leaks, leak_metrics
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.refit import Refit
from thumbnet.runs.reports.run import build_report
from thumbnet.runs.resolve import Say
from thumbnet.runs.results.decide import decide, decide_unknown, decide_unsure, describe_decision
from thumbnet.runs.results.record import metrics_of_training, model_card
from thumbnet.runs.robustness import measure_for_report, write_robustness
from thumbnet.runs.run import REPORT, RunDir
from thumbnet.runs.settings import changed_settings
from thumbnet.terminal.text import escaped
from thumbnet.training.history import History
from thumbnet.training.result import FitResult
from thumbnet.views.confusion import draw_confusion
from thumbnet.views.curves import curves_of, draw_curves
from thumbnet.views.figure import only_saved, png_bytes
from thumbnet.views.gallery import IMAGE_PX as GALLERY_PX
from thumbnet.views.gallery import draw_gallery
from thumbnet.views.graph import graph_svg
from thumbnet.views.summary import summarize_trace

NUM_GALLERY_IMAGES = 10


def write_results(
    folder: RunDir,
    *,
    config: TrainConfig,
    asked: TrainConfig | None,
    dataset: Dataset,
    model: nn.Module,
    result: FitResult[Evaluation],
    evaluation: Evaluation,
    data_checksum: str,
    pictures: bool,
    say: Say,
    plan: PlanRecord | None = None,
    refit: Refit | None = None,
) -> dict[str, object]:
    """Write everything but metrics.json, and return the metrics, to be completed and written last; without `pictures`,
    neither the pictures nor the report.

    `model` is the one of `result`, and with `refit` not the one that is kept: `evaluation` is then of the other one.

    How the model answers is picked here, on the validation images: by a threshold, where the config asks for one, and
    when the answer is unsure or unknown. All that is written then obeys it.
    """
    history = result.history
    decisions = config.decisions
    leaks = kept_leaks(folder)
    leaks_into_val = bool(leaks.held_out_of("val"))
    is_needed = pictures or leaks_into_val or decisions.threshold != "none" or decisions.most_unsure_error is not None
    held_out = _held_out(model, dataset, result, is_needed=is_needed or refit is not None)
    if refit is not None:
        assert held_out is not None  # `check_refit`
        folder.write_val_logits(held_out)
        model = refit.model
    decision = decide(config, dataset, held_out)
    evaluation = evaluation if decision is None else evaluation.decided_by(decision)
    evaluation = replace(evaluation, unsure=decide_unsure(config, held_out))
    if evaluation.unsure is None and not isinstance(decisions.unsure, str):
        say(f"the answer is never unsure: none of little confidence are wrong so often as unsure = {decisions.unsure}")
    evaluation = with_unknown(evaluation, model, dataset, decide_unknown(config, dataset, model))
    if evaluation.unknown is None and decisions.share_unknown is not None:
        say("the answer is never unknown: the features of the training images tell nothing")
    trace = trace_model(model, dataset.image_shape)
    folder.write_results(
        history=history,
        weights=model.state_dict(),
        card=model_card(
            config,
            dataset,
            trace,
            model,
            data_checksum=data_checksum,
            metrics=card_metrics(evaluation, dataset.class_names),
            decision=evaluation.decision,
            unsure=evaluation.unsure,
            unknown=evaluation.unknown,
            refit=refit is not None,
        ),
        export_data=collect_export_data(model, dataset),
        predictions=predictions_to_csv(evaluation.predictions, dataset.test, dataset.class_names),
    )
    folder.write("summary.txt", f"{summarize_trace(trace, dataset.image_shape)}\n")
    metrics = _metrics(config, dataset, trace, result, evaluation) | leak_metrics(
        leaks,
        evaluation.predictions,
        val=held_out if leaks_into_val else None,
    )
    if refit is not None:
        metrics = refit.added_to(metrics)
    if plan is not None:
        metrics["minutes"] = plan.minutes
    if asked is not None:  # by an earlier version, whose run goes on
        metrics["settings"] = changed_settings(asked)
    if not pictures:
        return metrics
    graph = graph_svg(trace, type(model).__name__)
    folder.write("graph.svg", graph)
    _write_pictures(folder, model, dataset, history, evaluation)
    robustness = None
    if config.report_robustness is True:
        robustness = measure_for_report(model, dataset, decision=decision, say=say)
        write_robustness(folder, robustness)
    report = build_report(
        config=config,
        asked=asked,
        dataset=dataset,
        model=model,
        history=history,
        evaluation=evaluation,
        metrics=metrics,
        title=escaped(folder.path.resolve().name),
        trace=trace,
        graph=graph,
        plan=plan,
        held_out=held_out,
        robustness=robustness,
    )
    folder.write(REPORT, report)
    return metrics


def _held_out(
    model: nn.Module, dataset: Dataset, result: FitResult[Evaluation], *, is_needed: bool
) -> Predictions | None:
    """Predictions of the validation images: as they were scored last, or, where the training was resumed after its last
    epoch, made here; None where none are held out or they are not needed."""
    if dataset.val is None or not is_needed:
        return None
    if "val" in result.scores:
        return result.scores["val"].predictions
    return predict_split(model, dataset.val, mean=dataset.mean, std=dataset.std)


def _write_pictures(
    folder: RunDir, model: nn.Module, dataset: Dataset, history: History, evaluation: Evaluation
) -> None:
    worst = misclassified(evaluation.predictions)[:NUM_GALLERY_IMAGES]
    with only_saved():
        curves = png_bytes(draw_curves([curves_of(history, label=escaped(folder.path.name))]))
        confusion = png_bytes(draw_confusion(evaluation.confusion, dataset.class_names))
    folder.write("curves.png", curves)
    folder.write(CONFUSION, confusion)
    images, predicted = dataset.test.images[worst], evaluation.predictions.predicted[worst]
    saliency = saliency_if_any(model, images, predicted, mean=dataset.mean, std=dataset.std)
    shown = larger_images(dataset, dataset.test, worst.tolist(), side=GALLERY_PX)
    with only_saved():
        gallery = draw_gallery(
            shown,
            evaluation.predictions.labels[worst],
            predicted,
            evaluation.predictions.confidence[worst],
            dataset.class_names,
            saliency=None if saliency is None else resized_maps(saliency.maps, (shown.shape[2], shown.shape[3])),
            paths=None
            if dataset.test.paths is None
            else [escaped(dataset.test.paths[index]) for index in worst.tolist()],
        )
        misclassified_png = png_bytes(gallery)
    folder.write(MISCLASSIFIED, misclassified_png)


def _metrics(
    config: TrainConfig,
    dataset: Dataset,
    trace: Trace,
    result: FitResult[Evaluation],
    evaluation: Evaluation,
) -> dict[str, object]:
    metrics = metrics_of_training(
        config,
        dataset,
        trace,
        result,
        scores={
            "test_accuracy": evaluation.accuracy,
            "test_loss": evaluation.loss,
            "num_test": evaluation.num_images,
            **metrics_over_classes(evaluation, dataset.class_names),
            "ece": evaluation.calibration.error,
            **intervals_of_metrics(evaluation),
            "commonest_class": dataset.class_names[int(evaluation.confusion.sum(axis=1).argmax())],
        },
    )
    metrics |= custom_to_dict(evaluation.custom_metrics, evaluation.custom_metric_intervals)
    if evaluation.positive is not None:
        metrics["positive"] = dataset.class_names[evaluation.positive]
    if evaluation.decision is not None:
        metrics |= describe_decision(evaluation.decision)
    if evaluation.unsure is not None:
        sure = when_sure(evaluation.predictions, evaluation.unsure)
        metrics |= {"unsure_below": evaluation.unsure.confidence, **sure.named(refused="unsure", answered="sure")}
    known = when_known(evaluation)
    if evaluation.unknown is not None and known is not None:
        metrics |= {"unknown_beyond": evaluation.unknown.limit, **known.named(refused="unknown", answered="known")}
    return metrics

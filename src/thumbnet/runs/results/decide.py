"""How a trained model answers, picked on the validation images: of two classes by a threshold; and when the answer is
unsure or unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.folder_layout import normalised_name
from thumbnet.errors import ConfigError, DataError
from thumbnet.evaluation.binary import BinaryCurves, binary_curves, rarer_class
from thumbnet.evaluation.binary_intervals import proportion_interval
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.thresholds import margin_for_costs, margin_for_f1, margin_for_recall
from thumbnet.evaluation.unknown import check_images, measure_unknown
from thumbnet.evaluation.unsure import MIN_IMAGES, pick_unsure
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.decision import Decision, margin_of, threshold_of
from thumbnet.models.unknown import Unknown
from thumbnet.models.unsure import Unsure
from thumbnet.runs.results.decide_labels import check_label_decisions
from thumbnet.specs.decisions import Decisions
from thumbnet.terminal.text import counted

MIN_POSITIVES = 10  # validation images, of which a threshold is picked


def check_decisions(config: TrainConfig, dataset: Dataset) -> None:
    """Raise now what `decide` would raise after the training.

    Raises:
        ConfigError: a threshold for more classes than two, for what is no class, or without validation images;
            DataError: too few of these to pick one, or to say when the model is unsure or a picture unknown.
    """
    decisions = config.decisions
    if dataset.has_several_labels:
        check_label_decisions(config, dataset)
        return
    _check_unsure(decisions, dataset)
    if decisions.share_unknown is not None:
        check_images(dataset, decisions.share_unknown)
    if decisions.threshold == "none":
        return
    if dataset.num_classes != 2:
        raise ConfigError(
            f"threshold is {decisions.threshold!r}, but there are {dataset.num_classes} classes",
            hint="a threshold is for two classes: leave it out",
        )
    positive = _positive_of(decisions, dataset)
    for name in decisions.costs or {}:
        _index_of(name, dataset, field="costs")
    if not isinstance(decisions.threshold, str):
        return
    if dataset.val is None:
        raise ConfigError(
            f"threshold is {decisions.threshold!r}, which is picked on validation images, but none are held out",
            hint="set val_fraction above 0, or give threshold as a number",
        )
    num_positives = int((dataset.val.labels == positive).sum())
    for index, needed in ((positive, MIN_POSITIVES), (1 - positive, 1)):
        count = num_positives if index == positive else len(dataset.val) - num_positives
        if count < needed:
            raise DataError(
                f"class {dataset.class_names[index]!r} has {counted(count, 'validation image')}, and a threshold needs "
                f"{needed}",
                hint="raise val_fraction, or give threshold as a number",
            )


def decide(config: TrainConfig, dataset: Dataset, held_out: Predictions | None) -> Decision | None:
    """The decision that the config asks for, picked on `held_out`, the predictions of the validation images; None where
    it asks for none. Only a threshold that is given needs no such images."""
    decisions = config.decisions
    if decisions.threshold == "none":
        return None
    positive = _positive_of(decisions, dataset)
    curves = None if held_out is None else binary_curves(held_out.logits, held_out.labels, positive=positive)
    if not isinstance(decisions.threshold, str):
        margin, rule = margin_of(decisions.threshold), "given"
    else:
        assert curves is not None  # `check_decisions`
        margin, rule = _picked(decisions, dataset, curves)
    return Decision(
        positive=positive,
        threshold=threshold_of(margin),
        margin=margin,
        rule=rule,
        num_images=0 if curves is None else curves.num_positives + curves.num_negatives,
        num_positives=0 if curves is None else curves.num_positives,
        measured={} if curves is None else _measured(curves, margin),
    )


def decide_unsure(config: TrainConfig, held_out: Predictions | None) -> Unsure | None:
    """When the model's answer is unsure, judged on `held_out`; None: never, as the config asks for or too few images
    are held out, or since its answers are not wrong so often."""
    most_error = config.decisions.most_unsure_error
    return None if most_error is None or held_out is None else pick_unsure(held_out, most_error)


def decide_unknown(config: TrainConfig, dataset: Dataset, model: nn.Module) -> Unknown | None:
    """When the trained model's answer is unknown; None: never, as the config asks for, or since its features tell
    nothing."""
    share = config.decisions.share_unknown
    if share is None:
        return None
    assert isinstance(model, BlockNet)  # `check_network`
    return measure_unknown(model, dataset, share)


def _check_unsure(decisions: Decisions, dataset: Dataset) -> None:
    """Refuse a number that cannot be judged; `auto` is then never unsure."""
    num_val = 0 if dataset.val is None else len(dataset.val)
    if isinstance(decisions.unsure, str) or num_val >= MIN_IMAGES:
        return
    raise DataError(
        f"unsure is {decisions.unsure}, which is judged on {MIN_IMAGES} or more validation images, but "
        f"{num_val} are held out",
        hint='set val_fraction higher, or unsure = "off"',
    )


def describe_decision(decision: Decision) -> dict[str, object]:
    """What metrics.json says of a decision."""
    return {
        "threshold": decision.threshold,
        "threshold_rule": decision.rule,
        "val_at_threshold": {**asdict(decision)["measured"], "num_positives": decision.num_positives},
    }


def _picked(decisions: Decisions, dataset: Dataset, curves: BinaryCurves) -> tuple[float, str]:
    """The margin that the rule gives, and the rule's name."""
    if decisions.recall is not None:
        return margin_for_recall(curves, decisions.recall), f"recall {decisions.recall:g}"
    if decisions.costs is not None:
        missed, false_alarm = (
            _cost_of(decisions.costs, dataset.class_names[index]) for index in (curves.positive, 1 - curves.positive)
        )
        return margin_for_costs(curves, missed=missed, false_alarm=false_alarm), "costs"
    return margin_for_f1(curves), "f1"


def _measured(curves: BinaryCurves, margin: float) -> dict[str, float]:
    point = curves.at_margin(margin)
    low, high = proportion_interval(point.num_true_positives, curves.num_positives)
    return {
        "recall": point.recall,
        "recall_low": low,
        "recall_high": high,
        "precision": point.precision,
        "specificity": point.specificity,
        "f1": point.f1,
        "accuracy": point.accuracy,
    }


def _positive_of(decisions: Decisions, dataset: Dataset) -> int:
    if decisions.positive is None:
        return rarer_class(dataset.train.labels)
    return _index_of(decisions.positive, dataset, field="positive")


def _index_of(name: str, dataset: Dataset, *, field: str) -> int:
    if normalised_name(name) in dataset.class_names:
        return dataset.class_names.index(normalised_name(name))
    names = ", ".join(dataset.class_names)
    raise ConfigError(f"{field} names {name!r}, which is no class", hint=f"the classes are {names}")


def _cost_of(costs: Mapping[str, str | int | float | bool], class_name: str) -> float:
    return next((float(cost) for name, cost in costs.items() if normalised_name(name) == class_name), 1.0)

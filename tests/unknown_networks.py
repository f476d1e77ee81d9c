"""Requests to export random networks whose answer may be "unknown"."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from random_exports import random_dataset, request_of
from thumbnet.export.request import CheckImages, ExportRequest, softmax
from thumbnet.models.decision import Decision, threshold_of
from thumbnet.models.program_numpy import run_program
from thumbnet.models.unknown import Unknown, distances_by
from thumbnet.models.unsure import Unsure

BLOCKS, SHAPE = "b8 b16p b16", (3, 12, 12)
KINDS = ("likeliest", "unsure", "threshold")


def unknown_request(out: Path, kind: str = "likeliest") -> ExportRequest:
    """A random network to which half of the test images are unknown; it may be unsure, too, or have a threshold."""
    request = with_unknown(request_of(BLOCKS, False, SHAPE, 2 if kind == "threshold" else 4, out))
    logits = request.test.logits.astype(np.float64)
    if kind == "unsure":
        confidence = middle_of(softmax(logits).max(axis=1))
        unsure = Unsure(confidence=confidence, most_error=0.4, num_images=300, num_unsure=150, error=0.5)
        request = _changed(request, unsure=unsure)
    if kind == "threshold":
        margin = middle_of(logits[:, 1] - logits[:, 0])
        decision = Decision(positive=1, threshold=threshold_of(margin), margin=margin, rule="recall 0.5", num_images=40)
        request = _changed(request, decision=decision)
    return request


def with_unknown(request: ExportRequest) -> ExportRequest:
    """The same with a rule by the means of the classes that the network gives its training images."""
    card, program = request.shippable.card, request.shippable.program
    assert program is not None
    train = run_program(program, random_dataset(card.image_shape, len(card.class_names)).train.images.numpy())
    labels = train.logits.argmax(axis=1)
    everywhere = train.features.mean(axis=0)
    means = np.stack(
        [
            train.features[labels == k].mean(axis=0) if (labels == k).any() else everywhere
            for k in range(len(card.class_names))
        ]
    )
    rule = rule_of(means, (train.features - means[labels]).std(axis=0), limit=1.0)
    distances = distances_by(rule, run_program(program, request.test.images).features)
    return with_rule(request, replace(rule, limit=middle_of(distances)))


def rule_of(means: np.ndarray, deviations: np.ndarray, *, limit: float) -> Unknown:
    """A rule whose numbers are as short as in a card."""
    short = [tuple(float(f"{value:.4g}") for value in row) for row in [*means, deviations]]
    return Unknown(tuple(short[:-1]), short[-1], limit=limit, share=0.05, num_images=200, num_unknown=10)


def with_rule(request: ExportRequest, rule: Unknown | None) -> ExportRequest:
    """The same request with another rule, or without one."""
    program = request.shippable.program
    assert program is not None

    def measured(images: CheckImages) -> CheckImages:
        found = None if rule is None else distances_by(rule, run_program(program, images.images).features)
        return replace(images, unknown=rule, distances=found)

    assert request.held_out is not None
    card = replace(request.shippable.card, unknown=rule)
    return replace(
        request,
        shippable=replace(request.shippable, card=card),
        held_out=measured(request.held_out),
        test=measured(request.test),
    )


def unknown_of(request: ExportRequest) -> Unknown:
    """The rule of a request's model."""
    unknown = request.shippable.card.unknown
    assert unknown is not None
    return unknown


def middle_of(values: np.ndarray) -> float:
    """Midway between the two values in the middle."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float(ordered[middle - 1] + ordered[middle]) / 2


def _changed(
    request: ExportRequest, *, unsure: Unsure | None = None, decision: Decision | None = None
) -> ExportRequest:
    assert request.held_out is not None
    card = replace(request.shippable.card, unsure=unsure, decision=decision)
    return replace(
        request,
        shippable=replace(request.shippable, card=card),
        held_out=replace(request.held_out, unsure=unsure, decision=decision),
        test=replace(request.test, unsure=unsure, decision=decision),
    )

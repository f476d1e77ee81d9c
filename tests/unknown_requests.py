"""Requests to export random networks of blocks to which half of the test images are unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from random_exports import request_of
from thumbnet.export.request import CheckImages, ExportRequest
from thumbnet.models.program import Program
from thumbnet.models.program_numpy import run_program
from thumbnet.models.unknown import Unknown, distances_by, unknown_answers

BLOCKS, SHAPE = "b8 b16p b16", (3, 12, 12)
NUM_UNKNOWN = 20  # of 40 test images


def unknown_request(out: Path, num_classes: int = 4) -> ExportRequest:
    """With a rule of the held-out images' features, whose limit lies in the middle of the test images' distances."""
    request = request_of(BLOCKS, False, SHAPE, num_classes, out)
    assert request.shippable.program is not None
    assert request.held_out is not None
    features = run_program(request.shippable.program, request.held_out.images).features
    means = np.stack([features[index::num_classes].mean(axis=0) for index in range(num_classes)])
    rule = Unknown(
        means=tuple(tuple(_short(value) for value in mean) for mean in means),
        deviations=tuple(_short(value) for value in features.std(axis=0) + 0.01),
        limit=1.0,
        share=0.5,
        num_images=300,
        num_unknown=150,
    )
    own = np.sort(distances_by(rule, run_program(request.shippable.program, request.test.images).features))
    return with_rule(request, replace(rule, limit=float(own[NUM_UNKNOWN - 1] + own[NUM_UNKNOWN]) / 2))


def with_rule(request: ExportRequest, rule: Unknown | None) -> ExportRequest:
    """The same request with the rule, or without any."""
    program = request.shippable.program
    assert program is not None
    assert request.held_out is not None
    return replace(
        request,
        shippable=replace(request.shippable, card=replace(request.shippable.card, unknown=rule)),
        held_out=_with_rule(request.held_out, rule, program),
        test=_with_rule(request.test, rule, program),
    )


def rule_of(request: ExportRequest) -> Unknown:
    unknown = request.shippable.card.unknown
    assert unknown is not None
    return unknown


def expected_unknown(request: ExportRequest) -> np.ndarray:
    """Which of the test images are unknown."""
    assert request.test.distances is not None
    return unknown_answers(rule_of(request), request.test.distances)


def _with_rule(images: CheckImages, rule: Unknown | None, program: Program) -> CheckImages:
    distances = None if rule is None else distances_by(rule, run_program(program, images.images).features)
    return replace(images, unknown=rule, distances=distances)


def _short(value: float) -> float:
    return float(f"{value:.4g}")

"""The format c: a folder with a trained model as C99, its edge card, and what Arduino, PlatformIO and MicroPython read.
Without PyTorch."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8

from thumbnet.errors import ExportError
from thumbnet.export.c.card import edge_card
from thumbnet.export.c.costs import block_costs
from thumbnet.export.c.far import with_far
from thumbnet.export.c.far_check import is_far
from thumbnet.export.c.fixed_point import FixedProgram
from thumbnet.export.c.folder import check_replaceable, write_folder
from thumbnet.export.c.measure import CHECK_SOURCE, HINT, CompiledCheck, compile_check, measure_board
from thumbnet.export.c.names import c_identifier
from thumbnet.export.c.plan import best_plan
from thumbnet.export.c.quantise import quantised
from thumbnet.export.c.reference import look_fixed, run_fixed
from thumbnet.export.c.source import PROBABILITY_ERROR, c_header, c_source, fill
from thumbnet.export.c.stored import SUFFIX, Stored, stored_to_bytes
from thumbnet.export.c.surroundings import surroundings
from thumbnet.export.letterbox import refuse_letterbox
from thumbnet.export.public_card import public_card
from thumbnet.export.request import (
    LEAST_AGREEMENT,
    Agreement,
    CheckImages,
    ExportRequest,
    ExportResult,
    compare,
    softmax,
)
from thumbnet.export.unknown_shares import UnknownShares, refuse_other_unknown, unknown_shares
from thumbnet.models.card import ModelCard
from thumbnet.models.decision import chosen_classes
from thumbnet.models.export_data import AFTER
from thumbnet.models.unsure import unsure_answers

NAME = "c"
NUM_COMPARED = 40  # images on which the compiled program is compared with the reference, bit by bit
NUM_NAMED = 3  # blocks in a refusal
HOW = "whole numbers"
INSTEAD = "export to onnx or html, which keep full precision"
README = "README.md"


def write(request: ExportRequest) -> ExportResult:
    """Write the folder after its integers were compared with the original, and, where there is a C compiler, the
    compiled source with its integer reference.

    Raises:
        ExportError: the accuracy on held-out images drops by more than is allowed, the compiled program gives other
            numbers than the reference, the folder holds something else, or the model's pictures are letterboxed.
    """
    shippable = request.shippable
    assert shippable.program is not None
    refuse_letterbox(shippable, "the folder's code for cameras")
    if shippable.export_data is None or shippable.export_data.ranges is None:
        raise ExportError(f"the ranges of {shippable.name}'s maps are not known", hint="give its data with --data")
    check_replaceable(request.out)
    ranges = shippable.export_data.ranges
    program = quantised(shippable.program, ranges)
    if shippable.card.unknown is not None:
        program = with_far(program, shippable.card.unknown, ranges[program.blocks[-1].name + AFTER])
    plan = best_plan(program.blocks)
    name = c_identifier(shippable.name)
    sources = {
        f"{name}.h": c_header(program, name=name, card=shippable.card).encode(),
        f"{name}.c": c_source(
            program, plan, name=name, class_names=shippable.card.class_names, card=shippable.card
        ).encode(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        check = {CHECK_SOURCE: fill(CHECK_SOURCE, name=name, NAME=name.upper()).encode()}
        folder = Path(scratch)
        compiled = compile_check({**sources, **check}, folder, name=name, num_classes=program.num_classes)
        if compiled is None:
            request.say("no C compiler is here: the source was not compiled, and its integer reference was checked")
        seconds = _compare_with_reference(program, compiled, request)
        checks, shares = _check(program, compiled, request)
        sizes = measure_board(
            sources, folder, program, plan, name=name, may_be_unsure=shippable.card.unsure is not None
        )
    files = sources | surroundings(program, name, may_be_unsure=shippable.card.unsure is not None)
    compiler = None if compiled is None else compiled.compiler
    card = edge_card(
        shippable, program, name=name, sizes=sizes, checks=checks, shares=shares, seconds=seconds, compiler=compiler
    )  # fmt: skip
    files[README] = card.encode()
    names = (*files, f"{name}{SUFFIX}")
    checksums = {one: hashlib.sha256(content).hexdigest() for one, content in sources.items()}
    files[f"{name}{SUFFIX}"] = stored_to_bytes(Stored(program, public_card(shippable.card), checksums, names))
    write_folder(request.out, files)
    return ExportResult(
        format=NAME,
        path=request.out,
        files=tuple(request.out / one for one in (f"{name}.c", *(one for one in files if one != f"{name}.c"))),
        num_bytes=sum(len(content) for content in files.values()),
        checks=checks,
        details={
            "flash_bytes": sizes.flash,
            "ram_bytes": sizes.ram,
            "sizes": sizes.source,
            "macs": shippable.program.macs,
            "ms_per_picture": None if seconds is None else 1000 * seconds,
            "compiled_with": compiler,
            **({} if shares is None else {"same_unknown": f"{shares.agreement:.2%} of {shares.description}"}),
        },
    )


def _compare_with_reference(
    program: FixedProgram, compiled: CompiledCheck | None, request: ExportRequest
) -> float | None:
    """Seconds a picture, of a compiled program that gives the reference's numbers; None without one."""
    if compiled is None:
        return None
    images = request.test.images[:NUM_COMPARED]
    logits, seconds = compiled.run(images)
    if not np.array_equal(logits, run_fixed(program, images)):
        raise ExportError("the compiled C program does not give the numbers of its integer reference", hint=HINT)
    answers, (_, is_unknown) = compiled.look(images)[1], _look(program, None, images)
    _check_answers(answers, logits / 2.0**program.logit_bits, is_unknown, request.shippable.card)
    return seconds


def _check_answers(
    answers: Int32[np.ndarray, " n"],
    logits: Float[np.ndarray, "n k"],
    is_unknown: Bool[np.ndarray, " n"],
    card: ModelCard,
) -> None:
    """ExportError unless the compiled program answers as the card says, up to the error of its probabilities; what is
    unknown must be so to the bit."""
    expected = chosen_classes(card.decision, logits)
    is_clear = np.ones(len(logits), bool)
    if card.unsure is not None:
        probabilities = softmax(logits)
        expected = np.where(unsure_answers(card.unsure, probabilities), logits.shape[1], expected)
        is_clear = np.abs(probabilities.max(axis=1) - card.unsure.confidence) > PROBABILITY_ERROR
    expected = np.where(is_unknown, logits.shape[1] + 1, expected)
    is_clear |= is_unknown | (answers > logits.shape[1])
    if ((answers != expected) & is_clear).any():
        rule = "threshold" if card.decision is not None else "rule"
        raise ExportError(f"the compiled C program does not answer by the model's {rule}", hint=HINT)


def _check(
    program: FixedProgram, compiled: CompiledCheck | None, request: ExportRequest
) -> tuple[tuple[Agreement, ...], UnknownShares | None]:
    """The original and the integers compared, on held-out images first, and what is unknown of the last ones: by the
    compiled program, which is the faster, or by the reference."""

    def score(images: CheckImages) -> tuple[Agreement, UnknownShares | None]:
        whole, is_unknown = _look(program, compiled, images.images)
        logits: Float[np.ndarray, "n k"] = (whole / 2.0**program.logit_bits).astype(np.float32)
        check, shares = compare(images, logits), unknown_shares(images, is_unknown)
        if shares is not None:
            check = replace(check, unknown=shares.share, original_unknown=shares.original_share)
        return check, shares

    checks: list[Agreement] = []
    if request.held_out is not None:
        check, shares = score(request.held_out)
        checks.append(check)
        _refuse_drop(program, check, request.held_out, request)
        refuse_other_unknown(shares, how=HOW, max_drop=request.max_drop, instead=INSTEAD)
    check, shares = score(request.test)
    checks.append(check)
    if request.held_out is None:
        _check_without_data(program, check, request)
        refuse_other_unknown(shares, how=HOW, max_drop=request.max_drop, instead=INSTEAD)
    return tuple(checks), shares


def _look(
    program: FixedProgram, compiled: CompiledCheck | None, images: UInt8[np.ndarray, "n c h w"]
) -> tuple[Int32[np.ndarray, "n k"], Bool[np.ndarray, " n"]]:
    """Logits, and which images are unknown."""
    if compiled is not None:
        whole, answers = compiled.look(images)
        return whole, is_far(program, answers)
    if program.far is None:
        return run_fixed(program, images), np.zeros(len(images), bool)
    whole, squares = look_fixed(program, images)
    return whole, squares > program.far.limit


def _refuse_drop(program: FixedProgram, check: Agreement, images: CheckImages, request: ExportRequest) -> None:
    if check.costs_more_than(request.max_drop):
        raise ExportError(
            f"whole numbers cost {100 * check.drop:.2f} points of accuracy on {images.description}, more than the "
            f"{100 * check.allowed_drop(request.max_drop):.2f} allowed; {_dearest(program, images, request)}",
            hint=f"allow more with --max-drop, or {INSTEAD}",
        )


def _check_without_data(program: FixedProgram, check: Agreement, request: ExportRequest) -> None:
    if check.agreement < LEAST_AGREEMENT:
        raise ExportError(
            f"in whole numbers only {check.agreement:.0%} of {check.description} get the same class, expected at least "
            f"{LEAST_AGREEMENT:.0%}; {_dearest(program, request.test, request)}",
            hint=f"give the model's data with --data, so that the accuracy can be judged, or {INSTEAD}",
        )


def _dearest(program: FixedProgram, images: CheckImages, request: ExportRequest) -> str:
    assert request.shippable.program is not None
    costs = block_costs(request.shippable.program, program, images.images[:NUM_COMPARED])
    return f"the blocks that cost most, each alone in whole numbers: {', '.join(map(str, costs[:NUM_NAMED]))}"

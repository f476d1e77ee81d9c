"""The C source and header of a network in whole numbers. Without PyTorch."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template

import numpy as np
from jaxtyping import Int

from thumbnet import __version__
from thumbnet.errors import ExportError
from thumbnet.export.c.fixed_point import FixedBlock, FixedFar, FixedProgram
from thumbnet.export.c.names import c_string
from thumbnet.export.c.plan import Place, Plan
from thumbnet.models.card import ModelCard
from thumbnet.models.unknown import UNKNOWN
from thumbnet.models.unsure import UNSURE

WIDTH = 118
MOST_SIDE = 65535  # of uint16, which holds a block's sizes
MOST_DILATION = 255  # of uint8
PIXEL_LAYOUTS = {1: "a grey level a byte", 3: "a byte each of red, green and blue (RGB888)"}
PROBABILITY_ERROR = 0.001
PROBABILITY_UNITS = 65535  # of 1


def c_source(
    program: FixedProgram, plan: Plan, *, name: str, class_names: Sequence[str], card: ModelCard | None = None
) -> str:
    """The content of `<name>.c`; `name` is a C identifier, and `card` says how its logits become an answer; None: the
    likeliest class."""
    sizes = [size for block in program.blocks for size in (*block.in_shape, *block.out_shape)]
    if max(sizes) > MOST_SIDE or max(block.dilation for block in program.blocks) > MOST_DILATION:
        raise ExportError("the network has more channels or larger maps than the C program takes")
    stem, last = program.stem, program.blocks[-1]
    arrays = [
        _array("int32_t", "mean16", stem.mean16),
        _array("int16_t", "stem_filters", stem.filters.transpose(0, 2, 3, 1)),
        _array("int32_t", "stem_factors", stem.scaling.multipliers),
        *(array for index, block in enumerate(program.blocks) for array in _block_arrays(index, block)),
        _array("int16_t", "silu_table", program.silu_table),
        _array("int8_t", "head", program.head),
        _array("int32_t", "head_factors", program.head_scaling.multipliers),
        *([] if program.far is None else _far_arrays(program.far)),
    ]
    more_names = _more_names(program, card)
    placed = enumerate(zip(program.blocks, plan.places, strict=True))
    return fill(
        "network.c",
        name=name,
        NAME=name.upper(),
        stem_channels=stem.out_shape[0],
        stem_side=stem.filters.shape[2],
        stem_padding=stem.padding,
        stem_height=stem.out_shape[1],
        stem_width=stem.out_shape[2],
        stem_shift=stem.scaling.shift,
        stem_row="row" if stem.stride == 1 else f"{stem.stride} * row",
        stem_column="column" if stem.stride == 1 else f"{stem.stride} * column",
        most_channels=most_channels(program),
        num_blocks=len(program.blocks),
        num_streamed=plan.num_streamed,
        last_channels=last.out_shape[0],
        last_positions=last.out_shape[1] * last.out_shape[2],
        half_sum=(1 << program.sum_shift) >> 1,
        sum_shift=program.sum_shift,
        head_shift=program.head_scaling.shift,
        memory_bytes=plan.num_bytes,
        far="" if program.far is None else _far_function(program.far, name),
        answer=_answer(program, card, name),
        one_more=f" + {len(more_names)}" if more_names else "",
        arrays="\n".join(arrays),
        blocks="\n".join(_entry(index, block, place) for index, (block, place) in placed),
        class_names="\n".join(f"    {c_string(one)}," for one in (*class_names, *more_names)),
    )


def _may_be_unsure(card: ModelCard | None) -> bool:
    return card is not None and card.unsure is not None


def _more_names(program: FixedProgram, card: ModelCard | None) -> tuple[str, ...]:
    """The names after those of the classes. "unknown" stands for the number of classes + 1, as in other exports, also
    where the model is never unsure."""
    if program.far is not None:
        return UNSURE, UNKNOWN
    return (UNSURE,) if _may_be_unsure(card) else ()


def _far_arrays(far: FixedFar) -> Iterable[str]:
    yield _array("int32_t", "far_factors", far.scaling.multipliers)
    yield _array("int32_t", "far_centres", far.centres)
    yield _array("int16_t", "far_means", far.means)


def _far_function(far: FixedFar, name: str) -> str:
    return fill(
        "far.c",
        NAME=name.upper(),
        shift=far.scaling.shift,
        limit=f"{far.distance:.4g}",
        unit=1 << far.bits,
        largest_square=far.limit,
    )


def _answer(program: FixedProgram, card: ModelCard | None, name: str) -> str:
    """The last lines of the function that classifies."""
    by_logits = _answer_by_logits(program, card, name)
    if program.far is None:
        return by_logits
    return f"if (is_far())\n        return {name.upper()}_UNKNOWN;\n    {by_logits}"


def _answer_by_logits(program: FixedProgram, card: ModelCard | None, name: str) -> str:
    if card is not None and card.unsure is not None:
        limit = math.ceil(card.unsure.confidence * PROBABILITY_UNITS)
        return (
            f"/* Unsure below a probability of {card.unsure.confidence:.4g}: see README.md. */\n"
            f"    static uint16_t probabilities[{name.upper()}_CLASSES];\n"
            f"    {name}_probabilities(logits, probabilities);\n"
            f"    return probabilities[first] < {limit} ? {name.upper()}_UNSURE : first;"
        )
    if card is None or card.decision is None:
        return "return first;"
    decision = card.decision
    positive, other = decision.positive, 1 - decision.positive
    margin = math.ceil(decision.margin * (1 << program.logit_bits))  # a difference of whole numbers
    return (
        f"/* Class {positive} from a probability of {decision.threshold:.4g} on: see README.md. */\n"
        f"    return (int64_t)logits[{positive}] - logits[{other}] >= {margin}LL ? {positive} : {other};"
    )


def most_channels(program: FixedProgram) -> int:
    """Of all maps."""
    channels = [max(block.ring_channels, block.out_shape[0]) for block in program.blocks]
    return max(program.stem.out_shape[0], *channels)


def c_header(program: FixedProgram, *, name: str, card: ModelCard | None = None) -> str:
    """The content of `<name>.h`; `card` as in `c_source`."""
    unsure, unknown = f"{name.upper()}_UNSURE", f"{name.upper()}_UNKNOWN"
    may_be_unsure, may_be_unknown = _may_be_unsure(card), program.far is not None
    macros = f"\n#define {unsure} {name.upper()}_CLASSES" if may_be_unsure else ""
    after_names = f"; last, that of {unsure}" if may_be_unsure else ""
    others = f", or {unsure} where none is likely enough" if may_be_unsure else ""
    if may_be_unknown:
        macros += f"\n#define {unknown} ({name.upper()}_CLASSES + 1)"
        after_names = f'; last, that of {unknown}, after that of the answer "{UNSURE}"'
        others += f",\n   or {unknown} where the picture is unlike those that it was trained on"
    more_names = _more_names(program, card)
    channels, height, width = program.stem.in_shape
    return fill(
        "network.h",
        name=name,
        NAME=name.upper(),
        width=width,
        height=height,
        channels=channels,
        num_classes=program.num_classes,
        logit_bits=program.logit_bits,
        pixel_layout=PIXEL_LAYOUTS[channels],
        probability_error=PROBABILITY_ERROR,
        unsure_macro=macros,
        one_more=f" + {len(more_names)}" if more_names else "",
        and_unsure=after_names,
        or_unsure=others,
    )


def fill(template: str, **values: str | int | float) -> str:
    """One of the files in templates/ with its $placeholders filled in."""
    text = (files("thumbnet.export.c") / "templates" / template).read_text(encoding="utf-8")
    return Template(text).substitute(values, version=__version__)


def _block_arrays(index: int, block: FixedBlock) -> Iterable[str]:
    if block.pointwise is None:
        filters = block.filters.transpose(0, 2, 3, 1)
    else:
        filters = block.filters[:, 0].transpose(1, 2, 0)
        yield _array("int8_t", f"pointwise_{index}", block.pointwise.weights)
        yield _array("int32_t", f"pointwise_bias_{index}", block.pointwise.bias)
        yield _array("int32_t", f"pointwise_factors_{index}", block.pointwise.scaling.multipliers)
    yield _array("int8_t", f"filters_{index}", filters)
    yield _array("int32_t", f"bias_{index}", block.bias)
    yield _array("int32_t", f"before_factors_{index}", block.before.multipliers)
    yield _array("int32_t", f"after_factors_{index}", block.after.multipliers)
    if block.kept is not None:
        yield _array("int32_t", f"kept_factors_{index}", block.kept)


def _array(kind: str, name: str, values: Int[np.ndarray, "..."]) -> str:
    numbers = ", ".join(str(value) for value in values.ravel().tolist())
    lines = textwrap.fill(numbers, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return f"static const {kind} {name}[{values.size}] = {{\n{lines}\n}};"


def _entry(index: int, block: FixedBlock, place: Place) -> str:
    """A block in the table `blocks`."""
    separable = block.pointwise is not None
    pointers = [
        f"{part}_{index}" if separable else "0" for part in ("pointwise", "pointwise_bias", "pointwise_factors")
    ]
    pointers += [f"{part}_{index}" for part in ("filters", "bias", "before_factors", "after_factors")]
    pointers.append("0" if block.kept is None else f"kept_factors_{index}")
    places = ["NO_MAP" if one is None else f"{one}u" for one in (place.source, place.ring, place.target)]
    sizes = [*block.in_shape, block.ring_channels, place.ring_rows, *block.out_shape]
    shifts = [0 if block.pointwise is None else block.pointwise.scaling.shift, block.before.shift, block.after.shift]
    form = [block.stride, block.dilation, int(block.pools), block.padding_value, block.zero_before, block.zero]
    return (
        f"    {{{', '.join(pointers)},\n     {', '.join(places)},\n"
        f"     {', '.join(map(str, sizes))}, {', '.join(map(str, [*shifts, *form]))}}},"
    )

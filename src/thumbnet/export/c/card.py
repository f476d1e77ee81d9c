"""The edge card: the README.md of an exported C folder. Without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from thumbnet.data.white_levels import describe_white
from thumbnet.evaluation.figure_names import or_balanced
from thumbnet.export.c.far_check import unknown_rows
from thumbnet.export.c.fixed_point import PIXEL_BITS, FixedProgram
from thumbnet.export.c.measure import BoardSizes
from thumbnet.export.c.names import markdown_text
from thumbnet.export.c.source import PIXEL_LAYOUTS, PROBABILITY_ERROR, fill
from thumbnet.export.licence import licence_of
from thumbnet.export.public_card import public_card
from thumbnet.export.request import Agreement
from thumbnet.export.unknown_shares import UnknownShares
from thumbnet.models.card import answer_rule
from thumbnet.trained.shippable import Shippable

MAGICK_FORMATS = {1: "-grayscale Rec601Luma -depth 8 gray", 3: "-depth 8 rgb"}  # grey by the luma that thumbnet takes
NO_CLASS = """

`class_index` is `{NAME}_UNKNOWN`, whose name is the last, where a picture is unlike those that the model was trained
on; its probabilities then say nothing. That finds pictures of another kind, such as another camera's, drawings or
noise; one of something new that looks much like them may still get a class."""


def edge_card(
    shippable: Shippable,
    program: FixedProgram,
    *,
    name: str,
    sizes: BoardSizes,
    checks: Sequence[Agreement],
    shares: UnknownShares | None,
    seconds: float | None,
    compiler: str | None,
) -> str:
    """Markdown.

    Args:
        checks: on held-out images, if there are any, and on the test images or samples.
        shares: what is unknown of the last ones; None for a model that is never unknown.
        seconds: for a picture, compiled by `compiler` on this machine; both None without one.
    """
    assert shippable.program is not None
    channels, height, width = program.stem.in_shape
    white = describe_white(shippable.card.white_levels)
    rows = {
        "picture": f"{width} x {height} pixels, {PIXEL_LAYOUTS[channels]}",
        "classes": f"{program.num_classes:,}",
        **_answer_row(shippable),
        "parameters": f"{shippable.card.num_params:,}",
        "multiply-accumulates for a picture": f"{shippable.program.macs:,}",
        "flash, Cortex-M4": f"{sizes.flash:,} bytes of code and constants",
        "RAM, Cortex-M4": f"{sizes.ram:,} bytes of variables and stack, without the picture",
        **_accuracy_rows(shippable, checks),
        **unknown_rows(program, shares),
    }
    if seconds is not None and compiler is not None:
        rows["time on the computer that exported it"] = (
            f"{1000 * seconds:.2f} ms a picture, one thread (`{compiler}`, -O3)"
        )
    rows["trained on"] = markdown_text(public_card(shippable.card).data_description)
    rows["licence of the weights"] = licence_of(shippable)
    notes = (
        f"Flash and RAM are {sizes.source}. The C library's memcpy and memset, which compilers call, come on top where "
        "the program has not got them.\n"
        f"Weights and maps have 8 bits; the first layer's weights and the pixels less their mean (in "
        f"{1 << PIXEL_BITS}ths) have 16, sums 32. Probabilities are within "
        f"{PROBABILITY_ERROR} of the logits' softmax.\n"
    )
    if compiler is None:
        notes += (
            "There was no C compiler where this was exported: it was checked by thumbnet's integer reference alone."
        )
    else:
        notes += "The compiled program gave the same bytes as thumbnet's integer reference."
    table = "| | |\n|---|---|\n" + "\n".join(f"| {label} | {value} |" for label, value in rows.items())
    return fill(
        "README.md",
        title=markdown_text(shippable.name),
        table=table,
        notes=notes,
        name=name,
        NAME=name.upper(),
        width=width,
        height=height,
        pixel_layout=PIXEL_LAYOUTS[channels],
        magick=MAGICK_FORMATS[channels],
        white=f"; {white}" if white else "",
        no_class="" if program.far is None else NO_CLASS.format(NAME=name.upper()),
        classes="\n".join(f"{index}. {markdown_text(one)}" for index, one in enumerate(shippable.card.class_names)),
    )


def _answer_row(shippable: Shippable) -> dict[str, str]:
    rule = answer_rule(shippable.card)
    return {"answer": markdown_text(rule)} if rule else {}


def _accuracy_rows(shippable: Shippable, checks: Sequence[Agreement]) -> dict[str, str]:
    last = checks[-1]
    rows = {"same class as the float model": f"{last.agreement:.2%} of {markdown_text(last.description)}"}
    if not last.on_samples:
        rows["accuracy"] = f"{last.accuracy:.2%} (float: {last.original_accuracy:.2%})"
        if last.has_other_balanced:
            rows["balanced accuracy"] = f"{last.balanced_accuracy:.2%} (float: {last.original_balanced_accuracy:.2%})"
    elif shippable.card.metrics is not None:
        metrics = shippable.card.metrics
        balanced = or_balanced(metrics["test_accuracy"], metrics.get("test_balanced_accuracy"))
        rows["accuracy of the float model"] = (
            f"{metrics['test_accuracy']:.2%} of {int(metrics['num_test']):,} test images{balanced}, from its training; "
            "the C program's was not measured, for want of the data"
        )
    return rows

"""Classes, or labels, that have fewer images, or groups of them, than the parts that each must be in: one error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.class_counts import class_sizes
from thumbnet.errors import DataError
from thumbnet.terminal.text import counted

Unit: TypeAlias = Literal["image", "group"]  # what goes to one part as a whole
Kind: TypeAlias = Literal["class", "label"]  # "label": an image may have several

MAX_CLASSES_NAMED = 20  # in a message


def num_units(
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"], groups: Int64[Tensor, " n"] | None, num_classes: int
) -> list[int]:
    """How many images of each class there are; with `groups`, how many groups have an image of it."""
    if groups is None:
        return class_sizes(labels, num_classes)
    if labels.ndim == 2:
        images, classes = labels.nonzero(as_tuple=True)
    else:
        images, classes = torch.arange(len(labels)), labels
    pairs = (classes * len(groups) + groups.unique(return_inverse=True)[1][images]).unique()
    numbers: list[int] = (pairs // len(groups)).bincount(minlength=num_classes).tolist()
    return numbers


def needed_for_splits(*, holds_test: bool, holds_val: bool) -> int:
    """How many splits are to be filled: the training split, and those that are held out of it."""
    return 1 + holds_test + holds_val


def refuse_few_for_splits(
    numbers: Sequence[int],
    names: Sequence[str],
    *,
    holds_test: bool,
    holds_val: bool,
    unit: Unit = "image",
    kind: Kind = "class",
) -> None:
    """DataError where classes that have any of the units have fewer of them than there are splits to fill."""
    hint = f"add images of such a {kind}, or take it out"
    if unit == "group":
        hint = "add pictures of other objects, or leave groups out"
    if holds_val:
        hint += ", or set val_fraction to 0"
    needed = needed_for_splits(holds_test=holds_test, holds_val=holds_val)
    _refuse(numbers, names, needed, part="split", unit=unit, kind=kind, hint=hint)


def refuse_few_for_folds(
    numbers: Sequence[int], names: Sequence[str], folds: int, *, unit: Unit = "image", kind: Kind = "class"
) -> None:
    """DataError where classes that have any of the units have fewer of them than there are folds."""
    hint = f"every fold needs an image of each {kind}: take fewer folds, or add images"
    if unit == "group":
        hint = "add pictures of other objects, take fewer folds, or leave groups out"
    _refuse(numbers, names, folds, part="fold", unit=unit, kind=kind, hint=hint)


def _refuse(
    numbers: Sequence[int], names: Sequence[str], needed: int, *, part: str, unit: Unit, kind: Kind, hint: str
) -> None:
    small = {name: number for name, number in zip(names, numbers, strict=False) if 0 < number < needed}
    parts = counted(needed, part)
    if len(small) == 1:
        ((name, number),) = small.items()
        raise DataError(
            f"{kind} {name!r} has {counted(number, unit)} for {parts}, expected at least {needed}", hint=hint
        )
    if small:
        named = [f"{name!r} has {number}" for name, number in small.items()][:MAX_CLASSES_NAMED]
        more = "" if len(named) == len(small) else f", and {len(small) - len(named):,} more have too few"
        several = "classes" if kind == "class" else "labels"
        raise DataError(
            f"{len(small):,} {several} have fewer {unit}s than the {parts} need: {', '.join(named)}{more}", hint=hint
        )

"""The checks of the tests themselves: shapes in signatures are compared, in aliases too, and all other types are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pytest
import torch
from jaxtyping import Float

from shape_checks import check, decorate
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Split
from thumbnet.specs.optimizers import SGD
from thumbnet.views.figure import display_images, line_height_px

Rows: TypeAlias = Float[np.ndarray, "n k"]
TWO, THREE = np.zeros((2, 4)), np.zeros((3, 4))


def test_shapes_are_compared_and_other_types_checked() -> None:
    with pytest.raises(TypeError, match="normalise"):
        normalise(torch.zeros(3, 32, 32, dtype=torch.uint8), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(TypeError, match="display_images"):
        display_images(np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(TypeError, match="line_height_px"):
        line_height_px("large")  # type: ignore[arg-type]


def test_so_are_those_of_dataclasses() -> None:
    with pytest.raises(TypeError, match="__init__"):
        Split(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64))  # no uint8
    with pytest.raises(TypeError, match="__init__"):
        SGD(lr="large")  # type: ignore[arg-type]


def first_of_both(one: Rows, other: Rows, *, is_wrong: bool = False) -> Float[np.ndarray, " k"]:
    return one[:, 0] if is_wrong else one[0] + other[0]


def within(inner: Rows, outer: Rows) -> Rows:
    return CHECKED(TWO, TWO) + inner + outer


def each(rows: Rows) -> Iterator[Float[np.ndarray, " k"]]:
    yield from rows


def all_of_two(rows: Rows) -> list[object]:
    return list(EACH(TWO))


def repeated(values: Float[np.ndarray, " n"], times: int) -> Float[np.ndarray, "{times} n"]:
    return np.stack([values] * (times if times < 3 else 1))


@dataclass(frozen=True)
class Pair:
    one: Rows
    other: Rows


CHECKED, EACH = decorate(typechecker=check)(first_of_both), decorate(typechecker=check)(each)


@pytest.mark.parametrize("function", [first_of_both, Pair])
def test_axes_of_one_name_are_one_number_within_a_call(function: Callable[..., object]) -> None:
    checked = decorate(typechecker=check)(function)
    checked(TWO, TWO)
    checked(THREE, THREE)
    with pytest.raises(TypeError, match="other"):
        checked(TWO, THREE)
    checked(TWO, TWO)


def test_the_result_is_compared_with_the_arguments() -> None:
    with pytest.raises(TypeError, match="return"):
        CHECKED(TWO, TWO, is_wrong=True)
    checked = decorate(typechecker=check)(within)
    assert checked(THREE, THREE).shape == THREE.shape  # the axes of the inner call are its own
    with pytest.raises(TypeError, match="outer"):
        checked(THREE, TWO)


def test_a_generator_has_axes_of_its_own() -> None:
    assert len(decorate(typechecker=check)(all_of_two)(THREE)) == 2
    with pytest.raises(TypeError, match="rows"):
        EACH(TWO[0])


def test_an_argument_may_be_part_of_a_shape() -> None:
    checked = decorate(typechecker=check)(repeated)
    assert checked(TWO[0], 2).shape == (2, 4)
    with pytest.raises(TypeError, match="return"):
        checked(TWO[0], 3)

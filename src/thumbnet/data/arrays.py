"""Arrays as programs hold images and labels, brought to the one form that everything here has. Without PyTorch.

Images become uint8 (0 to 255) with the channels first, labels whole numbers from 0. Floats are from 0 to 1; any other
scale is refused, since a wrong guess would train on noise.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, UInt8

from thumbnet.errors import DataError
from thumbnet.specs.checks import require_choice

LAYOUTS = ("auto", "NHWC", "NCHW")
MAX_LABEL = 2**32
CHUNK_VALUES = 2**20  # floats that are scaled at a time, so that working copies stay small
LEVELS = "uint8 (0 to 255), or floats from 0 to 1"


@runtime_checkable
class HasArray(Protocol):
    """A NumPy array, a tensor, or anything else that NumPy takes as an array."""

    def __array__(self, dtype: Any = None, /) -> np.ndarray: ...  # it is NumPy's name


def as_array(values: object, *, name: str) -> np.ndarray:
    """Arrays, tensors on any device, or lists of such, as an array; `name` says in errors which it is."""
    try:
        array = np.asarray(_without_tensors(values))
    except (ValueError, TypeError, RuntimeError) as error:  # rows of several lengths; what is no array at all
        raise DataError(
            f"{name} is no array of numbers: {error}", hint="give images of one size in one array"
        ) from None
    return array if array.flags.writeable else array.copy()  # PyTorch takes only what may be written


def _without_tensors(values: object) -> object:
    """The same with an array in the place of each tensor, which is known without importing PyTorch."""
    if isinstance(values, list | tuple):
        return [_without_tensors(each) for each in values]
    if isinstance(values, np.ndarray) or not hasattr(values, "detach"):
        return values
    tensor: Any = values
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()  # NumPy knows no bfloat16


def images_from_array(array: np.ndarray, *, name: str, layout: str = "auto") -> UInt8[np.ndarray, "n c h w"]:
    """Images [N,H,W], [N,H,W,1 or 3] or [N,1 or 3,H,W] as uint8 [N,C,H,W]; where they are that already, not copied.

    Raises:
        DataError: they have another shape or other levels, or their channels could be first or last and `layout` is
            "auto"; ConfigError: no such layout.
    """
    require_choice("layout", layout, LAYOUTS)
    ordered = _channels_first(array, name=name, layout=layout, num_dimensions=4)
    return np.ascontiguousarray(_uint8(ordered, f"{name} is {array.dtype} {list(array.shape)}"))


def picture_from_array(array: np.ndarray, *, name: str) -> UInt8[np.ndarray, "c h w"]:
    """One picture [H,W], [H,W,1 or 3] or [1 or 3,H,W] as uint8 [C,H,W]; DataError as `images_from_array`."""
    ordered = _channels_first(array, name=name, layout="auto", num_dimensions=3)
    return np.ascontiguousarray(_uint8(ordered, f"{name} is {array.dtype} {list(array.shape)}"))


def labels_from_array(array: np.ndarray, *, name: str) -> Int64[np.ndarray, " n"] | UInt8[np.ndarray, "n k"]:
    """Whole numbers from 0, [N] or [N,1], as int64 [N]; of several labels an image, 0 and 1 or truth values [N,K] with
    K above 1, as uint8 [N,K]. DataError for anything else."""
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iub" and np.isin(array, (0, 1)).all():
        return array.astype(np.uint8)
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    is_in_range = flat.size == 0 or flat.dtype.kind not in "iu" or (flat.min() >= 0 and flat.max() <= MAX_LABEL)
    if flat.ndim != 1 or flat.dtype.kind not in "iu" or not is_in_range:
        lowest = f", from {flat.min()} to {flat.max()}" if flat.size and flat.dtype.kind in "iu" else ""
        raise DataError(
            f"{name} is {array.dtype} {list(array.shape)}{lowest}",
            hint="give whole numbers from 0, one an image; or, of several labels, 0 and 1 as [N,K]",
        )
    return flat.astype(np.int64)


def _channels_first(array: np.ndarray, *, name: str, layout: str, num_dimensions: int) -> np.ndarray:
    """The array with its channels before the rows: of `num_dimensions`, or one fewer where it is grey without them."""
    shape = list(array.shape)
    whole = array[..., None, :, :] if array.ndim == num_dimensions - 1 else array
    if whole.ndim == num_dimensions and 0 not in shape:
        could_be_first, could_be_last = whole.shape[-3] in (1, 3), whole.shape[-1] in (1, 3)
        if whole is array and layout == "auto" and could_be_first and could_be_last:
            raise DataError(
                f"{name} is {array.dtype} {shape}: its channels could be first or last",
                hint='say which with layout="NCHW" or "NHWC" (dataset_from_arrays), or give other sides than 1 and 3',
            )
        if could_be_first and (whole is not array or layout != "NHWC"):
            return whole
        if could_be_last and whole is array and layout != "NCHW":
            return np.moveaxis(whole, -1, -3)
    letters = "N," if num_dimensions == 4 else ""
    wanted = "" if layout == "auto" else f", but layout is {layout!r}"
    raise DataError(
        f"{name} is {array.dtype} {shape}{wanted}",
        hint=f"give {LEVELS}, as [{letters}H,W], [{letters}H,W,1 or 3] or [{letters}1 or 3,H,W]",
    )


def _uint8(array: np.ndarray, what: str) -> UInt8[np.ndarray, "*shape"]:
    """Levels 0 to 255: floats from 0 to 1 times 255, rounded. `what` is the array in words, for errors."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise DataError(what, hint=f"give {LEVELS}")
    lowest, highest = float(array.min()), float(array.max())
    if not np.isfinite([lowest, highest]).all():
        raise DataError(f"{what} with NaN or infinity among its values", hint=f"give {LEVELS}")
    if lowest < 0 or highest > 1:
        is_scaled = lowest >= 0 and 1 < highest <= 255
        raise DataError(
            f"{what} from {lowest:g} to {highest:g}",
            hint=f"give {LEVELS}{': divide these by 255' if is_scaled else ''}",
        )
    levels = np.empty(array.shape, np.uint8)
    step = max(1, CHUNK_VALUES // array[0].size)
    for start in range(0, len(array), step):
        levels[start : start + step] = np.rint(array[start : start + step].astype(np.float32) * 255)
    return levels

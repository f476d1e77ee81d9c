"""Our augmentations against Albumentations 2.0.8: equal pixels for equal draws, and draws of equal distribution.

Pixels: theirs runs once an image, with its own random choices; ours then repeats these choices on the whole batch.
Flip, crop and dropout must be equal in every pixel. Shift-scale-rotate interpolates in another order: seen on 32x32
images, a mean difference of 0.00002 grey levels on photographs and 0.0001 on noise, at most 0.001 in one image and 1 in
one pixel (OpenCV 5.0).

Draws: two-sample tests on fixed seeds, so that a result is the same on every run; a p-value below 0.001 fails.
"""

from __future__ import annotations

import albumentations  # type: ignore[import-untyped]  # ships no types
import cv2
import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from scipy import stats
from sklearn.datasets import load_sample_image
from torch import Tensor

from thumbnet.augment import CoarseDropout, Draws, HorizontalFlip, RandomCrop, ShiftScaleRotate, create_policy

BORDER_MODES = {"zero": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
NUM_IMAGES = 100
NUM_DRAWS = 4000
REJECTED_BELOW = 0.001  # p-value
SHAPES = [(3, 32, 32), (3, 24, 40), (1, 28, 28)]

special_case = pytest.mark.filterwarnings("ignore:ShiftScaleRotate is a special case of Affine:UserWarning")


@pytest.mark.parametrize("shape", SHAPES)
def test_flip_equals_theirs(shape: tuple[int, int, int]) -> None:
    images = _noise(*shape)
    theirs = _run(albumentations.HorizontalFlip(p=1.0), images)[0]
    selected = torch.arange(NUM_IMAGES) % 2 == 0
    ours = HorizontalFlip().apply(images, {"selected": selected})
    assert torch.equal(ours[selected], theirs[selected])
    assert torch.equal(ours[~selected], images[~selected])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("border", ["zero", "reflect"])
@pytest.mark.parametrize("padding", [0, 4, 9])
def test_crop_equals_theirs(shape: tuple[int, int, int], border: str, padding: int) -> None:
    images = _noise(*shape)
    pad = albumentations.Pad(padding, border_mode=BORDER_MODES[border], fill=0, p=1.0)
    crop = albumentations.RandomCrop(shape[1], shape[2], p=1.0)
    theirs, choices = _run(crop, _run(pad, images)[0])
    ours = RandomCrop(padding, "zero" if border == "zero" else "reflect").apply(images, _crop_draws(choices))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 16, 24])
def test_dropout_equals_theirs(shape: tuple[int, int, int], size: int) -> None:
    images = _noise(*shape)
    fill = (125, 123, 114)[: shape[0]]
    theirs, choices = _run(_their_dropout(size, p=1.0, fill=fill), images)
    assert torch.equal(CoarseDropout(size, fill=fill).apply(images, _dropout_draws(choices)), theirs)


@special_case
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("shift", "scale", "degrees"),
    [(0.0625, 0.1, 45.0), (0.0, 0.0, 180.0), (1.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.5, 0.7, 180.0)],
    ids=["defaults", "only-rotate", "only-shift", "only-scale", "far-out"],
)
@pytest.mark.parametrize("kind", ["photographs", "noise"])
def test_shift_scale_rotate_is_within_rounding_of_theirs(
    shape: tuple[int, int, int], shift: float, scale: float, degrees: float, kind: str
) -> None:
    images = _noise(*shape) if kind == "noise" else _photographs(*shape)
    theirs, choices = _run(_their_shift_scale_rotate(shift, scale, degrees), images)
    augmentation = ShiftScaleRotate(shift, scale, degrees)
    ours = augmentation.apply(images, _shift_scale_rotate_draws(choices, shape))
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() <= 1
    assert difference.double().mean(dim=(1, 2, 3)).max() < 0.01


def test_crop_offsets_are_distributed_as_theirs() -> None:
    crop = albumentations.RandomCrop(32, 32, p=1.0)
    theirs = _crop_draws(_their_choices(crop, (40, 40, 3)))
    ours = RandomCrop(padding=4).draw(NUM_DRAWS, (3, 32, 32), torch.Generator().manual_seed(1))
    assert _values(ours["top"]) == list(range(9))
    _assert_same_frequencies(ours["top"] * 9 + ours["left"], theirs["top"] * 9 + theirs["left"])


def test_hole_positions_are_distributed_as_theirs() -> None:
    theirs = _dropout_draws(_their_choices(_their_dropout(16, p=1.0, fill=(0,)), (20, 26, 1)))
    ours = CoarseDropout(16, fill=(0,)).draw(NUM_DRAWS, (1, 20, 26), torch.Generator().manual_seed(1))
    assert (_values(ours["top"]), _values(ours["left"])) == (list(range(5)), list(range(11)))
    _assert_same_frequencies(ours["top"] * 11 + ours["left"], theirs["top"] * 11 + theirs["left"])


@special_case
@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 50, 100)])
def test_shift_scale_and_angle_are_distributed_as_theirs(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    choices = _their_choices(_their_shift_scale_rotate(0.0625, 0.1, 45.0), (height, width, channels))
    theirs = _shift_scale_rotate_draws(choices, shape)
    ours = ShiftScaleRotate().draw(NUM_DRAWS, shape, torch.Generator().manual_seed(1))
    for name, low, high in (("degrees", -45.0, 45.0), ("scale_x", 0.9, 1.1), ("scale_y", 0.9, 1.1)):
        assert low <= ours[name].min() < low + (high - low) / 100
        assert high - (high - low) / 100 < ours[name].max() <= high
        assert stats.ks_2samp(ours[name], theirs[name]).pvalue > REJECTED_BELOW
    # The two scales are drawn apart: were they one, their ratio would always be 1.
    ratios = [draws["scale_x"] / draws["scale_y"] for draws in (ours, theirs)]
    assert stats.ks_2samp(*ratios).pvalue > REJECTED_BELOW
    assert _values(ours["shift_x"]) == _values(theirs["shift_x"])
    assert _values(ours["shift_y"]) == _values(theirs["shift_y"])
    _assert_same_frequencies(ours["shift_x"] * 100 + ours["shift_y"], theirs["shift_x"] * 100 + theirs["shift_y"])


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_images_are_selected_as_often_as_theirs(p: float) -> None:
    their_flip = albumentations.HorizontalFlip(p=p)
    their_flip.set_random_seed(0)
    theirs = torch.tensor([their_flip.should_apply() for _ in range(NUM_DRAWS)])
    fill = (0, 0, 0)
    for augmentation in (HorizontalFlip(p), ShiftScaleRotate(p=p), CoarseDropout(p=p, fill=fill)):
        draws = augmentation.draw(NUM_DRAWS, (3, 32, 32), torch.Generator().manual_seed(1))
        if p in (0.0, 1.0):
            assert torch.equal(draws["selected"], theirs)
        else:
            _assert_same_frequencies(draws["selected"].long(), theirs.long())


@special_case
def test_the_albumentations_policy_has_their_defaults() -> None:
    flip, move, dropout = create_policy("albumentations", flip=True, mean=(0.4914, 0.4822, 0.4465))
    their_flip, their_move = albumentations.HorizontalFlip(), albumentations.ShiftScaleRotate()
    assert isinstance(flip, HorizontalFlip)
    assert isinstance(move, ShiftScaleRotate)
    assert isinstance(dropout, CoarseDropout)
    assert flip.p == their_flip.p
    assert move.p == their_move.p
    assert (-move.shift, move.shift) == their_move.shift_limit_x == their_move.shift_limit_y
    assert (1 - move.scale, 1 + move.scale) == pytest.approx(their_move.scale["x"])
    assert (-move.rotate_degrees, move.rotate_degrees) == their_move.rotate
    assert dropout.p == albumentations.CoarseDropout().p


def _their_dropout(size: int, *, p: float, fill: tuple[int, ...]) -> albumentations.CoarseDropout:
    return albumentations.CoarseDropout(
        num_holes_range=(1, 1), hole_height_range=(size, size), hole_width_range=(size, size), fill=fill, p=p
    )


def _their_shift_scale_rotate(shift: float, scale: float, degrees: float) -> albumentations.ShiftScaleRotate:
    return albumentations.ShiftScaleRotate(
        shift_limit=(-shift, shift),
        scale_limit=(-scale, scale),
        rotate_limit=(-degrees, degrees),
        interpolation=cv2.INTER_LINEAR,
        border_mode=cv2.BORDER_REFLECT_101,
        p=1.0,
    )


Choices = list[dict[str, object]]  # Albumentations' parameters, one entry an image


def _run(
    transform: albumentations.BasicTransform, images: UInt8[Tensor, "n c h w"]
) -> tuple[UInt8[Tensor, "n c h2 w2"], Choices]:
    """Their result for each image, and what they drew for it."""
    transform.set_random_seed(0)
    results, choices = [], []
    for image in images.permute(0, 2, 3, 1).numpy():
        results.append(transform(image=image)["image"])
        choices.append(transform.get_applied_params())
    return torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2), choices


def _their_choices(transform: albumentations.BasicTransform, shape: tuple[int, int, int]) -> Choices:
    """What they draw for NUM_DRAWS images of `shape` [H,W,C], without touching a pixel."""
    transform.set_random_seed(0)
    return [transform.get_params_dependent_on_data({"shape": shape}, {}) for _ in range(NUM_DRAWS)]


def _crop_draws(choices: Choices) -> Draws:
    corners = np.array([choice["crop_coords"] for choice in choices])  # x_min, y_min, x_max, y_max
    return {"left": torch.from_numpy(corners[:, 0]), "top": torch.from_numpy(corners[:, 1])}


def _dropout_draws(choices: Choices) -> Draws:
    corners = np.concatenate([np.asarray(choice["holes"]) for choice in choices])  # x_min, y_min, x_max, y_max
    return {
        "selected": torch.ones(len(choices), dtype=torch.bool),
        "left": torch.from_numpy(corners[:, 0]),
        "top": torch.from_numpy(corners[:, 1]),
    }


def _shift_scale_rotate_draws(choices: Choices, shape: tuple[int, int, int]) -> Draws:
    """Their shift is not among their parameters: it is how far their matrix moves the centre."""
    _, height, width = shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 1])
    shifts = np.array([np.asarray(choice["matrix"]) @ centre - centre for choice in choices])
    assert np.allclose(shifts, shifts.round(), atol=1e-9)
    scales = [_as_dict(choice["scale"]) for choice in choices]
    return {
        "selected": torch.ones(len(choices), dtype=torch.bool),
        "degrees": torch.tensor([choice["rotate"] for choice in choices], dtype=torch.float64),
        "scale_x": torch.tensor([scale["x"] for scale in scales], dtype=torch.float64),
        "scale_y": torch.tensor([scale["y"] for scale in scales], dtype=torch.float64),
        "shift_x": torch.from_numpy(shifts[:, 0].round()).long(),
        "shift_y": torch.from_numpy(shifts[:, 1].round()).long(),
    }


def _as_dict(value: object) -> dict[str, float]:
    assert isinstance(value, dict)
    return value


def _assert_same_frequencies(ours: Tensor, theirs: Tensor) -> None:
    """Chi-squared test of homogeneity over the values that either of the two took."""
    values = torch.tensor(_values(torch.cat([ours, theirs])))
    counts = np.stack([(draws[:, None] == values).sum(dim=0).numpy() for draws in (ours, theirs)])
    assert stats.chi2_contingency(counts).pvalue > REJECTED_BELOW


def _values(draw: Tensor) -> list[int]:
    return sorted({int(value) for value in draw.tolist()})


def _noise(channels: int, height: int, width: int) -> UInt8[Tensor, "n c h w"]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (NUM_IMAGES, channels, height, width), dtype=torch.uint8, generator=generator)


def _photographs(channels: int, height: int, width: int) -> UInt8[Tensor, "n c h w"]:
    """Pieces of scikit-learn's two photographs at a quarter of their size."""
    random = np.random.default_rng(0)
    photographs = [_quarter(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    pieces = []
    for index in range(NUM_IMAGES):
        photograph = photographs[index % 2]
        top, left = (
            random.integers(side - size) for side, size in zip(photograph.shape, (height, width), strict=False)
        )
        pieces.append(photograph[top : top + height, left : left + width, :channels])
    return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2).contiguous()


def _quarter(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = photograph.shape
    return np.asarray(cv2.resize(photograph, (width // 4, height // 4), interpolation=cv2.INTER_AREA), dtype=np.uint8)

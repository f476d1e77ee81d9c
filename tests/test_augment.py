"""The augmenter's own promises; tests/test_augment_parity.py compares it with Albumentations."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor

from thumbnet.augment import (
    POLICIES,
    Augmentation,
    Blur,
    CoarseDropout,
    ColorJitter,
    Draws,
    HorizontalFlip,
    Jpeg,
    Lighting,
    Noise,
    QuarterTurn,
    RandomCrop,
    Sharpen,
    ShiftScaleRotate,
    VerticalFlip,
    augment,
    create_policy,
    policy_flips,
)
from thumbnet.errors import ConfigError

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
STEP_SHARE_MS = 50.0  # 5 % of a training step of about 1 s: 128 images, the reference network, two cores

any_time = settings(deadline=None)  # a busy machine is no bug


@st.composite
def image_batches(draw: st.DrawFn, max_images: int = 5) -> UInt8[Tensor, "n c h w"]:
    """Grey and colour batches, square or not, down to a single pixel and to no image at all."""
    num_images, channels = draw(st.integers(0, max_images)), draw(st.sampled_from((1, 3)))
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    return _noise(num_images, channels, height, width, seed=draw(st.integers(0, 2**16)))


@any_time
@given(st.data(), image_batches(), st.integers(0, 2**32))
def test_every_augmentation_keeps_shape_input_and_determinism(
    data: st.DataObject, images: UInt8[Tensor, "n c h w"], seed: int
) -> None:
    num_images, channels, height, width = images.shape
    chain = [_any_augmentation(data, (channels, height, width)) for _ in range(2)]
    before = images.clone()
    first = augment(images, chain, torch.Generator().manual_seed(seed))
    assert torch.equal(images, before)
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, augment(images, chain, torch.Generator().manual_seed(seed)))
    for augmentation in chain:
        draws = augmentation.draw(num_images, (channels, height, width), torch.Generator().manual_seed(seed))
        assert all(draw.device.type == "cpu" and draw.shape == (num_images,) for draw in draws.values())


@any_time
@given(image_batches())
def test_flip_twice_is_identity_and_keeps_the_pixels(images: UInt8[Tensor, "n c h w"]) -> None:
    flip = HorizontalFlip()
    draws = {"selected": torch.ones(len(images), dtype=torch.bool)}
    flipped = flip.apply(images, draws)
    assert torch.equal(flipped[..., 0], images[..., -1])
    assert torch.equal(flip.apply(flipped, draws), images)
    assert torch.equal(flipped.sort(dim=3).values, images.sort(dim=3).values)


@any_time
@given(image_batches(), st.integers(0, 6), st.sampled_from(("zero", "reflect")))
def test_centred_crop_is_identity(images: UInt8[Tensor, "n c h w"], padding: int, border: str) -> None:
    padding = padding if border == "zero" else min(padding, min(images.shape[2:]) - 1)
    offsets = torch.full((len(images),), padding)
    crop = RandomCrop(padding, "zero" if border == "zero" else "reflect")
    assert torch.equal(crop.apply(images, {"top": offsets, "left": offsets}), images)


def test_crop_at_the_corner_shows_the_border() -> None:
    images = torch.arange(12, dtype=torch.uint8).reshape(1, 1, 3, 4)
    corner = {"top": torch.tensor([0]), "left": torch.tensor([3])}
    assert RandomCrop(2, "zero").apply(images, corner)[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 0]]
    reflected = RandomCrop(2, "reflect").apply(images, corner)[0, 0].tolist()
    assert reflected == [[9, 10, 11, 10], [5, 6, 7, 6], [1, 2, 3, 2]]


@any_time
@given(st.data(), image_batches(), st.floats(0, 1))
def test_hole_is_exactly_its_size_and_only_where_selected(
    data: st.DataObject, images: UInt8[Tensor, "n c h w"], p: float
) -> None:
    num_images, channels, height, width = images.shape
    images = images.clamp(max=254)
    size = data.draw(st.integers(1, min(height, width)))
    dropout = CoarseDropout(size, p, fill=(255,) * channels)
    draws = dropout.draw(num_images, (channels, height, width), torch.Generator().manual_seed(0))
    dropped = dropout.apply(images, draws)
    hidden = dropped == 255
    assert torch.equal(hidden.sum(dim=(1, 2, 3)), draws["selected"] * (size * size * channels))
    assert torch.equal(dropped[~hidden], images[~hidden])


@any_time
@given(image_batches(max_images=8), st.integers(0, 2**32))
def test_images_not_selected_stay(images: UInt8[Tensor, "n c h w"], seed: int) -> None:
    num_images, channels, height, width = images.shape
    fill = (0,) * channels
    photographs = (VerticalFlip(), Lighting(), Blur(), Noise(), Jpeg())
    for augmentation in (HorizontalFlip(), ShiftScaleRotate(), CoarseDropout(1, fill=fill), *photographs):
        draws = augmentation.draw(num_images, (channels, height, width), torch.Generator().manual_seed(seed))
        kept = ~draws["selected"]
        assert torch.equal(augmentation.apply(images, draws)[kept], images[kept])


@any_time
@given(image_batches(), st.integers(-40, 40), st.integers(-40, 40))
def test_pure_shift_moves_and_reflects(images: UInt8[Tensor, "n c h w"], shift_x: int, shift_y: int) -> None:
    """By an index formula of its own: reflect-101 is a triangle wave of period 2 * (length - 1)."""
    num_images, _, height, width = images.shape
    moved = ShiftScaleRotate().apply(images, _moves(num_images, shift_x=shift_x, shift_y=shift_y))
    rows = [_reflected(row - shift_y, height) for row in range(height)]
    columns = [_reflected(column - shift_x, width) for column in range(width)]
    assert torch.equal(moved, images[:, :, rows][:, :, :, columns])


@any_time
@given(image_batches(), st.sampled_from((-180, -90, 0, 90, 180)))
def test_quarter_turns_are_exact(images: UInt8[Tensor, "n c h w"], degrees: int) -> None:
    num_images, _, height, width = images.shape
    side = min(height, width)
    images = images[:, :, :side, :side]
    turned = ShiftScaleRotate().apply(images, _moves(num_images, degrees=degrees))
    assert torch.equal(turned, images.rot90(degrees // 90, dims=(2, 3)))  # rot90 turns anticlockwise


def test_scale_enlarges_about_the_centre() -> None:
    images = torch.tensor([[0, 40, 80, 120, 160]], dtype=torch.uint8).expand(1, 1, 5, 5)
    doubled = ShiftScaleRotate().apply(images, _moves(1, scale_x=2.0))
    assert doubled[0, 0, 0].tolist() == [40, 60, 80, 100, 120]
    assert torch.equal(ShiftScaleRotate().apply(images, _moves(1, scale_y=2.0)), images)


@any_time
@given(image_batches(), st.integers(0, 2**32))
def test_colours_that_are_not_to_change_stay(images: UInt8[Tensor, "n c h w"], seed: int) -> None:
    chain = [ColorJitter(0.0, 0.0, 0.0, 0.0), Sharpen(up_to=1.0)]
    assert torch.equal(augment(images, chain, torch.Generator().manual_seed(seed)), images)


@any_time
@given(image_batches(), st.floats(-180, 180), st.floats(0, 1))
def test_saturation_and_hue_keep_grey_levels(images: UInt8[Tensor, "n c h w"], hue: float, saturation: float) -> None:
    """Of colours pale enough to leave none of 0..255; and grey pixels stay as they are."""
    pale = 96 + images // 4
    jittered = ColorJitter().apply(pale, _jitter(len(pale), saturation=saturation, hue=hue))
    if images.shape[1] == 1:
        assert torch.equal(jittered, pale)
        return
    assert np.abs(_grey(jittered) - _grey(pale)).max(initial=0.0) <= 0.51
    grey = pale[:, :1].expand_as(pale)
    assert torch.equal(ColorJitter().apply(grey, _jitter(len(grey), saturation=saturation, hue=hue)), grey)


def test_hue_turns_the_colour_and_back() -> None:
    pale = 96 + _noise(4, 3, 8, 8) // 4
    jitter = ColorJitter()
    third = jitter.apply(pale, _jitter(4, hue=120.0))
    assert (third.int() - pale.int()).abs().float().mean() > 10
    back = jitter.apply(third, _jitter(4, hue=-120.0))
    assert (back.int() - pale.int()).abs().max() <= 2
    red = torch.tensor([120, 60, 60], dtype=torch.uint8).view(1, 3, 1, 1)
    assert jitter.apply(red, _jitter(1, hue=-120.0)).flatten().argmax() == 1  # red, then green


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9, 1.1, 1.6])
def test_jitter_is_within_rounding_of_pillow_s(name: str, factor: float) -> None:
    """Theirs rounds grey levels to whole ones first: two levels at most between them."""
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    images = _noise(4, 3, 20, 30)
    ours = ColorJitter().apply(images, _jitter(4, **{name: factor}))
    for image, changed in zip(images, ours, strict=True):
        theirs = np.asarray(enhance[name](_picture(image)).enhance(factor)).astype(int)
        assert np.abs(theirs - changed.permute(1, 2, 0).numpy()).max() <= 2


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.2])
def test_sharpen_is_within_rounding_of_pillow_s(factor: float) -> None:
    images = _noise(4, 3, 20, 30)
    ours = Sharpen().apply(images, {"factor": torch.full((4,), factor)})
    for image, changed in zip(images, ours, strict=True):
        theirs = np.asarray(ImageEnhance.Sharpness(_picture(image)).enhance(factor)).astype(int)
        assert np.abs(theirs - changed.permute(1, 2, 0).numpy()).max() <= 2


def test_images_without_inner_pixels_are_not_sharpened() -> None:
    images = _noise(3, 3, 2, 9)
    assert torch.equal(augment(images, [Sharpen(up_to=9.0)], torch.Generator()), images)


@pytest.mark.parametrize(
    "augmentation",
    [
        RandomCrop(),
        HorizontalFlip(),
        ShiftScaleRotate(),
        CoarseDropout(fill=(0, 0, 0)),
        ColorJitter(),
        ColorJitter(0.0, 0.0, 0.0),
        Sharpen(),
    ],
    ids=lambda augmentation: type(augmentation).__name__,
)
def test_different_images_get_different_draws(augmentation: Augmentation) -> None:
    same = _noise(1, 3, 32, 32).expand(64, 3, 32, 32)
    generator = torch.Generator().manual_seed(0)
    first, second = augment(same, [augmentation], generator), augment(same, [augmentation], generator)
    assert not torch.equal(first, first[:1].expand_as(first))
    assert not torch.equal(first, second)


def test_augmentations_run_in_turn() -> None:
    images = _noise(16, 3, 32, 32)
    chain = [HorizontalFlip(), CoarseDropout(p=1.0, fill=(9, 8, 7)), RandomCrop()]
    generator = torch.Generator().manual_seed(3)
    expected = images
    for augmentation in chain:
        expected = augmentation.apply(expected, augmentation.draw(16, (3, 32, 32), generator))
    assert torch.equal(augment(images, chain, torch.Generator().manual_seed(3)), expected)
    assert augment(images, [], torch.Generator()) is images


@pytest.mark.parametrize("name", POLICIES)
def test_pixels_stay_on_the_device_of_the_images(name: str) -> None:
    """The meta device refuses to mix with CPU tensors and has no pixels to look at."""
    images = _noise(8, 3, 32, 32).to("meta")
    augmented = augment(images, create_policy(name, flip=True, mean=CIFAR10_MEAN), torch.Generator().manual_seed(0))
    assert augmented.device.type == "meta"
    assert augmented.shape == images.shape


def test_policies_are_what_their_documentation_says() -> None:
    published = HorizontalFlip(p=0.5)
    turned = ShiftScaleRotate(shift=0.0, scale=0.0, rotate_degrees=15.0, p=1.0)
    reflected, recoloured = RandomCrop(padding=4, border="reflect"), (turned, ColorJitter(), Sharpen())
    two, camera = RandomCrop(padding=2, border="reflect"), (Lighting(), Blur(), Noise(), Jpeg())
    field_policies: dict[str, tuple[Augmentation, ...]] = {
        "flips": (VerticalFlip(),),
        "turns": (QuarterTurn(),),
        "photo": camera,
        "photo-flips": (VerticalFlip(), *camera),
        "photo-turns": (QuarterTurn(), *camera),
    }
    documented = (
        ShiftScaleRotate(shift=0.0625, scale=0.1, rotate_degrees=45.0, p=0.5),
        CoarseDropout(size=16, p=0.5, fill=(125, 123, 114)),
    )
    expected = {
        ("none", False): (),
        ("none", True): (published,),
        ("crop-flip", False): (RandomCrop(padding=4, border="zero"),),
        ("crop-flip", True): (RandomCrop(padding=4, border="zero"), published),
        ("shift-flip", False): (RandomCrop(padding=1, border="reflect"),),
        ("shift-flip", True): (RandomCrop(padding=1, border="reflect"), published),
        ("shift2-flip", False): (RandomCrop(padding=2, border="reflect"),),
        ("shift2-flip", True): (RandomCrop(padding=2, border="reflect"), published),
        ("strong", False): (reflected, *recoloured),
        ("strong", True): (reflected, published, *recoloured),
        ("shift4-flip", False): (reflected,),
        ("shift4-flip", True): (reflected, published),
        **{(name, False): (two, *more) for name, more in field_policies.items()},
        **{(name, True): (two, published, *more) for name, more in field_policies.items()},
        ("strong-flips", False): (reflected, VerticalFlip(), *recoloured),
        ("strong-flips", True): (reflected, published, VerticalFlip(), *recoloured),
        ("strong-turns", False): (reflected, QuarterTurn(), *recoloured),
        ("strong-turns", True): (reflected, published, QuarterTurn(), *recoloured),
        ("albumentations", False): documented,
        ("albumentations", True): (published, *documented),
    }
    assert {name for name, _ in expected} == set(POLICIES)
    for (name, flip), policy in expected.items():
        assert create_policy(name, flip=flip, mean=CIFAR10_MEAN) == policy
    assert [name for name in POLICIES if not policy_flips(name)] == ["none"]
    assert [name for name, traits in POLICIES.items() if traits.turns] == [
        name for name in POLICIES if "flips" in name or "turns" in name
    ]


@pytest.mark.parametrize("name", POLICIES)
def test_cutout_comes_last_in_every_policy_and_in_every_image(name: str) -> None:
    policy = create_policy(name, flip=True, mean=(0.5, 0.2, 0.1), cutout=8)
    assert policy[:-1] == create_policy(name, flip=True, mean=(0.5, 0.2, 0.1))
    assert policy[-1] == CoarseDropout(size=8, p=1.0, fill=(128, 51, 26))


def test_unknown_policy_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match="unknown augmentation policy 'mixup'") as caught:
        create_policy("mixup", flip=True, mean=CIFAR10_MEAN)
    assert all(name in caught.value.hint for name in POLICIES)
    with pytest.raises(
        ConfigError, match="choose one of none, crop-flip, shift-flip, shift2-flip, shift4-flip, flips, turns, strong"
    ):
        policy_flips("mixup")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(padding=-1), "padding is -1"),
        (lambda: HorizontalFlip(p=1.5), r"p is 1\.5"),
        (lambda: HorizontalFlip(p=float("nan")), "p is nan"),
        (lambda: ShiftScaleRotate(p=-0.1), r"p is -0\.1"),
        (lambda: ShiftScaleRotate(shift=-0.1), r"shift is -0\.1"),
        (lambda: ShiftScaleRotate(scale=1.0), r"scale is 1\.0"),
        (lambda: ShiftScaleRotate(rotate_degrees=-45.0), r"rotate_degrees is -45\.0"),
        (lambda: ColorJitter(brightness=-0.1), r"brightness is -0\.1"),
        (lambda: ColorJitter(saturation=1.5), r"saturation is 1\.5"),
        (lambda: ColorJitter(hue_degrees=181.0), r"hue_degrees is 181\.0"),
        (lambda: Sharpen(up_to=0.9), r"up_to is 0\.9"),
        (lambda: VerticalFlip(p=-1.0), r"p is -1\.0"),
        (lambda: Lighting(warmth=1.5), r"warmth is 1\.5"),
        (lambda: Blur(sigma=(1.2, 0.3)), r"the blur's sigma is \(1\.2, 0\.3\)"),
        (lambda: Noise(sigma=(0.0, 15.0)), r"the noise's sigma is \(0\.0, 15\.0\)"),
        (lambda: Jpeg(quality=(0, 95)), r"JPEG's quality is \(0, 95\)"),
        (lambda: CoarseDropout(p=2.0, fill=(0,)), r"p is 2\.0"),
        (lambda: CoarseDropout(size=0, fill=(0,)), "size is 0"),
        (lambda: CoarseDropout(fill=(0, 256, 0)), "has 256, which is no whole grey level"),
        (lambda: CoarseDropout(fill=CIFAR10_MEAN), r"has 0\.4914, which is no whole grey level"),
        (lambda: create_policy("albumentations", flip=True, mean=(125.3, 123.0, 113.9)), "no whole grey level"),
    ],
)
def test_bad_parameters_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("augmentation", "image_shape", "message"),
    [
        (RandomCrop(padding=8, border="reflect"), (1, 8, 9), "cannot be reflected from an image of 9x8"),
        (CoarseDropout(size=16, fill=(0,)), (1, 15, 20), "16x16 pixels does not fit in an image of 20x15"),
        (CoarseDropout(size=4, fill=(0, 0, 0)), (1, 8, 8), "3 grey levels, but the images have 1 channels"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    augmentation: Augmentation, image_shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        augmentation.check(image_shape)
    with pytest.raises(ConfigError, match=message) as caught:
        augment(_noise(2, *image_shape), [augmentation], torch.Generator())
    assert caught.value.hint


def test_draws_for_another_batch_are_a_bug() -> None:
    images = _noise(4, 3, 32, 32)
    others = (ShiftScaleRotate(), CoarseDropout(fill=(0, 0, 0)), ColorJitter(), Sharpen())
    others = (*others, VerticalFlip(), QuarterTurn(), Lighting(), Blur(), Noise(), Jpeg())
    for augmentation in (RandomCrop(), HorizontalFlip(), *others):
        draws = augmentation.draw(1, (3, 32, 32), torch.Generator())
        with pytest.raises((AssertionError, TypeError)):  # the latter only under test
            augmentation.apply(images, draws)


def test_unknown_border_is_refused_without_the_type_checker_of_the_tests() -> None:
    crop = RandomCrop()
    object.__setattr__(crop, "border", "wrap")
    with pytest.raises(ConfigError, match="unknown border 'wrap'") as caught:
        crop.__post_init__()
    assert "zero, reflect" in caught.value.hint


@pytest.mark.parametrize("name", POLICIES)
def test_a_batch_takes_under_a_twentieth_of_a_training_step(name: str) -> None:
    """In CPU time of one thread, which other programs on the machine do not lengthen."""
    images = _noise(128, 3, 32, 32)
    policy = create_policy(name, flip=True, mean=CIFAR10_MEAN)
    generator = torch.Generator().manual_seed(0)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times_ms = []
        for _ in range(20):
            start_s = time.process_time()
            augment(images, policy, generator)
            times_ms.append((time.process_time() - start_s) * 1000)
    finally:
        torch.set_num_threads(num_threads)
    assert min(times_ms) < STEP_SHARE_MS


def _any_augmentation(data: st.DataObject, image_shape: tuple[int, int, int]) -> Augmentation:
    """One that fits images of this shape (not a strategy: in there, beartype's use of `random` would be refused)."""
    channels, height, width = image_shape
    shortest = min(height, width)
    p = data.draw(st.sampled_from((0.0, 0.5, 1.0)))
    pixels = data.draw(st.integers(1, shortest))
    choices = (
        RandomCrop(padding=pixels),
        RandomCrop(padding=pixels - 1, border="reflect"),
        HorizontalFlip(p=p),
        ShiftScaleRotate(shift=0.5, scale=0.5, rotate_degrees=180.0, p=p),
        CoarseDropout(size=pixels, p=p, fill=(7,) * channels),
        ColorJitter(1.0, 1.0, 1.0, 180.0),
        Sharpen(up_to=5.0),
        VerticalFlip(p=p),
        QuarterTurn(),
        Lighting(1.0, 1.0, 1.0, p=p),
        Blur((0.01, 30.0), p=p),
        Noise((0.0, 1.0), p=p),
        Jpeg((1, 100), p=p),
    )
    return choices[data.draw(st.integers(0, len(choices) - 1))]


def _noise(num_images: int, channels: int, height: int, width: int, *, seed: int = 0) -> UInt8[Tensor, "n c h w"]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_images, channels, height, width), dtype=torch.uint8, generator=generator)


def _jitter(
    num_images: int,
    *,
    brightness: float = 1.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
) -> Draws:
    """The same change of colours for every image."""
    values = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    return {name: torch.full((num_images,), float(value)) for name, value in values.items()}


def _grey(images: UInt8[Tensor, "n 3 h w"]) -> NDArray[np.float64]:
    """Grey levels by the weights of ITU-R BT.601."""
    pixels: NDArray[np.float64] = images.double().numpy()
    return 0.299 * pixels[:, 0] + 0.587 * pixels[:, 1] + 0.114 * pixels[:, 2]


def _picture(image: UInt8[Tensor, "3 h w"]) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def _moves(
    num_images: int,
    *,
    degrees: float = 0.0,
    scale_x: float = 1.0,
    scale_y: float = 1.0,
    shift_x: int = 0,
    shift_y: int = 0,
) -> Draws:
    """The same shift-scale-rotate for every image."""
    values = {"degrees": float(degrees), "scale_x": scale_x, "scale_y": scale_y}
    draws = {name: torch.full((num_images,), value, dtype=torch.float64) for name, value in values.items()}
    shifts = {name: torch.full((num_images,), value) for name, value in (("shift_x", shift_x), ("shift_y", shift_y))}
    return draws | shifts | {"selected": torch.ones(num_images, dtype=torch.bool)}


def _reflected(position: int, length: int) -> int:
    if length == 1:
        return 0
    position %= 2 * (length - 1)
    return min(position, 2 * (length - 1) - position)

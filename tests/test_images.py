"""Image files to tensors: every mode, orientation, alpha, 16 bits, resizing, and broken files."""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from thumbnet.data import plain_images
from thumbnet.data.image_tensors import image_to_tensor, read_image_tensor
from thumbnet.data.images import (
    RASTER_FORMATS,
    PictureHeader,
    read_header,
    read_image,
    read_image_array,
)
from thumbnet.data.standardise import standardise
from thumbnet.errors import ConfigError, ImageError

ORIENTATION = 0x0112  # the EXIF tag


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def levels_of(path: Path, *, num_channels: int | None = None) -> list[int]:
    """The channel values of the one colour of a flat picture."""
    tensor = read_image_tensor(path, image_size=4, num_channels=num_channels).flatten(1)
    assert (tensor == tensor[:, :1]).all()
    return tensor[:, 0].tolist()


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("1", 1, "png", [255]),
        ("L", 100, "png", [100]),
        ("LA", (100, 255), "png", [100]),
        ("LA", (100, 0), "png", [255]),
        ("I;16", 100 * 257, "png", [100]),
        ("I;16", 65535, "tif", [255]),
        ("I;16B", 1000, "tif", [4]),
        ("I", 200, "pgm", [1]),  # a 16-bit PGM, 200 of 65535
        ("I", 200, "tif", [200]),
        ("I", 65535, "tif", [255]),
        ("I", 2**31 - 1, "tif", [255]),
        ("F", 0.5, "tif", [128]),
        ("F", 100.0, "tif", [100]),
        ("F", 0.5, "pfm", [128]),
        ("RGB", (10, 20, 30), "png", [10, 20, 30]),
        ("RGB", (10, 10, 10), "png", [10, 10, 10]),  # stored in colour
        ("RGBA", (10, 20, 30, 255), "png", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "png", [255, 255, 255]),
        ("RGBA", (0, 0, 200, 51), "png", [204, 204, 244]),  # a fifth of the colour, four fifths of white
        ("CMYK", (255, 0, 0, 0), "tif", [0, 255, 255]),
        ("PA", (0, 0), "tif", [255]),
    ],
)
def test_each_mode_becomes_8_bit_grey_or_colour(
    mode: str, colour: object, suffix: str, expected: list[int], tmp_path: Path
) -> None:
    path = tmp_path / f"flat.{suffix}"
    Image.new(mode, (9, 6), colour).save(path)  # type: ignore[arg-type]
    assert levels_of(path) == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"])
def test_every_mode_in_memory_gives_both_numbers_of_channels(mode: str) -> None:
    image = Image.new(mode, (7, 5))
    for num_channels in (1, 3):
        assert image_to_tensor(image, image_size=4, num_channels=num_channels).shape == (num_channels, 4, 4)


@pytest.mark.parametrize("mode", ["LAB", "HSV", "I", "F", "I;16", "I;16B", "I;16L"])
def test_black_stays_black(mode: str) -> None:
    black = (0, 128, 128) if mode == "LAB" else 0
    if mode == "LAB":
        assert features.check("littlecms2")
    tensor = image_to_tensor(Image.new(mode, (7, 5), black), image_size=4, num_channels=1)
    assert tensor.max() <= (60 if mode == "LAB" else 0)  # in LAB, Pillow's a and b are signed: 128 is green and blue


def test_premultiplied_alpha_is_composed_like_the_straight_one() -> None:
    straight = Image.new("LA", (4, 4), (100, 128))
    assert standardise(straight.convert("La")).getpixel((0, 0)) == standardise(straight).getpixel((0, 0)) == 177


@pytest.mark.parametrize(
    ("palette", "transparent", "expected"),
    [
        ([40, 40, 40, 90, 90, 90], None, [40]),
        ([40, 41, 40, 90, 90, 90], None, [40, 41, 40]),
        ([40, 41, 40, 90, 90, 90], 0, [255]),  # the only colour is transparent: greys are all that shows
        ([40, 41, 40, 90, 90, 90], b"\x00\xff", [255]),
        ([40, 40, 40, 90, 0, 90], None, [40]),  # a colour that no pixel has does not count
    ],
)
def test_palettes(palette: list[int], transparent: int | bytes | None, expected: list[int], tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    image = Image.new("P", (6, 6), 0)
    image.putpalette(palette)
    image.save(path, **({} if transparent is None else {"transparency": transparent}))
    with Image.open(path) as saved:
        assert saved.mode == "P"
    assert levels_of(path) == expected


@pytest.mark.parametrize(
    ("mode", "colour", "expected"), [("L", 7, [255]), ("RGB", (1, 2, 3), [255, 255, 255]), ("I;16", 700, [255])]
)
def test_a_transparent_colour_of_a_png_is_white(
    mode: str, colour: int | tuple[int, ...], expected: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "transparent.png"
    Image.new(mode, (5, 5), colour).save(path, transparency=colour)
    assert levels_of(path) == expected


def test_16_bits_are_scaled_over_the_whole_range(tmp_path: Path) -> None:
    path = tmp_path / "ramp.png"
    Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256)).save(path)
    expected = (np.arange(65536) + 128) // 257
    assert np.array_equal(np.asarray(read_image(path)), expected.reshape(256, 256))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("mode", "suffix"), [("RGB", "png"), ("L", "png"), ("I;16", "tif")])
def test_pictures_are_turned_upright(orientation: int, mode: str, suffix: str, tmp_path: Path) -> None:
    """EXIF 2.3, table of orientations: the 0th row and column of what is stored are these sides of what is seen."""
    seen = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.T,
        6: np.rot90(seen),
        7: seen[::-1, ::-1].T,
        8: np.rot90(seen, -1),
    }[orientation]
    if (mode, suffix) == ("I;16", "tif") and orientation > 4:
        return  # Pillow 13 itself scrambles a 16-bit TIFF that it turns by 90 degrees when it loads it
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"turned.{suffix}"
    grey = np.ascontiguousarray(stored)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(path, exif=exif)
    assert np.array_equal(np.asarray(read_image(path).convert("L")), seen)


def test_an_unreadable_exif_block_turns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    Image.new("RGB", (8, 6), (1, 2, 3)).save(path, exif=b"Exif\0\0garbage, garbage")
    assert read_image(path).size == (8, 6)


def test_the_centre_square_of_the_shorter_side_is_kept() -> None:
    wide = np.zeros((32, 96), dtype=np.uint8)
    wide[:, 32:64] = noise(32, 32)
    for image, centre in ((wide, wide[:, 32:64]), (wide.T, wide[:, 32:64].T)):
        square = image_to_tensor(Image.fromarray(np.ascontiguousarray(image)), image_size=32, num_channels=1)
        assert np.array_equal(square[0].numpy(), centre)


def test_resizing_averages_instead_of_picking_pixels() -> None:
    checkerboard = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    small = image_to_tensor(Image.fromarray(checkerboard), image_size=32, num_channels=1)
    assert ((small >= 120) & (small <= 135)).all()


def test_resizing_agrees_with_pillow_on_a_square() -> None:
    image = Image.fromarray(noise(100, 100, 3))
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(image_to_tensor(image, image_size=32, num_channels=3).permute(1, 2, 0).numpy(), expected)


@given(width=st.integers(1, 70), height=st.integers(1, 70), image_size=st.integers(1, 40), grey=st.integers(0, 255))
def test_any_size_gives_a_square_and_a_flat_picture_stays_flat(
    width: int, height: int, image_size: int, grey: int
) -> None:
    tensor = image_to_tensor(Image.new("L", (width, height), grey), image_size=image_size, num_channels=3)
    assert tensor.shape == (3, image_size, image_size)
    assert (tensor == grey).all()


def test_an_extreme_shape_is_read() -> None:
    tensor = image_to_tensor(Image.new("L", (500_000, 1), 9), image_size=32, num_channels=1)
    assert (tensor == 9).all()


def test_colour_in_one_channel_is_luma_and_grey_in_three_is_repeated() -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    assert image_to_tensor(red, image_size=2, num_channels=1).unique().tolist() == [round(0.299 * 255)]
    grey = image_to_tensor(Image.fromarray(noise(9, 9)), image_size=5, num_channels=3)
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])


def test_a_file_and_its_image_in_memory_give_the_same_tensor(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(noise(40, 60, 3)).save(path, exif=exif)
    with Image.open(path) as image:
        in_memory = image_to_tensor(image, image_size=16, num_channels=3)
    assert torch.equal(read_image_tensor(path, image_size=16), in_memory)
    assert torch.equal(
        image_to_tensor(read_image(path), image_size=16, num_channels=3), in_memory
    )  # it is not turned twice


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_large_picture_is_composed_on_white_as_a_small_one(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    picture = Image.fromarray(noise(30, 20, 4)).convert(mode)
    picture.save(path, **({"transparency": bytes(range(256))} if mode == "P" else {}))
    at_once = np.asarray(read_image(path))
    monkeypatch.setattr(plain_images, "STRIP_PIXELS", 20 * 7)  # seven rows
    assert np.array_equal(np.asarray(read_image(path)), at_once)
    assert at_once.min() < at_once.max()


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "avif"])
def test_a_header_has_the_sides_of_the_picture_upright(kind: str, tmp_path: Path) -> None:
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / f"photo.{kind}"
    Image.fromarray(noise(30, 20, 3)).save(path, exif=exif)
    header = read_header(path)
    assert (header.width, header.height) == read_image(path).size == (30, 20)


def test_an_open_file_is_read_as_its_path_is(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(noise(70, 90, 3)).save(path)
    stream = io.BytesIO(path.read_bytes())
    assert read_header(stream) == read_header(path) == PictureHeader("JPEG", 90, 70)
    for formats in (("JPEG",), RASTER_FORMATS):
        found = read_image_array(stream, image_size=8, formats=formats)
        assert np.array_equal(found, read_image_array(path, image_size=8))
    with pytest.raises(ImageError, match=r"^the picture is not an image"):
        read_image_array(stream, image_size=8, formats=("PNG",))
    with pytest.raises(ImageError, match=r"^the picture is empty"):
        read_header(io.BytesIO())
    with pytest.raises(ImageError, match=r"^the picture is damaged or truncated"):
        read_image_array(io.BytesIO(path.read_bytes()[:700]), image_size=80)


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    frames = [Image.new("RGB", (6, 6), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert levels_of(path) == [200, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif"])
@pytest.mark.parametrize("kept", [0.3, 0.8])
def test_a_truncated_file_is_named(suffix: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(40, 40, 3)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ImageError, match=r"cut\.\w+ is (damaged or truncated|not an image)") as caught:
        read_image_tensor(path, image_size=8)
    assert caught.value.hint


def test_every_flipped_byte_of_a_png_is_an_image_error_or_harmless(tmp_path: Path) -> None:
    """The checksums of PNG leave no room for silently wrong pixels."""
    path = tmp_path / "flipped.png"
    Image.fromarray(noise(6, 6, 3)).save(path)
    whole = path.read_bytes()
    intact = read_image_tensor(path, image_size=6)
    num_refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            assert torch.equal(read_image_tensor(path, image_size=6), intact)
        except ImageError as error:
            assert str(path) in error.message
            num_refused += 1
    assert num_refused > 0.8 * len(whole)


@given(
    content=st.binary(max_size=200), magic=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"\xff\xd8"])
)
def test_bytes_that_are_no_image_are_an_image_error(
    content: bytes, magic: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.png"
    path.write_bytes(magic + content)
    try:
        read_image_tensor(path, image_size=4)
    except ImageError as error:
        assert str(path) in error.message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "is empty"),
        ("letter.jpg", b"Dear Sir, ...", "is not an image"),
        ("none.png", None, "no file"),
    ],
)
def test_what_is_no_image_is_named(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("times", [1.5, 2.5])  # Pillow warns above its limit, and refuses above twice the limit
def test_too_many_pixels_are_refused_whatever_the_warning_filters(
    times: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "huge.png"
    Image.new("L", (100, int(10 * times))).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filters = list(warnings.filters)
        with pytest.raises(ImageError, match=r"too large.*1000 pixels"):
            read_image(path)
        assert warnings.filters == filters


def test_reading_in_threads_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("L", (5, 5)).save(path)
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, [path] * 400))
    assert warnings.filters == filters


@pytest.mark.parametrize("levels", [[-5.0, 3.0], [0.0, float("nan")], [0.0, 1e20]])
def test_levels_without_a_known_black_and_white_are_refused(levels: list[float], tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray(np.array([levels], dtype=np.float32)).save(path)
    with pytest.raises(ImageError, match=r"float\.tif cannot be used: its grey levels"):
        read_image(path)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="image_size is 0"):
        image_to_tensor(Image.new("L", (4, 4)), image_size=0, num_channels=1)
    with pytest.raises(ImageError, match="0x4"):
        image_to_tensor(Image.new("L", (0, 4)), image_size=4, num_channels=1)

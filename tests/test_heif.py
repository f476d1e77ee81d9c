"""HEIC and AVIF: read by plug-ins where these are installed; where not, the message names the package."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

import thumbnet
from odd_pictures import make_classes
from thumbnet.cli import main
from thumbnet.data import heif
from thumbnet.data.folder import read_folder
from thumbnet.data.heif import add_plugin_for, plugin_for
from thumbnet.data.images import RASTER_FORMATS, PictureHeader, read_header, read_image_array, read_picture
from thumbnet.errors import DataError, ImageError

HEIC_START = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40)
AVIF_START = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(40)


def upper_left_is_red(width: int = 64, height: int = 48) -> Image.Image:
    picture = Image.new("RGB", (width, height), "blue")
    picture.paste("red", (0, 0, width // 2, height // 2))
    return picture


@pytest.fixture
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "find_spec", lambda name: None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)


@pytest.mark.usefixtures("without_plugins")
def test_without_the_plugin_the_package_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_classes(tmp_path / "pets")
    phone = tmp_path / "pets" / "cat" / "IMG_0001.HEIC"
    phone.write_bytes(HEIC_START)
    with pytest.raises(ImageError, match="it is a HEIC picture, and the package that") as caught:
        read_picture(phone)
    assert "pillow-heif, is not installed" in caught.value.message
    assert caught.value.hint == "pip install 'thumbnet[heic]'"
    with pytest.raises(ImageError, match=r"IMG_0001\.HEIC cannot be used: it is a HEIC picture"):
        read_folder(tmp_path / "pets", image_size=4)
    assert main(["predict", str(phone)]) == 2
    assert "pillow-heif" in capsys.readouterr().err
    with pytest.raises(ImageError, match="is not an image"):  # where that format is not wanted, as by `serve`
        read_header(BytesIO(HEIC_START), formats=("JPEG", "PNG"))


@pytest.mark.usefixtures("without_plugins")
def test_an_avif_picture_names_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with pytest.raises(ImageError, match="it is an AVIF picture, and the package that") as caught:
        add_plugin_for(BytesIO(AVIF_START), RASTER_FORMATS)
    assert "pillow-avif-plugin, is not installed" in caught.value.message
    assert "--upgrade pillow" in caught.value.hint


@pytest.mark.parametrize(
    ("start", "format_"),
    [
        (HEIC_START, "HEIF"),
        (AVIF_START, "AVIF"),
        (b"\0\0\0\x14ftypavif\0\0\0\0mif1", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp41isom", None),  # a film
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
        (b"\0\0\0\x10ftypmp42\0\0\0\0heic", None),  # beyond the end of the box
    ],
)
def test_the_kind_is_known_by_the_brands(start: bytes, format_: str | None) -> None:
    plugin = plugin_for(start)
    assert (None if plugin is None else plugin.format) == format_


def test_a_plugin_that_is_registered_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Image.OPEN, "HEIF", (lambda *_: None, lambda _: False))
    assert not add_plugin_for(BytesIO(HEIC_START), RASTER_FORMATS)


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libheif.so.1: cannot open shared object file")

    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr(heif, "find_spec", lambda name: name)
    monkeypatch.setattr(heif.importlib, "import_module", broken)
    with pytest.raises(ImageError, match=r"cannot be imported: libheif\.so"):
        add_plugin_for(BytesIO(HEIC_START), RASTER_FORMATS)


@pytest.mark.usefixtures("without_plugins")
def test_pictures_of_phones_in_no_class_folder_are_strays(tmp_path: Path) -> None:
    make_classes(tmp_path)
    (tmp_path / "IMG_0001.heic").write_bytes(HEIC_START)
    with pytest.raises(DataError, match="outside its class folders"):
        read_folder(tmp_path, image_size=4)


def test_heic_is_read_upright_in_a_folder_and_in_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: the extra heic brings it")
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    make_classes(tmp_path / "pets")
    turned = upper_left_is_red().transpose(Image.Transpose.ROTATE_90)  # so that turning it by 90 degrees rights it
    exif = Image.Exif()
    exif[0x0112] = 6
    phone = tmp_path / "pets" / "cat" / "phone.heic"
    pillow_heif.from_pillow(turned).save(str(phone), quality=95, exif=exif.tobytes())
    pixels = read_image_array(phone, image_size=(48, 64)).astype(int)
    expected = np.array(upper_left_is_red()).transpose(2, 0, 1).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 10
    assert read_header(phone) == PictureHeader("HEIF", 64, 48)
    splits = read_folder(tmp_path / "pets", image_size=8)
    assert splits.train.paths is not None
    assert "cat/phone.heic" in splits.train.paths
    (prediction,) = thumbnet.predict("thumb-20k", [phone])
    assert prediction.path == str(phone)


def test_avif_is_read(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    upper_left_is_red().save(tmp_path / "web.avif", quality=95)
    pixels = read_image_array(tmp_path / "web.avif", image_size=(48, 64)).astype(int)
    assert np.abs(pixels - np.array(upper_left_is_red()).transpose(2, 0, 1)).mean() < 10

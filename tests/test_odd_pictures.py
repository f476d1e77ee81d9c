"""Pictures that other tools stumble over: broken EXIF, 12 bits in 16, EPS under another name, big JPEGs, flat ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from odd_pictures import broken_exif, jpeg_bytes, make_classes, write_deep, write_deep_colour
from thumbnet.data.image_tensors import read_image_tensor
from thumbnet.data.images import read_image, read_image_array
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ImageError


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_picture_with_a_wrongly_typed_exif_tag_is_read_upright(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"phone.{suffix}"
    image = Image.new("RGB", (8, 6), "black")
    image.paste("white", (0, 0, 8, 2))  # a bright upper edge: once turned clockwise, the right edge
    image.save(path, exif=broken_exif(6), quality=100)
    upright = np.asarray(read_image(path).convert("L"))
    assert upright.shape == (8, 6)
    assert upright[:, -1].min() > 200
    assert upright[:, 0].max() < 60


def test_a_16_bit_tiff_that_is_turned_keeps_its_pixels(tmp_path: Path) -> None:
    seen = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10_000
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(seen))).save(tmp_path / "scan.tif", exif=exif)
    expected = (seen.astype(np.uint32) + 128) // 257
    assert np.array_equal(np.asarray(read_image(tmp_path / "scan.tif")), expected)


def test_a_picture_that_is_postscript_starts_no_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = tmp_path / "called"
    script = tmp_path / "gs"
    script.write_text(f"#!/bin/sh\ntouch {called}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    (tmp_path / "cat.jpg").write_bytes(postscript)
    with pytest.raises(ImageError, match=r"cat\.jpg is not an image of a format") as caught:
        read_image(tmp_path / "cat.jpg")
    assert "PNG" in caught.value.hint
    assert not called.exists()


def test_12_bits_in_16_are_scaled_by_what_the_whole_set_uses(tmp_path: Path) -> None:
    for name, levels in (("cat", [0, 2048]), ("dog", [0, 4095])):
        (tmp_path / name).mkdir()
        for number in range(2):
            write_deep(tmp_path / name / f"{number}.png", levels)
    dataset = load_dataset(f"folder:{tmp_path}", image_size=4, val_fraction=0)
    assert dataset.white_levels == {"I;16": 4095}
    assert any("12 bits" in remark for remark in dataset.source.remarks)
    cat = read_image(tmp_path / "cat" / "0.png", white_levels=dataset.white_levels)
    assert [cat.getpixel((0, 0)), cat.getpixel((1, 0))] == [0, 128]
    alone = read_image_array(
        tmp_path / "cat" / "0.png", image_size=4, num_channels=1, white_levels=dataset.white_levels
    )
    of_the_set = dataset.train.images[dataset.train.labels == 0]
    assert (of_the_set.numpy() == alone).all()


def test_16_bits_that_are_used_are_scaled_as_ever_and_one_scale_holds_for_floats(tmp_path: Path) -> None:
    for place, name in enumerate(("cat", "dog")):
        for kind, folder in (("deep", tmp_path / "deep" / name), ("float", tmp_path / "float" / name)):
            folder.mkdir(parents=True)
            for number in range(2):
                if kind == "deep":
                    write_deep(folder / f"{number}.png", [500 + 40_000 * place] * 2)
                else:
                    levels = np.full((2, 2), 0.5 + 100 * place, np.float32)
                    Image.fromarray(levels).save(folder / f"{number}.tif")
    deep = load_dataset(f"folder:{tmp_path / 'deep'}", image_size=4, val_fraction=0)
    assert deep.white_levels == {"I;16": 65535}
    assert not any("bits" in remark for remark in deep.source.remarks)
    assert sorted(deep.train.images.unique().tolist()) == [2, 158]
    floats = load_dataset(f"folder:{tmp_path / 'float'}", image_size=4, val_fraction=0)
    assert floats.white_levels == {"F": 255.0}
    assert floats.train.images[floats.train.labels == 0].unique().tolist() == [0]  # 0.5 of 255, as the others say


def test_colour_with_16_bits_of_which_few_are_used_is_said(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            write_deep_colour(tmp_path / name / f"{number}.png", [(4095, 100 * number, 9), (0, 4000, 7)])
    remarks = load_dataset(f"folder:{tmp_path}", image_size=4, val_fraction=0).source.remarks
    assert any("16 bits" in remark and "8 bits" in remark for remark in remarks)


def test_a_big_jpeg_is_decoded_at_a_smaller_scale_in_the_folder_and_in_predict(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 640, dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp[:, None, None], (640, 640, 3)).copy())
    content = jpeg_bytes(image, quality=95)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.jpg").write_bytes(content)
    dataset = load_dataset(f"folder:{tmp_path}", image_size=32, val_fraction=0)
    alone = read_image_tensor(tmp_path / "cat" / "0.jpg", image_size=32)
    assert (dataset.train.images == alone).all()
    reduced = read_image(tmp_path / "cat" / "0.jpg", image_size=32)
    assert reduced.size == (80, 80)  # at least twice 32, and not smaller than JPEG can do for the cost
    whole = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.abs(alone.numpy().astype(int) - whole).max() <= 2
    assert read_image(tmp_path / "cat" / "0.jpg", image_size=200).size == (640, 640)


def test_flat_pictures_are_said_with_what_makes_them_so(tmp_path: Path) -> None:
    make_classes(tmp_path)
    for number in range(2):
        drawing = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
        drawing.paste((255, 255, 255, 255), (2, 2, 6, 6))
        drawing.save(tmp_path / "dog" / f"white{number}.png")
    (remark,) = load_dataset(f"folder:{tmp_path}", image_size=8, val_fraction=0).source.remarks
    assert "2 pictures" in remark
    assert "dog/white0.png" in remark
    assert "transparent" in remark

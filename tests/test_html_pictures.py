"""The pages' scripts decode and resample pictures as Pillow does, to the bit."""

from __future__ import annotations

import base64
import io
import itertools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from html_scripts import HTML, LOAD, encoded, needs_node, run_node
from sent_pictures import jpeg_with_scans, png_of, webp_of
from thumbnet.data.images import read_image_array
from thumbnet.data.standardise import centre_part
from thumbnet.export.html.compact import compact_script, compact_style
from thumbnet.models.program import Shape

PICTURE_JOBS = (
    LOAD
    + """
console.log(JSON.stringify(request.jobs.map(({ rgba, size: [width, height], shape: [channels, rows, columns] }) => {
  const image = { data: Buffer.from(rgba, "base64"), width, height };
  const { pixels } = ThumbnetPictures.fromPixels(image, { channels, height: rows, width: columns });
  return Array.from(pixels);
})));
"""
)
JPEG_JOBS = (
    LOAD
    + """
console.log(JSON.stringify(request.jobs.map(({ file, scale }) => {
  try {
    const image = ThumbnetJpeg.decode(Buffer.from(file, "base64"), () => scale, 3);
    return image && { ...image, data: Buffer.from(image.data).toString("base64") };
  } catch (error) {
    return { error: error.message };
  }
})));
"""
)
FILE_JOBS = (
    LOAD
    + """
(async () => {
  const results = [];
  for (const { file, shape: [channels, height, width], white } of request.jobs) {
    const blob = new Blob([Buffer.from(file, "base64")]);
    try {
      const read = await ThumbnetPictures.read(blob, { channels, height, width, white });
      results.push({ ...read, pixels: Array.from(read.pixels) });
    } catch (error) {
      results.push({ error: error.message });
    }
  }
  console.log(JSON.stringify(results));
})();
"""
)
INFLATE_JOBS = (
    LOAD
    + """
console.log(JSON.stringify(request.jobs.map(([packed, size]) => {
  try {
    return Buffer.from(ThumbnetInflate(Buffer.from(packed, "base64"), size)).toString("base64");
  } catch (error) {
    return null;
  }
})));
"""
)
SCALES = (1, 2, 4, 8)
ADOBE = b"Adobe\x00\x64\x00\x00\x00\x00\x00"  # its last byte says how colours are stored
SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


@needs_node
def test_it_resamples_as_pillow_does() -> None:
    generator = np.random.default_rng(0)
    shapes = [(3, 32, 32), (1, 48, 40), (3, 7, 90)]
    sizes = [(32, 32), (1, 1), (33, 32), (32, 31), (320, 213), (200, 301), (48, 40), (40, 48), (97, 13), (5, 300)]
    sizes += [(width, height) for width, height in generator.integers(1, 100, (10, 2)).tolist()]
    cases = list(itertools.product(sizes, shapes))
    pictures = [generator.choice([0, 255, 100], (height, width, 3)).astype(np.uint8) for (width, height), _ in cases]
    jobs = []
    for picture, (size, shape) in zip(pictures, cases, strict=True):
        rgba = np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=2)
        jobs.append({"rgba": encoded(rgba.tobytes()), "size": size, "shape": shape})
    found = run_node(PICTURE_JOBS, {"html": str(HTML), "jobs": jobs})
    for picture, (size, shape), pixels in zip(pictures, cases, found, strict=True):
        expected = centre_part(Image.fromarray(picture), shape[1:], shape[0])
        assert np.array_equal(np.array(pixels).reshape(shape), expected), (size, shape)


def jpeg_files() -> list[bytes]:
    """Small files of all kinds: subsamplings, progressive or not, with restarts, grey, RGB without conversion."""
    generator = np.random.default_rng(0)
    waves = np.sin(np.arange(3 * 60 * 60).reshape(60, 60, 3) / 1000) * 80 + 128
    files = []
    for index in range(40):
        height, width = generator.integers(1, 60, 2)
        noise = generator.normal(0, (0, 5, 60)[index % 3], (height, width, 3))
        picture = Image.fromarray((waves[:height, :width] + noise).clip(0, 255).astype(np.uint8))
        is_rgb = index % 11 == 10
        file = io.BytesIO()
        (picture.convert("L") if index % 7 == 6 else picture).save(
            file,
            "JPEG",
            quality=int(generator.integers(5, 100)),
            progressive=index % 2 == 0,
            optimize=index % 4 == 0,
            restart_marker_blocks=int(index % 5 == 0) * 3,
            keep_rgb=is_rgb,
            **({} if is_rgb or index % 7 == 6 else {"subsampling": SUBSAMPLINGS[index % 3 - 1]}),
        )
        files.append(file.getvalue())
    for index in range(4):
        inks, file = generator.integers(0, 256, (9, 10, 4), np.uint8).repeat(4, axis=0), io.BytesIO()
        Image.fromarray(inks, "CMYK").save(file, "JPEG", progressive=index % 2 == 0)
        assert file.getvalue().count(ADOBE) == 1
        files.append(file.getvalue().replace(ADOBE, ADOBE[:-1] + bytes([index // 2 * 2])))  # 2: luma, chroma and black
    for factors in (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411):
        for height, width in ((60, 59), (33, 34), (9, 2), (2, 9)):
            options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors, cv2.IMWRITE_JPEG_QUALITY, 95]
            files.append(cv2.imencode(".jpg", waves[:height, :width].astype(np.uint8), options)[1].tobytes())
    return files


def by_pillow(file: bytes, scale: int) -> np.ndarray:
    """A file's pixels as Pillow's draft mode decodes them at a scale, whatever its size."""
    picture = Image.open(io.BytesIO(file))
    assert isinstance(picture, ImageFile.ImageFile)
    codec, _, offset, arguments = picture.tile[0]
    width, height = (-(-side // scale) for side in picture.size)
    picture._size = (width, height)  # type: ignore[attr-defined]
    picture.tile = [ImageFile._Tile(codec, (0, 0, width, height), offset, arguments)]
    picture.decoderconfig = (scale, 0)
    return np.asarray(picture.convert("RGB"))


@needs_node
def test_it_decodes_jpeg_as_pillow_does() -> None:
    cases = list(itertools.product(jpeg_files(), SCALES))
    jobs = [{"file": encoded(file), "scale": scale} for file, scale in cases]
    results = run_node(JPEG_JOBS, {"html": str(HTML), "jobs": jobs})
    for index, ((file, scale), result) in enumerate(zip(cases, results, strict=True)):
        expected = by_pillow(file, scale)
        found = np.frombuffer(base64.b64decode(result["data"]), np.uint8)
        assert (result["height"], result["width"]) == expected.shape[:2]
        assert np.array_equal(found.reshape(expected.shape), expected), (index, scale)


@needs_node
def test_damaged_jpeg_files_are_told_and_unusual_ones_left_to_the_browser() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    whole = file.getvalue()
    arithmetic = whole.replace(b"\xff\xc0", b"\xff\xc9")
    begin = whole.index(b"\xff\xda")
    damaged = [whole[:length] for length in (2, 20, 200, begin, begin + 20, len(whole) - 100)]
    damaged.append(whole.replace(b"\xff\xdb", b"\xff\xfe"))  # no quantisation
    damaged.append(whole.replace(b"\xff\xc4", b"\xff\xfe"))  # no Huffman codes
    damaged.append(whole[:begin] + b"\xff\xda\x00\x08\x01\x09\x00\x00\x3f\x00" + whole[begin + 14 :])  # no such part
    damaged.append(b"\xff\xd8 this is no picture")
    damaged.append(jpeg_with_scans(201))
    jobs = [{"file": encoded(content), "scale": 1} for content in (arithmetic, *damaged)]
    left, *results = run_node(JPEG_JOBS, {"html": str(HTML), "jobs": jobs})
    assert left is None
    (fine,) = run_node(JPEG_JOBS, {"html": str(HTML), "jobs": [{"file": encoded(jpeg_with_scans(200)), "scale": 1}]})
    assert fine["width"] == 40
    assert [result.get("error") for result in results] == ["the JPEG file is damaged or ends too early"] * len(damaged)


def read_by_page(paths: Sequence[Path], shape: Shape, *, white: int | None = None) -> list[Any]:
    jobs = [{"file": encoded(path.read_bytes()), "shape": shape, "white": white} for path in paths]
    results: list[Any] = run_node(FILE_JOBS, {"html": str(HTML), "jobs": jobs})
    return results


@needs_node
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 12, 20)])
def test_jpeg_files_are_turned_and_reduced_as_predict_does(shape: Shape, tmp_path: Path) -> None:
    waves = np.sin(np.arange(3 * 200 * 150).reshape(200, 150, 3) / 5000) * 80 + 128
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        width = 20 + 13 * orientation
        picture = Image.fromarray(waves[: 10 + 17 * orientation, :width].astype(np.uint8))
        picture.save(tmp_path / f"{orientation}.jpg", exif=exif, progressive=orientation % 2 == 0)
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    picture.save(tmp_path / "xmp.jpg", xmp=xmp)
    paths = sorted(tmp_path.iterdir())
    for path, found in zip(paths, read_by_page(paths, shape), strict=True):
        expected = read_image_array(path, image_size=shape[1:], num_channels=shape[0])
        assert np.array_equal(np.array(found["pixels"]).reshape(shape), expected), path.name


@needs_node
@pytest.mark.parametrize("white", [65535, 4095])
def test_grey_pictures_of_16_bits_are_read_as_predict_does(white: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    slope = np.add.outer(np.arange(40), np.arange(50)) * white / 88
    for name, levels in (("noise", generator.uniform(0, 1.2 * white, (31, 17))), ("slope", slope)):
        Image.fromarray(levels.clip(0, 65535).astype(np.uint16)).save(tmp_path / f"{name}.png")
    paths, shape = sorted(tmp_path.iterdir()), (1, 24, 24)
    for path, found in zip(paths, read_by_page(paths, shape, white=white), strict=True):
        expected = read_image_array(path, image_size=24, num_channels=1, white_levels={"I;16": float(white)})
        assert np.array_equal(np.array(found["pixels"]).reshape(shape), expected), path.name


@needs_node
def test_the_key_of_grey_pictures_of_16_bits_is_white_as_in_predict(tmp_path: Path) -> None:
    path = tmp_path / "keyed.png"
    Image.fromarray(np.arange(0, 60000, 100, np.uint16).reshape(20, 30)).save(path, transparency=500)
    for white in (4095, 65535):
        (found,) = read_by_page([path], (1, 8, 8), white=white)
        expected = read_image_array(path, image_size=8, num_channels=1, white_levels={"I;16": float(white)})
        assert np.array_equal(np.array(found["pixels"]).reshape(1, 8, 8), expected)


def grey_of_16_bits(**changes: int) -> bytes:
    """A PNG file with some bytes of its header changed."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (40, 50), np.uint16)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    for name, value in changes.items():
        content[{"width": 19, "height": 23, "interlaced": 28}[name]] = value
    return bytes(content)


@needs_node
def test_16_bits_that_cannot_be_read_rightly_are_refused(tmp_path: Path) -> None:
    damaged = "This is no picture that the browser can read, or it is damaged."
    none, interlaced = "The picture has no pixels.", "Interlaced PNG files of 16 bits cannot be read here: "
    whole = grey_of_16_bits()
    expected = [
        (whole[: len(whole) // 2], damaged),
        (grey_of_16_bits(height=39), damaged),  # fewer rows than are packed, and more
        (grey_of_16_bits(height=41), damaged),
        (grey_of_16_bits(width=0), none),
        (grey_of_16_bits(height=0), none),
        (grey_of_16_bits(interlaced=1), interlaced + "save it without interlacing."),
    ]
    for content, error in expected:
        (tmp_path / "picture.png").write_bytes(content)
        assert read_by_page([tmp_path / "picture.png"], (1, 8, 8), white=4095) == [{"error": error}]


@needs_node
def test_the_size_of_webp_is_known_before_it_is_decoded() -> None:
    """Of files with loss, without, and with an alpha channel or a profile, which begin otherwise."""
    files, sizes = [], [(1, 1), (16383, 1), (3, 500), (300, 257)]
    for size in sizes:
        for mode, options in (("RGB", {}), ("RGB", {"lossless": True}), ("RGBA", {}), ("RGB", {"icc_profile": b"p"})):
            stream = io.BytesIO()
            Image.new(mode, size, (9, 8, 7, 100)[: len(mode)]).save(stream, "WEBP", method=0, **options)
            files.append(encoded(stream.getvalue()))
    sizes_of = "request.files.map((file) => ThumbnetFiles.clean(Buffer.from(file, 'base64')).size)"
    found = run_node(f"{LOAD}console.log(JSON.stringify({sizes_of}));", {"html": str(HTML), "files": files})
    assert found == [list(size) for size in sizes for _ in range(4)]


@needs_node
def test_too_large_a_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for content in (webp_of(16383, 16383), webp_of(9460, 9460), png_of(9460, 9460)):
        (tmp_path / "picture").write_bytes(content)
        (found,) = read_by_page([tmp_path / "picture"], (1, 8, 8))
        assert found == {"error": "The picture has more than 89478485 pixels."}
    (tmp_path / "picture").write_bytes(webp_of(16383, 16383)[:22])  # ends within its header
    (found,) = read_by_page([tmp_path / "picture"], (1, 8, 8))
    assert found == {"error": "This is no picture that the browser can read, or it is damaged."}


@needs_node
def test_what_ends_too_early_is_not_inflated() -> None:
    content = bytes(range(256)) * 40
    jobs = []
    for level in (0, 9):
        packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(content) + packer.flush()
        sizes = [len(content), len(content) - 1, len(content) + 1, len(content) // 2]
        jobs += [(encoded(packed), size) for size in sizes]
        jobs += [(encoded(packed[:length]), len(content)) for length in (0, 1, len(packed) // 2, len(packed) - 1)]
    found = run_node(INFLATE_JOBS, {"html": str(HTML), "jobs": jobs})
    assert found == ([encoded(content)] + [None] * 7) * 2


def test_styles_are_shortened_without_a_change() -> None:
    code = "/* a\n b */\n:root {\n  --a: #fff; /* c */\n  font: 1rem / 2 x, y;\n}\na:hover > b {\n margin: 0 -1px;\n}\n"
    assert compact_style(code) == ":root{--a:#fff;font:1rem / 2 x,y}a:hover > b{margin:0 -1px}"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("const a = 1; // one\nlet b;", "const a=1;let b;"),
        ("/* a\n b */\nf( a - -b, c + +d );\n\n  return  x\n", "f(a- -b,c+ +d);return x\n"),
        ('x = "a  //  b" + `c  ${ d }\n  e`;', 'x="a  //  b"+`c  ${ d }\n  e`;'),
        ("if (a)\n  b();\nelse c = d / e / f;", "if(a)\nb();else c=d/e/f;"),
        ("a = b\n(c)", "a=b\n(c)"),
        ("{\n  a(';}');\n}\n", "{a(';}')}\n"),
        ("a = [\n  b\n]\n  .c(\n)\n", "a=[b]\n.c()\n"),
    ],
)
def test_scripts_are_shortened_without_a_change(code: str, expected: str) -> None:
    assert compact_script(code) == expected

"""Picture files of every kind that people drop on a page, made of two photographs that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from display_p3 import DISPLAY_P3

ORIENTATION = 0x0112


def save_pictures(folder: Path) -> list[Path]:
    """One file of each kind, in `folder`."""
    flower, china = (Image.fromarray(load_sample_image(name)) for name in ("flower.jpg", "china.jpg"))
    save_jpegs(folder, flower, china)
    save_pngs(folder, flower, china)
    china.resize((320, 214)).save(folder / "lossless.webp", lossless=True)
    flower.quantize(64).save(folder / "palette.gif")
    china.save(folder / "plain.bmp")
    return sorted(folder.iterdir())


def save_jpegs(folder: Path, flower: Image.Image, china: Image.Image) -> None:
    for width in (20, 32, 33, 63, 64, 65, 90, 127, 128, 129, 200, 255, 256, 300, 511, 512, 513, 640):
        height = round(width * flower.height / flower.width)
        picture = (flower if width % 2 else china).resize((width, height))
        picture.save(folder / f"jpeg-{width}.jpg", quality=90)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        china.save(folder / f"subsampled-{subsampling.replace(':', '')}.jpg", subsampling=subsampling, quality=95)
    china.save(folder / "progressive.jpg", progressive=True, quality=75)
    flower.convert("L").save(folder / "grey.jpg")
    flower.convert("CMYK").save(folder / "cmyk.jpg")
    flower.save(folder / "display-p3.jpg", icc_profile=DISPLAY_P3, quality=92)
    for orientation in range(1, 9):
        turned = Image.Exif()
        turned[ORIENTATION] = orientation
        flower.resize((203, 131)).save(folder / f"turned-{orientation}.jpg", exif=turned, quality=92)
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    large = np.asarray(china.resize((4000, 3000), Image.Resampling.BICUBIC)).astype(int)
    noise = np.random.default_rng(0).integers(-8, 9, large.shape)
    large_picture = Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8))
    large_picture.save(folder / "12-megapixels-turned.jpg", exif=turned, quality=85)


def save_pngs(folder: Path, flower: Image.Image, china: Image.Image) -> None:
    flower.save(folder / "plain.png")
    china.resize((32, 32)).save(folder / "small.png")
    flower.convert("L").save(folder / "grey.png")
    china.save(folder / "with-profile.png", icc_profile=DISPLAY_P3)
    flower.quantize(100).save(folder / "palette.png")
    flower.convert("1").save(folder / "one-bit.png")
    across = np.tile(np.linspace(0, 255, china.width), (china.height, 1)).astype(np.uint8)
    for name, picture in (("transparent", china), ("transparent-grey", china.convert("L"))):
        with_alpha = picture.copy()
        with_alpha.putalpha(Image.fromarray(across))
        with_alpha.save(folder / f"{name}.png")
    turned = Image.Exif()
    turned[ORIENTATION] = 8
    china.resize((150, 100)).save(folder / "turned.png", exif=turned)
    levels = np.asarray(flower.convert("L").resize((160, 107))).astype(np.uint16) * 257
    Image.fromarray(levels).save(folder / "grey-16-bits.png")

"""Printed letters: A to Z in Debian's fonts, drawn on paper of many kinds. Other fonts for test than for training."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from own_pictures.packages import Packages
from own_pictures.pictures import Drawn, file_of

FONTS = (
    "fonts-cantarell", "fonts-comfortaa", "fonts-crosextra-carlito", "fonts-dejavu-core", "fonts-ebgaramond",
    "fonts-freefont-ttf", "fonts-inconsolata", "fonts-lato", "fonts-liberation", "fonts-linuxlibertine",
    "fonts-open-sans", "fonts-roboto-unhinted", "fonts-vollkorn",
)  # fmt: skip
FILES_EACH = 4  # of a package's fonts, spread over their names
LETTERS_EACH = 4  # pictures of a letter in a font
SIDE = 64
INK_SPAN = 45  # levels of grey that ink and paper differ by, at least


def letters(packages: Packages) -> Iterator[Drawn]:
    """26 classes, each a letter in upper case; a font's package is a group."""
    yield from printed({name: font_files(packages.unpacked(name)) for name in FONTS})


def font_files(folder: Path) -> list[Path]:
    """The fonts below a folder, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf"))


def printed(fonts: Mapping[str, Sequence[Path]], *, each: int = LETTERS_EACH) -> Iterator[Drawn]:
    """The letters in these fonts, by the package that they are of."""
    random = np.random.default_rng(2)
    for package, files in sorted(fonts.items()):
        chosen = [files[place] for place in np.unique(np.linspace(0, len(files) - 1, FILES_EACH).astype(int))]
        for number, file in enumerate(chosen):
            for letter in string.ascii_uppercase:
                for index in range(each):
                    name = f"{package}-{number}-{index}.png"
                    yield Drawn(letter, name, file_of(_letter(random, letter, file)), group=package)


def _letter(random: np.random.Generator, letter: str, file: Path) -> Image.Image:
    """One letter at a random place, size and turn, in grey on grey, with the paper's grain, light and blur."""
    side = 2 * SIDE
    font = ImageFont.truetype(str(file), int(random.integers(int(0.45 * side), int(0.85 * side))))
    mask = Image.new("L", (side, side))
    left, top, right, bottom = font.getbbox(letter)
    corner = side / 2 - np.array([left + right, top + bottom]) / 2 + random.uniform(-0.08, 0.08, 2) * side
    ImageDraw.Draw(mask).text((float(corner[0]), float(corner[1])), letter, fill=255, font=font)
    turned = mask.rotate(float(random.uniform(-8, 8)), Image.Resampling.BICUBIC)
    small = turned.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    ink = np.asarray(small.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 1.2)))), np.float64) / 255
    paper, colour = np.sort(random.uniform(0, 255 - INK_SPAN, 2)) + np.array([0, INK_SPAN])
    if random.random() < 0.8:  # dark on bright, mostly
        paper, colour = colour, paper
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = random.uniform(-0.25, 0.25, 2)
    pixels = paper + (colour - paper) * ink
    pixels = pixels * (1 + slope[0] * rows + slope[1] * columns) + random.normal(0, random.uniform(1, 14), ink.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))

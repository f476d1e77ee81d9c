"""Letters of any alphabet in pictures: in our font, else in one of the system that has them, else as their numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import fontManager, get_font

from thumbnet.terminal.text import escaped

FONT = "DejaVu Sans"  # comes with matplotlib, so a picture is the same on every machine
# For letters that it lacks, in names of classes: those that are installed, in this order, before all others.
FALLBACK_FONTS = (
    "Noto Sans CJK JP", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "WenQuanYi Zen Hei", "Hiragino Sans",
    "PingFang SC", "Apple SD Gothic Neo", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip
BOXES_ONLY = ("LastResort", "Last Resort")  # fonts that have a box for every letter


def installed_fonts(fallbacks: Sequence[str] = FALLBACK_FONTS) -> list[str]:
    """FONT, then those that are on this machine: a letter is drawn in the first one that has it."""
    installed = {font.name for font in fontManager.ttflist}
    return [FONT, *(name for name in fallbacks if name in installed)]


FONTS = installed_fonts()  # of every text; `drawable` adds to them


def drawable(text: str, *, search: Iterable[Path] | None = None) -> str:
    """`text` with letters of which no font is found as their numbers: "[U+732B]". Fonts that are found join FONTS.

    Control characters and marks that turn the reading direction are shown escaped, lines are kept.

    Args:
        search: the font files to look in for what FONTS lack; None: all that are installed.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text  # FONT has all of these
    shown = "".join(letter for letter in escaped(text, keep="\n") if not _is_invisible(letter))
    missing = {letter for letter in shown if letter != "\n" and not _has_font(letter, search)}
    if not missing:
        return shown
    runs = re.compile(f"[{re.escape(''.join(sorted(missing)))}]+")
    return runs.sub(lambda run: f"[{' '.join(f'U+{ord(letter):04X}' for letter in run[0])}]", shown)


def _is_invisible(letter: str) -> bool:
    """Joiners and selectors of variants, which change other letters and have no glyph of their own."""
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"


def _has_font(letter: str, search: Iterable[Path] | None) -> bool:
    if any(_has_glyph(file, letter) for file in _files_of(tuple(FONTS))):
        return True
    if search is None:
        name = _find_font(letter)
        if name is not None:
            FONTS.append(name)
            if FONT in matplotlib.rcParams["font.family"]:  # within our style
                matplotlib.rcParams["font.family"] = FONTS
        return name is not None
    return any(_has_glyph(str(file), letter) for file in search)


@cache
def _find_font(letter: str) -> str | None:
    """The name of an installed font that has the letter."""
    fonts = sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.name, font.fname))
    for font in fonts:
        if not font.name.startswith(BOXES_ONLY) and _has_glyph(font.fname, letter):
            return str(font.name)
    return None


@cache
def _files_of(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(fontManager.findfont(name, fallback_to_default=False) for name in names)


def _has_glyph(file: str, letter: str) -> bool:
    try:
        return bool(get_font(file).get_char_index(ord(letter)))
    except (OSError, RuntimeError):  # a font that cannot be read
        return False

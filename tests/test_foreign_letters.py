"""Class names in any letters: drawn in a font of the system that has them, else as numbers; no warning and no box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from thumbnet.views.confusion import draw_confusion
from thumbnet.views.curves import Curves, draw_curves
from thumbnet.views.figure import png_bytes
from thumbnet.views.fonts import drawable
from thumbnet.views.gallery import draw_gallery
from thumbnet.views.preview import draw_preview
from thumbnet.views.suspects import draw_suspects

NAMES = ["猫", "小型犬", "ネコ", "แมว", "plain"]
IMAGES = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)


def font_file(name: str) -> str:
    return next(font.fname for font in fontManager.ttflist if font.name == name)


def test_letters_without_a_font_are_shown_as_their_numbers() -> None:
    assert drawable("猫 cat", search=()) == "[U+732B] cat"
    assert drawable("小型犬", search=()) == "[U+5C0F U+578B U+72AC]"
    assert drawable("café, Ωμέγα, кот", search=()) == "café, Ωμέγα, кот"
    assert drawable("heart \u2764\ufe0f\nnext", search=()) == "heart \u2764\nnext"  # a selector has no glyph of its own
    assert drawable("a\x1bb\u202ec", search=()) == "a\\x1bb\\u202ec"


def test_a_font_that_has_the_letters_is_found() -> None:
    here, elsewhere = (FT2Font(font_file(name)).get_charmap() for name in ("DejaVu Sans", "STIXGeneral"))
    letter = next(chr(code) for code in sorted(set(elsewhere) - set(here)) if chr(code).isalpha())
    assert drawable(letter, search=()) != letter
    assert drawable(letter, search=[Path(font_file("STIXGeneral"))]) == letter


def test_no_view_warns_or_draws_boxes() -> None:
    some = torch.arange(5)
    figures = [
        draw_confusion(np.eye(5, dtype=int), NAMES),
        draw_suspects(list(IMAGES.split(1)), NAMES, title="猫"),
        draw_preview(IMAGES, IMAGES, NAMES),
        draw_gallery(IMAGES, some, some.flip(0), torch.ones(5), NAMES),
        draw_curves([Curves("猫", (1, 2), (0.1, 0.2), (0.1, 0.2), (0.1, 0.2), (0.1, 0.2), "val")]),
    ]
    for figure in figures:
        shown = " ".join(text.get_text() for text in figure.findobj(Text))
        assert "猫" in shown or "U+732B" in shown
        assert png_bytes(figure)  # warnings are errors here


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawable_stays_so(name: str) -> None:
    assert drawable(drawable(name)) == drawable(name)

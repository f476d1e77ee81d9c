"""Texts for people: counts with their nouns."""

from __future__ import annotations

import pytest

from thumbnet.terminal.text import counted


@pytest.mark.parametrize(
    ("number", "noun", "plural", "expected"),
    [
        (0, "epoch", None, "0 epochs"),
        (1, "epoch", None, "1 epoch"),
        (2, "epoch", None, "2 epochs"),
        (1_024, "image", None, "1,024 images"),
        (1, "class", "classes", "1 class"),
        (3, "class", "classes", "3 classes"),
    ],
)
def test_a_count_has_its_noun(number: int, noun: str, plural: str | None, expected: str) -> None:
    assert counted(number, noun, plural=plural) == expected

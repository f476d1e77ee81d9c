"""Texts for people: foreign ones, such as the name of a class or a file, as a terminal may show them; counts; paths."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

# Control characters, marks that turn the reading direction round, separators of lines, and halves of characters (bytes
# of a file's name that are not UTF-8).
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str, *, keep: str = "") -> str:
    r"""`text` with everything in it that moves, hides or turns other text as an escape: ESC becomes `\x1b`.

    `keep` are characters that stay as they are, such as "\n" where the text has several lines.
    """
    return UNSHOWABLE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def counted(number: float, noun: str, *, plural: str | None = None) -> str:
    """A number with its noun: "1 epoch", "1.5 minutes", "1,024 images"; `plural` is one that is not noun + "s"."""
    text = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{text} {noun if number == 1 else plural or noun + 's'}"


def quoted(path: str | Path) -> str:
    """A path as one word of a command that a reader may copy into a shell."""
    return shlex.quote(str(path))


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python carries a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()

"""Names that people chose, made harmless in C and in Markdown. Without PyTorch."""

from __future__ import annotations

import re
import unicodedata

MOST_IDENTIFIER = 40  # characters
OWN_FILES = "example|check|camera|library|micropython|modthumbnet|makefile|readme"
HEADERS = (  # of C, C++ and boards: a file of the same name could be read in their place
    r"std\w*|assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|string|tgmath|"
    r"threads|time|uchar|arduino|py"
)
MACROS = r"u?int\w*|(ptrdiff|sig_atomic|size|w?char|wint)(_.*)?"  # how those of <stdint.h> begin
IN_THE_SOURCE = "last|most|stem|thumbnet"  # how names in the templates begin
TAKEN = re.compile(f"{OWN_FILES}|{IN_THE_SOURCE}|{HEADERS}|{MACROS}")
MARKUP = re.compile(r"([\\`*_{}\[\]|~>@]|(?<=www)\.|:(?=//)|^[#+=-]|(?<=^\d)[.)]|(?<=^\d\d)[.)])")


def c_identifier(name: str) -> str:
    """A C identifier for a model's name, such as `thumb_20k` for thumb-20k: lower case, letters and digits of ASCII."""
    letters = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:MOST_IDENTIFIER].strip("_")
    if not letters:
        return "model"
    return f"model_{letters}" if letters[0].isdigit() or TAKEN.fullmatch(letters) else letters


def c_string(text: str) -> str:
    """A C string literal of a text's UTF-8, in which only letters, digits and plain punctuation stand for themselves.

    Everything else is three octal digits: no trigraph, escape, comment or invisible mark can come about.
    """
    return '"' + "".join(_c_character(byte) for byte in text.encode("utf-8", "replace")) + '"'


def _c_character(byte: int) -> str:
    character = chr(byte)
    return character if byte < 128 and (character.isalnum() or character in " -_.,:+=()") else f"\\{byte:03o}"


def markdown_text(text: str) -> str:
    """A text as it stands, in one line of Markdown: without control and direction marks, nothing of it is markup."""
    visible = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(one)[0] == "C" else one for one in text)
    entities = visible.strip().replace("&", "&amp;").replace("<", "&lt;")
    return MARKUP.sub(r"\\\1", entities)

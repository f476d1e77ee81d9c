"""Foreign text, such as a class's name, as Markdown and YAML may hold it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from thumbnet.terminal.text import escaped

YAML_ESCAPES = {"\\": "\\\\", '"': '\\"'}


def code(text: str) -> str:
    """Text as a code span, in which Markdown and HTML mean nothing; what turns other text round is escaped."""
    shown = escaped(text) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    edge = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{edge}{shown}{edge}{fence}"


def code_block(lines: Sequence[str]) -> str:
    """Commands as a fenced block."""
    shown = [escaped(line) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}sh", *shown, fence])


def to_yaml(values: Mapping[str, object]) -> str:
    """Nested mappings and sequences as YAML in block style, all texts quoted."""
    return "\n".join(_lines(values))


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, (Mapping, list, tuple)):
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(inner))
            else:
                yield f"{key}: {_scalar(inner)}"
    elif isinstance(value, (list, tuple)):
        for inner in value:
            first, *others = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:.6f}" if isinstance(value, float) else str(value)
    return f'"{"".join(map(_quoted, escaped(str(value))))}"'


def _quoted(character: str) -> str:
    if character in YAML_ESCAPES:
        return YAML_ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"

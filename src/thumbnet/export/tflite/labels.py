"""Class names as the lines of a label file."""

from __future__ import annotations

from collections.abc import Sequence

from thumbnet.terminal.text import escaped


def label_lines(class_names: Sequence[str]) -> str:
    r"""A name a line, as readers of label files want it. A newline in a name is written as `\n`; so is, as an escape,
    whatever else could end a line or turn the text round."""
    return "".join(f"{escaped(name)}\n" for name in class_names)

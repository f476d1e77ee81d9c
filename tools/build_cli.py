"""Write docs/cli.md, the help of every verb: python tools/build_cli.py"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"


def render() -> str:
    """The page's text: the help of every parser, 100 columns wide."""
    os.environ["COLUMNS"] = "100"
    from thumbnet.cli import build_parser

    parts = ["# The command line\n\nMade by `python tools/build_cli.py`; a test compares.\n"]
    parts += [f"## {parser.prog}\n\n```\n{parser.format_help().rstrip()}\n```\n" for parser in parsers(build_parser())]
    return "\n".join(parts)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its verbs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


if __name__ == "__main__":
    PAGE.write_text(render())

"""The command `thumbnet`: parse, call, print; no logic. What is heavy is imported when a verb needs it.

Results go to stdout, progress and messages to stderr. Exit code 2 is a user's error, 130 an interruption.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from thumbnet.cli.parser import build_parser
from thumbnet.errors import ThumbnetError

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parsed = build_parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], None] = parsed.verb
    try:
        verb(parsed)
    except ThumbnetError as error:
        print(f"thumbnet: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("thumbnet: interrupted", file=sys.stderr)
        return 130
    return 0

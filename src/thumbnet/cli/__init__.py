"""The command `thumbnet`: parse, call, print; no logic. What is heavy is imported when a verb needs it.

Results go to stdout, progress and messages to stderr. Exit code 1: not all could be done; 2: a user's error; 130: an
interruption; 141: a reader of stdout that left.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from thumbnet.cli.parser import build_parser
from thumbnet.cli.process import USER_ERROR, exit_code_of, finish, prepare_streams, quiet_interruptions
from thumbnet.cli.ranks import ENDING_S, check_verb, helps, keeps_silent, quiet_unless_first
from thumbnet.kernels.cpu import cpu_form
from thumbnet.specs.extras import extras_named
from thumbnet.specs.launch import this_launch
from thumbnet.specs.trust import trusting

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None, *, began_s: float | None = None) -> int:
    """Run one command, which began at `began_s` by `time.perf_counter`, or now; returns the exit code.

    SystemExit: help was asked for, or an option is wrong.
    """
    began_s = time.perf_counter() if began_s is None else began_s
    prepare_streams()
    launch = None
    with quiet_interruptions():
        try:
            launch = this_launch()
            with quiet_unless_first(launch):
                parsed = build_parser().parse_args(arguments)
            check_verb(parsed)
            parsed.began_s = began_s
            cpu_form()  # THUMBNET_CPU is obeyed or refused
            verb: Callable[[argparse.Namespace], None] = parsed.verb
            with extras_named(f"`{parsed.command}`"), trusting(getattr(parsed, "trust_code", False)):
                if not helps(launch):
                    verb(parsed)
        except SystemExit as ending:  # argparse's
            if launch is not None and not launch.is_first and ending.code:
                time.sleep(ENDING_S)
            raise SystemExit(finish(int(ending.code or 0))) from None
        except BaseException as error:  # noqa: BLE001  # what is no user's error is raised again
            return USER_ERROR if keeps_silent(launch, error) else finish(exit_code_of(error))
        return finish(0)

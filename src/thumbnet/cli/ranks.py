"""The command as one of several processes that torchrun started: the first one alone speaks, or who fails first."""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from thumbnet.errors import RankLostError
from thumbnet.specs.launch import Launch, refuse_several

ENDING_S = 20.0  # that torchrun gets to end a process whose error must not be shown
ONE_PROCESS = "give this command without torchrun; only `train` and `train --resume` know of several processes"


@contextmanager
def quiet_unless_first(launch: Launch | None) -> Iterator[None]:
    """What every process would say of the arguments, the first one says."""
    with ExitStack() as streams:
        if launch is not None and not launch.is_first:
            streams.enter_context(redirect_stderr(io.StringIO()))
            streams.enter_context(redirect_stdout(io.StringIO()))
        yield


def check_verb(parsed: argparse.Namespace) -> None:
    """ConfigError for a command that several processes cannot give together."""
    if parsed.command != "thumbnet train":
        refuse_several(f"`{parsed.command}` is for one process", hint=ONE_PROCESS)
    elif parsed.seeds is not None or parsed.folds is not None:
        option = "--seeds" if parsed.seeds is not None else "--folds"
        refuse_several(f"{option} trains several networks", hint=f"leave {option} out, or torchrun")


def helps(launch: Launch | None) -> bool:
    """Whether this process only helps another one to train, which it then does to the end."""
    if launch is None or launch.is_first:
        return False
    from thumbnet.runs.ranks import follow

    follow(launch)
    return True


def keeps_silent(launch: Launch | None, error: BaseException) -> bool:
    """Whether another process shows why all of them end; then this one waits to be ended by torchrun.

    A process that was only left alone shows so after ENDING_S, if none has shown anything until then.
    """
    if launch is None or not launch.has_several:
        return False
    if isinstance(error, KeyboardInterrupt):
        return not launch.is_first
    if isinstance(error, RankLostError):
        time.sleep(ENDING_S)
        return not _fails_first(launch)
    if _fails_first(launch):
        return False
    time.sleep(ENDING_S)
    return True


def _fails_first(launch: Launch) -> bool:
    module = sys.modules.get("thumbnet.training.ranks")
    ranks = None if module is None else module.last_ranks()
    return launch.is_first if ranks is None else bool(ranks.fails_first())

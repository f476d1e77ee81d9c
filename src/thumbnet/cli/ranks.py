"""The command as one of several processes that torchrun started: the first one alone speaks, or who fails first."""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress

from thumbnet.errors import RankLostError, ThumbnetError
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

    A process that was only left alone shows so after ENDING_S, if none has shown anything until then. Before they have
    met, what ends one of them may end all of its machine: the first of these speaks, another one only where it is not
    ended for that.
    """
    if launch is None or not launch.has_several:
        return False
    if isinstance(error, KeyboardInterrupt):
        return not launch.is_first
    is_lost, module = isinstance(error, RankLostError), sys.modules.get("thumbnet.training.ranks")
    ranks = None if module is None else module.last_ranks()
    if ranks is None or not ranks.have_met:
        time.sleep(ENDING_S * (is_lost + (launch.local_rank > 0)))
        if not is_lost:
            _tell_others(launch)
        return False
    if is_lost:
        time.sleep(ENDING_S)
        return not ranks.fails_first()
    if ranks.fails_first():
        return False
    time.sleep(ENDING_S)
    return True


def _tell_others(launch: Launch) -> None:
    """Have the others wait no longer for this process, where there is a store already."""
    if launch.is_store_kept:
        with suppress(ImportError, RuntimeError, ThumbnetError):  # what ends this process is shown in any case
            from thumbnet.training.rank_store import tell_of_failure

            tell_of_failure(launch)

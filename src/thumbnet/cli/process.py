"""The command as a process: its three streams, its exit codes, what an interruption does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from thumbnet.cli.output import OutputError, PartlyDoneError, flush
from thumbnet.errors import JobsFailedError, ThumbnetError
from thumbnet.terminal.streams import tell

PARTLY_DONE, USER_ERROR, INTERRUPTED, READER_LEFT = (
    1,
    2,
    130,
    141,
)  # the last two: 128 and the signal's number, as shells have it
IMPORTING = "<frozen importlib._bootstrap>"  # the file of Python's own code that imports modules


def prepare_streams() -> None:
    """Occupy closed descriptors, so that no file gets the number of stderr; escape what stdout cannot show."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def exit_code_of(error: BaseException) -> int:
    """Tell a user's error or an interruption on stderr, and return the exit code for it; others are raised again."""
    if isinstance(error, BrokenPipeError):
        return READER_LEFT
    if isinstance(error, ThumbnetError):
        tell(f"thumbnet: error: {error}")
        return PARTLY_DONE if isinstance(error, PartlyDoneError | JobsFailedError) else USER_ERROR
    if isinstance(error, KeyboardInterrupt):
        tell("thumbnet: interrupted")
        return INTERRUPTED
    raise error


def finish(code: int) -> int:
    """Write what is still in the streams' buffers; returns the exit code, another one where stdout cannot be written.

    What a broken stream still holds is dropped, or Python would complain of it when it ends.
    """
    try:
        flush()
    except (BrokenPipeError, OutputError) as error:
        _drop(sys.stdout)
        code = code or exit_code_of(error)
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        _drop(sys.stderr)
    return code


@contextmanager
def quiet_interruptions() -> Iterator[None]:
    """End the process at once where SIGINT comes while a module is imported.

    A KeyboardInterrupt there reaches code that does not expect it, such as the compiled parts of PyTorch, and ends in a
    traceback or an abort. Nothing is lost: no file is being written then.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            os._exit(finish(exit_code_of(KeyboardInterrupt())))
        frame = frame.f_back
    raise KeyboardInterrupt


def _drop(stream: Any) -> None:
    """Send what the stream still holds nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

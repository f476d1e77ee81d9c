"""Trainings in a process of their own that is killed at a known point: no clock is looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

# The process kills itself as it is about to write its history for the epoch after the last one that it may finish.
SCRIPT = """
import os, signal, sys

num_written, num_epochs = 0, int(sys.argv.pop(1))

def watch(event, arguments):
    global num_written
    if event == "os.rename" and str(arguments[1]).endswith("history.csv"):
        num_written += 1
        if num_written > num_epochs:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)

from thumbnet.cli import main

main(sys.argv[1:])
"""


def train_killed_after(num_epochs: int, arguments: Sequence[str]) -> None:
    """Run `thumbnet train` with these arguments, killed when it has finished `num_epochs` and keeps the next one."""
    command = [sys.executable, "-c", SCRIPT, str(num_epochs), "train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr

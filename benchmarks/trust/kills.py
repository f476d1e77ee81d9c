"""Trainings killed by SIGKILL: at random moments, at every rename of a file, and in the middle of every write."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from trust.child import command, run_forked
from trust.tally import Tally
from trust.trainings import Training

MAX_PLACES = 400  # renames or writes of one training; it has about forty


def at_random_moments(training: Training, number: int, *, seed: int = 0) -> Tally:
    """Killed after a random part of the time that the training takes, begun anew each time, and resumed."""
    tally, source = Tally(f"killed at {number} random moments"), random.Random(seed)
    for index in range(number):
        run = _fresh(training, "killed")
        after_s = source.uniform(0.02, 1.0) * training.seconds
        run_forked(command(*training.begin(run)), training.place / "streams", kill_after_s=after_s)
        _resumed(training, run, tally, f"kill {index}, after {after_s:.2f} s")
    return tally


def again_and_again(training: Training, number: int, *, seed: int = 1) -> Tally:
    """One run, killed at so many random moments one after the other, each time resumed, then let finish."""
    tally, source = Tally(f"one run killed up to {number} times in a row"), random.Random(seed)
    run = _fresh(training, "killed")
    num_kills = 0
    for _ in range(number):
        after_s = source.uniform(0.1, 0.6) * training.seconds
        ended = run_forked(command(*training.go_on(run)), training.place / "streams", kill_after_s=after_s)
        if ended.code != -signal.SIGKILL:
            break
        num_kills += 1
    tally.note = f"{num_kills} kills"
    _resumed(training, run, tally, tally.note)
    return tally


def at_every_rename(training: Training) -> Tally:
    """Killed as it is about to rename its file number 0, 1, 2, ..."""
    return _everywhere(training, Tally("killed at every rename"), kill_at_rename)


def in_every_write(training: Training) -> Tally:
    """Killed when the first half of a write number 0, 1, 2, ... to a file is done."""
    return _everywhere(training, Tally("killed in the middle of every write"), _kill_in_write)


def _everywhere(training: Training, tally: Tally, arm: Callable[[int], None]) -> Tally:
    for place in range(MAX_PLACES):
        run = _fresh(training, "killed")

        def armed(run: Path = run, place: int = place) -> int:
            arm(place)
            return command(*training.begin(run))()

        if run_forked(armed, training.place / "streams").code != -signal.SIGKILL:
            break
        _resumed(training, run, tally, f"at number {place}")
    return tally


def kill_at_rename(number: int) -> None:
    count = iter(range(sys.maxsize))

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _kill_in_write(number: int) -> None:
    count, write = iter(range(sys.maxsize)), os.write

    def write_half(descriptor: int, content: bytes) -> int:
        if descriptor > 2 and next(count) == number:
            write(descriptor, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(descriptor, content)

    os.write = write_half


def _fresh(training: Training, name: str) -> Path:
    run = training.place / name
    if run.exists():
        shutil.rmtree(run)
    return run


def _resumed(training: Training, run: Path, tally: Tally, what: str) -> None:
    ended = training.finish(run)
    if ended.code:
        tally.fault(f"{what}: {ended.fault or ended.error}")
        return
    difference = training.difference(run)
    if difference:
        tally.fault(f"{what}: {difference}")
    else:
        tally.add("resumed to the same bytes")

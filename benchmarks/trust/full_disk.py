"""A disk that is full: at every write of a training and of what else writes, and a file system of every size."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trust.child import Ended, command, run_forked
from trust.tally import Tally
from trust.trainings import Training

MAX_WRITES = 400
MOUNT, UMOUNT = "/bin/mount", "/bin/umount"


def at_every_write(training: Training) -> Tally:
    """Write number 0, 1, 2, ... writes half of its bytes and then finds no room; with room again, the run goes on."""
    tally = Tally("disk full at every write of a training")
    for number in range(MAX_WRITES):
        run = training.place / "full"
        shutil.rmtree(run, ignore_errors=True)
        came = training.place / "full-came"
        came.unlink(missing_ok=True)

        def armed(run: Path = run, number: int = number, came: Path = came) -> int:
            _fill_at(number, came)
            return command(*training.begin(run))()

        ended = run_forked(armed, training.place / "streams")
        if not came.exists():
            break
        _judge(training, run, ended, tally, f"write {number}")
    return tally


def on_small_disks(training: Training) -> Tally:
    """A training into a file system (tmpfs) with room for a few KB, then a few more, until it fits; each time it then
    gets more room."""
    tally = Tally("file systems too small for a training")
    with _mounted(training.place / "small-disk") as disk:
        if disk is None:
            tally.note = "no file system of a given size can be mounted here: not done"
            return tally
        for kilobytes in range(training.step_kb, 4096, training.step_kb):
            run = disk / "run"
            shutil.rmtree(run, ignore_errors=True)
            _resize(disk, kilobytes)
            ended = run_forked(command(*training.begin(run)), training.place / "streams")
            _resize(disk, 65536)
            if ended.code == 0 and not training.difference(run):
                break
            _judge(training, run, ended, tally, f"{kilobytes} KB")
    return tally


def what_else_writes(training: Training) -> Tally:
    """Report, comparison, exports and packs onto such file systems: an error, and nothing half written in its place."""
    tally = Tally("file systems too small for a report, an export, a comparison or a pack")
    commands: dict[str, Callable[[Path], tuple[str | Path, ...]]] = {
        "report": lambda out: ("report", training.whole, "--out", out / "report.html"),
        "compare": lambda out: ("compare", training.whole, training.whole, "--out", out / "comparison"),
        "export html": lambda out: ("export", training.whole, "--format", "html", "--out", out / "page.html"),
        "export c": lambda out: ("export", training.whole, "--format", "c", "--out", out / "c"),
        "export onnx": lambda out: ("export", training.whole, "--format", "onnx", "--out", out / "model.onnx"),
        "data pack": lambda out: ("data", "pack", f"npz:{training.data}", "--out", out / "pack"),
    }
    with _mounted(training.place / "small-disk") as disk:
        if disk is None:
            tally.note = "no file system of a given size can be mounted here: not done"
            return tally
        for name, arguments in commands.items():
            for kilobytes in (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048):
                out = disk / "out"
                shutil.rmtree(out, ignore_errors=True)
                _resize(disk, kilobytes)
                out.mkdir()
                ended = run_forked(command(*arguments(out)), training.place / "streams")
                if ended.fault:
                    tally.fault(f"{name}, {kilobytes} KB: {ended.fault}")
                elif ended.code == 0:
                    break
                else:
                    left = [path.name for path in out.rglob("*") if path.name.endswith(".tmp")]
                    tally.fault(f"{name}, {kilobytes} KB: left {left}") if left else tally.add("a clear error")
            _resize(disk, 65536)
    return tally


def _judge(training: Training, run: Path, ended: Ended, tally: Tally, what: str) -> None:
    """After a training found no room: a clear error, or none needed; then, with room, the end of the whole one."""
    if ended.fault:
        tally.fault(f"{what}: {ended.fault}")
        return
    finished = training.finish(run)
    difference = finished.error if finished.code else training.difference(run)
    if difference:
        tally.fault(f"{what}, then with room: {difference}")
    else:
        error, warning = "a clear error, then resumed to the same bytes", "a warning, and finished all the same"
        tally.add(error if ended.code else warning)


def _fill_at(number: int, came: Path) -> None:
    count, write = iter(range(sys.maxsize)), os.write

    def write_until_full(descriptor: int, content: bytes) -> int:
        if descriptor > 2 and next(count) >= number:
            if not came.exists():
                came.touch()
                write(descriptor, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    os.write = write_until_full


@contextmanager
def _mounted(folder: Path) -> Iterator[Path | None]:
    """A tmpfs there; None where this user may mount none."""
    folder.mkdir(exist_ok=True)
    if subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run([UMOUNT, folder], check=True)


def _resize(disk: Path, kilobytes: int) -> None:
    subprocess.run([MOUNT, "-o", f"remount,size={kilobytes}k", disk], check=True)

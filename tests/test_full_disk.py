"""A disk that is full when a run begins: an error of ours, and a folder in which the run can be started again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from small_runs import small_config, write_small_data
from thumbnet.errors import RunError
from thumbnet.runs.files.lock import lock_folder
from thumbnet.runs.files.names import LOCK, METRICS, WEIGHTS
from thumbnet.runs.resume import resume
from thumbnet.runs.train import train


class Disk:
    """Takes so many writes by `os.write`, the last one half; then it is full until `has_room`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.num_left = 10**9
        self.write = os.write
        patch.setattr(os, "write", self)

    def __call__(self, descriptor: int, content: bytes) -> int:
        self.num_left -= 1
        if self.num_left < 0:
            if self.num_left == -1:
                self.write(descriptor, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.write(descriptor, content)

    def has_room(self) -> None:
        self.num_left = 10**9


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_lock_without_room_is_told(disk: Disk, tmp_path: Path) -> None:
    disk.num_left = 0
    with pytest.raises(RunError, match="No space left") as caught, lock_folder(tmp_path):
        pass
    assert "room" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("num_writes", range(6))
def test_a_start_without_room_can_be_made_again(disk: Disk, num_writes: int, small_run: Path, tmp_path: Path) -> None:
    """Whichever write of a start fails: with room the same command trains, or the run that is there goes on."""
    config = small_config(write_small_data(tmp_path / "data.npz"), epochs=2)
    run = tmp_path / "run"
    disk.num_left = num_writes
    with pytest.raises(RunError, match="No space left"):
        train(config, run_dir=run, log_style="silent", pictures=False)
    disk.has_room()
    left = {path.name for path in run.iterdir()}
    assert not {name for name in left if name.startswith(".")}
    if "config.toml" in left:
        resume(run, log_style="silent", pictures=False)
    else:
        assert not left
        train(config, run_dir=run, log_style="silent", pictures=False)
    assert (run / METRICS).exists()
    assert not (run / LOCK).exists()
    assert (run / WEIGHTS).read_bytes() == (small_run / WEIGHTS).read_bytes()


def test_what_is_no_run_yet_stays_where_its_files_are_the_users(disk: Disk, tmp_path: Path) -> None:
    """Only what a start wrote is removed."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        train(small_config(write_small_data(tmp_path / "data.npz")), run_dir=run, log_style="silent", pictures=False)
    assert [path.name for path in run.iterdir()] == ["notes.txt"]

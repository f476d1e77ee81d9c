"""atomic: a file is whole or as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thumbnet.atomic import write_atomically


def test_text_and_bytes_are_written_with_the_usual_mode(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write_atomically(tmp_path / "text", "ä")
    write_atomically(tmp_path / "bytes", b"\x00")
    assert (tmp_path / "text").read_bytes() == "ä".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00"
    assert (tmp_path / "text").stat().st_mode == plain.stat().st_mode


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["file"]


def test_what_another_file_holds_too_need_not_be_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_atomically(tmp_path / "history", "1", waits=False)
    assert not synced
    write_atomically(tmp_path / "checkpoint", "1")
    assert len(synced) == 1
    assert (tmp_path / "history").read_text() == (tmp_path / "checkpoint").read_text() == "1"

"""Files that a command is asked to write: nothing that was there is replaced by something else."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from thumbnet.atomic import write_atomically
from thumbnet.cli import main
from thumbnet.errors import ThumbnetError
from thumbnet.runs.write_report import write_report


def test_a_link_stays_a_link_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    link.symlink_to(target)
    for text in ("new", "newer"):  # a link to nothing, then to a file
        write_atomically(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert [child.name for child in target.parent.iterdir()] == ["target"]


def test_a_files_mode_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_text("old")
    path.chmod(0o600)
    write_atomically(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_umask_holds_without_being_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = os.umask(0o027)
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is the whole process's"))
    try:
        write_atomically(tmp_path / "file", "text")
    finally:
        monkeypatch.undo()
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_atomically(pipe, "text")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    reader.join(10)
    assert read == ["text"]


def test_a_device_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    write_atomically(tmp_path / "null", "text")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert (tmp_path / "null").is_symlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write every file")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o400)
    with pytest.raises(PermissionError):
        write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.json", "curves.png"])
def test_no_file_of_a_run_is_replaced_by_what_out_names(
    name: str, small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "link").symlink_to(run / name)
    before = (run / name).read_bytes() if (run / name).exists() else None
    for out in (run / name, tmp_path / "link"):
        assert main(["graph", "resnet8", "--format", "dot", "--out", str(out)]) == 2
        assert "is part of the run" in capsys.readouterr().err
        with pytest.raises(ThumbnetError, match="is part of the run"):
            write_report(run, out)
    assert ((run / name).read_bytes() if (run / name).exists() else None) == before


def test_a_new_file_beside_those_of_a_run_is_written(small_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(small_run, tmp_path / "run")
    assert main(["graph", "resnet8", "--out", str(run / "mine.dot")]) == 0
    assert (run / "mine.dot").read_text().startswith("digraph")
    assert write_report(run, run / "report.html") == run / "report.html"


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.dot").mkdir()
    assert main(["graph", "resnet8", "--out", str(tmp_path / "folder.dot")]) == 2
    assert "folder.dot" in capsys.readouterr().err

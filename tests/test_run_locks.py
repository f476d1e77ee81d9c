"""One training a folder, a folder of its own for each; and what a killed start leaves is no obstacle."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from small_runs import small_config
from thumbnet.data_check.check import check_data
from thumbnet.errors import RunError, ThumbnetError
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, create_run_dir
from thumbnet.runs.seeds.train import train_seeds
from thumbnet.runs.train import train


@pytest.fixture
def stopped(small_run: Path, tmp_path: Path) -> Path:
    run = shutil.copytree(small_run, tmp_path / "run")
    (run / "metrics.json").unlink()
    return run


def test_a_run_that_is_being_trained_is_not_resumed(stopped: Path) -> None:
    with RunDir(stopped).locked(), pytest.raises(RunError, match=f"is being written by process {os.getpid()}"):
        resume(stopped, log_style="silent", pictures=False)
    assert resume(stopped, log_style="silent", pictures=False).metrics["epochs"] == 2
    assert not (stopped / ".lock").exists()


def test_the_lock_of_a_dead_process_is_none(stopped: Path) -> None:
    (stopped / ".lock").write_text("thumbnet 1\n")
    assert resume(stopped, log_style="silent", pictures=False).metrics["epochs"] == 2


def test_one_folder_is_given_to_one_of_many(tmp_path: Path) -> None:
    def claim(index: int) -> str:
        try:
            with create_run_dir("quick", tmp_path / "run") as folder:
                folder.write("config.toml", str(index))
                return str(index)
        except RunError:
            return ""

    with ThreadPoolExecutor(8) as pool:
        given = [name for name in pool.map(claim, range(40)) if name]
    assert [(tmp_path / "run" / "config.toml").read_text()] == given


@pytest.mark.parametrize(
    "left", [[".config.toml.ab12cd_9"], [".lock", "SHA256SUMS", "asked.toml", ".config.toml.0a1b2c3d.tmp"]]
)
def test_a_folder_of_a_start_that_was_killed_is_begun_anew(left: list[str], small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in left:
        (run / name).write_text("thumbnet 1\n" if name == ".lock" else "half")
    with pytest.raises(RunError, match="not a run folder") as caught:
        resume(run)
    assert "--run-dir" in caught.value.hint
    train(small_config(small_run.parent / "data.npz"), run_dir=run, log_style="silent", pictures=False)
    assert not list(run.glob(".*"))


def test_a_users_own_files_are_no_leftovers(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("mine")
    with pytest.raises(RunError, match="is not empty"), create_run_dir("quick", tmp_path):
        pass
    assert (tmp_path / "SHA256SUMS").read_text() == "mine"


def test_temporary_files_of_killed_writes_are_removed(stopped: Path) -> None:
    (stopped / ".checkpoint-last.pt.ab12cd_9").write_bytes(bytes(1000))
    (stopped / ".history.csv.0a1b2c3d.tmp").write_bytes(bytes(1000))
    (stopped / ".mine.txt").write_text("mine")
    resume(stopped, log_style="silent", pictures=False)
    assert [path.name for path in stopped.glob(".*")] == [".mine.txt"]


def test_runs_inside_the_data_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_run: Path
) -> None:
    from PIL import Image

    for index in range(12):
        folder = tmp_path / "data" / f"class-{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 10 * index + 5).save(folder / f"{index}.png")
    monkeypatch.chdir(tmp_path / "data")
    config = small_config(small_run.parent / "data.npz").replace(data="folder:.", image_size=16)
    inside = tmp_path / "link"
    inside.symlink_to(tmp_path / "data" / "class-0")
    for begin in (
        lambda: train(config, log_style="silent", pictures=False),
        lambda: train(config, run_dir="here", log_style="silent", pictures=False),
        lambda: train(config, run_dir=inside / "run", log_style="silent", pictures=False),
        lambda: train_seeds(config, num_seeds=2, log_style="silent", pictures=False),
        lambda: check_data(config, num_folds=2, num_repeats=1, log_style="silent"),
    ):
        with pytest.raises(ThumbnetError, match="inside the data"):
            begin()
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["class-0", "class-1"]

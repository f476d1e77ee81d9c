"""No document or result names a folder of the machine on which it was made."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import thumbnet
from scripts import ROOT, load_script
from thumbnet.config import config_from_toml, config_to_toml
from thumbnet.recipes import load_recipe

FOLDER = re.compile(rb"(?<![\w.>)}-])/(root|tmp|home|work|mnt|srv|opt|var|Users|private|scratch)/|[A-Z]:\\\\Users")


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    places = ("docs/", "benchmarks/results/", "benchmarks/ablations/", "notebooks/", "src/thumbnet/models/pretrained/")
    return [Path(name) for name in listed if name.startswith(places) or name.endswith(".md")]


def test_no_file_names_a_folder_of_the_machine() -> None:
    found = {}
    for name in files():
        folders = {match.group() for match in FOLDER.finditer((ROOT / name).read_bytes())}
        if folders:
            found[str(name)] = folders
    assert len(files()) > 80
    assert found == {}


@pytest.mark.parametrize("line", ['data_dir = "/root/data"', "--keep /tmp/lab", '"C:\\\\Users\\me"', "(/home/me/x)"])
def test_such_folders_are_found(line: str) -> None:
    assert FOLDER.search(line.encode())


def test_a_record_of_a_run_leaves_its_folders_out(tmp_path: Path) -> None:
    config = load_recipe("sprint", options={"data": "cifar10", "data_dir": "/home/me/data"})
    (tmp_path / "run").mkdir()
    for name in ("history.csv", "metrics.json", "model.json"):
        (tmp_path / "run" / name).write_text(name)
    (tmp_path / "run" / "config.toml").write_text("# Data: CIFAR-10\n" + config_to_toml(config))
    load_script("tools/build_pretrained").copy_record(tmp_path / "run", tmp_path / "kept")
    text = (tmp_path / "kept" / "config.toml").read_text()
    assert text.startswith("# Data: CIFAR-10\n")
    assert config_from_toml(text, name="config.toml") == load_recipe("sprint", options={"data": "cifar10"})
    assert (tmp_path / "kept" / "history.csv").read_text() == "history.csv"


def test_the_command_of_a_benchmark_is_kept_without_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["benchmarks/bench_ablations.py", str(tmp_path / "mine.toml"), "--only", "the base", "--data-dir"]
    monkeypatch.setattr(sys, "argv", [*words, str(tmp_path), "--keep", "runs"])
    measuring = load_script("benchmarks/measuring")
    monkeypatch.setattr(measuring, "cpu_form", lambda: "native")  # another one comes first in the command
    command = measuring.circumstances()["command"]
    assert command == "python benchmarks/bench_ablations.py mine.toml --only 'the base' --data-dir DIR --keep runs"


def test_a_run_that_is_kept_as_a_teacher_is_a_whole_run(small_run: Path, tmp_path: Path) -> None:
    run = thumbnet.load_run(small_run)
    load_script("tools/build_pretrained").keep_teacher(run, tmp_path / "teacher", is_half=False)
    teacher = thumbnet.load_run(tmp_path / "teacher")
    assert teacher.config.data_dir is None
    for name, tensor in run.model.state_dict().items():
        assert teacher.model.state_dict()[name].equal(tensor)

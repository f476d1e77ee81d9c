"""A sweep of several processes on one PostgreSQL server, which is started here."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import load_script
from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import config_to_toml

postgres = load_script("benchmarks/postgres")

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(
        postgres.server_programs() is None, reason="no PostgreSQL server; make setup-services installs one"
    ),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres.postgres_server() as address:
        yield address


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(config_to_toml(small_config(write_small_data(tmp_path / "data.npz"), epochs=4)))
    return path


def begin(recipe: Path, address: str, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "thumbnet", "sweep", "--recipe", str(recipe), "--search", "lr=0.01..0.5:log"]
    command += ["--storage", address, "--run-dir", str(folder), *options]
    with Path(f"{folder}.log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


def states(folder: Path) -> Counter[str]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return Counter(row["state"] for row in csv.DictReader(file))


def trial_folders(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("trial-*")}


def test_two_processes_share(recipe: Path, address: str, tmp_path: Path) -> None:
    """Twelve trials together, none of them twice; one is killed in a trial, and goes on with it."""
    first, second = (begin(recipe, address, tmp_path / name, "--trials", "12") for name in ("first", "second"))
    until = time.monotonic() + 120
    while not list((tmp_path / "first").glob("trial-*/history.csv")):
        assert time.monotonic() < until, (tmp_path / "first.log").read_text()
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait(timeout=200) == 0, (tmp_path / "second.log").read_text()
    assert states(tmp_path / "second")["running"] == 1
    resumed = ["sweep", "--run-dir", str(tmp_path / "first"), "--resume", "--storage", address, "--log-style", "silent"]
    assert main(resumed) == 0
    counts = states(tmp_path / "first")
    assert counts["finished"] + counts["pruned"] == counts.total() == 12
    here, there = trial_folders(tmp_path / "first"), trial_folders(tmp_path / "second")
    assert here
    assert there
    assert not here & there
    assert here | there == {f"trial-{number:04d}" for number in range(12)}
    for path in (
        *tmp_path.rglob("*.json"),
        *tmp_path.rglob("*.toml"),
        *tmp_path.rglob("*.csv"),
        *tmp_path.glob("*.log"),
    ):
        assert postgres.PASSWORD not in path.read_text(), path
    assert main(["train", "--recipe", str(tmp_path / "first" / "best.toml"), "--run-dir", str(tmp_path / "best")]) == 0


def test_refused_password(
    recipe: Path, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "another")
    wrong = address.replace(postgres.PASSWORD, "not-the-secret")
    call = ["sweep", "--recipe", str(recipe), "--search", "lr=0.01,0.1", "--trials", "1", "--log-style", "silent"]
    assert main([*call, "--storage", wrong, "--run-dir", str(tmp_path / "sweep")]) == 2
    error = capsys.readouterr().err
    assert "cannot be used: " in error
    assert "not-the-secret" not in error

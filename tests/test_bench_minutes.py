"""benchmarks/bench_minutes.py: the time of whole commands, kept and gone on with, and its verdicts."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from made_circumstances import made_circumstances

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NOW = made_circumstances("python bench_minutes.py")


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import bench_minutes

        yield bench_minutes
    finally:
        sys.path.remove(str(BENCHMARKS))


def leave_a_run(run_dir: Path, minutes: float, *, ended_s: float) -> None:
    """What `training_of` reads of a run's folder."""
    run_dir.mkdir(parents=True)
    files = {
        "metrics.json": {"test_accuracy": 0.991, "epochs": 40, "steps": 400, "train_s": 44.0},
        "plan.json": {"recipe": "sprint", "steps": 390, "max_steps": 3000, "planned_s": 8.0, "reserve_s": 5.0},
        "model.json": {"image_shape": [1, 32, 32]},
    }
    for name, values in files.items():
        (run_dir / name).write_text(json.dumps(values))
    (run_dir / "config.toml").write_text(
        f'minutes_were = {minutes}\naugmentation = "strong"\npace_starts = [\n    40,\n    80,\n]\npace_steps = [\n]\n'
    )
    os.utime(run_dir / "metrics.json", (ended_s, ended_s))


@pytest.fixture
def commands(bench: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were given, which take 2 % longer than their minutes, on a clock that they alone move."""
    given: list[list[str]] = []
    clock = SimpleNamespace(now_s=1000.0)

    def run(command: list[str], **_: Any) -> Any:
        given.append(command)
        minutes = float(command[command.index("--minutes") + 1])
        run_dir = Path(command[command.index("--run-dir") + 1])
        folders = [run_dir]
        if "--folds" in command:
            folders = [run_dir / "fold-0", run_dir / "fold-1"]
        for folder in folders:
            clock.now_s += 60 * minutes * 1.02
            leave_a_run(folder, minutes, ended_s=clock.now_s)
        if len(folders) > 1:
            (run_dir / "metrics.json").write_text(json.dumps({"test_accuracy": 0.98}))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(bench, "time", SimpleNamespace(time=lambda: clock.now_s, perf_counter=lambda: clock.now_s))
    monkeypatch.setattr(bench, "matrix_gflops", lambda: 170.0)
    monkeypatch.setattr(bench, "circumstances", lambda: NOW)
    monkeypatch.setattr(bench, "made", lambda name, place: SimpleNamespace(side=lambda purpose: Path(name) / purpose))
    return given


@pytest.fixture
def written(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The values that were written last."""
    kept: dict[str, Any] = {}

    def write_results(theme: str, values: dict[str, Any], report: str) -> Path:
        kept.clear()
        kept.update(values)
        (tmp_path / f"{theme}.md").write_text(report)
        return tmp_path / f"{theme}.md"

    monkeypatch.setattr(bench, "write_results", write_results)
    return kept


def test_commands_are_timed_once_and_by_the_shortest_first(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]], written: dict[str, Any]
) -> None:
    (tmp_path / "data" / "cifar-10-batches-bin").mkdir(parents=True)
    (tmp_path / "data" / "cifar-10-batches-bin" / "data_batch_1.bin").touch()

    def measure(*options: str) -> None:
        place = ["--keep", str(tmp_path), "--data-dir", str(tmp_path / "data")]
        monkeypatch.setattr(sys, "argv", ["bench_minutes.py", *place, *options])
        bench.main()

    measure("--sets", "digits", "--forms", "one", "folds")
    words = [" ".join(command[3:]) for command in commands]
    assert [word.startswith("train --data folder:digits/split --minutes 1 --seed ") for word in words] == [True] * 4
    assert ["--folds 2" in word for word in words] == [False, False, False, True]
    assert not any("flip" in word for word in words)  # as a user gives it
    one, folds = written["rows"][1], written["rows"][0]
    assert (one["n"], one["ratio"], one["is_kept"], one["accuracy"]) == (3, pytest.approx(1.02), True, 0.991)
    assert (folds["n"], folds["ratio"], folds["accuracy"]) == (1, pytest.approx(1.02), 0.98)
    kept = json.loads((tmp_path / "minutes" / "digits_folds_1_0.json").read_text())
    assert [each["seconds"] for each in kept["trainings"]] == pytest.approx([61.2, 61.2])
    measure("--sets", "digits", "cifar-5000", "--minutes", "1", "60", "--stop-after", "1.5")
    assert [command[command.index("--minutes") + 1] for command in commands[4:]] == ["1", "1"]  # then it was over
    measure("--sets", "cifar-5000", "--minutes", "60")
    assert len(commands) == 7  # an hour once
    measure("--sets", "digits", "--again", "--runs", "1")
    assert len(commands) == 8
    measure(
        "--sets", "digits", "--minutes", "13", "3", "--runs", "1"
    )  # of a machine of another speed; 3 are not its own
    assert [command[command.index("--minutes") + 1] for command in commands[8:]] == ["13"]
    report = (tmp_path / "minutes.md").read_text()
    assert (
        "| handwritten digits, 8x8 | train --folds 2 | 1 | 1 | 1.020 | 98.00 % | sprint, 32x32, 40, strong |" in report
    )
    assert "- handwritten digits, 8x8, 1 minute: 99.10% (n = 3), the bar is 99%: **holds**." in report
    monkeypatch.setattr(bench, "circumstances", lambda: NOW | {"num_threads": 4})
    with pytest.raises(SystemExit, match="num_threads 2, not 4"):
        measure("--sets", "digits")


def test_a_busy_machine_is_judged_for_itself(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]], written: dict[str, Any]
) -> None:
    running: list[list[str]] = []

    class Competitor:
        def __init__(self, command: list[str]) -> None:
            self.command = command
            running.append(command)

        def kill(self) -> None:
            running.remove(self.command)

        def wait(self) -> None: ...

    beside: list[int] = []
    run = bench.subprocess.run
    monkeypatch.setattr(bench.subprocess, "Popen", Competitor)
    monkeypatch.setattr(bench.subprocess, "run", lambda command, **more: beside.append(len(running)) or run(command))
    monkeypatch.setattr(sys, "argv", ["x", "--keep", str(tmp_path), "--sets", "digits", "--busy", "--runs", "1"])
    bench.main()
    assert (beside, running) == ([2], [])
    (row,) = written["rows"]
    assert (row["is_busy"], row["wanted"]) == (True, None)
    assert "## Beside 2 processes that never rest: within 15%" in (tmp_path / "minutes.md").read_text()


def result(minutes: float, wall_s: float, *, is_busy: bool = False, ends_early: bool = False) -> dict[str, Any]:
    training = {"recipe": "sprint", "sides": [32, 32], "epochs": 4, "augmentation": "strong", "ends_early": ends_early}
    return {
        "set_name": "cifar-5000",
        "form": "one",
        "minutes": minutes,
        "is_busy": is_busy,
        "wall_s": wall_s,
        "test_accuracy": 0.9,
        "matrix_gflops": 170.0,
        "trainings": [training],
        "circumstances": NOW,
    }


@pytest.mark.parametrize(
    ("walls_s", "more", "is_kept"),
    [
        ([57.1, 60.0, 80.0], {}, True),  # the median counts
        ([63.5, 64.0, 60.0], {}, False),
        ([56.0], {}, False),
        ([56.0], {"is_busy": True}, True),
        ([70.0], {"is_busy": True}, False),
        ([30.0], {"ends_early": True}, True),
        ([64.0], {"ends_early": True}, False),
    ],
)
def test_minutes_are_kept_by_their_median(
    bench: Any, walls_s: list[float], more: dict[str, bool], is_kept: bool
) -> None:
    (row,) = bench.rows_of([result(1.0, wall_s, **more) for wall_s in walls_s])
    assert row["is_kept"] is is_kept


def test_accuracy_is_judged_on_the_kind_of_processor_that_its_bar_is_for(bench: Any) -> None:
    results = [result(10.0, 600.0), result(2.0, 150.0)]
    values = {**NOW, "results": results, "rows": bench.rows_of(results)}
    report = bench.describe(values)
    assert "10 minutes: 90.00% (n = 1), the bar is 90%: **holds**." in report
    assert "Within 5% of the minutes, not cifar-5000 (one, 2): **misses**." in report
    assert "the bar of 85% is for AVX2 float32." in bench.describe(values | {"processor_kind": "AVX-512 bfloat16"})


def test_the_script_says_what_it_does_and_what_it_needs(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_minutes.py", "--help"])
    with pytest.raises(SystemExit) as helped:
        runpy.run_path(str(BENCHMARKS / "bench_minutes.py"), run_name="__main__")
    assert not helped.value.code
    assert "python benchmarks/bench_minutes.py --keep DIR" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["x", "--keep", str(tmp_path), "--data-dir", str(tmp_path)])
    monkeypatch.setattr(bench, "circumstances", lambda: NOW)
    with pytest.raises(SystemExit, match="cifar-5000: fetch CIFAR-10"):
        bench.main()

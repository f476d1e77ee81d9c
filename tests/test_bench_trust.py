"""benchmarks/bench_trust.py: figures of other code are made again, and what is missing is no success."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from trust import made

    return made


@pytest.fixture
def bench(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """Calls it with small parts, and code of a commit: its exit code and the parts that it did."""
    import bench_trust
    from trust.tally import Tally

    done: list[str] = []

    def part(name: str) -> Callable[[object, int], Tally]:
        def do(training: object, kills: int) -> Tally:
            done.append(name)
            return Tally(name, note=f"{kills} kills")

        return do

    monkeypatch.setattr(bench_trust, "PARTS", {name: part(name) for name in ("kills-a", "kills-b", "disk")})
    monkeypatch.setattr(bench_trust, "make_training", lambda kind, place: SimpleNamespace(what=""))
    monkeypatch.setattr(bench_trust.signal, "signal", lambda *_: None)
    monkeypatch.setattr(bench_trust.torch, "set_num_threads", lambda number: None)

    def call(*arguments: str, commit: str = COMMIT) -> tuple[int, list[str]]:
        done.clear()
        monkeypatch.setattr(bench_trust, "code_commit", lambda: commit)
        given = ["--keep", str(tmp_path / "kept"), "--out", str(tmp_path / "trust.md"), *arguments]
        monkeypatch.setattr(sys, "argv", ["bench_trust.py", *given])
        code: int = bench_trust.main()
        return code, [*done]

    return call


def test_parts_of_other_code_or_with_fewer_moments_are_made_again(
    bench: Callable[..., tuple[int, list[str]]], made: Any, tmp_path: Path
) -> None:
    everything = ["kills-a", "kills-b", "disk"]
    assert bench("--kills", "9", "--only", "kills-b") == (0, ["kills-b"])
    assert bench() == (0, everything)
    assert bench() == (0, [])
    assert bench("--only", "disk", commit=OTHER) == (0, ["disk"])
    page = (tmp_path / "trust.md").read_text()
    assert page.count(f", {COMMIT[:9]} |") == 2
    assert page.count(f", {OTHER[:9]} |") == 1
    assert bench(commit=OTHER) == (0, ["kills-a", "kills-b"])
    for _ in range(2):
        assert bench(commit=made.NO_COMMIT) == (0, everything)
    old = json.loads((tmp_path / "kept" / "disk.json").read_text())
    (tmp_path / "kept" / "disk.json").write_text(json.dumps([{**old[0], "date": "2020-01-01"}]))
    bench("--only", "kills-a", commit=OTHER)
    assert "| 2020-01-01, no commit |" in (tmp_path / "trust.md").read_text()


@pytest.mark.parametrize(("code", "faults", "expected"), [(0, [], 0), (1, ["slow"], 1), (1, [], 1), (-9, [], 1)])
def test_fuzzing_that_did_not_come_to_its_end_is_no_success(
    code: int, faults: list[str], expected: int, bench: Callable[..., tuple[int, list[str]]], made: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fuzzed(command: list[str], **_: object) -> SimpleNamespace:
        tally = {"name": "reader fuzzed: a", "cases": 3, "outcomes": {}, "faults": faults, "note": ""}
        Path(command[-1]).write_text(json.dumps([tally | made.made_now(COMMIT)]))
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr("bench_trust.subprocess", SimpleNamespace(run=fuzzed))
    assert bench("--fuzz-minutes", "1")[0] == expected
    (Path(sys.argv[2]) / "fuzz.json").unlink()
    monkeypatch.setattr("bench_trust.subprocess", SimpleNamespace(run=lambda *_, **__: SimpleNamespace(returncode=0)))
    assert bench("--fuzz-minutes", "1")[0] == 1


def test_fuzzing_is_handed_its_options_and_the_page_says_what_is_left(
    bench: Callable[..., tuple[int, list[str]]], made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []

    def fuzzed(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        entry = {"outcomes": {"read": 1000}, "faults": [], "note": "", "way": "atheris", "wanted_s": 600}
        entries = [
            {**entry, "name": f"reader fuzzed: {name}", "cases": cases, "seconds": seconds, "is_old": is_old}
            for name, cases, seconds, is_old in (
                *(("a", 1000, 600, False), ("b", 1000, 60, False)),
                *(("c", 1000, 600, True), ("d", 0, 0, False)),
            )
        ]
        Path(command[-1]).write_text(json.dumps([each | made.made_now(COMMIT) for each in entries]))
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr("bench_trust.subprocess", SimpleNamespace(run=fuzzed))
    arguments = ("--only", "fuzz", "--fuzz-minutes", "10", "--fuzz-jobs", "2", "--sitting", "8")
    assert bench(*arguments) == (1, [])
    given = dict(zip(commands[0][2::2], commands[0][3::2], strict=True))
    kept = tmp_path / "kept"
    assert given.pop("--corpus").endswith("fuzz-corpus")
    assert given == {
        "--minutes": "10.0", "--jobs": "2", "--sitting": "8.0", "--cases": f"{kept / 'cases'}",
        "--json": f"{kept / 'fuzz.json'}",
    }  # fmt: skip
    page = (tmp_path / "trust.md").read_text()
    date = made.made_now(COMMIT)["date"]
    assert f"| reader fuzzed: a | 1,000 | 1,000 read; 10 minutes by atheris | 0 | {date}, {COMMIT[:9]} |" in page
    assert "| reader fuzzed: d" not in page
    assert "still to be fuzzed: b (1 of 10 minutes), c (its code has changed), d\n" in page


def test_parts_are_of_the_training_that_their_names_end_in(bench: object) -> None:
    import bench_trust

    kinds = {name: bench_trust.kind_of(name) for name in ("kills-rename", "disk-write-pictures", "damage-runs-folds")}
    assert kinds == {"kills-rename": "", "disk-write-pictures": "pictures", "damage-runs-folds": "folds"}


@pytest.mark.parametrize("arguments", [["--only", "kils"], ["--only", "fuzz"]])
def test_a_part_that_cannot_be_done_is_refused(
    arguments: list[str], bench: Callable[..., tuple[int, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(*arguments)
    assert ended.value.code == 2


def test_the_commit_is_that_which_last_changed_the_code(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    monkeypatch.setattr(made, "ROOT", tmp_path)
    assert made.code_commit() == made.NO_COMMIT
    git("init")
    for name in ("src", "benchmarks", "docs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    git("add", ".")
    git("commit", "-m", "code")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "docs" / "file").write_text("changed")
    git("commit", "-am", "docs")
    assert made.code_commit() == commit
    (tmp_path / "src" / "new").write_text("")
    assert made.code_commit() == made.NO_COMMIT


def test_the_page_has_its_head_which_explains_what_is_no_commit(made: Any) -> None:
    from trust.child import MAX_MB, TIMEOUT_S
    from trust.page import HEAD

    results = BENCHMARKS.parent / "docs" / "results"
    kept = json.loads((results / "trust.json").read_text())
    head = HEAD.format(timeout=TIMEOUT_S, megabytes=MAX_MB, circumstances=kept["made"])
    assert (results / "trust.md").read_text().startswith(head)
    for commit in {made.NO_COMMIT, *(tally["commit"] for tally in kept["tallies"])}:
        assert len(commit) == 40 or f"`{commit}`" in head

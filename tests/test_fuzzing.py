"""Fuzzing in sittings: what is done is not done again, unless the reader's code has changed."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from thumbnet.errors import ConfigError
from thumbnet.specs.json_text import read_object

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
COMMIT, CODES = "a" * 40, {"npz": "1", "form": "2"}
FIGURES = {"outcomes": {"read": 3, "a clear error": 4}, "faults": [], "seconds": 400.0}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Opens the state of a sitting."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from trust.sittings import ATHERIS, State

    def state(codes: dict[str, str] = CODES, **changes: Any) -> State:
        values = {"commit": COMMIT, "way": ATHERIS, "wanted_s": 600.0, **changes}
        return State(tmp_path / "kept" / "fuzz.json", CODES, codes, **values)

    return state


def test_a_sitting_goes_on_where_the_last_one_stopped(opened: Callable[..., Any], tmp_path: Path) -> None:
    first = opened()
    assert [first.left_s(name) for name in CODES] == [600, 600]
    first.add("npz", FIGURES)
    second = opened(commit="b" * 40)  # of other code, but not the reader's
    assert [second.left_s(name) for name in CODES] == [200, 600]
    second.add("npz", {**FIGURES, "faults": ["slow"], "seconds": 200.0})
    (npz, form) = json.loads((tmp_path / "kept" / "fuzz.json").read_text())
    assert (npz["cases"], npz["outcomes"]) == (15, {"read": 6, "a clear error": 8})
    assert (npz["seconds"], npz["faults"], npz["commit"], npz["code"]) == (600.0, ["slow"], "b" * 40, "1")
    assert (form["cases"], form["seconds"], form["wanted_s"]) == (0, 0, 600.0)
    third = opened()
    assert [third.left_s(name) for name in CODES] == [0, 600]
    assert third.left_s("npz") == 0
    assert opened(wanted_s=900.0).left_s("npz") == 300


def test_readers_that_are_not_of_this_sitting_stay_as_they_are(opened: Callable[..., Any], tmp_path: Path) -> None:
    opened().add("npz", FIGURES)
    opened(codes={"form": "2"}).add("form", FIGURES)
    (npz, form) = json.loads((tmp_path / "kept" / "fuzz.json").read_text())
    assert (npz["seconds"], npz["is_old"], form["seconds"]) == (400.0, False, 400.0)
    assert opened().left_s("npz") == 200


@pytest.mark.parametrize(
    "changes",
    [{"codes": {"npz": "other", "form": "2"}}, {"commit": "no commit"}],
    ids=["other code", "changes in no commit"],
)
def test_what_does_not_count_is_fuzzed_anew_and_called_old(
    changes: dict[str, Any], opened: Callable[..., Any], tmp_path: Path
) -> None:
    opened().add("npz", FIGURES)
    state = opened(**changes)
    assert state.left_s("npz") == 600
    (npz, form) = json.loads((tmp_path / "kept" / "fuzz.json").read_text())
    assert (npz["is_old"], npz["seconds"], form["is_old"]) == (True, 400.0, False)
    state.add("npz", {**FIGURES, "seconds": 600.0})
    assert (state.left_s("npz"), state.entries["npz"]["cases"], state.entries["npz"]["is_old"]) == (0, 7, False)


def test_random_changes_do_not_count_as_atheris(opened: Callable[..., Any]) -> None:
    from trust.sittings import AT_RANDOM

    opened(way=AT_RANDOM).add("npz", FIGURES)
    assert opened(way=AT_RANDOM).left_s("npz") == 200
    assert opened().left_s("npz") == 600
    opened().add("form", FIGURES)
    assert opened(way=AT_RANDOM).left_s("form") == 200


def test_a_readers_code_is_what_it_runs_and_imports(
    opened: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from trust import code
    from trust.reader import Reader

    reader = Reader([b"{}"], lambda content: read_object(content, name="a", known_format=1))
    run = code.PACKAGE / "specs" / "json_text.py"
    assert run in code.files_run_by(reader)
    assert code.imported_by(run) >= {code.PACKAGE / "errors.py"}
    before = code.code_of(reader)
    code._content.cache_clear()
    assert code.code_of(reader) == before
    contents = code._content
    for file, differs in (("specs/json_text.py", True), ("errors.py", True), ("data/npz.py", False)):
        changed = code.PACKAGE / file
        with monkeypatch.context() as patch:
            patch.setattr(code, "_content", lambda path, changed=changed: contents(path) + b"#" * (path == changed))
            assert (code.code_of(reader) != before) is differs, file


def test_changed_files_differ_and_are_the_same_again(opened: object) -> None:
    from trust.watch import changed

    content = bytes(range(200))
    results = [changed(random.Random(seed), content) for seed in range(50)]
    assert sum(result != content for result in results) > 40
    assert results == [changed(random.Random(seed), content) for seed in range(50)]


def _play_readers(monkeypatch: pytest.MonkeyPatch, readers: Mapping[str, object]) -> None:
    """In the place of all readers, whose import takes seconds."""
    module = SimpleNamespace(make_readers=lambda run, place: readers, small_run=lambda place: place)
    monkeypatch.setitem(sys.modules, "trust.readers", module)  # type: ignore[arg-type]  # as good as a module


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, list[tuple[str, float]]]]:
    """Calls fuzz_readers.py with two readers, whose processes are played: the exit code, and what was fuzzed for how
    many seconds."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fuzz_readers
    from trust import made
    from trust.reader import Reader
    from trust.watch import Fuzzing

    done: list[tuple[str, float]] = []

    def run(task: Fuzzing, place: str) -> str:
        done.append((task.name, task.seconds))
        task.figures.write_text(json.dumps({**FIGURES, "seconds": task.seconds}))
        return ""

    monkeypatch.setattr(fuzz_readers, "_run", run)
    monkeypatch.setattr(made, "code_commit", lambda: COMMIT)
    _play_readers(monkeypatch, dict.fromkeys("ab", Reader([], lambda content: 0)))

    def main(*arguments: str) -> tuple[int, list[tuple[str, float]]]:
        done.clear()
        monkeypatch.setattr(sys, "argv", ["fuzz_readers.py", "--json", str(tmp_path / "fuzz.json"), *arguments])
        return fuzz_readers.main(), sorted(done)

    return main


def test_a_call_fuzzes_what_is_left(
    call: Callable[..., tuple[int, list[tuple[str, float]]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--minutes", "2", "--readers", "a") == (0, [("a", 120)])
    assert call("--minutes", "3", "--jobs", "2") == (0, [("a", 60), ("b", 180)])
    assert call("--minutes", "3") == (0, [])
    assert "2 of 2 readers were fuzzed for 3 minutes each" in capsys.readouterr().out


def test_a_sitting_ends_in_time(call: Callable[..., tuple[int, list[tuple[str, float]]]]) -> None:
    code, done = call("--minutes", "2", "--sitting", "1", "--readers", "b")
    assert code == 3
    ((name, seconds),) = done
    assert name == "b"
    assert 20 < seconds < 60
    assert call("--minutes", "2", "--sitting", "0.1") == (3, [])
    with pytest.raises(SystemExit):
        call("--readers", "no such reader")


def test_one_reader_in_its_process(opened: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it finds is kept, and what takes too long is a fault, too."""
    from trust import watch
    from trust.bounds import LateError
    from trust.reader import Reader

    def read(content: bytes) -> None:
        if content == b"slow":
            raise LateError("late")
        if content != b"good":
            raise ConfigError("refused") if content == b"bad" else ValueError("foreign")

    _play_readers(monkeypatch, {"a": Reader([b"good"], read)})
    task = watch.Fuzzing("a", tmp_path, 0.0, 0, tmp_path / "figures", tmp_path / "cases", None)
    assert watch.read_figures(task, ended="died")["faults"] == ["died"]
    watched = watch._Watch(task)
    for content in (b"good", b"bad", b"bad", b"slow", b"other", b"another"):
        watched.case(content)
        assert task.current.read_bytes() == content
    assert watched.is_over()
    watched.write()
    figures = watch.read_figures(task, ended="")
    assert figures["outcomes"] == {"read": 1, "a clear error": 2}
    assert [fault.partition(" ")[0] for fault in figures["faults"]] == ["LateError", "ValueError"]
    assert sorted(file.read_bytes() for file in (tmp_path / "cases").iterdir()) == [b"other", b"slow"]
    watched.place.cleanup()


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("exec sleep 60", "not ended after 2 s (npz-"),
        ("kill -KILL $$", "exit code -9:  (npz-"),
        ("echo Fatal Python error: Aborted >&2; yes module | head -n 900 >&2; exit 3", "exit code 3: Fatal Python"),
    ],
    ids=["hangs", "is killed", "crashes"],
)
def test_a_process_that_does_not_end_by_itself_is_a_fault_whose_case_is_kept(
    does: str, told: str, opened: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import fuzz_readers
    from trust.watch import Fuzzing, read_figures

    script = tmp_path / "script"
    script.write_text(f"printf broken > case\n{does}\n")
    monkeypatch.setattr(fuzz_readers, "__file__", str(script))
    monkeypatch.setattr(fuzz_readers, "LATE_S", 1.5)
    monkeypatch.setattr(sys, "executable", "/bin/sh")  # it starts at once
    task = Fuzzing("npz", tmp_path, 0.25, 0, tmp_path / "figures.json", tmp_path / "cases", None)
    (fault,) = read_figures(task, ended=fuzz_readers._run(task, str(tmp_path)))["faults"]
    assert fault.startswith(told)
    (case,) = (tmp_path / "cases").iterdir()
    assert fault.endswith(f" ({case.name})")
    assert case.read_bytes() == b"broken"

"""tools/check_rows.py: what is read and written in a table, and how today's tests meet what an older version lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import load_script

check_rows = load_script("tools/check_rows")
rows = load_script("tools/row_table")
old_code = load_script("tools/old_code")
PAGE = """# Rows

| row | what was wrong | test | commit before |
|---|---|---|---|
| 1 | one | `tests/test_a.py::test_one`, `::test_two` | 1111111 |
| 2 | another | `::test_three`; of `tests/test_b.py` (all) | 2222222 | `old` |
"""


def test_a_test_without_a_file_is_in_the_one_named_last() -> None:
    first, second = rows.rows_of(PAGE)
    assert [test.argument for test in first.tests] == ["tests/test_a.py::test_one", "tests/test_a.py::test_two"]
    assert [test.argument for test in second.tests] == ["tests/test_a.py::test_three", "tests/test_b.py"]
    assert (first.commit, second.commit) == ("1111111", "2222222")


def test_a_cell_says_how_each_test_fails_and_how_many_of_its_cases() -> None:
    one, whole = rows.Test("test_a.py", "test_one"), rows.Test("test_b.py", "")
    outcomes = [
        rows.Outcome("tests/test_a.py::test_one", "failed", "assert 'a|b' == `/tmp/pytest-of-me/pytest-3/c`"),
        rows.Outcome("tests/test_a.py::test_one_more", "failed", "of another test"),
        rows.Outcome("tests/test_b.py::test_x[1]", "passed", ""),
        rows.Outcome("tests/test_b.py::test_x[2]", "failed", "thumbnet.b does not exist"),
        rows.Outcome("tests/test_b.py::test_y", "failed", "y" * 200),
    ]
    seen = [
        rows.Seen(one, rows.outcomes_of(one, outcomes)),
        rows.Seen(whole, rows.outcomes_of(whole, outcomes), "3333333"),
    ]
    cell = rows.cell_of(seen)
    behaviour = f"`{'y' * 106} ...`, `thumbnet.b does not exist`"  # what the code did is told first
    assert cell == f"`assert 'a\\|b' == 'c'`; 2 of 3: {behaviour} (the test of 3333333)"
    first, second = rows.rows_of(PAGE)
    page = rows.with_cells(PAGE, {first: cell, second: "`new`"})
    assert page.splitlines()[4].endswith(f"| 1111111 | {cell} |")
    assert page.splitlines()[5].endswith("| 2222222 | `new` |")
    assert rows.rows_of(page)[0].cells[4] == cell  # a stroke within a cell parts nothing


@pytest.mark.parametrize(
    ("text", "is_behaviour"),
    [
        ("assert 300 == 12", True),
        ("SystemExit: 2 (error: unrecognized arguments: --kinds)", True),
        ("thumbnet.data.arrays.read does not exist", False),
        ("TypeError: check_data() got an unexpected keyword argument 'kinds'", False),
    ],
)
def test_what_is_missing_is_no_behaviour(text: str, is_behaviour: bool) -> None:
    seen = rows.Seen(rows.Test("test_a.py", "test_one"), (rows.Outcome("tests/test_a.py::test_one", "failed", text),))
    assert (seen.has_failed, seen.is_behaviour) == (True, is_behaviour)
    assert not rows.Seen(seen.test, (rows.Outcome("tests/test_a.py::test_one", "passed", ""),)).has_failed


def test_a_test_of_the_time_says_more_where_it_meets_the_code_or_needs_no_later_name() -> None:
    def seen(text: str, outcome: str = "failed") -> Any:
        return rows.Seen(rows.Test("test_a.py", ""), (rows.Outcome("tests/test_a.py", outcome, text),))

    renamed, wrong = seen("thumbnet.later.name does not exist"), seen("assert 1 == 2")
    lacks, lacks_too = seen("TypeError: f() got an argument"), seen("TypeError: g() got an argument")
    assert wrong.says_more_than(renamed)
    assert wrong.says_more_than(lacks)
    assert lacks.says_more_than(renamed)
    assert not lacks_too.says_more_than(lacks)
    assert not renamed.says_more_than(renamed)
    assert not seen("", "passed").says_more_than(renamed)


def test_a_file_that_cannot_be_imported_stands_for_its_tests() -> None:
    outcomes = [rows.Outcome("tests/test_a.py", "failed", "SyntaxError: invalid syntax")]
    assert rows.outcomes_of(rows.Test("test_a.py", "test_one"), outcomes) == tuple(outcomes)
    assert rows.outcomes_of(rows.Test("test_b.py", "test_one"), outcomes) == ()


def test_what_is_missing_says_so_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_code, "RUNNING", [True])
    tests = {"__file__": f"{old_code.TESTS}/test_a.py"}
    found = old_code.import_for_tests("thumbnet.errors", tests, fromlist=("ThumbnetError", "NoSuchError"))
    assert issubclass(found.ThumbnetError, Exception)
    with pytest.raises(old_code.NotThereError, match=r"^thumbnet\.errors\.NoSuchError\.of does not exist$"):
        found.NoSuchError.of(3)
    missing = old_code.import_for_tests("thumbnet.no_such", tests, fromlist=("function",))
    for use in (missing.function, iter, Path):
        with pytest.raises(old_code.NotThereError, match=r"^thumbnet\.no_such\.function does not exist$"):
            use() if use is missing.function else use(missing.function)
    assert repr(missing.function._LEAST - 1) == "<thumbnet.no_such.function._LEAST, which does not exist>"
    for name, importer in (("thumbnet.no_such", {"__file__": "elsewhere.py"}), ("no_such", tests)):
        with pytest.raises(ModuleNotFoundError):
            old_code.import_for_tests(name, importer, fromlist=("function",))


def test_outcomes_are_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(old_code.OUTCOMES, str(tmp_path / "outcomes"))
    told = (
        old_code.told(AssertionError("assert 2 == 0\n + where"), "usage\nerror: no such option\n"),
        old_code.told(AssertionError("\nassert 3 == 0"), ""),
        old_code.told(ValueError("wrong"), "printed"),
    )
    assert told == ("assert 2 == 0 + where (error: no such option)", "assert 3 == 0", "ValueError: wrong")
    old_code.write("tests/test_a.py::test_one", "failed", told[0])
    line = json.loads((tmp_path / "outcomes").read_text())
    assert rows.Outcome(**line) == rows.Outcome("tests/test_a.py::test_one", "failed", told[0])


NEW_NAME = """
from thumbnet.errors import NoSuchError, ThumbnetError

MADE = NoSuchError(1)

def test_old():
    assert issubclass(ThumbnetError, Exception)

def test_new():
    assert str(NoSuchError("a"))

def test_wrong():
    assert 1 == 2
"""


def test_one_new_name_does_not_keep_the_other_tests_of_a_file_from_running(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(NEW_NAME)
    outcomes = check_rows.run_tests(tmp_path, [rows.Test("test_a.py", "")])
    assert [(each.test, each.outcome, each.text) for each in outcomes] == [
        ("tests/test_a.py::test_old", "passed", ""),
        ("tests/test_a.py::test_new", "failed", "thumbnet.errors.NoSuchError does not exist"),
        ("tests/test_a.py::test_wrong", "failed", "assert 1 == 2"),
    ]

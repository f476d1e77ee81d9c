"""Run the tests of docs/results/own-pictures.md on the code before each row's change: python tools/check_rows.py

How each of them fails is written into the row's last column. The commit is unpacked into a folder of its own, with
today's tests in place of its own ones. One that fails there since something does not exist is tried again as it was
when it was first written or changed after that commit, which may show what the code did. A test that does not fail is
told, and the exit status is 1. All are also run on the newest commit, where they must pass.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from old_code import OUTCOMES
from row_table import Outcome, Seen, Test, cell_of, outcomes_of, rows_of, with_cells

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "results" / "own-pictures.md"
LIMIT_S = 600.0  # for one file's tests


def git(*words: str) -> bytes:
    """What git prints."""
    return subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


def unpack(folder: Path, commit: str, tests_of: str) -> None:
    """The files of a commit with the tests of another, or today's where `tests_of` is empty."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as tar:
        tar.extractall(folder, filter="data")
    shutil.rmtree(folder / "tests")
    if tests_of:
        with tarfile.open(fileobj=io.BytesIO(git("archive", tests_of, "tests"))) as tar:
            tar.extractall(folder, filter="data")
    else:
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    if (ROOT / ".browser").exists():
        (folder / ".browser").symlink_to(ROOT / ".browser")


def run_tests(folder: Path, tests: Iterable[Test]) -> list[Outcome]:
    """What the tests do in an unpacked commit. Those of one file share a process."""
    by_file: defaultdict[str, set[str]] = defaultdict(set)
    for test in tests:
        by_file[test.file].add(test.argument)
    path = folder / "outcomes"
    path.touch()
    for file, named in sorted(by_file.items()):
        whole = Test(file, "").argument
        command = [sys.executable, "-m", "pytest", "-p", "old_code", "-p", "no:cacheprovider", "-n0", "-m", ""]
        command += ["--no-header", "--tb=short", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
        command += [whole] if whole in named else sorted(named)
        places = (folder / "src", Path(__file__).parent)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), OUTCOMES: str(path)}
        with (folder / "output").open("ab") as output:
            try:
                subprocess.run(command, cwd=folder, env=env, stdout=output, stderr=output, timeout=LIMIT_S, check=False)
            except subprocess.TimeoutExpired:
                print(f"{file} did not end in {LIMIT_S:.0f} s")
    return [Outcome(**json.loads(line)) for line in path.read_text().splitlines()]


def outcomes_at(commit: str, tests: Iterable[Test], keep: Path, *, tests_of: str = "") -> list[Outcome]:
    """What the tests do at a commit. It is not run again where `keep` already has it."""
    folder = keep / f"{commit}-{tests_of or 'today'}"
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        unpack(folder, commit, tests_of)
        run_tests(folder, tests)
        (folder / "outcomes").rename(done)
    return [Outcome(**json.loads(line)) for line in done.read_text().splitlines()]


def text_at(commit: str, test: Test) -> str:
    """A test's text in a commit, or none."""
    shown = subprocess.run(["git", "show", f"{commit}:tests/{test.file}"], cwd=ROOT, capture_output=True, check=False)
    text = "" if shown.returncode else shown.stdout.decode()
    if not test.name:
        return text
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == test.name]
    return ast.unparse(nodes[0]) if nodes else ""


def changed_in(commit: str, test: Test) -> str:
    """The first commit after another in which a test is new or has another text; the other itself if there is none."""
    before = text_at(commit, test)
    later = git("log", "--reverse", "--topo-order", "--format=%h", f"{commit}..HEAD", "--", f"tests/{test.file}")
    return next((each for each in later.decode().split() if text_at(each, test) != before), commit)


def seen_at(commit: str, tests: Iterable[Test], keep: Path) -> dict[Test, Seen]:
    """How tests fail at a commit: today's, or where something is missing that of the time, if it says more."""
    today = outcomes_at(commit, tests, keep)
    seen = {test: Seen(test, outcomes_of(test, today)) for test in tests}
    again: defaultdict[str, list[Test]] = defaultdict(list)
    for test, was in seen.items():
        if not was.is_behaviour:
            again[changed_in(commit, test)].append(test)
    for tests_of, some in again.items():
        then = outcomes_at(commit, some, keep, tests_of=tests_of)
        for test in some:
            shown = Seen(test, outcomes_of(test, then), tests_of)
            if shown.says_more_than(seen[test]):
                seen[test] = shown
            elif shown.outcomes and not shown.has_failed:
                print(f"{commit}: {test.argument} of {tests_of} does not fail")
    return seen


def main() -> int:
    """Run, write, and tell what is not as the table has it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="keep the commits, and what was seen, in this folder; go on there")
    parser.add_argument("--old-only", action="store_true", help="do not run the newest commit")
    asked = parser.parse_args()
    page = PAGE.read_text()
    rows = rows_of(page)
    faults, cells = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        keep = asked.keep or Path(temporary)
        newest = git("rev-parse", "--short", "HEAD").decode().strip()
        if not asked.old_only:
            every = dict.fromkeys(test for row in rows for test in row.tests)
            done = outcomes_at(newest, every, keep)
            faults += [f"{newest}: {outcome}" for outcome in done if outcome.outcome == "failed"]
            faults += [f"{newest}: {test.argument} was not run" for test in every if not outcomes_of(test, done)]
        for commit in dict.fromkeys(row.commit for row in rows):
            of_commit = [row for row in rows if row.commit == commit]
            seen = seen_at(commit, dict.fromkeys(test for row in of_commit for test in row.tests), keep)
            faults += [f"{commit}: {was.test.argument} does not fail" for was in seen.values() if not was.has_failed]
            cells |= {row: cell_of(seen[test] for test in row.tests) for row in of_commit}
    PAGE.write_text(with_cells(page, cells))
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

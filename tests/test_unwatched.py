"""tests/unwatched, which spares coverage the imports of what is not ours: what is ours is watched all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "unwatched"
# `ours` imports a module of Python's and a package, and calls this; what is seen of the three.
CODE = """
import sys
assert "colorsys" not in sys.modules
seen = set()
def trace(frame, event, argument):
    seen.add((frame.f_code.co_filename.rpartition("/")[2], frame.f_lineno, event))
    return trace
sys.settrace(trace)
import ours
sys.settrace(None)
print(sorted({name for name, line, event in seen if event == "call" and name in ("colorsys.py", "theirs.py")}))
print(sorted(line for name, line, event in seen if event == "line" and name == "ours.py" and line > 1))
"""
OURS = """
import colorsys
import theirs
def late():
    return theirs.called()
late()
"""


def traced(folder: Path, *, path: list[Path]) -> str:
    package = folder / "site-packages"
    package.mkdir()
    (package / "theirs.py").write_text("def called():\n    return 1\n\ncalled()\n")
    (folder / "ours.py").write_text(OURS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*path, folder, package]))
    run = [sys.executable, "-B", "-c", CODE]
    return subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout


def test_imports_of_others_are_not_watched_and_what_follows_is(tmp_path: Path) -> None:
    assert traced(tmp_path, path=[FOLDER]) == "['theirs.py']\n[2, 3, 4, 5, 6]\n"  # called by ours, which is watched


def test_without_it_they_are(tmp_path: Path) -> None:
    assert traced(tmp_path, path=[]) == "['colorsys.py', 'theirs.py']\n[2, 3, 4, 5, 6]\n"

"""Marks of tests that .ci/run runs apart: it looks for them in the files whose names begin with test_, written out."""

from __future__ import annotations

import re
import tomllib

from scripts import ROOT

MARKS = [
    text.partition(":")[0]
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
]


def test_each_mark_is_left_out_by_default_and_run_by_ci() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    assert set(re.findall(r"not (\w+)", options)) == set(MARKS)
    run = (ROOT / ".ci" / "run").read_text()
    assert set(MARKS) <= set(re.findall(r"(?:marked|on_cifar10) (\w+)", run))


def test_a_mark_stands_where_it_is_looked_for() -> None:
    """Else its tests would be left out in silence."""
    written = re.compile(rf"\bmark\.({'|'.join(MARKS)})\b")
    for path in (ROOT / "tests").glob("*.py"):
        found = written.findall(path.read_text())
        assert not found or path.name.startswith("test_"), path.name
        assert len(found) == len(re.findall(rf"pytest\.mark\.(?:{'|'.join(MARKS)})\b", path.read_text())), path.name

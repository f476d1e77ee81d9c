"""docs/architecture.md: what it names is there, and every package is named."""

from __future__ import annotations

import re
from pathlib import Path

import thumbnet
from scripts import ROOT

SOURCE = Path(thumbnet.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_place_is_named() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {place.rstrip("/") for row in rows for place in re.findall(r"`([a-z_]+(?:/|\.py))`", row)}
    there = {path.name for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert named == there - {"__init__.py", "__main__.py"}


def test_every_package_of_runs_is_named() -> None:
    packages = {path.parent.name for path in (SOURCE / "runs").glob("*/__init__.py")}
    assert packages == set(re.findall(r"`runs/([a-z_]+)/`", PAGE.partition("## How an image travels")[0]))


def test_every_file_that_is_named_is_there() -> None:
    files = re.findall(r"`((?:src/thumbnet/)?[a-z_]+/[a-z_/]*(?:\.py)?)`", PAGE)
    assert len(files) > 10
    assert [name for name in files if not (SOURCE / name.removeprefix("src/thumbnet/")).exists()] == []


def test_every_public_name_that_is_named_is_there() -> None:
    names = re.findall(r"(?:`|thumbnet\.)((?:register|load)_\w+)", PAGE)
    assert names
    assert [name for name in names if name not in thumbnet.__all__] == []

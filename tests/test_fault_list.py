"""docs/results/faults.md and own-pictures.md name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "results"
FAULTS, OWN_PICTURES = RESULTS / "faults.md", RESULTS / "own-pictures.md"


@pytest.mark.parametrize(("page", "least"), [(FAULTS, 100), (OWN_PICTURES, 5)])
def test_every_test_that_is_named_exists(page: Path, least: int) -> None:
    named, file = [], ""
    for path, name in re.findall(r"`(?:tests/([\w.]+))?(?:::(\w+))?`", page.read_text()):
        file = path or file
        if path or name:
            named.append((file, name))
    assert len(named) > least
    defined = {
        file: {
            node.name for node in ast.walk(ast.parse((HERE / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        for file in {file for file, _ in named}
    }
    assert not [(file, name) for file, name in named if name and name not in defined[file]]


@pytest.mark.parametrize(("page", "head", "least"), [(FAULTS, "| fault", 50), (OWN_PICTURES, "| row", 5)])
def test_every_fault_has_the_commit_in_which_it_was_seen(page: Path, head: str, least: int) -> None:
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ") and not line.startswith(head)]
    assert len(rows) > least
    without = [row for row in rows if not re.search(r"\| [0-9a-f]{7}(, [0-9a-f]{7})* \|", row)]
    assert [row for row in without if "held well" not in row] == []

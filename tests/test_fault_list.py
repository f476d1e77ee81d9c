"""docs/results/faults.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
FAULTS = HERE.parent / "docs" / "results" / "faults.md"


def test_every_test_that_is_named_exists() -> None:
    named, file = [], ""
    for path, name in re.findall(r"`(?:tests/([\w.]+))?(?:::(\w+))?`", FAULTS.read_text()):
        file = path or file
        if path or name:
            named.append((file, name))
    assert len(named) > 100
    defined = {
        file: {
            node.name for node in ast.walk(ast.parse((HERE / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        for file in {file for file, _ in named}
    }
    assert not [(file, name) for file, name in named if name and name not in defined[file]]


def test_every_fault_has_the_commit_in_which_it_was_seen() -> None:
    rows = [
        line for line in FAULTS.read_text().splitlines() if line.startswith("| ") and not line.startswith("| fault")
    ]
    assert len(rows) > 50
    without = [row for row in rows if not re.search(r"\| [0-9a-f]{7}(, [0-9a-f]{7})* \|", row)]
    assert [row for row in without if "held well" not in row] == []

"""`make audit`: pip-audit is handed the lock and PyTorch, which is not in it, and what it finds is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import ROOT

LOCK = ROOT / "requirements.lock"
# In the place of pip-audit: prints its options, then what the files hold that it is to look at.
STUB = """#!/bin/sh
echo "options: $*"
while [ $# -gt 0 ]; do [ "$1" != -r ] || cat "$2"; shift; done
exit $FOUND
"""


def audit(folder: Path, *variables: str, found: int = 0) -> subprocess.CompletedProcess[str]:
    """`make audit` in a folder that has pip-audit already."""
    program = folder / ".audit" / "bin" / "pip-audit"
    program.parent.mkdir(parents=True)
    program.write_text(STUB)
    program.chmod(0o755)
    shutil.copy(LOCK, folder)
    values = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | {"FOUND": str(found)}
    command = ["make", "-s", "-f", str(ROOT / "Makefile"), "audit", *variables]
    return subprocess.run(command, cwd=folder, env=values, capture_output=True, text=True)


@pytest.mark.parametrize("variables", [(), ("TORCH=torch==2.13.0+cpu --index-url https://example.org/cpu",)])
def test_everything_that_make_setup_installs_is_looked_up(variables: tuple[str, ...], tmp_path: Path) -> None:
    """PyTorch without the name of its build, which PyPI's list does not know."""
    done = audit(tmp_path, *variables)
    options, _, rest = done.stdout.partition("\n")
    assert done.returncode == 0
    assert "--strict" in options.split()  # what the list does not know is a failure
    assert rest == f"{LOCK.read_text()}torch==2.13.0\n"


def test_what_is_found_is_a_failure(tmp_path: Path) -> None:
    assert audit(tmp_path, found=1).returncode != 0

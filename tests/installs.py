"""Environments of their own, with a wheel and nothing of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKED = re.compile(r"[a-z0-9-]+==[^ ]+(?: ;[^\\]+)?")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def run(*command: str | Path, cwd: Path | None = None, exit_code: int = 0, env: Mapping[str, str] | None = None) -> str:
    """What a command prints, its errors too; `env` changes its environment."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**ENVIRONMENT, "BROWSER": "true", **(env or {})},  # a command that "opens" whatever it is given
    )
    assert done.returncode == exit_code, done.stdout
    return done.stdout


def make_environment(folder: Path) -> Path:
    """An empty environment in the folder; returns its folder of commands."""
    run(sys.executable, "-m", "venv", folder / "env")
    return folder / "env" / "bin"


def install_wheel(commands: Path, wheels: Path, extra: str = "") -> None:
    """Install the wheel that pip chooses in a folder, and what that needs, at the lock's versions."""
    constraints = commands.parent / "constraints.txt"
    locked = [LOCKED.match(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]
    constraints.write_text("".join(f"{found[0]}\n" for found in locked if found))
    pip = commands / "python", *PIP, "install"
    run(*pip, "--no-index", "--no-deps", "--find-links", wheels, "thumbnet")
    run(*pip, "--constraint", constraints, f"thumbnet{extra}")

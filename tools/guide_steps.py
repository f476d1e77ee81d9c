"""The code of a guide as a reader runs it: its blocks in order, in one folder, each command a process of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = "packages"  # in the folder: what `pip install --target packages` puts there is found


@dataclass(frozen=True)
class Step:
    """A command, as it stands in a block `sh`, or the whole text of a block `py`."""

    language: str
    text: str


@dataclass(frozen=True)
class Done:
    """What a step printed, stderr and stdout as they came, in how many seconds, and its exit status."""

    step: Step
    output: str
    seconds: float
    status: int


def steps_of(page: str) -> list[Step]:
    """The steps of a page in Markdown."""
    steps = []
    for language, text in re.findall(r"^```(sh|py)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        if language == "py":
            steps.append(Step(language, text))
        else:
            lines = (shlex.join(shlex.split(line, comments=True)) for line in text.splitlines())
            steps += [Step(language, line) for line in lines if line]
    return steps


def run_step(step: Step, folder: Path, *, replaced: Mapping[str, str] | None = None) -> Done:
    """Run a step in the folder, or the command that stands for it in `replaced`; an empty one does nothing.

    In the output, the folder itself is left out of paths.
    """
    text = (replaced or {}).get(step.text, step.text)
    began_s = time.perf_counter()
    if not text:
        return Done(step, "", 0.0, 0)
    places = [str(folder / PACKAGES), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.run(
        _words(step.language, text),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = process.stdout.replace(f"{folder.resolve()}/", "")
    return Done(step, output, time.perf_counter() - began_s, process.returncode)


def _words(language: str, text: str) -> list[str]:
    """What starts the step's process."""
    if language == "py":
        return [sys.executable, "-c", text]
    program, *arguments = shlex.split(text)
    if program not in ("pip", "thumbnet"):
        raise ValueError(f"a guide's command begins with pip or thumbnet: {text}")
    return [sys.executable, "-m", program, *arguments]

"""benchmarks/bench_trust.py as it is: a few trainings killed and robbed of their data, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import ROOT

pytestmark = pytest.mark.services
PARTS = ("kills-random", "kills-ranks", "vanishing")


def test_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "bench_trust.py"), "--kills", "3", "--only", *PARTS]
    command += ["--keep", str(tmp_path / "kept"), "--out", str(tmp_path / "trust.md")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    kept = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "kept").iterdir()}
    parts = ["kills-random", "kills-random-folds", "kills-ranks", "vanishing-resumed", "vanishing-running"]
    assert sorted(kept) == parts
    assert [(tally["cases"], tally["faults"]) for part in parts for tally in kept[part]] == [(3, [])] * 5
    assert (tmp_path / "trust.md").read_text().count("| 3 | ") == 5

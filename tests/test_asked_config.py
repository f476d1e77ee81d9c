"""A run keeps its config as it was asked for; the command to train it again is the difference to its recipe."""

from __future__ import annotations

import shutil
from pathlib import Path

from small_runs import small_config
from thumbnet.config import config_from_toml
from thumbnet.runs.run import load_run
from thumbnet.runs.write_report import write_report

OLD = Path(__file__).parent / "data" / "run-2026-11"


def test_the_config_is_kept_as_it_was_asked_for(small_run: Path) -> None:
    asked = config_from_toml((small_run / "asked.toml").read_text(), name="asked.toml")
    assert asked == small_config(small_run.parent / "data.npz", epochs=2)
    run = load_run(small_run)
    assert run.asked == asked
    assert run.config.inputs.flip is not asked.inputs.flip == "auto"


def test_a_run_of_an_earlier_version_kept_only_the_resolved_config(tmp_path: Path) -> None:
    run = shutil.copytree(OLD, tmp_path / "run")
    assert load_run(run).asked is None
    assert "thumbnet train --recipe config.toml" in write_report(run).read_text()

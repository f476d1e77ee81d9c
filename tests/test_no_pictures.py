"""train --no-pictures: nothing is drawn, everything else is there, and a report can be made later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thumbnet.cli import main
from thumbnet.runs.resume import resume
from thumbnet.runs.write_report import write_report

DRAWN = {"graph.svg", "curves.png", "confusion.png", "misclassified.png", "report.html"}


@pytest.mark.parametrize("seeds", [[], ["--seeds", "1"]])
def test_a_run_without_pictures_is_a_whole_run(seeds: list[str], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12), np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(40) % 2)
    options = ["--data", f"npz:{tmp_path / 'data.npz'}", "--epochs", "1", "--set", "model_options.blocks=c8"]
    run = tmp_path / "run"
    assert main(["train", *options, *seeds, "--no-pictures", "--log-style", "silent", "--run-dir", str(run)]) == 0
    path = run / "seed-0" if seeds else run
    left = {path.name for path in path.iterdir()}
    assert left >= {"config.toml", "model.safetensors", "predictions.csv", "summary.txt", "metrics.json"}
    assert not left & DRAWN
    (path / "metrics.json").unlink()
    again = resume(path, log_style="silent", pictures=False)
    assert {path.name for path in again.path.iterdir()} == left
    if not seeds:
        assert "<html" in write_report(again.path).read_text()

"""Formats that can grow: a field more or less is no damage, what is unknown is kept, what is too new is told."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from thumbnet.errors import CheckpointError, RunError
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run, read_robustness
from thumbnet.runs.seeds.train import resume_seeds
from thumbnet.training.history import history_from_csv

OLD = Path(__file__).parent / "data" / "run-2026-11"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "run")


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def with_column(path: Path, name: str) -> None:
    rows = list(csv.reader(io.StringIO(path.read_text())))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [[*row, "7.5" if index else name] for index, row in enumerate(rows)]
    )
    path.write_text(text.getvalue())


def test_every_json_file_has_a_format_number(small_run: Path) -> None:
    for name in ("model.json", "metrics.json"):
        assert json.loads((small_run / name).read_text())["format"] == 2
    assert torch.load(small_run / "checkpoint-last.pt", weights_only=True)["format"] == 2


@pytest.mark.parametrize("name", ["model.json", "metrics.json", "robustness.json"])
def test_unknown_fields_are_kept_and_ignored(name: str, run: Path) -> None:
    change_json(run / name, later={"a": [1]})
    assert len(load_run(run).history) == 3
    assert read_robustness(RunDir(run)) is not None
    assert "later" in (run / name).read_text()


def test_unknown_columns_are_ignored_and_those_of_a_history_kept(run: Path) -> None:
    for name in ("history.csv", "predictions.csv"):
        with_column(run / name, "gradient_norm")
    history = load_run(run).history
    assert len(RunDir(run).read_predictions()) == 359
    assert history_from_csv(history.to_csv()) == history
    assert history.to_csv().splitlines()[1].endswith(",7.5")
    assert history.to_rows()[0]["gradient_norm"] == 7.5


def test_a_checkpoints_unknown_columns_are_kept(run: Path) -> None:
    (run / "metrics.json").unlink()
    values = torch.load(run / "checkpoint-last.pt", weights_only=True)
    values["later"] = 3
    for row in values["history"]:
        row["gradient_norm"] = 7.5
    torch.save(values, run / "checkpoint-last.pt")
    resume(run, log_style="silent", pictures=False)
    assert (run / "history.csv").read_text().splitlines()[0].endswith(",gradient_norm")


def test_columns_that_may_be_missing_may_be_missing(run: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((run / "history.csv").read_text())))
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in rows[0] if not name.startswith("test_")], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    (run / "history.csv").write_text(text.getvalue())
    assert load_run(run).history.column("test_loss") == [None, None, None]


@pytest.mark.parametrize("name", ["model.json", "metrics.json", "robustness.json"])
def test_a_format_of_a_later_version_is_told(name: str, run: Path) -> None:
    change_json(run / name, format=99)
    with pytest.raises(RunError, match=rf"{name} .*later version") as caught:
        read_robustness(RunDir(run)) if name == "robustness.json" else load_run(run)
    assert "update" in caught.value.hint
    for wrong in (0, -1, 1.5, "2", True, None):
        change_json(run / name, format=wrong)
        with pytest.raises(RunError, match=name):
            read_robustness(RunDir(run)) if name == "robustness.json" else load_run(run)


def test_a_checkpoint_of_a_later_version_is_told(run: Path) -> None:
    values = torch.load(run / "checkpoint-last.pt", weights_only=True)
    torch.save({**values, "format": 99}, run / "checkpoint-last.pt")
    with pytest.raises(CheckpointError, match="later version"):
        RunDir(run).read_checkpoint()


def test_seeds_of_a_later_version_are_told(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "seeds"
    shutil.copytree(run, folder / "seed-1")
    shutil.copy(run / "config.toml", folder / "shared.toml")
    (folder / "seeds.json").write_text(json.dumps({"seeds": [1], "format": 99}))
    with pytest.raises(RunError, match=r"seeds\.json .*later version"):
        resume_seeds(folder, log_style="silent", pictures=False)
    (folder / "seeds.json").write_text(json.dumps({"seeds": [1], "format": 2, "later": 1}))
    assert resume_seeds(folder, log_style="silent", pictures=False).metrics["n"] == 1

"""`thumbnet runs`: every run with its settings and figures, also those that were stopped or are damaged."""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scipy.stats import binomtest

from thumbnet.cli import main
from thumbnet.errors import RunError
from thumbnet.recipes import load_recipe
from thumbnet.runs.files.lock import is_locked, lock_folder
from thumbnet.runs.listing import list_runs
from thumbnet.runs.run import RunDir
from thumbnet.runs.settings import changed_settings

OLD = Path(__file__).parent / "data"


@pytest.fixture
def runs(small_run: Path, tmp_path: Path) -> Path:
    """Finished, stopped and damaged runs, and one whose seeds are not all finished, in folders of several depths."""
    folder = tmp_path / "runs"
    shutil.copytree(small_run, folder / "cells" / "finished")
    shutil.copytree(OLD / "run-2026-11-stopped", folder / "stopped")
    shutil.copytree(small_run, folder / "damaged")
    with (folder / "damaged" / "metrics.json").open("a") as file:
        file.write(" ")
    for seed, accuracy in ((0, 0.5), (1, 0.75)):
        seeds = folder / "seeds" / f"seed-{seed}"
        shutil.copytree(small_run, seeds)
        metrics = json.loads((seeds / "metrics.json").read_text())
        RunDir(seeds).write("metrics.json", json.dumps({**metrics, "test_accuracy": accuracy, "test_auc": accuracy}))
    shutil.copy(small_run / "config.toml", folder / "seeds" / "shared.toml")
    (folder / "seeds" / "seeds.json").write_text('{"format": 2, "seeds": [0, 1, 2]}')
    (folder / "no-run").mkdir()
    return folder


def test_runs_are_listed_with_their_settings_and_figures(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(runs), "--json"]) == 0
    rows = {Path(row["path"]).relative_to(runs).as_posix(): row for row in json.loads(capsys.readouterr().out)["runs"]}
    assert set(rows) == {"cells/finished", "stopped", "damaged", "seeds", "seeds/seed-0", "seeds/seed-1"}
    metrics = json.loads((runs / "cells" / "finished" / "metrics.json").read_text())
    finished = rows["cells/finished"]
    assert finished["state"] == "finished"
    assert finished["accuracy"] == metrics["test_accuracy"]
    bounds = binomtest(round(metrics["test_accuracy"] * metrics["num_test"]), metrics["num_test"]).proportion_ci(
        method="wilson"
    )
    assert metrics["test_accuracy_interval"] == pytest.approx([bounds.low, bounds.high])
    assert (finished["accuracy_low"], finished["accuracy_high"]) == pytest.approx((bounds.low, bounds.high))
    for figure in ("balanced_accuracy", "auc"):
        assert [finished[f"{figure}_low"], finished[f"{figure}_high"]] == metrics[f"test_{figure}_interval"]
    assert (finished["model"], finished["seeds"], finished["epochs"]) == ("sprint", [0], 2)
    assert finished["settings"]["model_options"] == {"blocks": "c8p"}
    assert finished["settings"]["lr"] == 0.05  # of a recipe that is none of ours, all that is no default
    assert "split_seed" not in finished["settings"]
    assert rows["stopped"]["state"] == "stopped after epoch 1 of 3"
    assert rows["damaged"]["state"].startswith("damaged: ")
    assert "checksum" in rows["damaged"]["state"]
    seeds = rows["seeds"]
    assert (seeds["n"], seeds["state"]) == (2, "2 of 3 seeds are finished")
    assert seeds["accuracy"] == seeds["auc"] == 0.625
    assert seeds["accuracy_std"] == pytest.approx(statistics.stdev([0.5, 0.75]))
    assert seeds["accuracy_low"] is seeds["auc_high"] is None  # until all seeds are finished


def test_finished_seeds_have_the_interval_of_their_mean(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs / "seeds"
    (folder / "seeds.json").write_text('{"format": 2, "seeds": [0, 1]}')
    figures = {"test_accuracy": {"n": 2, "mean": 0.625, "std": 0.18, "low": -0.96, "high": 2.21}}
    RunDir(folder).write_metrics({"figures": {**figures, "test_auc": {"low": 0.6, "high": 0.7}}})
    (row,) = [row for row in list_runs(folder) if row.path == str(folder)]
    assert (row.state, row.accuracy_low, row.accuracy_high) == ("finished", 0.0, 1.0)  # of an accuracy
    assert (row.auc_low, row.auc_high, row.balanced_accuracy_low) == (0.6, 0.7, None)
    assert main(["runs", str(folder)]) == 0
    assert "62.50 % ± 17.68 (n = 2, 0.0 to 100.0)" in capsys.readouterr().out


def test_a_run_of_an_earlier_version_has_the_interval_of_its_accuracy(runs: Path) -> None:
    folder = RunDir(runs / "cells" / "finished")
    before = {name: value for name, value in folder.read_metrics().items() if not name.endswith("_interval")}
    folder.write_metrics({**before, "test_auc_interval": "?"})
    (row,) = list_runs(folder.path)
    assert row.accuracy is not None
    assert row.accuracy_low is not None
    assert row.accuracy_low < row.accuracy
    assert (row.balanced_accuracy_low, row.auc_low, row.auc_high) == (None, None, None)


def test_a_folder_of_folds_has_a_line_with_the_figures_of_all_images(
    runs: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = runs / "folds"
    for fold in range(2):
        shutil.copytree(small_run, folds / f"fold-{fold}")
    shutil.copy(small_run / "config.toml", folds / "shared.toml")
    RunDir(folds).write_checked({"folds.json": '{"format": 1, "num_folds": 2, "seeds": [4], "data_checksum": ""}'})
    (row,) = [row for row in list_runs(folds) if row.path == str(folds)]
    assert (row.state, row.folds, row.n, row.accuracy) == ("2 of 2 runs are finished", 2, 0, None)
    figures = {name: {"value": value, "low": 0.1, "high": 0.9} for name, value in (("accuracy", 0.75), ("auc", 0.875))}
    RunDir(folds).write_metrics({"test_accuracy_std": None, "figures": figures})
    assert main(["runs", str(folds), "--json"]) == 0
    rows = {Path(row["path"]).name: row for row in json.loads(capsys.readouterr().out)["runs"]}
    assert set(rows) == {"folds", "fold-0", "fold-1"}
    listed = rows["folds"]
    assert (listed["state"], listed["folds"], listed["n"], listed["seeds"]) == ("finished", 2, 1, [4])
    assert (listed["accuracy"], listed["auc"], listed["balanced_accuracy"]) == (0.75, 0.875, None)
    assert (listed["accuracy_low"], listed["auc_high"], listed["balanced_accuracy_low"]) == (0.1, 0.9, None)
    assert (listed["model"], listed["epochs"], rows["fold-0"]["folds"]) == ("sprint", 2, None)
    assert main(["runs", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "folds" in lines[0].split()
    assert next(line for line in lines if line.startswith(str(folds) + " ")).split()[3:6] == ["2", "75.00", "%"]
    shutil.rmtree(folds / "fold-1")
    assert [row.state for row in list_runs(folds) if row.path == str(folds)] == ["1 of 2 runs are finished"]
    (folds / "folds.json").write_text("{}")
    assert [row.state.split(":")[0] for row in list_runs(folds) if row.path == str(folds)] == ["damaged"]


def test_a_folder_that_cannot_be_read_has_a_line_that_says_so(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = list_runs(runs)
    (runs / "secret").mkdir()
    usual = Path.iterdir

    def refused(path: Path) -> Iterator[Path]:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    after = list_runs(runs)
    (secret,) = [row for row in after if row.path == str(runs / "secret")]
    assert secret.state.startswith("damaged: [Errno 13] Permission denied")
    assert [row for row in after if row is not secret] == before


def test_a_sweeps_trial_is_a_run_once_it_is_whole(runs: Path, small_run: Path) -> None:
    """Also one that failed, or is being trained, and has no trial.json."""
    shutil.copytree(OLD / "run-2026-11-stopped", runs / "sweep" / "trial-0000")
    shutil.copytree(small_run, runs / "sweep" / "trial-0001")
    (runs / "sweep" / "sweep.json").write_text("{}")
    for folder in (runs / "sweep", runs / "sweep" / "trial-0000", runs / "sweep" / "trial-0001"):
        expected = [] if folder.name == "trial-0000" else ["trial-0001"]
        assert [Path(row.path).name for row in list_runs(folder)] == expected


def test_the_table_and_the_csv_have_a_line_for_each_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(runs), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 6
    assert {"path", "state", "recipe", "accuracy", "accuracy_low", "accuracy_high", "settings"} <= set(rows[0])
    assert "lr=0.05" in next(row for row in rows if row["path"].endswith("finished"))["settings"].split()
    assert main(["runs", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    row = next(row for row in rows if row["path"].endswith("finished"))
    shares = [f"{100 * float(row[name]):.{digits}f}" for name, digits in
              (("accuracy", 2), ("accuracy_low", 1), ("accuracy_high", 1))]  # fmt: skip
    shown = next(line for line in lines if line.startswith(row["path"] + " "))
    assert "{} % ({} to {})".format(*shares) in shown
    assert "accuracy (95% interval)" in lines[0]
    assert "62.50 % ± 17.68 (n = 2)" in next(line for line in lines if "2 of 3 seeds" in line)


def test_a_run_that_is_being_trained_is_called_so(runs: Path) -> None:
    assert not is_locked(runs / "stopped")
    with lock_folder(runs / "stopped"):
        assert is_locked(runs / "stopped")
        assert [row.state for row in list_runs(runs / "stopped")] == ["training"]
    assert [row.state for row in list_runs(runs / "stopped")] == ["stopped after epoch 1 of 3"]


def test_no_folder_is_refused_and_an_empty_one_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="there is no folder"):
        list_runs(tmp_path / "typo")
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no runs\n"


def test_listing_runs_imports_no_torch(small_run: Path) -> None:
    code = (
        "from thumbnet.cli import main; import sys; code = main(['runs', sys.argv[1]]);"
        "sys.exit(code or 'torch' in sys.modules or 'matplotlib' in sys.modules or 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, small_run.parent], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "finished" in done.stdout


def test_settings_are_what_differs_from_the_recipe(small_run: Path) -> None:
    assert changed_settings(load_recipe("sprint", options={"data": "digits"})) == {}
    changed = load_recipe("sprint", options={"epochs": 3, "lr": 0.1}, settings=["flip=false"])
    assert changed_settings(changed) == {"epochs": 3, "lr": 0.1, "flip": False}
    assert json.loads((small_run / "metrics.json").read_text())["settings"]["model_options"] == {"blocks": "c8p"}

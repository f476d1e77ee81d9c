"""Several seeds: a folder of whole runs with their mean and deviation, which goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import config_from_toml
from thumbnet.errors import ConfigError, DatasetNotFoundError, JobsFailedError, RunError
from thumbnet.recipes import load_recipe
from thumbnet.runs import several
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.jobs.job import Job, Outcome
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.seeds import evaluate as evaluate_module
from thumbnet.runs.seeds.evaluate import evaluate_seeds
from thumbnet.runs.seeds.runs import load_seed_runs
from thumbnet.runs.seeds.train import SeedRuns, is_seed_runs, resume_seeds, train_seeds

TINY = "model_options.blocks=c8s"
CONFIG = load_recipe(
    options={"data": "digits", "epochs": 1, "batch_size": 256, "device": "cpu", "seed": 4}, settings=[TINY]
)
QUIET: dict[str, Any] = {"log_style": "silent", "pictures": False}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SeedRuns:
    return train_seeds(CONFIG, num_seeds=3, run_dir=tmp_path_factory.mktemp("seeds"), **QUIET)


def test_each_seed_leaves_a_whole_run_and_the_folder_their_figures(done: SeedRuns) -> None:
    metrics = json.loads((done.path / "metrics.json").read_text())
    runs = [load_run(done.path / f"seed-{seed}") for seed in (4, 5, 6)]
    accuracies = [run.metrics["test_accuracy"] for run in runs]
    assert [run.config.seed for run in runs] == metrics["seeds"] == [4, 5, 6]
    assert metrics == {
        "format": 2,
        "n": 3,
        "seeds": [4, 5, 6],
        "test_accuracy": pytest.approx(sum(accuracies) / 3),
        "test_accuracy_std": pytest.approx(statistics.stdev(accuracies)),
        "train_s": sorted(run.metrics["train_s"] for run in runs)[1],
        "figures": metrics["figures"],
        "settings": {"model_options": {"blocks": "c8s"}, "epochs": 1, "batch_size": 256},
    }
    assert metrics["figures"]["test_accuracy"]["mean"] == pytest.approx(metrics["test_accuracy"])
    assert len(set(accuracies)) > 1
    assert is_seed_runs(done.path)
    assert not is_seed_runs(runs[0].path)


def test_what_is_to_be_known_of_the_data_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "groups.csv").write_text("index,group\n0,pair\n2,pair\n")
    config = small_config(write_small_data(tmp_path / "data.npz"), groups=str(tmp_path / "groups.csv"))
    train_seeds(config, num_seeds=2, run_dir=tmp_path / "seeds", pictures=False)
    assert capsys.readouterr().err.count("Groups (groups.csv): 1 group of 2 images") == 1


def test_what_is_missing_is_made(done: SeedRuns, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    shutil.copytree(done.path, folder)
    shared = config_from_toml((folder / "shared.toml").read_text(), name="shared.toml")
    assert shared == load_run(done.path / "seed-4").config  # resolved once, for all of them
    (folder / "metrics.json").unlink()
    (folder / "seed-5" / "metrics.json").unlink()
    shutil.rmtree(folder / "seed-6")
    kept = (folder / "seed-4" / "metrics.json").read_text()
    resumed = resume_seeds(folder, **QUIET)
    for name in ("n", "seeds", "test_accuracy", "test_accuracy_std"):
        assert resumed.metrics[name] == done.metrics[name]
    assert (folder / "seed-4" / "metrics.json").read_text() == kept


def test_of_seeds_at_once_each_is_loaded_once(
    done: SeedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, loaded = Path(shutil.copytree(done.path, tmp_path / "seeds")), list[str]()
    metrics = folder / "seed-5" / "metrics.json"
    metrics.rename(tmp_path / "metrics.json")

    def load(path: Path) -> Run:
        loaded.append(path.name)
        return load_run(path)

    def run(jobs: Sequence[Job], *_: object, on_end: Callable[[Outcome], None], **__: object) -> list[Outcome]:
        (tmp_path / "metrics.json").rename(metrics)
        outcomes = [Outcome(job.name) for job in jobs]
        for outcome in outcomes:
            on_end(outcome)
        return outcomes

    monkeypatch.setattr(several, "load_run", load)
    monkeypatch.setattr(several, "run_jobs", run)
    again = resume_seeds(folder, jobs=2, log_style="reference", pictures=False)
    accuracy, balanced = (again.runs[1].metrics[f"test_{name}"] for name in ("accuracy", "balanced_accuracy"))
    assert f"{accuracy:.2%}" != f"{balanced:.2%}"  # the digits' classes are not equally many
    said = f"seed-5: finished, test accuracy {accuracy:.2%}, balanced accuracy {balanced:.2%} (3 of 3 runs)\n"
    assert said in capsys.readouterr().err
    assert [run.config.seed for run in again.runs] == [4, 5, 6]
    assert sorted(loaded) == ["seed-4", "seed-5", "seed-6"]


def test_where_one_of_three_seeds_is_left_it_has_the_share_of_three(
    done: SeedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of sixteen processors, as it would have had at first; not an eighth, nor all of them."""
    folder, given = Path(shutil.copytree(done.path, tmp_path / "seeds")), list[int | None]()
    (folder / "seed-5" / "metrics.json").unlink()

    def run(jobs: Sequence[Job], *_: object, threads: int | None, **__: object) -> list[Outcome]:
        given.append(threads)
        return [Outcome(job.name, error="not trained") for job in jobs]

    monkeypatch.setattr("thumbnet.specs.at_once.num_processors", lambda: 16)
    monkeypatch.setattr(several, "run_jobs", run)
    with pytest.raises(JobsFailedError, match="1 of 1 job failed"):
        resume_seeds(folder, jobs=8, log_style="silent", pictures=False)
    assert given == [16 // 3]


def test_each_seed_is_scored_on_images_as_its_weights_know_them(
    done: SeedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--init auto`, some seeds begin with trained weights, and with the mean and deviation that these know."""
    first, second, _ = load_seed_runs(done.path)
    second = replace(second, card=replace(second.card, mean=(0.9,), std=(0.1,)))
    monkeypatch.setattr(evaluate_module, "load_seed_runs", lambda _: (first, second))
    losses = [each.to_dict()["loss"] for each in evaluate_seeds(done.path).evaluations]
    assert losses == [evaluate_trained(run).to_dict()["loss"] for run in (first, second)]
    assert losses[1] != second.metrics["test_loss"]


def test_runs_on_different_data_have_no_mean(done: SeedRuns, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(done.path, folder)
    (folder / "metrics.json").unlink()
    card = json.loads((folder / "seed-5" / "model.json").read_text())
    RunDir(folder / "seed-5").write("model.json", json.dumps({**card, "data_checksum": "0" * 64}))
    with pytest.raises(RunError, match="seed-5 was trained on other images or labels"):
        resume_seeds(folder, log_style="silent")
    assert not (folder / "metrics.json").exists()


def test_the_seeds_go_on_where_their_data_was_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = load_digits().images[:100].astype(np.uint8) * 15
    values = {"images": images.repeat(2, 1).repeat(2, 2), "labels": load_digits().target[:100]}
    before, now, other = (tmp_path / name for name in ("before.npz", "now.npz", "other.npz"))
    np.savez(before, **values)
    np.savez(other, images=255 - values["images"], labels=values["labels"])
    done = train_seeds(CONFIG.replace(data=f"npz:{before}"), num_seeds=2, run_dir=tmp_path / "runs", **QUIET)
    shutil.rmtree(done.path / "seed-5")
    before.rename(now)
    resuming = ["train", "--resume", str(done.path), "--log-style", "silent", "--no-pictures", "--data"]
    assert main([*resuming, f"npz:{other}"]) == 2
    assert "started on other data" in capsys.readouterr().err
    assert not (done.path / "seed-5").exists()
    shutil.copytree(done.path / "seed-4", done.path / "seed-5")  # stopped before its first checkpoint
    for name in ("metrics.json", "checkpoint-last.pt"):
        (done.path / "seed-5" / name).unlink()
    config = (done.path / "seed-4" / "config.toml").read_text()
    RunDir(done.path / "seed-5").write("config.toml", config.replace("seed = 4", "seed = 5"))
    assert main([*resuming, f"npz:{now}"]) == 0
    again = [load_run(done.path / f"seed-{seed}") for seed in (4, 5)]
    assert [run.metrics["test_accuracy"] for run in again] == [run.metrics["test_accuracy"] for run in done.runs]
    assert [run.config.data for run in again] == [f"npz:{now}", f"npz:{now}"]
    shutil.rmtree(done.path / "seed-5")  # the next one to begin finds the data where the first run has it
    assert resume_seeds(done.path, **QUIET).runs[1].config.data == f"npz:{now}"
    shutil.rmtree(done.path / "seed-4")
    with pytest.raises(RunError, match="holds no run yet"):
        resume_seeds(done.path, data=f"npz:{now}")


def test_what_is_excluded_is_kept_for_all_seeds(tmp_path: Path) -> None:
    listed = tmp_path / "suspects.csv"
    listed.write_text("index,path,label,suggested,score,kind\n0,,0,,1,dark\n")
    done = train_seeds(CONFIG.replace(exclude=str(listed)), num_seeds=2, run_dir=tmp_path / "runs", **QUIET)
    listed.unlink()
    shutil.rmtree(done.path / "seed-5")
    again = resume_seeds(done.path, **QUIET)
    assert [run.metrics["num_excluded"] for run in again.runs] == [1, 1]
    assert again.metrics["test_accuracy"] == done.metrics["test_accuracy"]


def test_one_seed_has_no_deviation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", "digits", "--epochs", "1", "--batch-size", "256", "--set", TINY, "--no-pictures"]
    assert main(["train", *arguments, "--log-style", "silent", "--seeds", "1", "--run-dir", str(tmp_path / "one")]) == 0
    assert "(n = 1, seeds 0; 359 images of digits)" in capsys.readouterr().out
    assert json.loads((tmp_path / "one" / "metrics.json").read_text())["test_accuracy_std"] is None
    assert main(["train", "--resume", str(tmp_path / "one")]) == 0
    assert "(n = 1, seeds 0; 359 images of digits)" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="seeds is 0"):
        train_seeds(CONFIG, num_seeds=0, run_dir=tmp_path / "none")
    with pytest.raises(DatasetNotFoundError):
        train_seeds(CONFIG.replace(data=f"folder:{tmp_path / 'typo'}"), num_seeds=2, run_dir=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(RunError, match="holds no runs"):
        resume_seeds(tmp_path)
    assert main(["train", "--resume", str(tmp_path), "--seeds", "3"]) == 2
    assert "--seeds cannot be given with --resume" in capsys.readouterr().err

"""`train_folds` takes data, a network and an augmentation that are given in Python, as `train` and `train_seeds` do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thumbnet
from small_runs import NUM_IMAGES, rows_of, small_config, write_small_data
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.undivided import undivided
from thumbnet.errors import ConfigError, DatasetNotFoundError, RunError
from thumbnet.runs.folds.train import resume_folds, train_folds
from thumbnet.specs import own_code


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    return small_config(write_small_data(tmp_path_factory.mktemp("data") / "data.npz"), epochs=1)


@pytest.fixture(scope="module")
def read(config: TrainConfig) -> Dataset:
    """With images held out for validation and test, otherwise than the config says."""
    return thumbnet.load_dataset(config.data, val_fraction=0.3, split_seed=7)


def folds_of(config: TrainConfig, path: Path, **arguments: Any) -> thumbnet.FoldRuns:
    return train_folds(config, num_folds=2, run_dir=path, log_style="silent", pictures=False, **arguments)


def in_memory(dataset: Dataset) -> Dataset:
    """The images of a dataset as arrays."""
    whole = undivided(dataset).train
    return thumbnet.dataset_from_arrays(
        whole.images, whole.labels, class_names=dataset.class_names, flip_keeps_labels=dataset.flip_keeps_labels
    )


def test_what_was_held_out_of_a_dataset_is_put_back(config: TrainConfig, read: Dataset) -> None:
    assert read.val is not None
    whole = undivided(read)
    everything = thumbnet.load_dataset(config.data, val_fraction=0)
    assert (whole.val, whole.test) == (None, None)
    assert len(whole.train) == NUM_IMAGES
    assert torch.equal(undivided(everything).train.images, whole.train.images)
    with np.load(config.data.removeprefix("npz:")) as arrays:
        assert whole.train.labels.tolist() == arrays["labels"].tolist()
    own = thumbnet.dataset_from_arrays(
        whole.train.images, whole.train.labels, test=(whole.train.images[:4], whole.train.labels[:4])
    )
    assert len(undivided(own).train) == NUM_IMAGES
    assert undivided(own).test is own.test


def test_a_dataset_that_was_read_before_gives_the_same_folds(
    config: TrainConfig, read: Dataset, tmp_path: Path
) -> None:
    expected = folds_of(config, tmp_path / "expected")
    for name, dataset in (("read", read), ("arrays", in_memory(read))):
        asked = config if name == "read" else config.replace(data="auto")
        done = folds_of(asked, tmp_path / name, dataset=dataset)
        for table in ("folds.csv", "predictions.csv"):
            rows = rows_of(expected.path / table)
            assert [{**row, "path": ""} for row in rows_of(done.path / table)] == [{**row, "path": ""} for row in rows]
    page = thumbnet.write_report(done.path, dataset=in_memory(read)).read_text()
    assert page.count("data:image") == thumbnet.write_report(expected.path).read_text().count("data:image") > 0
    shutil.rmtree(done.path / "fold-1")
    (done.path / "metrics.json").unlink()
    with pytest.raises(DatasetNotFoundError, match="arrays in memory"):
        resume_folds(done.path, log_style="silent", pictures=False)
    again = resume_folds(done.path, log_style="silent", pictures=False, dataset=in_memory(read))
    assert again.metrics["test_accuracy"] == expected.metrics["test_accuracy"]


def test_minutes_are_planned_for_a_dataset_that_is_given(
    read: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[Dataset] = []

    def stop(config: TrainConfig, *, dataset: Dataset, **_: object) -> None:
        planned.append(dataset)
        raise RunError("enough", hint="")

    monkeypatch.setattr("thumbnet.runs.folds.train.plan_training", stop)
    with pytest.raises(RunError, match="enough"):
        folds_of(thumbnet.load_recipe("auto", options={"data": read.source.name}), tmp_path / "run", dataset=read)
    assert (planned[0].division.folds, planned[0].division.fold, len(planned[0].test)) == (2, 0, NUM_IMAGES // 2)


def flat(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, num_classes))


def darker(images: Tensor) -> Tensor:
    return images // 2


def test_a_network_and_an_augmentation_are_those_that_are_given(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_code, "_own_module", lambda thing: None)  # as in a notebook
    monkeypatch.setattr(own_code, "_given", {})
    done = folds_of(config, tmp_path / "run", model=flat, augmentation=darker)
    assert {run.card.model for run in done.runs} == {"given:flat"}
    assert {run.config.inputs.augmentation for run in done.runs} == {"given:darker"}
    assert {run.card.num_params for run in done.runs} == {257 * 2}
    shutil.rmtree(done.path / "fold-1")
    (done.path / "metrics.json").unlink()
    del own_code._given["given:flat"]
    with pytest.raises(RunError, match="flat was given in Python"):
        resume_folds(done.path, log_style="silent", pictures=False)
    again = resume_folds(done.path, log_style="silent", pictures=False, model=flat)
    assert again.metrics["test_accuracy"] == done.metrics["test_accuracy"]


def test_a_dataset_that_cannot_be_divided_is_refused(config: TrainConfig, read: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for arguments, message in (
        ({"folds": 2, "fold": 1}, "is fold 1 of 2"),
        ({"num_train": 8}, "images were left out"),
    ):
        part = thumbnet.load_dataset(config.data, val_fraction=0.2, **arguments)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=message):
            folds_of(config, run, dataset=part)
    with pytest.raises(ConfigError, match="are not all that was divided"):
        folds_of(config, run, dataset=read.with_train(read.train.select(range(8))))
    with pytest.raises(ConfigError, match="data is 'digits'"):
        folds_of(config.replace(data="digits"), run, dataset=read)
    with pytest.raises(ConfigError, match="the dataset is of arrays"):
        folds_of(config.replace(data="auto"), run, dataset=in_memory(read), jobs=2)
    with pytest.raises(ConfigError, match="dataset is given, and data"):
        resume_folds(run, data="digits", dataset=read)
    assert not run.exists()

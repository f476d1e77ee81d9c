"""run_dir: folders are never overwritten, files come back as they were written, damage is told."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from thumbnet.data.dataset import Dataset
from thumbnet.errors import CheckpointError, ConfigError, RunError
from thumbnet.evaluation.metrics import evaluate
from thumbnet.evaluation.predictions_csv import predictions_to_csv
from thumbnet.models.registry import create_model
from thumbnet.models.weights import load_weights
from thumbnet.recipes import load_recipe
from thumbnet.runs.files.contents import weights_to_bytes
from thumbnet.runs.files.names import LOCK, check_no_part_of_a_run, is_temporary
from thumbnet.runs.known_data import KnownData
from thumbnet.runs.run import Checkpoint, RunDir, create_run_dir, load_run, open_run_dir
from thumbnet.training.fit import fit
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.progress import Silent
from thumbnet.training.state import TrainingState


def checkpoint_of(model: nn.Module) -> Checkpoint:
    record = EpochRecord(1, 0.1, 1.0, 0.5, None, None, None, None, 2.0, 25.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = TrainingState(1, model.state_dict(), optimizer.state_dict(), History((record,)))
    return Checkpoint(state, KnownData("abc", ("cat", "dog")), total_s=3.5)


def test_folders_are_numbered_and_never_taken_twice(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        with create_run_dir("quick", parent=tmp_path / "runs") as folder:
            names.append(folder.path.name)
    assert names == ["quick-1", "quick-2", "quick-3"]


def test_a_named_folder_must_be_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b"):
        with create_run_dir("quick", path) as folder:
            assert folder.path == path
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("keep me")
    with pytest.raises(RunError, match="is not empty"), create_run_dir("quick", tmp_path / "full"):
        pass
    assert (tmp_path / "full" / "precious.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("names", "or_else"),
    [
        (["precious.txt"], ""),
        (["config.toml"], ", or go on with what it holds: thumbnet train --resume '{}'"),
        (["seeds.json", "shared.toml"], ", or go on with what it holds: thumbnet train --resume '{}'"),
        (["sweep.json"], ", or go on with its sweep: thumbnet sweep --run-dir '{}' --resume"),
    ],
)
def test_a_folder_that_is_taken_says_how_to_go_on(names: list[str], or_else: str, tmp_path: Path) -> None:
    taken = tmp_path / "my run"
    taken.mkdir()
    for name in names:
        (taken / name).touch()
    with pytest.raises(RunError, match="is not empty") as caught, create_run_dir("quick", taken):
        pass
    assert caught.value.hint == f"name a new one with --run-dir{or_else.format(taken)}"
    with pytest.raises(RunError, match="is not empty") as elsewhere, create_run_dir("quick", taken, option="--out"):
        pass
    assert elsewhere.value.hint == "name a new one with --out"


def test_a_killed_sweep_is_not_begun_anew(tmp_path: Path) -> None:
    for name in (LOCK, "sweep.json"):
        (tmp_path / name).touch()
    with pytest.raises(RunError, match="is not a run folder") as caught:
        open_run_dir(tmp_path)
    assert caught.value.hint == f"it is a sweep, which goes on with: thumbnet sweep --run-dir {tmp_path} --resume"


@pytest.mark.parametrize("name", ["predictions-seed-3.csv", "sweep.db", "lessons-zeros-2-float32.npy", "code-net.py"])
def test_files_whose_names_vary_are_a_runs_own(name: str, tmp_path: Path) -> None:
    assert is_temporary(f".{name}.0123abcd.tmp")
    (tmp_path / "folds.json").touch()
    with pytest.raises(ConfigError, match="is part of the run"):
        check_no_part_of_a_run(tmp_path / name)
    assert not is_temporary(f".my-{name}.0123abcd.tmp")


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match="cannot be created"), create_run_dir("quick", path):
            pass


def test_config_comes_back_and_its_note_is_a_comment(tmp_path: Path) -> None:
    folder = RunDir(tmp_path)
    config = load_recipe("reference")
    folder.write_config(config, note="first line\nsecond line")
    assert (tmp_path / "config.toml").read_text().startswith("# first line\n# second line\n")
    assert open_run_dir(tmp_path).read_config() == config


def test_a_checkpoint_comes_back_and_loads_without_running_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12)
    written = checkpoint_of(model)
    folder = RunDir(tmp_path)
    assert folder.read_checkpoint() is None
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    folder.write_checkpoint(written)
    assert len(synced) == 1  # once an epoch: its history is in the checkpoint, too
    torch.load(tmp_path / "checkpoint-last.pt", weights_only=True)
    read = folder.read_checkpoint()
    assert read is not None
    assert (read.known_data, read.total_s, read.state.epoch) == (KnownData("abc", ("cat", "dog")), 3.5, 1)
    assert read.state.history == written.state.history
    assert all(read.state.model[name].equal(tensor) for name, tensor in written.state.model.items())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.load_state_dict(dict(read.state.optimizer))
    assert all(state["momentum_buffer"].eq(1).all() for state in optimizer.state.values())


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", "half"])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, damage: bytes | str) -> None:
    folder = RunDir(tmp_path)
    folder.write_checkpoint(checkpoint_of(create_model("resnet8", num_classes=3, image_size=12)))
    path = tmp_path / "checkpoint-last.pt"
    content = path.read_bytes()
    path.write_bytes(damage if isinstance(damage, bytes) else content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        folder.read_checkpoint()


def test_equal_weights_are_equal_bytes_in_any_memory_format(tmp_path: Path) -> None:
    for name, memory_format in (("a", torch.contiguous_format), ("b", torch.channels_last)):
        model = create_model("resnet8", seed=1).to(memory_format=memory_format)
        (tmp_path / name).write_bytes(weights_to_bytes(model.state_dict()))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_that_are_damaged_or_do_not_fit_are_told(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights_to_bytes(create_model("resnet8", num_classes=3).state_dict()))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_weights(create_model("resnet8", num_classes=4), weights)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(create_model("resnet8", num_classes=3), weights)


def test_predictions_have_a_row_for_every_image(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    fit(model, tiny_dataset, epochs=1, batch_size=16, progress=Silent())
    evaluation = evaluate(model, tiny_dataset)
    named = dataclasses.replace(tiny_dataset.test, paths=tuple(f"a,{index}.png" for index in range(45)))
    lines = predictions_to_csv(evaluation.predictions, named, tiny_dataset.class_names).splitlines()
    assert lines[0] == "index,path,label,prediction,class_name,predicted_name,probability,p_red,p_green,p_blue"
    assert len(lines) == 46
    index, path, label, prediction, class_name, predicted_name, probability, *shares = (
        lines[2].replace('"a,1.png"', "it").split(",")
    )
    assert (index, path, label, class_name) == ("1", "it", "1", "green")
    assert predicted_name == tiny_dataset.class_names[int(prediction)]
    assert float(probability) == pytest.approx(float(evaluation.predictions.confidence[1]), abs=1e-6)
    assert list(map(float, shares)) == pytest.approx(evaluation.predictions.probabilities[1].tolist(), rel=1e-4)


def test_what_is_no_finished_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        load_run(tmp_path)
    RunDir(tmp_path).write_config(load_recipe("quick"))
    with pytest.raises(RunError, match="is not finished") as caught:
        load_run(tmp_path)
    assert f"--resume {tmp_path}" in caught.value.hint
    (tmp_path / "metrics.json").write_text(json.dumps({}))
    with pytest.raises(RunError, match=r"model.json cannot be read"):
        load_run(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(RunError, match=r"model.json is damaged"):
        load_run(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(RunError, match=r"model.json is damaged"):
        load_run(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        RunDir(tmp_path / "absent").write("a.txt", "text")

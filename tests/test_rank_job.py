"""What the first process sends arrives whole: config, images in memory and on the disk, teacher, state, own code."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from thumbnet.augment import RandomCrop
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.packs.listing import images_file
from thumbnet.data.packs.pack import pack_data
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.streamed import is_streamed, streamed
from thumbnet.errors import DataError
from thumbnet.recipes import load_recipe
from thumbnet.runs import rank_job
from thumbnet.runs.rank_job import help_training, send_training
from thumbnet.runs.resolve import resolve_config
from thumbnet.specs import own_code
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.ranks import Ranks
from thumbnet.training.state import TrainingState

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes, in_channels):
        super().__init__(nn.Flatten(), nn.Linear(in_channels * 144, num_classes))
"""


class Wire(Ranks):
    """Both ends in one process: what is sent first is received then."""

    def __init__(self) -> None:
        self.rank, self.size = 0, 2
        self.sent: dict[str, Tensor] = {}
        self.images: Tensor | None = None

    def share(self, tensors: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        if tensors is not None:
            self.sent = {name: tensor.clone() for name, tensor in tensors.items()}
        return self.sent

    def take_from_first(self, values: Tensor) -> None:
        if self.images is None:
            self.images = values.clone()
        else:
            values.copy_(self.images)


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `fit_config` is called with."""
    called: dict[str, Any] = {}

    def fit(config: Any, dataset: Any, model: Any, **others: Any) -> None:
        called.update(config=config, dataset=dataset, model=model, **others)

    monkeypatch.setattr(rank_job, "fit_config", fit)
    return called


def state() -> TrainingState:
    record = EpochRecord(
        epoch=1, lr=0.1, train_loss=1.0, train_accuracy=0.5, val_loss=None, val_accuracy=None, test_loss=None,
        test_accuracy=None, train_s=1.0, images_per_s=10.0,
    )  # fmt: skip
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return TrainingState(1, {"weight": torch.arange(3.0)}, optimizer, History().appended(record), random_scheme=2)


def test_all_of_a_training_arrives(received: dict[str, Any], tiny_dataset: Dataset) -> None:
    config = resolve_config(load_recipe("quick", settings=["epochs=2", "lr=0.05"]), tiny_dataset)
    teacher = TeacherLogits(RandomCrop(2, border="reflect"), torch.rand(96, 3, 3, 3).half())
    wire = Wire()
    send_training(wire, config, tiny_dataset, teacher=teacher, state=state())
    help_training(wire)
    assert received["config"] == config
    dataset = received["dataset"]
    assert torch.equal(dataset.train.images, tiny_dataset.train.images)
    assert torch.equal(dataset.train.labels, tiny_dataset.train.labels)
    for name in ("class_names", "mean", "std", "flip_keeps_labels"):
        assert getattr(dataset, name) == getattr(tiny_dataset, name)
    assert received["teacher"].crop == teacher.crop
    assert torch.equal(received["teacher"].logits, teacher.logits)
    assert received["resume_from"].epoch == 1
    assert torch.equal(received["resume_from"].model["weight"], torch.arange(3.0))
    assert received["ranks"] is wire


def pack(split: Split, folder: Path, name: str) -> Path:
    np.savez(folder / f"{name}.npz", images=split.images.numpy(), labels=split.labels.numpy())
    return pack_data(f"npz:{folder / name}.npz", folder / name, show_progress=False).path


def sent_from_disk(dataset: Dataset, folder: Path) -> Wire:
    """The images of the pack `pack`, in the opposite order."""
    path = pack(dataset.train, folder, "pack") / images_file("train")
    order = np.arange(96)[::-1].copy()
    train = dataclasses.replace(dataset.train, images=streamed(RowFile.open(path, (96, 3, 12, 12))).at(order))
    config = resolve_config(load_recipe("quick"), dataset)
    wire = Wire()
    send_training(wire, config, dataclasses.replace(dataset, train=train), teacher=None, state=None)
    assert wire.images is None
    return wire


def test_images_on_the_disk_are_read_by_each(received: dict[str, Any], tiny_dataset: Dataset, tmp_path: Path) -> None:
    help_training(sent_from_disk(tiny_dataset, tmp_path))
    got = received["dataset"].train.images
    assert is_streamed(got)
    assert torch.equal(got[torch.arange(96)], tiny_dataset.train.images.flip(0))
    assert received["teacher"] is None
    assert received["resume_from"] is None


def replace_pack(folder: Path, dataset: Dataset) -> None:
    """By one of images of the same shape, and with the same labels."""
    other = pack(dataclasses.replace(dataset.train, images=dataset.train.images.flip(3)), folder, "other")
    shutil.rmtree(folder / "pack")
    other.rename(folder / "pack")


def damage_images(folder: Path, _: Dataset) -> None:
    path = folder / "pack" / images_file("train")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def remove_pack(folder: Path, _: Dataset) -> None:
    shutil.rmtree(folder / "pack")


@pytest.mark.parametrize(
    ("change", "message"),
    [(replace_pack, "has other images here"), (damage_images, "is damaged"), (remove_pack, "there is no folder")],
)
def test_other_images_on_the_disk_of_another_machine_are_refused(
    change: Callable[[Path, Dataset], None],
    message: str,
    received: dict[str, Any],
    tiny_dataset: Dataset,
    tmp_path: Path,
) -> None:
    wire = sent_from_disk(tiny_dataset, tmp_path)
    change(tmp_path, tiny_dataset)
    with pytest.raises(DataError, match=message) as caught:
        help_training(wire)
    assert "to the same path" in caught.value.hint
    assert not received


def test_own_code_needs_no_file_at_the_other_end(
    received: dict[str, Any], tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET)
    config = load_recipe("quick", settings=[f"model={path}:Net", "val_fraction=0.1"])
    config = resolve_config(config, tiny_dataset)
    wire = Wire()
    send_training(wire, config, tiny_dataset, teacher=None, state=None)
    path.unlink()
    monkeypatch.setattr(own_code, "_executed", {})
    help_training(wire)
    assert type(received["model"]).__name__ == "Net"

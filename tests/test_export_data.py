"""What an export needs to know of the data: measured at the end of a training, kept whole, refused where it is not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from thumbnet.data.dataset import Dataset
from thumbnet.errors import RunError
from thumbnet.evaluation.export_data import collect_export_data
from thumbnet.models.blocknet import architecture_of_model
from thumbnet.models.export_data import (
    EXPORT_DATA_FORMAT,
    ExportData,
    Range,
    calibration_order,
    export_data_from_bytes,
    export_data_to_bytes,
    sample_positions,
)
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.program import fold
from thumbnet.models.program_numpy import run_program
from thumbnet.models.registry import create_model
from thumbnet.models.resnet8 import ResNet8
from thumbnet.models.sprint import SprintNet
from thumbnet.runs.files.names import EXPORT_DATA
from thumbnet.runs.run import load_run
from thumbnet.runs.shippable import load_shippable
from thumbnet.trained.shippable import load_pretrained_shippable


def test_ranges_are_those_of_the_maps_on_training_images(tiny_dataset: Dataset) -> None:
    model = create_model("sprint", num_classes=3, seed=0, blocks="b8 c8p").eval()
    found = collect_export_data(model, tiny_dataset)
    assert found.ranges is not None
    assert found.num_images == len(tiny_dataset.train) == 96
    chosen = tiny_dataset.train.images[torch.from_numpy(calibration_order(len(tiny_dataset.train))[:1000])].numpy()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    program = fold(
        model.architecture,  # type: ignore[arg-type]
        weights,
        image_shape=tiny_dataset.image_shape,
        mean=tiny_dataset.mean,
        std=tiny_dataset.std,
    )
    maps = run_program(program, chosen).maps
    last = found.ranges["blocks.1.after"]
    np.testing.assert_allclose(last.low, maps.min(axis=(0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(last.high, maps.max(axis=(0, 1, 2)), atol=1e-5)
    assert set(found.ranges) == {
        "stem", "blocks.0.pointwise", "blocks.0.before", "blocks.0.after", "blocks.1.before", "blocks.1.after",
    }  # fmt: skip
    assert (found.ranges["stem"].low >= 0).all()
    np.testing.assert_array_equal(
        found.samples.images, tiny_dataset.test.images[torch.from_numpy(found.samples.positions)].numpy()
    )


class Doubled(SprintNet):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(images)


@pytest.mark.parametrize("model_class", [ResNet8, Doubled])
def test_other_networks_have_samples_only(model_class: type[nn.Module], tiny_dataset: Dataset) -> None:
    model = model_class(num_classes=3)
    found = collect_export_data(model, tiny_dataset)
    assert architecture_of_model(model) is None
    assert found.ranges is None
    assert len(found.samples.labels) == 20


def test_samples_are_of_all_classes_in_turn() -> None:
    labels = np.array([2, 2, 0, 1, 0, 2, 0])
    assert sample_positions(labels).tolist() == [2, 3, 0, 4, 1, 6, 5]
    assert sample_positions(labels, num_samples=3).tolist() == [2, 3, 0]


@pytest.mark.parametrize("name", list_pretrained())
def test_it_is_read_back_as_it_was_written(name: str) -> None:
    data = load_pretrained_shippable(name).export_data
    assert data is not None
    assert data.ranges is not None
    content = export_data_to_bytes(data)
    again = export_data_from_bytes(content, name="it")
    assert export_data_to_bytes(again) == content
    assert again.num_images == data.num_images == 1000
    assert again.ranges is not None
    assert again.ranges.keys() == data.ranges.keys()
    np.testing.assert_array_equal(again.samples.images, data.samples.images)


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 20])
def test_what_is_no_export_data_is_refused(content: bytes) -> None:
    with pytest.raises(RunError, match="file-x is damaged"):
        export_data_from_bytes(content, name="file-x")


def test_a_later_format_is_refused() -> None:
    data = load_pretrained_shippable("sprint").export_data
    assert data is not None
    old, new = (f'\\"format\\": {number}'.encode() for number in (EXPORT_DATA_FORMAT, EXPORT_DATA_FORMAT + 1))
    content = export_data_to_bytes(data)
    assert old in content
    with pytest.raises(RunError, match="later version"):
        export_data_from_bytes(content.replace(old, new), name="x")


def test_a_finished_run_keeps_it(small_run: Path) -> None:
    shippable = load_shippable(small_run)
    assert shippable.name == small_run.name
    assert shippable.program is not None
    assert shippable.export_data is not None
    assert shippable.card.metrics is not None
    assert shippable.card.metrics["test_accuracy"] == load_run(small_run).metrics["test_accuracy"]
    assert shippable.card.architecture == load_run(small_run).model.architecture


def test_a_damaged_file_of_a_run_is_refused(small_run: Path, tmp_path: Path) -> None:
    path = shutil.copytree(small_run, tmp_path / "run")
    (path / EXPORT_DATA).write_bytes((path / EXPORT_DATA).read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="damaged or changed"):
        load_shippable(path)


def _without(data: ExportData, name: str) -> ExportData:
    assert data.ranges is not None
    return replace(data, ranges={key: value for key, value in data.ranges.items() if key != name})


def _with(data: ExportData, name: str, low: float, high: float) -> ExportData:
    assert data.ranges is not None
    old = data.ranges[name]
    changed = Range(np.full_like(old.low, low), np.full_like(old.high, high))
    return replace(data, ranges={**data.ranges, name: changed})


def test_export_data_of_another_model_is_refused() -> None:
    shippable = load_pretrained_shippable("thumb-20k")
    data = shippable.export_data
    assert data is not None
    labels = replace(data.samples, labels=data.samples.labels + 10)
    sides = replace(data.samples, images=data.samples.images[:, :, 1:])
    for wrong, reason in (
        (_without(data, "blocks.3.pointwise"), "no ranges of blocks.3.pointwise for 48 channels"),
        (_with(data, "stem", 1, 0), "the ranges of stem are none"),
        (_with(data, "stem", 0, np.nan), "the ranges of stem are none"),
        (replace(data, samples=labels), "no class"),
        (replace(data, samples=sides), "not uint8 of"),
    ):
        with pytest.raises(RunError, match=reason):
            shippable.with_export_data(wrong, name="x")

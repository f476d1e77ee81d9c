"""Networks that are no networks of blocks go to ONNX through PyTorch's exporter, with the same check and metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import thumbnet
from small_runs import small_config, write_small_data
from thumbnet.errors import ExportError
from thumbnet.export.onnx.reading import load_onnx
from thumbnet.runs.run import load_run
from thumbnet.runs.train import train

pytestmark = pytest.mark.usefixtures("own_things")


class Flat(nn.Module):
    """A user's module: dropout, a norm, and a branch on the images' shape."""

    def __init__(self, *, num_classes: int, in_channels: int, trait: str = "") -> None:
        super().__init__()
        self.trait = trait
        self.norm = nn.BatchNorm2d(in_channels)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(in_channels * 16, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(images)
        if maps.shape[2] > 4:
            maps = nn.functional.adaptive_avg_pool2d(maps, 4)
        if self.trait == "bessel":
            maps = torch.special.bessel_j0(maps)
        if self.trait == "counts":
            maps = maps.reshape(len(maps.tolist()), -1)
        logits: Tensor = self.head(self.dropout(maps.flatten(1)))
        return 20 * (logits - logits.mean(0)) if self.trait == "batch" else logits


def flat_run(folder: Path, **options: Any) -> Path:
    thumbnet.register_model("flat", Flat)
    config = small_config(write_small_data(folder / "data.npz"), model="flat", model_options=options)
    return train(config, run_dir=folder / "run", log_style="silent", pictures=False).path


def test_a_users_module(tmp_path: Path) -> None:
    run = flat_run(tmp_path)
    results = [thumbnet.export_model(run, "onnx", out=tmp_path / f"{index}.onnx") for index in range(2)]
    assert results[0].path.read_bytes() == results[1].path.read_bytes()
    assert str(tmp_path).encode() not in results[0].path.read_bytes()
    assert str(Path(thumbnet.__file__).parent).encode() not in results[0].path.read_bytes()
    assert [check.agreement for check in results[0].checks] == [1, 1]
    model = onnx.load(results[0].path)
    assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (8, 17, "thumbnet")
    predictor = load_onnx(results[0].path)
    card, classify = predictor.card, predictor.logits_of
    own = load_run(run).card
    assert card == replace(own, data="npz:data.npz", data_description="npz:data.npz")
    for size in (1, 5):
        assert classify(torch.zeros(size, *card.image_shape, dtype=torch.uint8).numpy()).shape == (size, 2)


def test_what_onnx_has_no_operator_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"PyTorch's exporter cannot write flat: .*bessel"):
        thumbnet.export_model(flat_run(tmp_path, trait="bessel"), "onnx", out=tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("trait", "message"), [("batch", "for one image than for a batch"), ("counts", "ONNX Runtime cannot run the file")]
)
def test_a_network_that_depends_on_the_number_of_images_is_refused(trait: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        thumbnet.export_model(flat_run(tmp_path, trait=trait), "onnx", out=tmp_path / "model.onnx")
    assert "let nothing in it depend on the number of images" in caught.value.hint
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(("model", "side"), [("resnet8", 16), ("dilated", 32), ("dilated-fixed", 16)])
def test_networks_of_the_package(model: str, side: int, tmp_path: Path) -> None:
    data = write_small_data(tmp_path / "data.npz")
    with np.load(data) as small:
        images = small["images"].repeat(side // 16, axis=1).repeat(side // 16, axis=2)
        np.savez(data, images=images, labels=small["labels"])
    config = small_config(data, model=model, model_options={})
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False).path
    result = thumbnet.export_model(run, "onnx", out=tmp_path / "model.onnx")
    assert result.checks[-1].max_difference < 1e-5

"""The fast parts: sprint's whitening, progressive resizing, dropout masks, depthwise products."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fitting import fit_flat
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.models.blocks import Conv2d, Dropout, sample_positions
from thumbnet.models.registry import create_model, num_params
from thumbnet.models.sprint import SprintLongNet, SprintNet
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.training.inputs import resize


def test_sprint_whitens_patches() -> None:
    model = create_model("sprint", seed=0)
    assert isinstance(model, SprintNet)
    assert num_params(model) == 194_464
    images = torch.randn(500, 3, 16, 16) @ torch.randn(16, 16)  # neighbours depend on each other
    model.init_from_data(images)
    with torch.no_grad():
        maps = model.whiten(images)[:, :12, ::2, ::2].transpose(0, 1).flatten(1)
    torch.testing.assert_close(maps @ maps.T / maps.shape[1], torch.eye(12), atol=0.05, rtol=0)
    torch.testing.assert_close(model.whiten.weight[:12], -model.whiten.weight[12:])


def test_sprint_long_adds_a_blocks_input_where_the_shape_stays() -> None:
    model = create_model("sprint-long", seed=0).eval()
    assert isinstance(model, SprintLongNet)
    assert num_params(model) == 190_752
    maps = torch.randn(2, 48, 7, 7)
    with torch.no_grad():
        for block in model.blocks:
            block.conv.weight.zero_()  # what it changes is now nothing, since SiLU(0) is 0
        torch.testing.assert_close(model.blocks[3](maps), maps)
        assert not model.blocks[7](maps).any()  # widens and pools
        assert not model.blocks[0](torch.randn(2, 24, 7, 7)).any()  # the first one has none
        assert model.blocks[:8](model.whiten(torch.randn(2, 3, 32, 32))).shape == (2, 64, 8, 8)  # 33, 16 and 8 pixels


def test_sprint_trains_with_muon_and_growing_images(tiny_dataset: Dataset) -> None:
    model = create_model("sprint", num_classes=tiny_dataset.num_classes, in_channels=tiny_dataset.num_channels, seed=0)
    sides = []
    model.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    history = fit_flat(
        model, tiny_dataset, epochs=6, batch_size=32, optimizer="muon", lr=0.1, momentum=0.6, bias_lr=0.05,
        bias_momentum=0.85, head_lr=0.5, scales=(0.5, 1.0), scale_starts=(0.0, 0.5),
    ).history  # fmt: skip
    assert history[-1].train_loss < history[0].train_loss
    full = tiny_dataset.image_shape[2]
    assert sides[0] == max(min(full, 16), round(full / 2))
    assert sides[-1] == full


def test_images_are_resized_where_no_integers_can_be() -> None:
    elsewhere = torch.empty(2, 3, 32, 30, dtype=torch.uint8, device="meta")
    resized = resize(elsewhere, (16, 20))
    assert (resized.dtype, resized.shape, resized.device.type) == (torch.uint8, (2, 3, 16, 20), "meta")


@pytest.mark.parametrize(
    ("scales", "starts"), [((), ()), ((1.0,), (0.0, 0.5)), ((1.0, 0.5), (0.0, 0.5)), ((0.5,), (0.0,)), ((1.0,), (0.5,))]
)
def test_a_growth_that_does_not_end_at_the_full_size_is_refused(
    scales: tuple[float, ...], starts: tuple[float, ...]
) -> None:
    with pytest.raises(ConfigError):
        ProgressiveResizing(scales, starts)


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_dropout_masks_are_fresh_independent_and_of_the_rate(p: float) -> None:
    torch.manual_seed(0)
    dropout = Dropout(p)
    ones = torch.ones(16_000_000)
    first, second = (dropout(ones) == 0 for _ in range(2))
    for mask in (first, second):
        assert mask.double().mean().item() == pytest.approx(p, abs=0.0005)
        assert (mask[1:] & mask[:-1]).double().mean().item() == pytest.approx(p * p, abs=0.0005)
    assert (first & second).double().mean().item() == pytest.approx(p * p, abs=0.0005)
    assert dropout.eval()(ones) is ones


def test_dropout_passes_gradients_where_it_kept_whatever_the_layout() -> None:
    maps = torch.randn(4, 8, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    result = Dropout(0.3)(maps)
    result.backward(torch.ones(4, 8, 6, 6))
    assert maps.grad is not None
    torch.testing.assert_close(result, maps * maps.grad)
    kept = maps.grad[maps.grad != 0]
    assert 0 < len(kept) < maps.numel()
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.7))


def test_positions_reach_the_end() -> None:
    positions = torch.cat([sample_positions(50, 0.1) for _ in range(2_000)])
    assert positions.max() == 49
    assert positions.min() == 0


def test_a_depthwise_1x1_convolution_trains_as_the_product_it_is() -> None:
    conv = Conv2d(6, 6, 1, padding=1, groups=6, bias=False)
    maps = torch.randn(2, 6, 5, 5, requires_grad=True)
    ours = conv(maps)
    theirs = F.conv2d(maps, conv.weight, padding=1, groups=6)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    for mine, other in zip(
        *(torch.autograd.grad((y * weights).sum(), [maps, conv.weight]) for y in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(mine, other)
    assert isinstance(conv, nn.Conv2d)


def test_dropout_of_maps_with_gaps_in_memory() -> None:
    maps = torch.randn(40, 8, 6, 6)[:, ::2].transpose(2, 3).requires_grad_()
    result = Dropout(0.3)(maps)
    result.sum().backward()
    assert maps.grad is not None
    torch.testing.assert_close(result, maps * maps.grad)


def test_growth_keeps_small_images_and_begins_where_told() -> None:
    growth = ProgressiveResizing((0.5, 0.75, 1.0), (0.0, 0.4, 0.9))
    assert [growth.sides((48, 32), step, 10) for step in (0, 3, 4, 8, 9)] == [
        (24, 16), (24, 16), (36, 24), (36, 24), (48, 32),
    ]  # fmt: skip
    assert growth.sides((8, 8), 0, 10) == (8, 8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_and_the_compiled_model_are_used(
    precision: str, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("sprint", num_classes=tiny_dataset.num_classes, in_channels=tiny_dataset.num_channels, seed=0)
    kinds = set()

    def compiled(inner: nn.Module) -> nn.Module:
        inner.blocks.register_forward_hook(lambda _module, _inputs, output: kinds.add(str(output.dtype)))  # type: ignore[union-attr]
        return inner

    monkeypatch.setattr(torch, "compile", compiled)
    fit_flat(model, tiny_dataset, lr=0.01, precision=precision)
    assert not kinds
    fit_flat(model, tiny_dataset, lr=0.01, precision=precision, compiled=True)
    assert kinds == {f"torch.{precision}"}

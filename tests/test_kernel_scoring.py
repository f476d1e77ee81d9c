"""kernels: a model scores through them as by PyTorch's layers in double precision, where they are at hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from fitting import fit_flat
from kernel_builds import BUILDS, FLAGS
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.kernels import convolution_choice, library
from thumbnet.kernels.block_support import MIN_SCORED
from thumbnet.kernels.choice import using_kernels
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.images import normalised
from thumbnet.kernels.library import forget_kernels, kernels_at_hand, load_kernels
from thumbnet.kernels.precompiled import fitting_target
from thumbnet.kernels.scoring import MIN_IMAGES, remember_kernels, scoring
from thumbnet.models.registry import create_model

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")


@pytest.fixture(autouse=True)
def every_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """By our kernels, also where PyTorch's are faster."""
    monkeypatch.setattr(convolution_choice, "is_taken", lambda maps, weight, **geometry: True)


def trained(name: str, **options: object) -> nn.Module:
    """A network with weights and running statistics unlike those it begins with."""
    model = create_model(name, num_classes=5, seed=0, **options)
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.to(memory_format=torch.channels_last).eval()


def error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("sprint", {}, 16),
        ("sprint", {}, 21),
        ("sprint-long", {"blocks": "b16 b24p b24 c32p c32d2"}, 15),
        ("thumb-20k", {}, 16),
        ("dilated", {}, 32),
        ("resnet8", {}, 16),
    ],
)
def test_logits_are_those_of_double_precision(
    name: str, options: dict[str, object], side: int, dtype: torch.dtype, flags: tuple[str, ...]
) -> None:
    model = trained(name, **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.randn(6, 3, side, side)
    expected = copy.deepcopy(model).double()(images.double()).detach()
    with (
        using_kernels(model, load_kernels(flags)),
        torch.inference_mode(),
        torch.autocast("cpu", dtype, enabled=dtype != torch.float32),
    ):
        found = model(images)
    assert error(found, expected) < (1e-5 if dtype == torch.float32 else 3e-2)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), f"{key} was changed by scoring"


def test_blocks_are_fused_and_each_image_is_scored_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = trained("sprint"), torch.randn(6, 3, 32, 32)
    with using_kernels(model, load_kernels(FLAGS)), torch.inference_mode():
        with monkeypatch.context() as patch:
            for layer in ("conv2d", "batch_norm", "silu"):
                patch.setattr(F, layer, lambda *_, **__: pytest.fail("PyTorch's layer was taken"))
            together = model(images)
        others = model(torch.cat([images[:2], torch.randn(30, 3, 32, 32)]))[:2]
    torch.testing.assert_close(others, together[:2], rtol=1e-5, atol=1e-5)


def test_what_is_differentiated_goes_through_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for saliency, and for a body whose norms are frozen: the kernels have no gradient of scoring."""
    model, images = trained("sprint", blocks="c16s c24p"), torch.randn(4, 3, 16, 16, requires_grad=True)
    expected = copy.deepcopy(model)(images)
    with using_kernels(model, load_kernels(FLAGS)):
        found = model(images)
    (of_images,) = torch.autograd.grad(found.sum(), images)
    (of_expected,) = torch.autograd.grad(expected.sum(), images)
    torch.testing.assert_close(of_images, of_expected, rtol=1e-4, atol=1e-5)


def counted_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of PyTorch's norms are called from now on."""
    calls: list[str] = []
    by_pytorch = F.batch_norm

    def counted(*arguments: object, **named: object) -> object:
        calls.append("batch_norm")
        return by_pytorch(*arguments, **named)

    monkeypatch.setattr(F, "batch_norm", counted)
    return calls


def scored(model: nn.Module, number: int) -> Tensor:
    images = torch.arange(number * 3 * 32 * 32).remainder(251).to(torch.uint8).view(number, 3, 32, 32)
    return predict_logits(model, images, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def test_predictions_take_them_where_they_are_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    load_kernels()
    model = trained("sprint")
    by_kernels = scored(model, MIN_IMAGES)
    calls = counted_calls(monkeypatch)
    scored(model, MIN_IMAGES)
    assert not calls
    scored(model, MIN_IMAGES - 1)
    assert calls, "a few images do not pay for it"
    calls.clear()
    remember_kernels(model, "pytorch")
    by_pytorch = scored(model, MIN_IMAGES)
    assert calls, "the run was to take PyTorch's"
    assert error(by_kernels, by_pytorch) < 1e-5
    assert all(block.kernels is None for block in model.blocks), "only while it scores"


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_normalised_as_by_pytorch(channels: int) -> None:
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels]
    images = torch.randint(0, 256, (5, channels, 9, 12), dtype=torch.uint8).flip(3)
    found = normalised(load_kernels(), images, mean, std)
    assert torch.equal(found, normalise(images, mean, std))
    assert found.stride() == normalise(images, mean, std).stride()


def test_nothing_is_compiled_to_score(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "open_cache", lambda: tmp_path)  # as on the first day
    monkeypatch.setattr(library, "installed_target", lambda: None)
    monkeypatch.setattr(library, "compile_kernels", lambda *_: pytest.fail("compiled"))
    forget_kernels()
    try:
        assert kernels_at_hand() is None
        assert scored(trained("sprint"), MIN_IMAGES).isfinite().all()
    finally:
        forget_kernels()


def test_those_of_a_training_are_at_hand_without_a_folder_to_keep_them_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "installed_target", lambda: None)
    forget_kernels()
    loaded = load_kernels()
    monkeypatch.setattr(library, "find_library", lambda *_: None)
    assert kernels_at_hand() is loaded


@pytest.mark.parametrize("kernels", ["native", "pytorch"])
def test_a_training_scores_by_what_it_trains_by(
    kernels: str, monkeypatch: pytest.MonkeyPatch, tiny_dataset: Dataset
) -> None:
    monkeypatch.setattr("thumbnet.kernels.scoring.MIN_IMAGES", 1)
    calls = counted_calls(monkeypatch)
    model = create_model("sprint-long", seed=0, num_classes=3, blocks="b32 b48p")
    fit_flat(model, tiny_dataset, epochs=1, batch_size=32, lr=0.01, kernels=kernels, score=("val",))
    assert bool(calls) == (kernels == "pytorch")
    calls.clear()
    scored(model, MIN_IMAGES)
    assert bool(calls) == (kernels == "pytorch")


def test_several_threads_score_one_model() -> None:
    load_kernels()
    model = trained("sprint")
    expected = scored(model, 120)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda number: scored(model, number), [120, 60, 120, 50, 70, 120, 60, 50] * 3):
            torch.testing.assert_close(found, expected[: len(found)], rtol=1e-5, atol=1e-5)
    assert all(block.kernels is None for block in model.blocks), "only while it scores"
    copy.deepcopy(model)


@pytest.mark.parametrize("wrap", [nn.Sequential, lambda model: torch.compile(model, backend="eager")])
def test_what_stands_around_a_model_is_respected(wrap: Callable[[nn.Module], nn.Module]) -> None:
    load_kernels()
    model = trained("sprint")
    if wrap is nn.Sequential:
        remember_kernels(model, "pytorch")
    with scoring(wrap(model), num_images=MIN_IMAGES) as kernels:
        assert kernels is None


def test_a_mode_sees_every_operation() -> None:
    load_kernels()
    model, images = trained("sprint"), torch.zeros(MIN_IMAGES, 3, 32, 32, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        predict_logits(model, images, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert counter.get_total_flops() > MIN_IMAGES * 1e6


def test_what_is_hooked_to_a_block_is_called() -> None:
    load_kernels()
    model, seen = trained("sprint"), []
    for block in model.blocks:
        block.depthwise.register_forward_hook(lambda *_: seen.append(1))
    scored(model, MIN_IMAGES)
    assert len(seen) == len(model.blocks)


def test_huge_images_stay_with_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained("sprint", blocks="c16s c24p")
    calls = counted_calls(monkeypatch)
    with using_kernels(model, load_kernels(FLAGS)), torch.inference_mode():
        model(torch.randn(MIN_SCORED, 3, 16, 16))
        assert not calls
        model(torch.randn(MIN_SCORED - 1, 3, 16, 16))
        assert len(calls) == 2


def test_a_wheel_that_cannot_be_used_hides_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_kernels()
    if loaded.target is not None:
        pytest.skip("these are the wheel's")
    forget_kernels()
    loaded = load_kernels()
    target = fitting_target()
    monkeypatch.setattr(library, "installed_target", lambda: target)
    monkeypatch.setattr(library, "find_precompiled", lambda _: (_ for _ in ()).throw(ConfigError("damaged")))
    assert kernels_at_hand() is loaded


def test_kernels_within_others_are_given_back() -> None:
    model, kernels = trained("sprint"), load_kernels(FLAGS)
    with using_kernels(model, kernels):
        with using_kernels(model, None):
            assert all(block.kernels is None for block in model.blocks)
        assert all(block.kernels is kernels for block in model.blocks)
    assert all(block.kernels is None for block in model.blocks)

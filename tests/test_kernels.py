"""kernels: fused blocks give what PyTorch has in double precision, forwards and backwards; whose are taken is told."""

from __future__ import annotations

import copy
import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitting import fit_flat
from kernel_builds import BUILDS, FLAGS
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.kernels import convolution_choice
from thumbnet.kernels.block_support import supports_norm, supports_separable
from thumbnet.kernels.blocks import fused_norm
from thumbnet.kernels.choice import describe_kernels, pick_kernels, runs_fully_fused, using_kernels
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.library import load_kernels
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.registry import create_model
from thumbnet.training.device import has_bfloat16_convolutions, pick_precision

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
MUON = {"optimizer": "muon", "lr": 0.05, "bias_lr": 0.05, "bias_momentum": 0.8, "head_lr": 0.5, "momentum": 0.6}


@pytest.fixture(autouse=True, scope="module")
def two_threads() -> object:
    """So that sums over threads are taken."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def every_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """By our kernels, also where PyTorch's are faster."""
    monkeypatch.setattr(convolution_choice, "is_taken", lambda maps, weight, **geometry: True)


def copy_of(block: nn.Module) -> nn.Module:
    """A copy with the same kernels, which cannot be copied."""
    kernels, block.kernels = block.kernels, None
    copied = copy.deepcopy(block)
    copied.kernels = block.kernels = kernels
    return copied


def block_of(blocks: str, index: int, in_channels: int) -> nn.Module:
    """One block of a network, with weights and statistics unlike those it begins with."""
    torch.manual_seed(0)
    block = BlockNet(blocks=f"c{in_channels} {blocks}").blocks[index]
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    nn.init.uniform_(block.norm.weight, 0.5, 1.5)
    return block.to(memory_format=torch.channels_last).train()


def step(block: nn.Module, maps: Tensor, gradient: Tensor) -> list[Tensor]:
    """A block's result, all its gradients and its running statistics."""
    maps = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    result = block(maps)
    result.backward(gradient.to(result.dtype))
    gradients = [parameter.grad for parameter in block.parameters()]
    return [result.detach(), maps.grad, *gradients, block.norm.running_mean, block.norm.running_var]


@contextmanager
def monkeypatched_conv2d() -> Iterator[None]:
    """While this lasts, PyTorch's convolution fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "conv2d", lambda *_: pytest.fail("PyTorch's convolution was taken"))
        yield


def error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-6))


@needs_compiler
@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("block", "in_channels", "height", "width"),
    [
        ("b48", 48, 16, 16), ("b48p", 32, 33, 33), ("b96p", 64, 7, 9), ("b128", 16, 5, 1), ("b80", 80, 1, 2),
        ("b112", 96, 3, 4), ("b128p", 96, 6, 7), ("c48", 48, 8, 8), ("c32p", 16, 9, 7), ("c16s", 16, 8, 8),
        ("b8", 8, 5, 5), ("b24p", 8, 7, 6), ("b24", 24, 4, 3), ("b104", 104, 3, 4), ("b104p", 24, 6, 5),
        ("b40d2", 56, 9, 4),
        ("c8", 8, 6, 5), ("c24p", 24, 9, 7), ("c104", 104, 3, 3), ("c104p", 16, 4, 6),
        ("b32s", 16, 8, 8), ("b48d2", 48, 16, 16), ("b64pd3", 32, 9, 7), ("b32d3", 32, 2, 5),
        ("c48", 16, 33, 33), ("c16", 16, 6, 3), ("c64p", 32, 6, 6), ("c80", 48, 2, 2), ("c32p", 8, 16, 12),
        ("c32d2", 32, 9, 8), ("c48pd3", 20, 7, 11), ("c16", 48, 1, 4),
    ],
)  # fmt: skip
def test_a_block_is_as_in_double_precision(
    block: str, in_channels: int, height: int, width: int, dtype: torch.dtype, flags: tuple[str, ...]
) -> None:
    ours = block_of(block, 1, in_channels)
    theirs = copy.deepcopy(ours).double()
    maps = torch.randn(5, in_channels, height, width).to(dtype).contiguous(memory_format=torch.channels_last)
    expected = theirs(maps.double())
    gradient = torch.randn_like(expected).to(dtype)
    ours.kernels = load_kernels(flags)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        found = step(ours, maps, gradient)
    assert found[0].dtype == dtype
    theirs.norm.reset_running_stats()
    most = 2e-5 if dtype == torch.float32 else 3e-2
    if dtype == torch.bfloat16 and block.startswith("c") and "p" in block:
        most = 0.1  # where rounding decides which of four pixels is the largest, their gradient goes elsewhere
    for one, other in zip(found, step(theirs, maps.double(), gradient.double()), strict=True):
        assert one.shape == other.shape
        assert error(one.detach(), other.detach()) < most
    assert int(ours.norm.num_batches_tracked) == 1


@needs_compiler
@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels", [8, 24, 104])
def test_nothing_is_written_past_the_end(channels: int, dtype: torch.dtype, flags: tuple[str, ...]) -> None:
    """Whatever the kernels write lies in the middle of some memory, whose ends stay as they are."""
    written: list[Tensor] = []

    def pointer_to(size: int, dtype: torch.dtype = torch.float32) -> int:
        written.append(torch.full((size + 128,), 77, dtype=dtype))
        written[-1][64 : size + 64] = 0
        return written[-1][64:].data_ptr()

    n, h, w, inputs = 2, 5, 6, 40
    maps, pooled, of_inputs = (n * h * w * channels, n * (h // 2) * (w // 2) * channels, n * h * w * inputs)
    statistics = [pointer_to(channels) for _ in range(4)]
    saved, momentum, epsilon = pointer_to(4 * channels), 0.1, 1e-5
    t, x = pointer_to(maps, dtype), pointer_to(of_inputs, dtype)
    gradients = pointer_to(channels), pointer_to(channels)
    by_input, by_tap = pointer_to(inputs * channels), pointer_to(9 * channels)
    library, is_bfloat16 = load_kernels(flags), int(dtype == torch.bfloat16)
    for size in (maps, pooled):
        largest = pointer_to(size, torch.uint8) if size == pooled else None
        z, y, mixed = pointer_to(size, dtype), pointer_to(size, dtype), pointer_to(maps, dtype)
        forward = *statistics, momentum, epsilon
        sizes = is_bfloat16, n, h, w
        for scores in (0, 1):
            library.thumbnet_norm_forward(
                t, None, *forward, y if scores else z, largest, y, saved, *sizes, channels, scores, 2
            )
        library.thumbnet_norm_backward(y, z, largest, saved, t, *gradients, *sizes, channels, 2)
        sizes = *sizes, inputs, channels, 1, 0
        library.thumbnet_separable_forward(x, by_input, by_tap, *forward, None, y, largest, y, saved, *sizes, 1, 2)
        library.thumbnet_separable_forward(x, by_input, by_tap, *forward, mixed, z, largest, y, saved, *sizes, 0, 2)
        weights, results = (by_input, by_tap, saved), (x, by_input, by_tap, *gradients)
        library.thumbnet_separable_backward(y, x, mixed, z, largest, *weights, *results, *sizes, 2)
    for memory in written:
        assert (memory[:64] == 77).all()
        assert (memory[-64:] == 77).all()


@needs_compiler
@pytest.mark.parametrize("word", ["b48", "c48"])
def test_most_blocks_are_fused_and_not_only_beside_them(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block = block_of(word, 1, 48)
    block.kernels = load_kernels(FLAGS)
    monkeypatch.setattr(F, "conv2d", lambda *_: pytest.fail("PyTorch's convolution was taken"))
    assert block(torch.randn(2, 48, 4, 4)).shape == (2, 48, 4, 4)


@needs_compiler
@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("blocks", "padding", "height", "width", "in_channels"),
    [("c32s c16", 0, 32, 32, 3), ("c16s", 1, 32, 31, 3), ("c48s c24s", 0, 11, 14, 1), ("c24s", 1, 3, 4, 5)],
)
def test_the_beginning_of_a_network_is_as_in_double_precision(
    blocks: str, padding: int, height: int, width: int, in_channels: int, dtype: torch.dtype, flags: tuple[str, ...]
) -> None:
    """Whitening, ReLU and the first, strided block are one function, so nothing of them may call PyTorch's."""
    torch.manual_seed(0)
    options = {"whiten_padding": padding, "has_shortcuts": False}
    ours = type("Net", (BlockNet,), options)(blocks=blocks, in_channels=in_channels).train()
    ours.init_from_data(torch.randn(50, in_channels, 16, 16))
    for parameter in ours.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    theirs = copy.deepcopy(ours).double()
    for block in ours.blocks:
        block.kernels = load_kernels(flags)
    images = torch.randn(5, in_channels, height, width)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32), monkeypatched_conv2d():
        logits = ours(images)
    expected = theirs(images.double())
    gradient = torch.randn_like(expected)
    logits.backward(gradient.to(logits.dtype))
    expected.backward(gradient)
    most = 1e-4 if dtype == torch.float32 else 5e-2
    assert error(logits.detach(), expected.detach()) < most
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or error(one.grad, other.grad) < most
    for one, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert error(one.detach(), other.detach()) < most


def test_what_they_cannot_do_is_left_to_pytorch() -> None:
    maps, norm = torch.randn(2, 20, 4, 4, requires_grad=True), nn.BatchNorm2d(32)
    pointwise, depthwise = (
        nn.Conv2d(20, 32, 1, bias=False), nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False),
    )  # fmt: skip
    layers = pointwise, depthwise, norm
    assert not supports_separable(maps, *layers, pools=False, has_shortcut=False)  # whose gradient has 20 channels
    assert supports_separable(maps.detach(), *layers, pools=False, has_shortcut=False)
    assert not supports_separable(maps.detach(), *layers, pools=False, has_shortcut=True)  # 20 channels and 32
    mixed = torch.randn(2, 32, 4, 4)
    assert supports_norm(mixed, norm, pools=False)
    assert supports_norm(mixed, norm, pools=True, shortcut=torch.randn(2, 32, 2, 2))
    assert not supports_norm(mixed, norm, pools=True, shortcut=mixed)
    assert not supports_norm(mixed, nn.BatchNorm2d(20), pools=False)
    assert not supports_norm(torch.randn(2, 20, 4, 4), nn.BatchNorm2d(20), pools=False)
    assert not supports_norm(mixed[:1, :, :2, :2], norm, pools=True)  # one value has no deviation
    assert supports_norm(mixed[:1, :, :2, :2], norm, pools=False)
    assert not supports_norm(mixed.to("meta"), norm, pools=False)
    for shape in (2**31, 32, 1, 1), (1, 32, 2**14, 2**13):  # an int would overflow
        assert not supports_norm(torch.empty(1).expand(shape), norm, pools=False)


@needs_compiler
@pytest.mark.parametrize("blocks", ["b32 b48p b48", "c16p c16 c20", "b20 b24p"])
def test_training_is_the_same_but_for_rounding(blocks: str, tiny_dataset: Dataset) -> None:
    losses = {}
    for kernels in ("native", "pytorch"):
        model = create_model("sprint-long", seed=0, num_classes=3, blocks=blocks)
        result = fit_flat(model, tiny_dataset, epochs=3, batch_size=32, **MUON, kernels=kernels, score=("val",))
        history = result.history
        losses[kernels] = history.column("train_loss") + history.column("val_loss")
        assert all(block.kernels is None for block in model.blocks)  # only while it trained
    # Fresh filters pass values on unchanged, so pools have ties, and rounding chooses between them.
    assert losses["native"] == pytest.approx(losses["pytorch"], rel=2e-3 if blocks.startswith("b") else 2e-2)
    assert losses["native"] != losses["pytorch"], "PyTorch's kernels were taken twice"


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("word", ["b48p", "c48p"])
def test_the_result_does_not_depend_on_the_threads(word: str, dtype: torch.dtype) -> None:
    block = block_of(word, 1, 32)
    block.kernels = load_kernels(FLAGS)
    maps, gradient = torch.randn(50, 32, 9, 9).to(dtype), torch.randn(50, 48, 4, 4).to(dtype)
    results = []
    for threads in (2, 2, 1, 3, 8):
        torch.set_num_threads(threads)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            results.append(step(copy_of(block), maps, gradient))
    torch.set_num_threads(2)
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


@needs_compiler
@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("channels", [8, 16, 48, 64, 104])
def test_the_activation_of_bfloat16_is_off_by_its_rounding_alone(channels: int, flags: tuple[str, ...]) -> None:
    """Which cancels out over many values, and nothing breaks where the values are extreme."""
    norm = nn.BatchNorm2d(channels).requires_grad_(False)
    nn.init.constant_(norm.weight, 3)
    torch.manual_seed(0)
    maps = torch.randn(64, channels, 16, 16).bfloat16().contiguous(memory_format=torch.channels_last)
    maps[0, :, 0, 0], maps[1, :, 0, 0] = 120, -120  # the norm makes of them about 180 and -180
    found = fused_norm(load_kernels(flags), maps, None, norm, pools=False).double()
    expected = F.silu(F.batch_norm(maps.double(), None, None, norm.weight.double(), norm.bias.double(), True))
    assert torch.allclose(found, expected, rtol=5e-3, atol=1e-5)
    assert abs(float((found - expected).mean() / expected.abs().mean())) < 1e-4


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_mean_over_the_last_maps_is_that_of_its_layer(dtype: torch.dtype) -> None:
    network = BlockNet(blocks="c8p")
    for side in (3, 4):
        maps = torch.randn(5, 8, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
        found = []
        for kernels in (load_kernels(FLAGS), None):
            with using_kernels(network, kernels):
                leaf = maps.clone().requires_grad_()
                mean = network._pooled(leaf)
                mean.backward(torch.linspace(-1, 1, 40).view(5, 8).to(dtype))
            assert mean.dtype == dtype
            found.append((mean.detach(), leaf.grad))
        within = (
            0 if side == 4 else 2e-7 if dtype == torch.float32 else 0.02
        )  # an odd number of pixels is rounded twice
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=within, atol=within)


@needs_compiler
def test_another_last_layer_or_one_with_a_hook_is_called() -> None:
    network, maps, seen = BlockNet(blocks="c8p"), torch.randn(2, 8, 3, 3), []
    with using_kernels(network, load_kernels(FLAGS)):
        hook = network.pool.register_forward_hook(lambda *_: seen.append(1))
        network._pooled(maps)
        hook.remove()
        assert seen == [1]
        network.pool = nn.AdaptiveMaxPool2d(1)
        assert network._pooled(maps).equal(maps.amax((2, 3)))
        network.pool = nn.AdaptiveAvgPool2d(2)
        assert network._pooled(maps).shape == (2, 32)


@needs_compiler
def test_the_threads_are_those_of_pytorch() -> None:
    """Another package's OpenMP (scikit-learn brings one) would be a second team that competes."""
    code = """
import sklearn.metrics, torch
from pathlib import Path
from thumbnet.kernels.library import load_kernels
def teams(): return {line.split()[-1] for line in Path("/proc/self/maps").open() if "libgomp" in line}
before = teams()
library = load_kernels()
assert teams() == before, teams()
linked = Path(library._name).read_bytes()
for file in before:
    assert (Path(file).name.encode() in linked) == ("/torch" in file), file
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@needs_compiler
def test_whose_kernels_are_taken() -> None:
    model = create_model("sprint")
    ours = pick_kernels("auto", model, CPU)
    assert isinstance(ours, ctypes.CDLL)
    assert pick_kernels("native", model, CPU) is ours
    assert pick_kernels("pytorch", model, CPU) is None
    assert pick_kernels("auto", create_model("resnet8"), CPU) is ours
    assert pick_kernels("auto", nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), CPU) is None
    assert pick_kernels("auto", model, torch.device("cuda")) is None
    assert pick_kernels("auto", model, CPU, compiled=True) is None
    version = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    assert (describe_kernels(ours), describe_kernels(None)) == (f"native (g++ {version})", "pytorch")
    with using_kernels(model, ours):
        assert all(block.kernels is ours for block in model.blocks)


def test_native_is_refused_where_it_cannot_be_obeyed() -> None:
    for name, model, device, compiled, match in (
        ("native", nn.Conv2d(3, 32, 3), CPU, False, "no blocks or convolutions"),
        ("native", BlockNet(blocks="b20 b42p"), CPU, False, "no blocks or convolutions"),  # no multiples of 8
        ("native", create_model("sprint"), torch.device("cuda"), False, "cuda"),
        ("native", create_model("sprint"), CPU, True, "compiled"),
        ("own", create_model("sprint"), CPU, False, "unknown kernels 'own'"),
    ):
        with pytest.raises(ConfigError, match=match):
            pick_kernels(name, model, device, compiled=compiled)


@needs_compiler
def test_what_the_compiler_says_is_told() -> None:
    with pytest.raises(ConfigError, match="-fno-such-thing"):
        load_kernels((*FLAGS, "-fno-such-thing"))


def test_maps_are_kept_in_bfloat16_where_all_is_fused_and_pytorch_has_it() -> None:
    assert runs_fully_fused(create_model("thumb-20k"))
    assert not runs_fully_fused(create_model("sprint"))
    assert not runs_fully_fused(create_model("sprint", blocks="b32 b48s"))
    assert not runs_fully_fused(create_model("resnet8"))
    has_bfloat16 = has_bfloat16_convolutions()  # AVX-512 or better, on x86
    assert pick_precision("auto", CPU, fully_fused=True) == (torch.bfloat16 if has_bfloat16 else torch.float32)
    assert pick_precision("float32", CPU, fully_fused=True) == torch.float32

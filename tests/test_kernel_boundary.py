"""What our kernels do not take never reaches them: such a block trains through PyTorch's layers, to the same bits."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from fitting import fit_flat
from kernel_builds import FLAGS
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, NonFiniteLossError
from thumbnet.kernels import convolution_choice
from thumbnet.kernels.choice import pick_kernels
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.convolution_support import supports_convolution
from thumbnet.kernels.images import supports_images
from thumbnet.kernels.library import load_kernels
from thumbnet.models.blocknet import BlockNet
from thumbnet.specs.fine_tuning import FineTuning

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")

Change = Callable[[nn.Module], object]


@pytest.fixture(autouse=True)
def every_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """By our kernels, also where PyTorch's are faster."""
    monkeypatch.setattr(convolution_choice, "is_taken", lambda maps, weight, **geometry: True)


class OtherNorm(nn.BatchNorm2d):
    """A norm that is none of PyTorch's own, though it has the same parameters."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps) + 1


def block_of(blocks: str, index: int) -> nn.Module:
    torch.manual_seed(0)
    block = BlockNet(blocks=blocks).blocks[index]
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block.to(memory_format=torch.channels_last).train()


def step(block: nn.Module, maps: Tensor, kernels: object) -> list[Tensor]:
    """A block's result, its gradients and its statistics."""
    block.kernels = kernels
    maps = maps.detach().clone().requires_grad_()
    result = block(maps)
    torch.manual_seed(1)
    result.backward(torch.randn(result.shape, dtype=torch.float32).to(result.dtype))
    return [result.detach(), maps.grad, *(parameter.grad for parameter in block.parameters()), *block.buffers()]


def every_second(values: Tensor) -> Tensor:
    """The same values with gaps between them."""
    return values.repeat_interleave(2)[::2]


def with_depthwise(**options: object) -> Change:
    def change(block: nn.Module) -> None:
        torch.manual_seed(2)
        arguments = {"kernel_size": 3, "padding": 1, "groups": 32, "bias": False, **options}
        block.depthwise = nn.Conv2d(32, 32, **arguments)

    return change


def with_pointwise(**options: object) -> Change:
    def change(block: nn.Module) -> None:
        torch.manual_seed(2)
        arguments = {"kernel_size": 1, "bias": False, **options}
        block.conv = nn.Conv2d(32, 32, **arguments)

    return change


def with_norm(make: Callable[[], nn.Module]) -> Change:
    return lambda block: setattr(block, "norm", make())


def with_gaps(block: nn.Module) -> None:
    block.norm.weight = nn.Parameter(every_second(block.norm.weight.detach()))
    block.norm.bias = nn.Parameter(every_second(block.norm.bias.detach()))


def with_gaps_in_statistics(block: nn.Module) -> None:
    block.norm.running_mean = every_second(block.norm.running_mean)
    block.norm.running_var = every_second(block.norm.running_var)


def with_hook(block: nn.Module) -> None:
    block.norm.register_forward_hook(lambda module, inputs, output: output * 2)


OF_ANY_BLOCK: dict[str, Change] = {
    "norm without parameters": with_norm(lambda: nn.BatchNorm2d(32, affine=False)),
    "norm without statistics": with_norm(lambda: nn.BatchNorm2d(32, track_running_stats=False)),
    "norm that averages": with_norm(lambda: nn.BatchNorm2d(32, momentum=None)),
    "norm of another class": with_norm(lambda: OtherNorm(32)),
    "norm that is frozen": lambda block: block.norm.eval(),
    "norm with gaps in memory": with_gaps,
    "statistics with gaps in memory": with_gaps_in_statistics,
    "norm with a hook": with_hook,
    "all in double precision": lambda block: block.double(),
    "all in bfloat16": lambda block: block.bfloat16(),
    "statistics in double precision": lambda block: setattr(
        block.norm, "running_mean", block.norm.running_mean.double()
    ),
}
OF_SEPARABLE_BLOCKS: dict[str, Change] = {
    "depthwise 5x5": with_depthwise(kernel_size=5, padding=2),
    "depthwise 3x1": with_depthwise(kernel_size=(3, 1), padding=(1, 0)),
    "depthwise with bias": with_depthwise(bias=True),
    "depthwise strided": with_depthwise(stride=(1, 2)),
    "depthwise without padding": with_depthwise(padding=0),
    "depthwise padded twice": with_depthwise(padding=2),
    "depthwise padded by its mirror image": with_depthwise(padding_mode="reflect"),
    "depthwise dilated one way": with_depthwise(padding=(1, 2), dilation=(1, 2)),
    "depthwise of two channels each": with_depthwise(groups=16),
    "depthwise in double precision": lambda block: block.depthwise.double(),
    "depthwise with a hook": lambda block: block.depthwise.register_forward_hook(lambda m, i, output: output * 2),
    "pointwise with bias": with_pointwise(bias=True),
    "pointwise 3x3": with_pointwise(kernel_size=3, padding=1),
    "pointwise in groups": with_pointwise(groups=2),
    "pointwise that widens the maps": with_pointwise(padding=1),
    "pointwise strided": with_pointwise(stride=2),
}


def check_as_without_kernels(word: str, change: Change, maps: Tensor, *, within: float) -> None:
    """The same step with and without our kernels; where PyTorch refuses, by the same words."""
    ours, theirs = (block_of(f"c32 {word}", 1) for _ in range(2))
    for block in ours, theirs:
        block.has_shortcut = False
        change(block)
    maps = maps.contiguous(memory_format=torch.channels_last)
    try:
        expected = step(theirs, maps, None)
    except RuntimeError as refusal:
        with pytest.raises(RuntimeError) as caught:
            step(ours, maps, load_kernels(FLAGS))
        assert str(caught.value) == str(refusal)
        return
    for one, other in zip(step(ours, maps, load_kernels(FLAGS)), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=within, atol=within)


@pytest.mark.parametrize("word", ["c32", "b32", "b32p"])
@pytest.mark.parametrize("change", OF_ANY_BLOCK.values(), ids=OF_ANY_BLOCK)
def test_a_norm_that_they_do_not_take_stays_pytorchs(word: str, change: Change) -> None:
    maps = torch.randn(3, 32, 7, 7)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        check_as_without_kernels(word, change, maps.to(dtype), within=0)


@pytest.mark.parametrize("word", ["b32", "b32p"])
@pytest.mark.parametrize("change", OF_SEPARABLE_BLOCKS.values(), ids=OF_SEPARABLE_BLOCKS)
def test_convolutions_that_they_do_not_take_stay_pytorchs(word: str, change: Change) -> None:
    """The norm after them may still be theirs."""
    check_as_without_kernels(word, change, torch.randn(3, 32, 7, 7), within=1e-4)


@pytest.mark.parametrize("word", ["c32", "b32p"])
def test_maps_that_they_do_not_take_stay_pytorchs(word: str) -> None:
    for maps in (torch.randn(3, 32, 7, 7).double(), torch.randn(3, 32, 7, 7).half(), torch.randn(3, 16, 7, 7)):
        check_as_without_kernels(word, lambda block: None, maps, within=0)
    with torch.autocast("cpu", torch.float16):
        check_as_without_kernels(word, lambda block: None, torch.randn(3, 32, 7, 7), within=0)


@pytest.mark.parametrize("word", ["c32", "c32p", "b32", "b32p"])
def test_gradients_of_any_layout_and_type(word: str) -> None:
    """As an upstream layer may give them: expanded, of another type, in another order."""
    block = block_of(f"c32 {word}", 1)
    maps = torch.randn(3, 32, 6, 6).contiguous(memory_format=torch.channels_last)
    for last in (
        lambda y: y.sum(),
        lambda y: (y.double() * torch.linspace(0, 1, y.numel()).view_as(y).double()).sum(),
        lambda y: (y.permute(0, 3, 2, 1).contiguous() ** 2).sum(),
        lambda y: y[:, ::2].square().sum(),
    ):
        found = []
        for kernels in (load_kernels(FLAGS), None):
            own = copy.deepcopy(block)
            own.kernels = kernels
            last(own(maps)).backward()
            found.append([parameter.grad for parameter in own.parameters()])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-4)


@pytest.fixture
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("word", ["c32", "c32p", "b32", "b32p"])
def test_the_default_type_of_new_tensors_does_not_matter(word: str, double_by_default: None) -> None:
    maps = torch.randn(3, 32, 7, 7, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    torch.set_default_dtype(torch.float32)
    blocks = [block_of(f"c32 {word}", 1) for _ in range(2)]
    expected = step(blocks[0], maps, load_kernels(FLAGS))
    torch.set_default_dtype(torch.float64)
    for one, other in zip(step(blocks[1], maps, load_kernels(FLAGS)), expected, strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("word", ["c32p", "b32p"])
def test_a_lost_number_arrives_wherever_it_stands_in_a_window(word: str, dtype: torch.dtype, at: int) -> None:
    block = block_of(f"c32 {word}", 1)
    block.kernels = load_kernels(FLAGS)
    maps = torch.zeros(2, 32, 4, 4)
    maps[0, :, at // 2, at % 2] = float("nan")
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        result = block(maps.to(dtype))
    assert result.dtype == dtype
    assert result.isnan().all()  # of every channel: it is in all statistics
    assert block.norm.running_mean.isnan().all()
    assert block.norm.running_var.isnan().all()


def test_a_lost_number_of_any_bits_arrives() -> None:
    """Rounded to bfloat16 by adding half a unit, the largest of them would become a zero."""
    norm = nn.BatchNorm2d(32)
    largest = torch.tensor([0x7FFFFFFF], dtype=torch.int32).view(torch.float32)
    with torch.no_grad():
        norm.weight[3], norm.bias[5] = largest, largest
    block = block_of("c32 b32", 1)
    block.norm, block.kernels = norm, load_kernels(FLAGS)
    with torch.no_grad():
        block.conv.weight[7, 1], block.depthwise.weight[9, 0, 1, 1] = largest, largest
    with torch.autocast("cpu", torch.bfloat16):
        result = block(torch.randn(2, 32, 4, 4))
    assert result.isnan().all(dim=(0, 2, 3)).nonzero().flatten().tolist() == [3, 5, 7, 9]


def test_a_lost_number_stops_a_training(tiny_dataset: Dataset) -> None:
    model = BlockNet(num_classes=3, blocks="c16p b16p")
    with torch.no_grad():
        model.blocks[0].conv.weight[0, 0, 0, 0] = float("inf")
    for kernels in ("native", "pytorch"):
        with pytest.raises(NonFiniteLossError):
            fit_flat(copy.deepcopy(model), tiny_dataset, batch_size=32, fine_tuning=FineTuning(), kernels=kernels)


def test_a_model_in_bfloat16_is_left_to_pytorch_or_refused(tiny_dataset: Dataset) -> None:
    model = BlockNet(num_classes=3, blocks="b16p b16").bfloat16()
    assert pick_kernels("auto", model, torch.device("cpu")) is None
    with pytest.raises(ConfigError, match="no blocks or convolutions"):
        pick_kernels("native", model, torch.device("cpu"))
    history = fit_flat(model, tiny_dataset, batch_size=32, lr=0.01, precision="bfloat16").history
    assert history[0].train_loss < 10


MAPS, WEIGHT = torch.zeros(2, 8, 6, 6), torch.zeros(16, 8, 3, 3)
OF_CONVOLUTIONS: dict[str, tuple[Tensor, Tensor, Tensor | None]] = {
    "double maps": (MAPS.double(), WEIGHT, None),
    "half maps": (MAPS.half(), WEIGHT, None),
    "complex maps": (MAPS.cfloat(), WEIGHT, None),
    "maps in bfloat16 without autocast": (MAPS.bfloat16(), WEIGHT, None),
    "double weight": (MAPS, WEIGHT.double(), None),
    "weight in bfloat16": (MAPS, WEIGHT.bfloat16(), None),
    "double bias": (MAPS, WEIGHT, torch.zeros(16).double()),
    "maps elsewhere": (MAPS.to("meta"), WEIGHT, None),
    "weight elsewhere": (MAPS, WEIGHT.to("meta"), None),
    "bias elsewhere": (MAPS, WEIGHT, torch.zeros(16, device="meta")),
    "sparse maps": (MAPS.to_sparse(), WEIGHT, None),
    "maps of a subclass": (MAPS.as_subclass(type("Own", (Tensor,), {})), WEIGHT, None),
    "weight of a subclass": (MAPS, WEIGHT.as_subclass(type("Own", (Tensor,), {})), None),
    "maps to be negated": (torch._neg_view(MAPS), WEIGHT, None),
    "weight to be negated": (MAPS, torch._neg_view(WEIGHT), None),
    "bias to be negated": (MAPS, WEIGHT, torch._neg_view(torch.zeros(16))),
    "zeros without memory": (torch._efficientzerotensor(2, 8, 6, 6), WEIGHT, None),
    "bias of other length": (MAPS, WEIGHT, torch.zeros(15)),
    "three axes": (MAPS[0], WEIGHT, None),
    "no image": (MAPS[:0], WEIGHT, None),
    "no pixel left": (MAPS[..., :2], WEIGHT, None),
    "other channels": (MAPS[:, :7], WEIGHT, None),
    "other taps": (MAPS, torch.zeros(16, 8, 5, 5), None),
    "too many pixels": (torch.zeros(1).expand(2, 8, 20_000, 20_000), WEIGHT, None),
    "too many images": (torch.zeros(1).expand(2**31, 8, 3, 3), WEIGHT, None),
    "too many weights": (torch.zeros(1).expand(1, 9000, 6, 6), torch.zeros(1).expand(9000, 9000, 3, 3), None),
}


@pytest.mark.parametrize("case", OF_CONVOLUTIONS)
def test_convolutions_that_they_do_not_support(case: str) -> None:
    assert supports_convolution(MAPS, WEIGHT, torch.zeros(16), padding=0, dilation=1)
    assert not supports_convolution(*OF_CONVOLUTIONS[case], padding=0, dilation=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert supports_convolution(MAPS.bfloat16(), WEIGHT, None, padding=0, dilation=1)


BYTES = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)


def test_images_that_they_do_not_support() -> None:
    assert supports_images(BYTES, (4, 4), num_channels=3)
    assert supports_images(BYTES, None, num_channels=3)
    assert not supports_images(BYTES, (4, 4), num_channels=1)
    assert not supports_images(BYTES, (4, 2**31), num_channels=3)
    assert not supports_images(BYTES, (0, 4), num_channels=3)
    for images in (
        BYTES.float(),
        BYTES.char(),
        BYTES.bool(),
        BYTES.to("meta"),
        BYTES.to_sparse(),
        BYTES[0],
        BYTES[:0],
        BYTES[..., :0],
        BYTES.as_subclass(type("Own", (Tensor,), {})),
        torch.zeros(1, dtype=torch.uint8).expand(2, 3, 30_000, 30_000),
        torch.zeros(1, dtype=torch.uint8).expand(2**31, 3, 1, 1),
    ):
        assert not supports_images(images, None, num_channels=3)

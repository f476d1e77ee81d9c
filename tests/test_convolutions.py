"""Convolutions by our kernels give what PyTorch has in double precision, whatever the shape, order and storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernel_builds import BUILDS, FLAGS
from thumbnet.kernels import convolution_choice
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.convolution import convolution_sizes, convolve
from thumbnet.kernels.convolution_support import supports_convolution
from thumbnet.kernels.library import Kernels, load_kernels

needs_compiler = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
FORWARD, GRADIENT, ROUNDED = 3e-6, 1e-5, 5e-3  # relative errors in the 2-norm; the last: with maps stored in bfloat16
LAST = torch.channels_last


@pytest.fixture(params=BUILDS.values(), ids=BUILDS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return load_kernels(request.param)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Two, so that sums over threads are taken."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def tensors(
    batch: int, channels: tuple[int, int], size: tuple[int, int], *, has_bias: bool = False, order: object = LAST
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Maps as after a ReLU, weights as before a training, and a bias."""
    generator = torch.Generator().manual_seed(batch + 7 * sum(channels) + sum(size))
    into, out = channels
    maps = torch.randn(batch, into, *size, generator=generator).relu().contiguous(memory_format=LAST)
    weight = torch.randn(out, into, 3, 3, generator=generator) / (3 * into**0.5)
    bias = torch.randn(out, generator=generator) if has_bias else None
    return maps, weight.contiguous(memory_format=order), bias


def gradient_for(result: Tensor) -> Tensor:
    return torch.randn(result.shape, generator=torch.Generator().manual_seed(5)).to(result.dtype)


def differentiated(function: Callable[..., Tensor], *inputs: Tensor | None, dtype: torch.dtype) -> list[Tensor]:
    """The result of a function in this type, and the gradients of its inputs."""
    leaves = [None if each is None else each.detach().to(dtype).requires_grad_() for each in inputs]
    result = function(*leaves)
    wanted = [each for each in leaves if each is not None]
    return [result.detach(), *torch.autograd.grad(result, wanted, gradient_for(result.float()).to(result.dtype))]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm().clamp_min(1e-30))


def check_as_in_double(
    kernels: Kernels, maps: Tensor, weight: Tensor, bias: Tensor | None, padding: int, dilation: int
) -> None:
    """Both gradients too. Maps in bfloat16 are stored so, and are exact in the comparison."""
    geometry = {"padding": padding, "dilation": dilation}
    stored, (bound, slopes) = maps.dtype, (FORWARD, GRADIENT)
    with torch.autocast("cpu", torch.bfloat16, enabled=stored == torch.bfloat16):
        assert supports_convolution(maps, weight, bias, **geometry)
        leaves = [None if each is None else each.detach().requires_grad_() for each in (maps, weight, bias)]
        result = convolve(kernels, *leaves, **geometry)
        assert result.dtype == stored
        wanted = [each for each in leaves if each is not None]
        found = [result.detach(), *torch.autograd.grad(result, wanted, gradient_for(result))]
    exact = [None if each is None else each.detach().double().requires_grad_() for each in (maps, weight, bias)]
    expected = F.conv2d(*exact, **geometry)
    wanted = [each for each in exact if each is not None]
    truth = [expected.detach(), *torch.autograd.grad(expected, wanted, gradient_for(result).double())]
    if stored == torch.bfloat16:
        bound = slopes = ROUNDED
    for index, (one, other) in enumerate(zip(found, truth, strict=True)):
        assert one.shape == other.shape
        assert error(one, other) <= (slopes if index else bound), f"number {index} is off by {error(one, other):.1e}"


@needs_compiler
@pytest.mark.parametrize(
    ("batch", "channels", "size"),
    [
        (5, (32, 32), (16, 16)),
        (3, (64, 80), (8, 8)),
        (9, (80, 104), (4, 4)),
        (4, (64, 80), (6, 6)),
        (70, (80, 104), (3, 3)),
        (70, (80, 104), (2, 2)),
        (2, (32, 32), (33, 33)),
        (200, (62, 84), (2, 2)),  # weights' gradients of several parts, by tiles of every size
        (200, (24, 40), (3, 3)),
        (64, (20, 8), (16, 16)),
        (3, (24, 8), (7, 5)),
        (3, (62, 84), (13, 12)),
        (2, (84, 84), (14, 13)),
        (2, (8, 16), (2, 9)),
        (2, (3, 16), (9, 9)),
        (2, (5, 7), (6, 9)),
        (1, (1, 1), (4, 4)),
        (1, (16, 3), (1, 1)),
        (2, (40, 24), (1, 7)),
    ],
    ids=str,
)
def test_they_give_what_double_precision_gives(
    batch: int, channels: tuple[int, int], size: tuple[int, int], kernels: Kernels
) -> None:
    check_as_in_double(kernels, *tensors(batch, channels, size), 1, 1)
    check_as_in_double(kernels, *tensors(batch, channels, size, has_bias=True, order=torch.contiguous_format), 1, 1)
    maps, weight, _ = tensors(batch, channels, size)
    check_as_in_double(kernels, maps.bfloat16(), weight, None, 1, 1)


@needs_compiler
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_every_padding_of_a_dilation(dilation: int, kernels: Kernels) -> None:
    for padding in range(dilation + 1):
        for size in ((7, 7), (12, 9), (8, 15)):
            check_as_in_double(kernels, *tensors(2, (16, 24), size, has_bias=True), padding, dilation)
        check_as_in_double(kernels, *tensors(2, (32, 62), (2 * dilation + 1, 2 * dilation + 1)), padding, dilation)
    check_as_in_double(kernels, *tensors(2, (8, 8), (2, 2)), dilation, dilation)  # none but the middle taps see it


@needs_compiler
@pytest.mark.parametrize("side", range(2, 20))
def test_every_side(side: int) -> None:
    check_as_in_double(load_kernels(FLAGS), *tensors(2, (8, 24), (side, side + side % 3)), 1, 1)


@needs_compiler
@pytest.mark.parametrize("channels", [1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 40, 48, 62, 84, 104])
def test_every_number_of_channels(channels: int, kernels: Kernels) -> None:
    check_as_in_double(kernels, *tensors(2, (channels, 16), (5, 6), has_bias=True), 1, 1)
    check_as_in_double(kernels, *tensors(2, (16, channels), (5, 6), has_bias=True), 1, 1)


@needs_compiler
@pytest.mark.parametrize(
    "order",
    [
        lambda w: w.contiguous(),
        lambda w: w.contiguous(memory_format=LAST),
        lambda w: w.transpose(2, 3).contiguous().transpose(2, 3),
        lambda w: torch.cat([w, w])[::2],
        lambda w: w.flip(0),
        lambda w: w[:1].expand_as(w),
    ],
    ids=["contiguous", "channels_last", "transposed taps", "every second", "reversed", "one for all"],
)
@pytest.mark.parametrize("into", [1, 24])
def test_weights_in_any_order(order: Callable[[Tensor], Tensor], into: int) -> None:
    maps, weight, bias = tensors(3, (into, 16), (6, 6), has_bias=True)
    check_as_in_double(load_kernels(FLAGS), maps, order(weight), bias, 1, 1)


@needs_compiler
@pytest.mark.parametrize("order", [lambda b: b.repeat_interleave(2)[::2], lambda b: b[:1].expand(16)])
def test_a_bias_with_gaps(order: Callable[[Tensor], Tensor]) -> None:
    maps, weight, bias = tensors(3, (24, 16), (6, 6), has_bias=True)
    assert not order(bias).is_contiguous()
    check_as_in_double(load_kernels(FLAGS), maps, weight, order(bias), 1, 1)


@needs_compiler
@pytest.mark.parametrize(
    "order",
    [
        lambda x: x.contiguous(),
        lambda x: torch.cat([x, x], 1)[:, :24],
        lambda x: x.transpose(2, 3),
        lambda x: x[:1].expand_as(x),
        lambda x: torch.cat([x, x], 3)[..., ::2],
    ],
    ids=["contiguous", "a slice", "transposed", "one for all", "every second"],
)
def test_maps_and_gradients_in_any_order(order: Callable[[Tensor], Tensor]) -> None:
    maps, weight, _ = tensors(3, (24, 24), (6, 6))
    check_as_in_double(load_kernels(FLAGS), order(maps), weight, None, 1, 1)
    inputs = [maps.clone().requires_grad_(), weight.clone().requires_grad_()]
    result = convolve(load_kernels(FLAGS), *inputs, padding=1)
    gradient = gradient_for(result)
    found = torch.autograd.grad(result, inputs, order(gradient), retain_graph=True)
    same = torch.autograd.grad(result, inputs, order(gradient).contiguous(memory_format=LAST))
    assert all(one.equal(other) for one, other in zip(found, same, strict=True))


@needs_compiler
def test_gradients_that_are_all_alike_are_summed_up_exactly() -> None:
    """Their roundings are alike, too, and would add up."""
    maps, weight, bias = tensors(512, (8, 8), (24, 24), has_bias=True)
    inputs = [each.clone().requires_grad_() for each in (maps, weight, bias)]
    result = convolve(load_kernels(FLAGS), *inputs, padding=1)
    (found,) = torch.autograd.grad(result, inputs[2:], torch.full_like(result, 0.1))
    expected = torch.full_like(bias, 512 * 24 * 24 * 0.1)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@needs_compiler
def test_a_dilation_far_beyond_the_map_takes_no_longer() -> None:
    check_as_in_double(load_kernels(FLAGS), *tensors(2, (8, 8), (6, 6)), 10**6, 10**6)


@needs_compiler
def test_a_gradient_that_is_one_number() -> None:
    """As `sum` and `mean` give: expanded, without memory of its own for each pixel."""
    maps, weight, bias = tensors(3, (24, 16), (6, 6), has_bias=True)
    for last in (torch.sum, torch.mean, lambda y: (y.double() * 3).sum(), lambda y: y.permute(0, 3, 1, 2).sum()):
        found = [
            torch.autograd.grad(last(function(x, w, b, padding=1)), [x, w, b])
            for function in (lambda *a, **k: convolve(load_kernels(FLAGS), *a, **k), F.conv2d)
            for x, w, b in [[each.clone().requires_grad_() for each in (maps, weight, bias)]]
        ]
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_only_the_gradients_that_are_needed(needed: tuple[int, ...], dtype: torch.dtype, kernels: Kernels) -> None:
    maps, weight, bias = tensors(5, (24, 16), (6, 7), has_bias=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        inputs = [each.clone().requires_grad_() for each in (maps.to(dtype), weight, bias)]
        result = convolve(kernels, *inputs, padding=1)
        expected = torch.autograd.grad(result, inputs, gradient_for(result))
        for index, each in enumerate(inputs):
            each.requires_grad_(index in needed)
        result = convolve(kernels, *inputs, padding=1)
    found = torch.autograd.grad(result, [inputs[index] for index in needed], gradient_for(result))
    assert all(one.equal(expected[index]) for index, one in zip(needed, found, strict=True))


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("size", "padding", "dilation"), [((9, 8), 1, 1), ((9, 11), 0, 2), ((2, 2), 1, 1)], ids=str)
def test_threads_change_no_bit(
    size: tuple[int, int], padding: int, dilation: int, dtype: torch.dtype, kernels: Kernels
) -> None:
    maps, weight, bias = tensors(37, (24, 62), size, has_bias=True)
    found = []
    for count in (1, 2, 3, 8):
        torch.set_num_threads(count)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            inputs = [each.clone().requires_grad_() for each in (maps.to(dtype), weight, bias)]
            result = convolve(kernels, *inputs, padding=padding, dilation=dilation)
        found.append([result, *torch.autograd.grad(result, inputs, gradient_for(result))])
    for other in found[1:]:
        assert all(one.equal(two) for one, two in zip(found[0], other, strict=True))


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_lost_number_comes_out(dtype: torch.dtype, kernels: Kernels) -> None:
    """Wherever PyTorch has one; the transforms may spread it over a tile, which no training can tell apart."""
    nan, unusual = float("nan"), torch.tensor([0x7FFFFFFF], dtype=torch.int32).view(torch.float32).item()
    for value in (nan, unusual, float("inf")):
        for at in range(3):
            given = [*tensors(2, (8, 16), (6, 6), has_bias=True)]
            given[at][tuple(side // 2 for side in given[at].shape)] = value
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                inputs = [each.clone().requires_grad_() for each in (given[0].to(dtype), *given[1:])]
                result = convolve(kernels, *inputs, padding=1)
            found = [result, *torch.autograd.grad(result, inputs, gradient_for(result))]
            exact = [each.detach().float().requires_grad_() for each in inputs]
            expected = F.conv2d(*exact, padding=1)
            truth = [expected, *torch.autograd.grad(expected, exact, gradient_for(result).float())]
            for one, other in zip(found, truth, strict=True):
                assert not one[~other.isfinite()].isfinite().any()


GUARD = 64  # numbers on both sides


def guarded(values: Tensor) -> tuple[Tensor, Tensor]:
    """A memory that holds a tensor's numbers, as NaN, between guards; and the same with the numbers alone."""
    memory = torch.full((values.numel() + 2 * GUARD,), 7.0, dtype=values.dtype)
    memory[GUARD:-GUARD] = float("nan")
    return memory, memory[GUARD:-GUARD]


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels", [(24, 104), (62, 84), (5, 7), (104, 24)], ids=str)
@pytest.mark.parametrize("side", [2, 3, 5, 8, 13])
def test_nothing_else_is_written(channels: tuple[int, int], side: int, dtype: torch.dtype, kernels: Kernels) -> None:
    maps, weight, bias = tensors(3, channels, (side, side), has_bias=True)
    maps = maps.to(dtype)
    result = torch.empty(3, channels[1], side, side, dtype=dtype)
    sizes = convolution_sizes(maps, weight, 1, 1)
    memory, inside = guarded(result)
    kernels.thumbnet_convolution_forward(
        *(maps.data_ptr(), weight.data_ptr(), bias.data_ptr(), inside.data_ptr()), *sizes, 2
    )
    gradient = gradient_for(result).contiguous(memory_format=LAST)
    memories = [(memory, inside), *(guarded(each) for each in (maps, weight, bias))]
    kernels.thumbnet_convolution_backward(
        *(gradient.data_ptr(), maps.data_ptr(), weight.data_ptr()),
        *(each.data_ptr() for _, each in memories[1:]),
        *sizes,
        2,
    )
    for memory, inside in memories:
        assert (memory[:GUARD] == 7).all()
        assert (memory[-GUARD:] == 7).all()
        assert not inside.isnan().any(), "all that is asked for is written"


def test_which_are_faster_is_told_by_shape_and_abilities(monkeypatch: pytest.MonkeyPatch) -> None:
    faster = convolution_choice.is_faster
    for is_wide, fewest in ((False, 8), (True, 16)):
        monkeypatch.setattr(convolution_choice, "has_avx512", lambda is_wide=is_wide: is_wide)
        for channels in ((fewest, fewest), (62, 84), (32, 1000)):
            for by_tiles in (False, True):
                assert faster(*channels, torch.float32, bfloat16_tiles=by_tiles)
                assert faster(*channels, torch.bfloat16, bfloat16_tiles=by_tiles) is not by_tiles
        for channels in ((3, 64), (64, fewest - 1)):
            assert not faster(*channels, torch.float32, bfloat16_tiles=False)


@pytest.mark.parametrize(
    ("form", "capability", "has_it"),
    [("native", "AVX512", True), ("native", "AVX2", False), ("avx2", "AVX512", False), ("native", "DEFAULT", False)],
)
def test_wide_vectors_are_known(form: str, capability: str, has_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_choice, "cpu_form", lambda: form)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert convolution_choice.has_avx512() is has_it


@pytest.mark.parametrize(
    ("size", "dilation", "gain"),
    [
        ((4, 4), 1, 4.0),  # one tile of 36 products instead of 16 results of 9
        ((3, 3), 1, 81 / 25),
        ((2, 2), 1, 36 / 16),
        ((1, 1), 1, 9 / 16),
        ((6, 6), 1, 324 / 100),  # four tiles of 3x3 rather than four of 4x4
        ((5, 9), 1, 405 / (2 * 3 * 25)),
        ((7, 7), 2, 441 / 144),  # sub-grids of 4 and 3 a side: four tiles of 4x4
        ((8, 8), 4, 9 * 64 / (16 * 16)),  # sixteen sub-grids of 2x2
        ((6, 6), 4, 324 / 256),
        ((2, 2), 10**6, 9 / 16),
    ],
)
def test_how_many_products_are_saved(size: tuple[int, int], dilation: int, gain: float) -> None:
    assert convolution_choice.product_gain(*size, dilation) == pytest.approx(gain)


def test_where_little_is_saved_pytorch_is_faster() -> None:
    def is_taken(size: tuple[int, int], padding: int, dilation: int, channels: tuple[int, int] = (16, 16)) -> bool:
        maps, weight, _ = tensors(2, (16, 16), size)
        maps, weight = maps[:1].expand(400, *maps.shape[1:]), weight[:1, :1].expand(*reversed(channels), 3, 3)
        return convolution_choice.is_taken(maps, weight, padding=padding, dilation=dilation)

    assert is_taken((2, 2), 1, 1)
    assert is_taken((4, 4), 0, 1)
    assert is_taken((8, 8), 4, 4)
    assert not is_taken((1, 1), 1, 1)
    assert not is_taken((3, 3), 0, 1)  # one result
    assert not is_taken((6, 6), 4, 4)
    assert is_taken((4, 4), 1, 1, (512, 512))
    assert not is_taken((4, 4), 1, 1, (512, 520))


def test_the_processor_is_known_by_what_pytorch_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_choice, "cpu_form", lambda: "native")
    for ability, has_it in (("amx_bf16", True), ("bf16", False), ("avx512_bf16", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda ability=ability: {ability: True}, raising=False)
        assert convolution_choice.has_bfloat16_tiles() is has_it
        maps, weight, _ = tensors(40, (16, 16), (4, 4))
        assert convolution_choice.is_taken(maps, weight, padding=1, dilation=1)
        with torch.autocast("cpu", torch.bfloat16):
            assert convolution_choice.is_taken(maps, weight, padding=1, dilation=1) is not has_it
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    monkeypatch.setattr(convolution_choice, "cpu_form", lambda: "avx2")
    assert not convolution_choice.has_bfloat16_tiles()
    monkeypatch.setattr(convolution_choice, "cpu_form", lambda: "native")
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older PyTorch
    assert not convolution_choice.has_bfloat16_tiles()

"""Muon's step on filters by our kernels: as the definition in double precision, and as the step by PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fitting import fit_flat
from kernel_builds import BUILDS, FLAGS
from thumbnet.data.dataset import Dataset
from thumbnet.kernels import muon as muon_module
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.library import Kernels, load_kernels
from thumbnet.kernels.muon import can_step, muon_step, supports_filter
from thumbnet.models.blocknet import BlockNet
from thumbnet.specs.optimizers import Muon
from thumbnet.training.optimizers import MuonOptimizer, build_optimizer, orthogonalise
from thumbnet.training.state import TrainingState

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")

SHAPES = [
    *((32, 24, 3, 3), (104, 80, 3, 3), (62, 84, 3, 3), (84, 62, 3, 3), (128, 16, 3, 3), (64, 2, 3, 3)),
    *((10, 3, 3, 3), (10, 9, 1, 1), (100, 9, 1, 1), (9, 100, 1, 1), (48, 48, 1, 1), (3, 1, 1, 1), (1, 5, 2, 2)),
]
LR, MOMENTUM = 0.2, 0.6


@pytest.fixture(scope="module", params=BUILDS.values(), ids=BUILDS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return load_kernels(request.param)


@pytest.fixture
def one_thread_after() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def filters(shapes: list[tuple[int, ...]] = SHAPES, order: torch.memory_format = torch.channels_last) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = [nn.Parameter(torch.randn(shape, generator=generator).to(memory_format=order)) for shape in shapes]
    for parameter in drawn:
        parameter.grad = (0.01 * torch.randn(parameter.shape, generator=generator)).to(memory_format=order)
    return drawn


def optimizer_of(parameters: list[Tensor], kernels: Kernels | None) -> MuonOptimizer:
    return MuonOptimizer(
        [{"params": parameters, "lr": LR, "momentum": MOMENTUM, "orthogonal": True}],  # type: ignore[list-item]
        kernels=kernels,
    )


def relative_error(value: Tensor, expected: Tensor) -> float:
    return float((value.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format], ids=str)
def test_steps_are_those_in_double_precision(kernels: Kernels, order: torch.memory_format) -> None:
    ours = filters(order=order)
    exact = [nn.Parameter(parameter.detach().double()) for parameter in ours]
    by_kernels, by_pytorch = optimizer_of(ours, kernels), optimizer_of(exact, None)
    for _ in range(2):
        for one, other in zip(ours, exact, strict=True):
            other.grad = one.grad.double()
        by_kernels.step()
        by_pytorch.step()
    for one, other in zip(ours, exact, strict=True):
        assert relative_error(one.detach(), other.detach()) < 2e-6
        moments = (
            optimizer.state[each]["momentum_buffer"] for optimizer, each in ((by_kernels, one), (by_pytorch, other))
        )
        assert relative_error(*moments) < 2e-7


def test_what_moves_a_filter_is_orthogonalised_as_by_pytorch(kernels: Kernels) -> None:
    """Without the filter itself, whose own size would hide an error."""
    ours = filters()
    for parameter in ours:
        weight, gradient, momentum = torch.zeros_like(parameter), parameter.grad, torch.zeros_like(parameter)
        assert supports_filter(weight, gradient, momentum)
        muon_step(kernels, [weight], [gradient], [momentum], lr=1.0, momentum=MOMENTUM)
        update = (1 + MOMENTUM) * gradient.double()
        expected = orthogonalise(update.flatten(1)).view(update.shape)
        assert relative_error(-weight, expected) < 3e-6


@pytest.mark.usefixtures("one_thread_after")
def test_threads_change_no_bit(kernels: Kernels) -> None:
    found = []
    for num_threads in (1, 2, 5):
        torch.set_num_threads(num_threads)
        parameters = filters()
        optimizer = optimizer_of(parameters, kernels)
        optimizer.step()
        optimizer.step()
        found.append(parameters)
    for other in found[1:]:
        assert all(one.equal(two) for one, two in zip(found[0], other, strict=True))


def test_a_filter_without_a_gradient_that_differs_from_zero_is_scaled_alone(kernels: Kernels) -> None:
    parameter = filters([(16, 8, 3, 3)])[0]
    before = parameter.detach().clone()
    parameter.grad.zero_()
    optimizer_of([parameter], kernels).step()
    torch.testing.assert_close(parameter.detach(), before * 4 / before.norm())


def test_a_lost_number_stays_in_its_filter(kernels: Kernels) -> None:
    parameters = filters([(16, 8, 3, 3), (24, 1, 3, 3)])
    parameters[1].grad[3, 0, 1, 1] = float("nan")
    optimizer_of(parameters, kernels).step()
    assert parameters[0].isfinite().all()
    assert parameters[1].isnan().all()


def without_grad(parameter: Tensor) -> None:
    parameter.grad = None


def with_grad_in_other_order(parameter: Tensor) -> None:
    parameter.grad = parameter.grad.contiguous()


def with_gaps(parameter: Tensor) -> None:
    values = torch.randn(16, 16, 3, 3)
    parameter.data = values[:, ::2]
    parameter.grad = values[:, ::2] / 100


CHANGES: dict[str, Callable[[Tensor], object]] = {
    "gradient in another order": with_grad_in_other_order,
    "gaps": with_gaps,
    "no gradient": without_grad,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_filters_that_they_do_not_support_are_moved_by_pytorch(change: Callable[[Tensor], object]) -> None:
    """To the same bits, beside one that they do support."""
    found = []
    for library in (load_kernels(FLAGS), None):
        parameters = filters([(16, 8, 3, 3), (24, 16, 3, 3)])
        torch.manual_seed(1)
        change(parameters[0])
        optimizer_of(parameters, library).step()
        found.append(parameters)
    (odd, usual), (expected, other) = found
    assert odd.equal(expected)
    torch.testing.assert_close(usual, other, rtol=1e-4, atol=1e-5)


WEIGHT = torch.zeros(16, 8, 3, 3)
UNSUPPORTED: dict[str, tuple[Tensor, Tensor, Tensor]] = {
    "double": (WEIGHT.double(), WEIGHT.double(), WEIGHT.double()),
    "gradient in bfloat16": (WEIGHT, WEIGHT.bfloat16(), WEIGHT),
    "momentum in double": (WEIGHT, WEIGHT, WEIGHT.double()),
    "elsewhere": (WEIGHT.to("meta"), WEIGHT.to("meta"), WEIGHT.to("meta")),
    "sparse gradient": (WEIGHT, WEIGHT.to_sparse(), WEIGHT),
    "gradient to be negated": (WEIGHT, torch._neg_view(WEIGHT), WEIGHT),
    "gradient without memory": (WEIGHT, torch._efficientzerotensor(16, 8, 3, 3), WEIGHT),
    "subclass": (WEIGHT.as_subclass(type("Own", (Tensor,), {})), WEIGHT, WEIGHT),
    "other shape": (WEIGHT, WEIGHT, torch.zeros(8, 16, 3, 3)),
    "other order": (WEIGHT, WEIGHT.to(memory_format=torch.channels_last), WEIGHT),
    "expanded": (WEIGHT, torch.zeros(1).expand(16, 8, 3, 3), WEIGHT),
    "columns before rows": (WEIGHT.transpose(0, 1),) * 3,
    "two axes": (WEIGHT.flatten(1),) * 3,
    "nothing": (WEIGHT[:0],) * 3,
    "too large": (torch.zeros(129, 129, 1, 1),) * 3,
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_they_do_not_support(case: str) -> None:
    assert supports_filter(WEIGHT, WEIGHT, WEIGHT)
    assert supports_filter(*[WEIGHT.to(memory_format=torch.channels_last)] * 3)
    assert supports_filter(*[torch.zeros(128, 300, 1, 1)] * 3)
    assert not supports_filter(*UNSUPPORTED[case])


def test_tensors_that_share_memory_and_modes_that_watch_are_left_to_pytorch() -> None:
    storage = torch.zeros(40, 8, 3, 3)
    apart = storage[:16], storage[16:32], torch.zeros(16, 8, 3, 3)
    assert can_step(*([each] for each in apart))
    assert not can_step([storage[:16]], [storage[15:31]], [apart[2]])
    assert not can_step([storage[:16], storage[:16]], [apart[1], WEIGHT], [apart[2], WEIGHT.clone()])

    class Watches(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return function(*args, **(kwargs or {}))

    with Watches():
        assert not can_step(*([each] for each in apart))


def test_pytorch_notices_that_a_filter_was_written(kernels: Kernels) -> None:
    parameter = filters([(16, 8, 3, 3)])[0]
    loss = parameter.square().sum()
    optimizer_of([parameter], kernels).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_state_goes_from_one_way_to_the_other(kernels: Kernels) -> None:
    """Also one whose momenta are in another order; a copied optimizer goes on by PyTorch."""
    parameters = filters()
    first = optimizer_of(parameters, kernels)
    first.step()
    state = copy.deepcopy(first.state_dict())
    assert copy.deepcopy(first).kernels is None
    for entry in state["state"].values():
        assert list(entry) == ["momentum_buffer"]
        entry["momentum_buffer"] = entry["momentum_buffer"].contiguous()
    copies = [[nn.Parameter(each.detach().clone()) for each in parameters] for _ in range(2)]
    for own, library in zip(copies, (kernels, None), strict=True):
        for one, parameter in zip(own, parameters, strict=True):
            one.grad = parameter.grad.clone()
        optimizer = optimizer_of(own, library)
        optimizer.load_state_dict(copy.deepcopy(state))
        optimizer.step()
    first.step()
    for one, other, expected in zip(*copies, parameters, strict=True):
        assert one.equal(expected)
        torch.testing.assert_close(other, expected, rtol=1e-4, atol=1e-5)


MUON = {"optimizer": "muon", "lr": 0.1, "momentum": 0.6, "bias_lr": 0.05, "bias_momentum": 0.85, "head_lr": 0.5}


@pytest.mark.parametrize("choice", ["native", "pytorch"])
def test_a_fit_takes_the_kernels_that_it_is_given(
    tiny_dataset: Dataset, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And resumes exactly."""
    calls = []
    monkeypatch.setattr("thumbnet.training.optimizers.muon_step", lambda *a, **k: calls.append(muon_step(*a, **k)))
    states: list[TrainingState] = []
    model = BlockNet(num_classes=3, blocks="c8 c16p").to(memory_format=torch.channels_last)
    again = copy.deepcopy(model)
    options = {**MUON, "epochs": 2, "batch_size": 32, "kernels": choice}
    fit_flat(model, tiny_dataset, on_epoch_end=states.append, **options)
    assert bool(calls) == (choice == "native")
    fit_flat(again, tiny_dataset, resume_from=states[0], **options)
    assert all(a.equal(b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_few_steps_of_a_network_agree_with_pytorchs(kernels: Kernels) -> None:
    torch.manual_seed(0)
    model = BlockNet(num_classes=3, blocks="c8 c16p c24").to(memory_format=torch.channels_last)
    images, labels = torch.randn(32, 3, 8, 8), torch.arange(32) % 3
    found = []
    for library in (kernels, None):
        own = copy.deepcopy(model)
        value = Muon(lr=0.05, momentum=0.6, bias_lr=0.05, bias_momentum=0.85, head_lr=0.1)
        optimizer = build_optimizer(value, own, library)
        losses = []
        for _ in range(5):
            loss = nn.functional.cross_entropy(own(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        found.append(losses)
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert found[0][-1] < found[0][0]


def test_the_constants_are_those_of_the_definition() -> None:
    from thumbnet.training import optimizers

    header = Path(muon_module.__file__).with_suffix(".h").read_text()
    a, b, c = optimizers.NEWTON_SCHULZ
    assert f"NEWTON_SCHULZ[3] = {{{a:.4f}f, {b:.4f}f, {c:.4f}f}}" in header
    assert f"NUM_NEWTON_SCHULZ_STEPS = {optimizers.NUM_NEWTON_SCHULZ_STEPS};" in header

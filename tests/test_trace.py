"""The trace: calls and their order, aliases, costs against torch's own counter, receptive fields against gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from thumbnet.errors import ModelError
from thumbnet.models.receptive_field import Window
from thumbnet.models.registry import create_model, list_models, num_params
from thumbnet.models.trace import Trace, trace_model


class Net(nn.Module):
    """A model of these layers and this forward function, which takes the model and the images."""

    a: Callable[[Tensor], Tensor]
    b: Callable[[Tensor], Tensor]
    relu: Callable[[Tensor], Tensor]
    skip: Callable[[Tensor], Tensor]
    pool: Callable[[Tensor], Tensor]
    mix: Callable[[Tensor, Tensor], Tensor]

    def __init__(self, function: Callable[[Net, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self, images)


def conv(in_channels: int = 3, out_channels: int = 3, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)


def flow(trace: Trace) -> list[tuple[str, tuple[int, ...]]]:
    return [(node.name, node.inputs) for node in trace.nodes]


def test_dilated_as_published() -> None:
    trace = trace_model(create_model("dilated"), (3, 32, 32))
    assert (trace.num_params, trace.num_trainable) == (198_660, 198_660)
    assert trace.macs == 136_161_672
    assert (len(trace.layers), trace.receptive_field) == (46, 44)
    pool = next(index for index, node in enumerate(trace.nodes) if node.kind == "AvgPool2d")
    assert [node.receptive_field for node in trace.nodes[pool - 1 : pool + 1]] == [25, 44]
    additions = [node for node in trace.nodes if node.kind == "add"]
    assert [[trace.nodes[source].name for source in node.inputs] for node in additions] == [
        ["stage1.2", "stem.3"],
        ["stage2.2", "shrink1.3"],
    ]
    assert [node.kind for node in trace.nodes if node.role == "function"] == ["add", "relu", "add", "relu", "flatten"]
    assert trace.nodes[-1].output_shape == (10,)


def test_the_shrinking_convolution_has_its_window() -> None:
    trace = trace_model(create_model("dilated"), (3, 32, 32))
    node = next(node for node in trace.nodes if node.name == "shrink1.0")
    assert node.window == Window(kernel=(3, 3), stride=(1, 1), padding=(0, 0), dilation=(2, 2))
    assert next(node for node in trace.nodes if node.name.endswith("depthwise")).window == Window(
        kernel=(1, 1), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=64
    )


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("in_channels", [1, 3])
def test_costs_agree_with_torch(name: str, in_channels: int) -> None:
    model = create_model(name, in_channels=in_channels).eval()
    trace = trace_model(model, (in_channels, 32, 32))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, in_channels, 32, 32))
    assert trace.macs * 2 == counter.get_total_flops()
    assert trace.num_params == num_params(model) == sum(node.num_params for node in trace.nodes)
    # Each node takes values of earlier ones, and only the last value is left over.
    assert all(source < index for index, node in enumerate(trace.nodes) for source in node.inputs)
    used = {source for node in trace.nodes for source in node.inputs}
    assert used == set(range(len(trace.nodes) - 1))


def test_resnet8_costs_what_mlperf_says() -> None:
    trace = trace_model(create_model("resnet8"), (3, 32, 32))
    assert trace.num_params == 78_186
    assert trace.macs == pytest.approx(12.5e6, rel=1e-3)


def test_a_separable_convolution_has_its_own_node_after_its_parts() -> None:
    trace = trace_model(create_model("dilated-fixed"), (3, 32, 32))
    index = next(index for index, node in enumerate(trace.nodes) if node.role == "group")
    parts = [(node.kind, node.role, node.inputs) for node in trace.nodes[index - 2 : index + 2]]
    assert parts == [
        ("Conv2d", "layer", (index - 3,)),
        ("Conv2d", "layer", (index - 2,)),
        ("SeparableConv2d", "group", (index - 1,)),
        ("ReLU", "layer", (index,)),
    ]
    assert (trace.nodes[index].num_params, trace.nodes[index].macs) == (0, 0)


def test_an_in_place_rectifier_becomes_the_producer_of_its_argument() -> None:
    model = Net(
        lambda net, images: net.b(net.relu(maps := net.a(images))) + maps, a=conv(), relu=nn.ReLU(True), b=conv()
    )
    assert flow(trace_model(model, (3, 8, 8))) == [
        ("image", ()), ("a", (0,)), ("relu", (1,)), ("b", (2,)), ("add", (3, 2)),
    ]  # fmt: skip


def test_functions_in_place_become_the_producers_of_their_arguments() -> None:
    def forward(net: Net, images: Tensor) -> Tensor:
        maps = net.a(images)
        maps += images
        maps.clamp_(0)
        maps[:, 0] = 0
        return maps

    assert flow(trace_model(Net(forward, a=conv()), (3, 8, 8))) == [
        ("image", ()), ("a", (0,)), ("add", (1, 0)), ("clamp", (2,)), ("setitem", (3,)),
    ]  # fmt: skip


@pytest.mark.parametrize("dropout", [nn.Dropout(0.5), lambda maps: F.dropout(maps, 0.5, False)])
def test_a_branch_around_dropout_is_not_a_branch_through_it(dropout: Callable[[Tensor], Tensor]) -> None:
    """In evaluation mode dropout returns its argument itself: the same object on both branches."""
    layers = {"dropout": dropout} if isinstance(dropout, nn.Module) else {}
    model = Net(lambda net, images: (maps := net.a(images)) + net.b(dropout(maps)), a=conv(), b=conv(), **layers)
    assert flow(trace_model(model, (3, 8, 8))) == [
        ("image", ()), ("a", (0,)), ("dropout", (1,)), ("b", (2,)), ("add", (1, 3)),
    ]  # fmt: skip


def test_identity_leaves_no_trace() -> None:
    model = Net(lambda net, images: net.skip(maps := net.a(images)) + maps, a=conv(), skip=nn.Identity())
    assert flow(trace_model(model, (3, 8, 8))) == [("image", ()), ("a", (0,)), ("add", (1,))]


def test_functions_are_named_plainly() -> None:
    def forward(net: Net, images: Tensor) -> Tensor:
        first, second = net.a(images).split([1, 2], dim=1)
        joined = torch.cat([first, second * 2, first.__sub__(1)], dim=1)
        return joined.permute(0, 2, 3, 1).flatten(1)

    trace = trace_model(Net(forward, a=conv()), (3, 8, 8))
    assert [node.kind for node in trace.nodes[2:]] == ["split", "mul", "sub", "cat", "permute", "flatten"]
    assert trace.nodes[5].inputs == (2, 3, 4)
    assert trace.nodes[-1].output_shape == (4 * 8 * 8,)


def test_a_layer_called_twice_costs_twice_but_counts_its_parameters_once() -> None:
    trace = trace_model(Net(lambda net, images: net.a(net.a(images)), a=conv()), (3, 8, 8))
    assert [(node.num_params, node.macs) for node in trace.nodes[1:]] == [(81, 81 * 64), (0, 81 * 64)]
    assert (trace.num_params, trace.macs, trace.receptive_field) == (81, 2 * 81 * 64, 5)


def test_functions_between_layers_cost_the_same_as_modules() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filters = nn.Parameter(torch.randn(4, 3, 3, 3), requires_grad=False)
            self.activation = nn.Identity()
            self.weight = nn.Parameter(torch.randn(5, 4 * 3 * 3))

        def forward(self, images: Tensor) -> Tensor:
            maps = self.activation(F.conv2d(images, self.filters, stride=2, dilation=(2, 2), padding="valid"))
            return F.linear(F.max_pool2d(F.avg_pool2d(maps, 2), 2, stride=1).flatten(1), weight=self.weight)

    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, dilation=2, bias=False), nn.AvgPool2d(2), nn.MaxPool2d(2, 1), nn.Flatten(),
        nn.Linear(36, 5, bias=False),
    )  # fmt: skip
    functions, modules = trace_model(Functional(), (3, 20, 20)), trace_model(layers, (3, 20, 20))
    assert functions.num_trainable == functions.num_params - 108 == 180
    for function, module in zip(functions.nodes, modules.nodes, strict=True):
        assert (function.num_params, function.macs, function.receptive_field, function.window) == (
            module.num_params, module.macs, module.receptive_field, module.window,
        )  # fmt: skip
    assert [node.kind for node in functions.layers] == ["conv2d", "linear"]


def test_a_layer_of_ones_own_is_one_node_with_the_costs_of_its_calls() -> None:
    class Whiten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filters = nn.Parameter(torch.randn(4, 3, 2, 2), requires_grad=False)
            self.unused = nn.Parameter(torch.randn(7))

        def forward(self, images: Tensor) -> Tensor:
            maps = F.conv2d(images - images.mean((2, 3), keepdim=True), self.filters)
            return torch.cat([maps, -maps], dim=1)

    trace = trace_model(nn.Sequential(Whiten(), nn.ReLU()), (3, 8, 8))
    assert [(node.kind, node.inputs, node.output_shape) for node in trace.nodes[1:]] == [
        ("Whiten", (0,), (8, 7, 7)), ("ReLU", (1,), (8, 7, 7)),
    ]  # fmt: skip
    layer = trace.nodes[1]
    assert (layer.num_params, layer.num_trainable, layer.macs) == (48 + 7, 7, 48 * 49)
    assert trace.receptive_field == 8 + 1, "the mean sees the image, the filter one pixel more"


def test_a_layer_of_several_values_has_several_inputs() -> None:
    class Mix(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return first.relu() * second

    model = Net(lambda net, images: net.mix(net.a(images), net.b(images)), a=conv(), b=conv(), mix=Mix())
    assert flow(trace_model(model, (3, 8, 8))) == [("image", ()), ("a", (0,)), ("b", (0,)), ("mix", (1, 2))]


def test_padding_by_name_is_a_number_in_the_window() -> None:
    for padding, expected in [("same", (4, 2)), ("valid", (0, 0))]:
        layer = nn.Conv2d(3, 3, (5, 3), padding=padding, dilation=2)
        window = trace_model(layer, (3, 12, 12)).nodes[1].window
        assert window == Window(kernel=(5, 3), stride=(1, 1), padding=expected, dilation=(2, 2))


def test_a_product_of_matrices_sees_the_whole_map() -> None:
    model = Net(lambda net, images: (maps := net.a(images)) @ maps, a=conv())
    assert trace_model(model, (3, 8, 8)).receptive_field == 3 + 7


WINDOW_LAYERS = st.one_of(
    st.builds(
        lambda kernel, stride, dilation, padding: nn.Conv2d(
            1, 1, kernel, stride=stride, dilation=dilation, padding=padding, bias=False
        ),
        st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2),
    ),
    st.builds(nn.AvgPool2d, st.integers(1, 3), st.integers(1, 3)),
    st.builds(lambda height, width: nn.Conv2d(1, 1, (height, width), bias=False), st.integers(1, 3), st.integers(1, 3)),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(layers=st.lists(WINDOW_LAYERS, min_size=1, max_size=3))
def test_receptive_fields_are_what_gradients_reach(layers: list[nn.Module]) -> None:
    """With all weights positive, the pixels that move the middle value of the result are those that it sees."""
    model = nn.Sequential(*layers)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    field = trace_model(model, (1, 200, 200)).receptive_field
    images = torch.zeros(1, 1, 200, 200, requires_grad=True)
    maps = model(images)
    maps[0, 0, maps.shape[2] // 2, maps.shape[3] // 2].backward()
    assert images.grad is not None
    seen = images.grad[0, 0].nonzero()
    sides = seen.max(dim=0).values - seen.min(dim=0).values + 1
    assert field == sides.max()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (nn.AdaptiveAvgPool2d(1), 3 + 2 * 9),  # ten positions, two pixels apart
        (nn.AdaptiveMaxPool2d((5, 2)), 3 + 2 * 4),  # the longer side: windows of five
        (nn.AdaptiveAvgPool2d(4), 3 + 2 * 2),  # windows 0-2, 2-4, 5-7 and 7-9
        (nn.Sequential(nn.Flatten(), nn.Linear(1000, 2)), 3 + 2 * 9),
        (nn.Flatten(), 3),
        (nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(10, 2, 3)), 3 + 2 * 2),
        (nn.Sequential(nn.BatchNorm2d(10), nn.ReLU(), nn.PReLU(), nn.Dropout()), 3),
        (nn.Upsample(scale_factor=2), 3 + 2 * 9),  # unknown, and changes the map: an upper bound
        (nn.MaxPool2d(2), 3 + 2),
    ],
)
def test_receptive_fields_of_heads(head: nn.Module, expected: int) -> None:
    stem = nn.Conv2d(3, 10, 3, stride=2, padding=1)
    assert trace_model(nn.Sequential(stem, head), (3, 20, 20)).receptive_field == expected


def test_the_mean_over_a_map_sees_all_of_it_also_after_a_gate() -> None:
    mean = Net(lambda net, images: net.a(images).mean((2, 3)), a=conv())
    assert trace_model(mean, (3, 20, 20)).receptive_field == 3 + 19
    gated = Net(
        lambda net, images: net.b((maps := net.a(images)) * net.pool(maps).sigmoid()),
        a=conv(), b=conv(), pool=nn.AdaptiveAvgPool2d(1),
    )  # fmt: skip
    assert [node.receptive_field for node in trace_model(gated, (3, 20, 20)).nodes] == [1, 3, 22, 22, 22, 24]


def test_modes_weights_and_hooks_are_as_before() -> None:
    model = create_model("dilated", seed=0)
    model.get_submodule("stem").eval()
    modes = [module.training for module in model.modules()]
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    rng_state = torch.get_rng_state()
    assert trace_model(model, (3, 32, 32)) == trace_model(model, (3, 32, 32))
    with pytest.raises(ModelError):
        trace_model(model, (3, 8, 8))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), rng_state)
    assert torch.is_grad_enabled()


def test_the_callers_inference_mode_changes_nothing() -> None:
    model = create_model("dilated")
    with torch.inference_mode():
        assert trace_model(model, (3, 32, 32)) == trace_model(create_model("dilated"), (3, 32, 32))
        assert torch.is_inference_mode_enabled()
    assert trace_model(model, (3, 32, 32)).macs == 136_161_672


def test_frozen_parameters_are_not_trainable() -> None:
    model = create_model("resnet8")
    for parameter in model.get_submodule("stem").parameters():
        parameter.requires_grad_(False)
    trace = trace_model(model, (3, 32, 32))
    assert trace.num_params - trace.num_trainable == 448 + 32
    assert sum(node.num_trainable for node in trace.nodes) == trace.num_trainable


def test_other_number_types_are_traced() -> None:
    assert trace_model(create_model("resnet8").double(), (3, 32, 32)).num_params == 78_186


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match=r"cannot take an image of shape \(4, 8, 8\)"):
        trace_model(conv(), (4, 8, 8))
    with pytest.raises(ModelError, match="empty"):
        trace_model(conv(), (3, 0, 8))

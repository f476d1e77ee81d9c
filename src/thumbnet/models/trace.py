"""What happens to an image inside a network: its layers and tensor functions in call order, and what each one costs.

The model runs once, in evaluation mode, on one zero image. A TorchFunctionMode sees every function called on what comes
from the image (conv2d, relu, add, ...); hooks see where a layer begins and ends, and put the calls in between together
to one node. MACs are the multiply-accumulates of convolutions and linear maps. Shapes leave the batch axis out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thumbnet.errors import ModelError
from thumbnet.models.receptive_field import Reach, Window, image_reach, next_reach, window_of

WEIGHTED = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear")
ALIASES = {"rsub": "sub", "rdiv": "div", "concat": "cat", "concatenate": "cat"}
COPIES = {"contiguous", "to", "float", "double", "half", "bfloat16", "clone", "detach", "data"}  # the same values

Role: TypeAlias = Literal["image", "layer", "group", "function"]


@dataclass(frozen=True)
class Node:
    """One call: a layer, a group of layers that has a row of its own (`one_layer`), or a function between layers.

    `name` is the module's path (`stem.0`) or the function's name; `kind` the class or function (`Conv2d`, `add`);
    `inputs` the indices of the nodes whose values it takes; `output_shape` has no batch axis. Parameters used by
    several calls count at the first.
    """

    name: str
    kind: str
    role: Role
    inputs: tuple[int, ...]
    output_shape: tuple[int, ...]
    num_params: int = 0
    num_trainable: int = 0
    macs: int = 0
    receptive_field: int = 1
    window: Window | None = None

    @property
    def is_listed(self) -> bool:
        """Whether it has a row in the summary: layers and groups, and functions that have parameters or MACs."""
        return self.role in ("layer", "group") or self.num_params + self.macs > 0


@dataclass(frozen=True)
class Trace:
    """The nodes in call order, the image first, and the parameters of the whole model, each counted once."""

    nodes: tuple[Node, ...]
    num_params: int
    num_trainable: int

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.nodes[0].output_shape

    @property
    def layers(self) -> tuple[Node, ...]:
        """The nodes with a row in the summary."""
        return tuple(node for node in self.nodes if node.is_listed)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(node.macs for node in self.nodes)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the part of the image that a logit sees."""
        return self.nodes[-1].receptive_field


def trace_model(model: nn.Module, image_shape: tuple[int, int, int]) -> Trace:
    """Run the model on one zero image (channels, height, width) and note every call; its mode is restored afterwards.

    Raises:
        ModelError: the model cannot take such an image.
    """
    if min(image_shape) < 1:
        raise ModelError(f"an image of shape {image_shape} is empty", hint="give channels, height and width above 0")
    parameters = list(model.parameters())
    like = parameters[0] if parameters else torch.empty(0)
    image = torch.zeros(1, *image_shape, device=like.device, dtype=like.dtype)
    recorder = _Recorder(image)
    with in_eval_mode(model), recorder.hooked(model), torch.no_grad(), recorder:
        try:
            model(image)
        except RuntimeError as error:
            raise ModelError(
                f"the model cannot take an image of shape {image_shape}: {str(error).splitlines()[0]}",
                hint="give the number of channels and the size that it was made for",
            ) from error
    return Trace(
        tuple(recorder.nodes),
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    )


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and each module's own mode afterwards: a frozen part stays frozen."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class _Recorder(TorchFunctionMode):
    """Notes functions as a TorchFunctionMode, and by hooks the layers that they belong to.

    A tensor is known by its object, kept alive so that no other takes its id. What returns its argument unchanged
    (dropout in evaluation mode) is made to return a view instead: otherwise a branch taken before it and one after it
    would be the same object. What changes its argument in place (a rectifier) becomes the producer of that object.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.nodes = [Node("image", "Image", "image", (), tuple(image.shape[1:]))]
        self._reaches: list[Reach] = [image_reach(image.shape[2:])]
        self._producers: dict[int, tuple[Tensor, int]] = {id(image): (image, 0)}
        self._weights_behind: dict[int, tuple[Tensor, list[nn.Parameter]]] = {}
        self._counted: set[nn.Parameter] = set()
        self._open_layers: list[tuple[int, list[tuple[Tensor, int]]]] = []  # first node, arguments

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        handles = []
        for name, module in model.named_modules():
            # A model without children that is not one of torch's layers calls functions itself: they are its nodes.
            is_model = module is model and not type(module).__module__.startswith("torch.nn")
            is_leaf = next(module.children(), None) is None and not is_model
            if is_leaf and not isinstance(module, nn.Identity):
                handles.append(module.register_forward_pre_hook(self._enter_layer, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave_layer(name)))
            elif getattr(module, "one_layer", False):
                handles.append(module.register_forward_hook(self._leave_group(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        before = _versions((args, kwargs))
        result = func(*args, **kwargs)
        arguments = [tensor for tensor, _ in before]
        changed = [tensor for tensor, version in before if tensor._version != version]
        if any(result is tensor for tensor in arguments) and not changed:
            result = result.view(result.shape)
        outputs, used = [*_tensors(result), *changed], self._weights_among(arguments)
        inputs = tuple(dict.fromkeys(self._producers[id(item)][1] for item in arguments if id(item) in self._producers))
        kind = _function_kind(func)
        if not inputs or not outputs:
            self._weights_behind.update({id(output): (output, used) for output in outputs if used})
        elif kind in COPIES:
            self._producers.update({id(output): (output, inputs[0]) for output in outputs})
        else:
            in_shape, shape = self.nodes[inputs[0]].output_shape, tuple(outputs[0].shape[1:])
            window = window_of(kind, args, kwargs)
            reach = next_reach([self._reaches[index] for index in inputs], kind, window, in_shape, shape)
            weight = (args[1] if len(args) > 1 else kwargs["weight"]) if kind in WEIGHTED else None
            macs = 0 if weight is None else _macs(kind, weight, in_shape, shape)
            num_params, num_trainable = self._count(used)
            field = max(axis.field for axis in reach)
            node = Node(kind, kind, "function", inputs, shape, num_params, num_trainable, macs, field, window)
            self._add(node, reach, outputs)
        return result

    def _enter_layer(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._open_layers.append((len(self.nodes), _versions((args, kwargs))))

    def _leave_layer(self, name: str) -> Callable[..., Any]:
        def leave(module: nn.Module, _args: tuple[Any, ...], result: Any) -> Any:
            first, before = self._open_layers.pop()
            if any(result is tensor and tensor._version == version for tensor, version in before):
                result = result.view(result.shape)  # a call like any other: it is seen
            outputs = [
                tensor for tensor in _tensors(result) if self._producers.get(id(tensor), (tensor, 0))[1] >= first
            ]
            if outputs:
                self._join(first, outputs, name or type(module).__name__, module)
            return result

        return leave

    def _leave_group(self, name: str) -> Callable[..., None]:
        def leave(module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
            outputs = [tensor for tensor in _tensors(result) if id(tensor) in self._producers]
            if outputs:
                last = self._producers[id(outputs[0])][1]
                part, kind = self.nodes[last], type(module).__name__
                node = Node(
                    name or kind, kind, "group", (last,), part.output_shape, receptive_field=part.receptive_field
                )
                self._add(node, self._reaches[last], outputs)

        return leave

    def _join(self, first: int, outputs: list[Tensor], name: str, module: nn.Module) -> None:
        """Put one node for a layer in the place of the calls that it made, those from `first` on."""
        calls, last = self.nodes[first:], self._producers[id(outputs[0])][1]
        inner = [tensor for tensor, index in self._producers.values() if index >= first]
        windows = [call.window for call in calls if call.window is not None]
        num_params, num_trainable = self._count(module.parameters())
        node = Node(
            name,
            type(module).__name__,
            "layer",
            tuple(dict.fromkeys(source for call in calls for source in call.inputs if source < first)),
            self.nodes[last].output_shape,
            num_params=num_params + sum(call.num_params for call in calls),
            num_trainable=num_trainable + sum(call.num_trainable for call in calls),
            macs=sum(call.macs for call in calls),
            receptive_field=self.nodes[last].receptive_field,
            window=windows[0] if len(windows) == 1 else None,
        )
        reach = self._reaches[last]
        del self.nodes[first:], self._reaches[first:]
        self._add(node, reach, inner)

    def _add(self, node: Node, reach: Reach, outputs: list[Tensor]) -> None:
        self._producers.update({id(output): (output, len(self.nodes)) for output in outputs})
        self.nodes.append(node)
        self._reaches.append(reach)

    def _count(self, parameters: Iterable[nn.Parameter]) -> tuple[int, int]:
        """The numbers, and the trainable ones, in the parameters that have not been counted yet."""
        new = [parameter for parameter in dict.fromkeys(parameters) if parameter not in self._counted]
        self._counted.update(new)
        return sum(item.numel() for item in new), sum(item.numel() for item in new if item.requires_grad)

    def _weights_among(self, tensors: Sequence[Tensor]) -> list[nn.Parameter]:
        """The parameters among the tensors, and those that the others were computed from without the image."""
        found = [tensor for tensor in tensors if isinstance(tensor, nn.Parameter)]
        for tensor in tensors:
            found += self._weights_behind.get(id(tensor), (tensor, []))[1]
        return found


def _macs(kind: str, weight: Tensor, in_shape: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Every weight is used once at every position: of the result, or of the input where a convolution is transposed."""
    if kind == "linear":
        return math.prod(shape[:-1]) * weight.numel()
    return math.prod((in_shape if "transpose" in kind else shape)[1:]) * weight.numel()


def _function_kind(func: Callable[..., Any]) -> str:
    """`add` for Tensor.add, add_ and __add__; the property's name where it is one (`mT`)."""
    name = func.__name__
    if name == "__get__":
        name = getattr(func, "__self__").__name__  # noqa: B009  # a Callable has no such attribute to mypy
    name = name.strip("_")
    return ALIASES.get(name, name)


def _versions(value: Any) -> list[tuple[Tensor, int]]:
    """The tensors in a call's arguments with the count of changes that each has seen."""
    return [(tensor, tensor._version) for tensor in _tensors(value)]


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (tuple, list)) else []

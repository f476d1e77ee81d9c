"""What happens to an image inside a network: its layers and tensor functions in call order, and what each one costs.

The model runs once, in evaluation mode, on one zero image. Hooks see the layers; a TorchFunctionMode sees the functions
called between them (add, relu, cat, ...). MACs are the multiply-accumulates of convolutions and linear layers. Shapes
leave the batch axis out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thumbnet.errors import ModelError
from thumbnet.models.receptive_field import Reach, Window, function_window, image_reach, layer_window, next_reach

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
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
    with _in_eval_mode(model), recorder.hooked(model), torch.no_grad(), recorder:
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
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and each module's own mode afterwards: a frozen part stays frozen."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@dataclass(frozen=True)
class _Call:
    """A call as it was seen: its tensors with the count of changes that each had before it, and its own weights."""

    name: str
    kind: str
    role: Role
    before: list[tuple[Tensor, int]]
    parameters: tuple[nn.Parameter, ...] = ()
    window: Window | None = None
    weight: Tensor | None = None
    is_transposed: bool = False


class _Recorder(TorchFunctionMode):
    """Notes layers by hooks, and functions outside them as a TorchFunctionMode.

    A tensor is known by its object, kept alive so that no other takes its id. What returns its argument unchanged
    (Dropout in evaluation mode) is made to return a view instead: otherwise a branch taken before it and one after it
    would be the same object. What changes its argument in place (a rectifier) becomes the producer of that object.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.nodes = [Node("image", "Image", "image", (), tuple(image.shape[1:]))]
        self._reaches: list[Reach] = [image_reach(image.shape[2:])]
        self._producers: dict[int, tuple[Tensor, int]] = {id(image): (image, 0)}
        self._weights_behind: dict[int, tuple[Tensor, list[nn.Parameter]]] = {}
        self._counted: set[nn.Parameter] = set()
        self._open_layers: list[list[tuple[Tensor, int]]] = []

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        handles = []
        for name, module in model.named_modules():
            is_leaf = next(module.children(), None) is None
            if is_leaf and not isinstance(module, nn.Identity):
                handles.append(module.register_forward_pre_hook(self._enter_layer, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave_layer(name), with_kwargs=True))
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
        if self._open_layers:
            return func(*args, **kwargs)
        before = _versions((args, kwargs))
        result = func(*args, **kwargs)
        kind = _function_kind(func)
        window, weight = function_window(kind, args, kwargs)
        return self._note(_Call(kind, kind, "function", before, window=window, weight=weight), result)

    def _enter_layer(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._open_layers.append(_versions((args, kwargs)))

    def _leave_layer(self, name: str) -> Callable[..., Any]:
        def leave(module: nn.Module, _args: tuple[Any, ...], _kwargs: dict[str, Any], result: Any) -> Any:
            if len(self._open_layers) == 1:  # otherwise a layer called from inside another, which stands for both
                kind, parameters = type(module).__name__, tuple(module.parameters())
                weight = module.weight if isinstance(module, (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)) else None
                window, is_transposed = layer_window(module), isinstance(module, TRANSPOSED)
                before = self._open_layers[0]
                call = _Call(name or kind, kind, "layer", before, parameters, window, weight, is_transposed)
                result = self._note(call, result)
            self._open_layers.pop()
            return result

        return leave

    def _leave_group(self, name: str) -> Callable[..., None]:
        def leave(module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
            kind = type(module).__name__
            self._note(_Call(name or kind, kind, "group", _versions(result)), result)

        return leave

    def _note(self, call: _Call, result: Any) -> Any:
        """Add the node of a call; return its result, as a view where it is an argument itself and unchanged."""
        arguments = [tensor for tensor, _ in call.before]
        changed = [tensor for tensor, version in call.before if tensor._version != version]
        if call.role != "group" and any(result is item for item in arguments) and not changed:
            result = result.view(result.shape)
        outputs = [*_tensors(result), *changed]
        used = [*call.parameters, *self._weights_of(arguments)]
        inputs = tuple(dict.fromkeys(self._producers[id(item)][1] for item in arguments if id(item) in self._producers))
        if not inputs or not outputs:
            self._weights_behind.update({id(output): (output, used) for output in outputs if used})
            return result
        if call.kind in COPIES:
            self._producers.update({id(output): (output, inputs[0]) for output in outputs})
            return result
        in_shape, shape = self.nodes[inputs[0]].output_shape, tuple(outputs[0].shape[1:])
        reach = next_reach([self._reaches[index] for index in inputs], call.kind, call.window, in_shape, shape)
        new = [item for item in dict.fromkeys(used) if item not in self._counted]
        node = Node(
            call.name,
            call.kind,
            call.role,
            inputs,
            shape,
            num_params=sum(parameter.numel() for parameter in new),
            num_trainable=sum(parameter.numel() for parameter in new if parameter.requires_grad),
            macs=_macs(call, in_shape, shape),
            receptive_field=max(axis.field for axis in reach),
            window=call.window,
        )
        self._counted.update(new)
        self._producers.update({id(output): (output, len(self.nodes)) for output in outputs})
        self._reaches.append(reach)
        self.nodes.append(node)
        return result

    def _weights_of(self, tensors: Sequence[Tensor]) -> list[nn.Parameter]:
        """The parameters among the tensors, and those that the others were computed from without the image."""
        found = [tensor for tensor in tensors if isinstance(tensor, nn.Parameter)]
        for tensor in tensors:
            found += self._weights_behind.get(id(tensor), (tensor, []))[1]
        return found


def _macs(call: _Call, in_shape: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Every weight is used once at every position: of the result, or of the input where a convolution is transposed."""
    if call.weight is None:
        return 0
    if call.is_transposed:
        return math.prod(in_shape[1:]) * call.weight.numel()
    positions = shape[:-1] if call.weight.dim() == 2 else shape[1:]
    return math.prod(positions) * call.weight.numel()


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

"""What happens to an image inside a network: its layers and tensor functions in call order, and what each one costs.

The model runs once, in evaluation mode, on one zero image. A TorchFunctionMode sees every function called on what comes
from the image (conv2d, relu, add, ...); hooks see where a layer begins and ends, and put the calls in between together
to one node. MACs are the multiply-accumulates of 2-D convolutions and linear maps. Shapes leave the batch axis out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thumbnet.errors import ModelError
from thumbnet.models.receptive_field import Reach, Window, image_reach, next_reach, window_of

Role: TypeAlias = Literal["image", "layer", "group", "function"]


@dataclass(frozen=True)
class Node:
    """One call: a layer, a group of layers that has a row of its own (`one_layer`), or a function between layers.

    `name` is the module's path (`stem.0`) or the function's name; `kind` the class or function (`Conv2d`, `add`);
    `inputs` the indices of the nodes whose values it takes; `output_shape` has no batch axis. Parameters that
    several calls use count at the first.
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
    def layers(self) -> tuple[Node, ...]:
        """The nodes with a row in the summary."""
        return tuple(node for node in self.nodes if node.is_listed)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image in its conv2d and linear calls; no other call counts any."""
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
    # Under a caller's inference mode tensors would not count their changes, by which calls in place are recognised.
    with torch.inference_mode(False), torch.no_grad(), in_eval_mode(model):
        image = torch.zeros(1, *image_shape, device=like.device, dtype=like.dtype)
        recorder = _Recorder(image)
        try:
            with recorder.hooked(model), recorder:
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
    """Records functions as a TorchFunctionMode, and by hooks the layers to which they belong.

    A tensor is known by its object, kept alive so that no other takes its id. What returns its argument unchanged
    (dropout in evaluation mode) is made to return a view instead: otherwise a branch taken before it and one after it
    would be the same object. What changes its argument in place (a rectifier) becomes the producer of that object.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.nodes = [Node("image", "Image", "image", (), tuple(image.shape[1:]))]
        self._reaches: list[Reach] = [image_reach(image.shape[2:])]
        self._producers: dict[int, tuple[Tensor, int]] = {id(image): (image, 0)}
        self._counted: set[nn.Parameter] = set()
        self._open_layers: list[tuple[int, tuple[int, int]]] = []  # first node, parameters

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        handles = []
        for name, module in model.named_modules():
            if next(module.children(), None) is None:
                handles.append(module.register_forward_pre_hook(self._enter_layer))
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
        arguments = _tensors((args, kwargs))
        traced = [tensor for tensor in arguments if id(tensor) in self._producers]
        versions = [tensor._version for tensor in traced]
        result = func(*args, **kwargs)
        changed = [tensor for tensor, version in zip(traced, versions, strict=True) if tensor._version != version]
        if any(result is tensor for tensor in traced) and not changed:
            result = result.view(result.shape)
        outputs = [*_tensors(result), *changed]
        if not traced or not outputs:
            return result
        kind = func.__name__.strip("_")  # `add` for Tensor.add, add_ and __add__
        inputs = tuple(dict.fromkeys(self._producers[id(tensor)][1] for tensor in traced))
        in_shape, shape = self.nodes[inputs[0]].output_shape, tuple(outputs[0].shape[1:])
        window = window_of(kind, args, kwargs)
        reach = next_reach([self._reaches[index] for index in inputs], kind, window, in_shape, shape)
        macs = _macs(kind, args, kwargs, shape)
        field = max(axis.field for axis in reach)
        node = Node(kind, kind, "function", inputs, shape, *self._count(arguments), macs, field, window)
        self._add(node, reach, outputs)
        return result

    def _enter_layer(self, module: nn.Module, _args: tuple[Any, ...]) -> None:
        self._open_layers.append((len(self.nodes), self._count(module.parameters())))

    def _leave_layer(self, name: str) -> Callable[..., None]:
        """Put one node for a layer in the place of the calls that it made; one that made none leaves no trace."""

        def leave(module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
            first, (num_params, num_trainable) = self._open_layers.pop()
            calls = self.nodes[first:]
            if not calls:
                return
            last = self._producers[id(_tensors(result)[0])][1]
            inner = [tensor for tensor, index in self._producers.values() if index >= first]
            windows = [call.window for call in calls if call.window is not None]
            node = replace(
                self.nodes[last],
                name=name or type(module).__name__,
                kind=type(module).__name__,
                role="layer",
                inputs=tuple(dict.fromkeys(source for call in calls for source in call.inputs if source < first)),
                num_params=num_params,
                num_trainable=num_trainable,
                macs=sum(call.macs for call in calls),
                window=windows[0] if len(windows) == 1 else None,
            )
            reach = self._reaches[last]
            del self.nodes[first:], self._reaches[first:]
            self._add(node, reach, inner)

        return leave

    def _leave_group(self, name: str) -> Callable[..., None]:
        def leave(module: nn.Module, _args: tuple[Any, ...], result: Tensor) -> None:
            last = self._producers[id(result)][1]
            part, kind = self.nodes[last], type(module).__name__
            node = Node(name or kind, kind, "group", (last,), part.output_shape, receptive_field=part.receptive_field)
            self._add(node, self._reaches[last], [result])

        return leave

    def _add(self, node: Node, reach: Reach, outputs: list[Tensor]) -> None:
        self._producers.update({id(output): (output, len(self.nodes)) for output in outputs})
        self.nodes.append(node)
        self._reaches.append(reach)

    def _count(self, tensors: Iterable[Tensor]) -> tuple[int, int]:
        """The numbers, and the trainable ones, in the parameters among the tensors that have not been counted yet."""
        new = [item for item in dict.fromkeys(tensors) if isinstance(item, nn.Parameter) and item not in self._counted]
        self._counted.update(new)
        return sum(item.numel() for item in new), sum(item.numel() for item in new if item.requires_grad)


def _macs(kind: str, args: tuple[Any, ...], kwargs: dict[str, Any], shape: tuple[int, ...]) -> int:
    """Of a conv2d or linear call, in which every weight is used once at each position of the result; else none."""
    if kind not in ("conv2d", "linear"):
        return 0
    weight: Tensor = args[1] if len(args) > 1 else kwargs["weight"]
    return weight.numel() * math.prod(shape[:-1] if kind == "linear" else shape[1:])


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (tuple, list)) else []

"""A network watched while it runs: its last maps of more than one position, or those of a layer, with gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thumbnet.errors import ModelError

MAX_LISTED = 12  # layers in a hint


class NoMapsError(ModelError):
    """A model has no maps that could tell where it looked."""


class WatchedNetwork(TorchFunctionMode):
    """A copy of a model that records its last maps of more than one position, or those of `layer`.

    Its parameters are frozen and the images are not, so whatever requires a gradient depends on the images. A copy,
    so that the model stays as it is, and weights that were loaded in inference mode become ordinary tensors.
    """

    def __init__(self, model: nn.Module, layer: str | None) -> None:
        super().__init__()
        self.name = ""
        self.maps = torch.empty(0)
        self._layer = layer
        self._num_images = 0
        self._layers_with_maps: list[str] = []
        self._model = copy.deepcopy(model).requires_grad_(False).eval()
        self._paths = [path for path, _ in self._model.named_modules(remove_duplicate=False) if path]
        for path in self._paths:
            self._model.get_submodule(path).register_forward_hook(self._leave(path))

    def run(self, images: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n m h2 w2"], Float[Tensor, "n k"]]:
        """The maps and the logits of normalised images."""
        self.name, self._layers_with_maps, self._num_images = "", [], len(images)
        copied = images.requires_grad_().clone()  # the model may change it in place, as it could not change a leaf
        with self:
            logits: Tensor = self._model(copied)
        if not self.name:
            raise self._no_maps()
        return self.maps, logits

    def gradient(self, values: Float[Tensor, " n"]) -> Float[Tensor, "n m h2 w2"]:
        """Of each image's value, made of the logits of the last run, by its maps."""
        gradient = None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(values.sum(), self.maps, allow_unused=True)
        if gradient is None:
            raise ModelError(f"the logits do not come from the maps of {self.name!r}", hint=self._hint())
        return gradient

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._layer is None and self._are_maps(result):
            self.maps, self.name = result, func.__name__.strip("_")
        return result

    def _leave(self, path: str) -> Callable[..., Tensor | None]:
        def leave(_module: nn.Module, _args: tuple[Any, ...], result: Any) -> Tensor | None:
            if not self._are_maps(result):
                return None
            self._layers_with_maps.append(path)
            if self._layer is None:
                self.name = path if result is self.maps else self.name
                return None
            if path != self._layer:
                return None
            self.maps, self.name = result, path
            kept: Tensor = result.clone()  # what follows may change it in place
            return kept

        return leave

    def _no_maps(self) -> ModelError:
        if self._layer is None:
            return NoMapsError("the model has no maps of more than one position", hint="saliency needs a convolution")
        if self._layer not in self._paths:
            return ModelError(f"the model has no layer {self._layer!r}", hint=self._hint())
        return ModelError(f"the layer {self._layer!r} gives no maps of more than one position", hint=self._hint())

    def _hint(self) -> str:
        names = list(dict.fromkeys(self._layers_with_maps))
        more = f" (the last of {len(names)})" if len(names) > MAX_LISTED else ""
        return f"choose one of {', '.join(names[-MAX_LISTED:])}{more}" if names else "no layer of it gives maps"

    def _are_maps(self, result: Any) -> TypeGuard[Tensor]:
        """Whether these come from the images, [N,M,H,W] of more than one position."""
        return (
            isinstance(result, Tensor)
            and result.dim() == 4
            and len(result) == self._num_images
            and max(result.shape[2:]) > 1
            and result.requires_grad
        )

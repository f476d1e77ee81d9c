"""Private names of PyTorch that the kernels' checks need, in one place.

In a PyTorch without one of them, `IS_KNOWN` is false, and its own layers run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

METHOD = "_conv_forward"  # by which `nn.Conv2d.forward` computes
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # of a layer
GLOBAL_HOOKS = tuple(f"_global{name}" for name in HOOKS)  # of all layers

try:
    from torch._C import _are_functorch_transforms_active, _get_tracing_state, _len_torch_dispatch_stack
    from torch._C._functorch import is_legacy_batchedtensor
    from torch.autograd import forward_ad
    from torch.nn.modules import module
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext

    _global_hooks: tuple[Mapping[int, Any], ...] = tuple(getattr(module, name) for name in GLOBAL_HOOKS)
    _layer = nn.Conv2d(1, 1, 1, device="meta")
    _needed = [vars(_layer)[name] for name in (*HOOKS, "_parameters", "_buffers")]
    _needed += [getattr(nn.Conv2d, METHOD), Tensor._is_zerotensor, forward_ad._current_level]
    IS_KNOWN = True
except (ImportError, AttributeError, KeyError):
    IS_KNOWN = False


def something_must_see_operations() -> bool:
    """Whether a tracer, a transform of `torch.func`, forward-mode differentiation or a mode handles operations."""
    return bool(
        _get_tracing_state() is not None
        or _are_functorch_transforms_active()
        or _len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0
        or any(type(mode) is not DeviceContext for mode in _get_current_function_mode_stack())
    )


def all_layers_are_hooked() -> bool:
    """Whether a hook is registered on every layer there is (`register_module_forward_hook` and its like)."""
    return any(_global_hooks)


def is_hooked(layer: nn.Module) -> bool:
    """Whether something is hooked to this layer."""
    own = layer.__dict__
    return bool(own[HOOKS[0]] or own[HOOKS[1]] or own[HOOKS[2]] or own[HOOKS[3]])


def is_compiled(layer: nn.Module) -> bool:
    """Whether `torch.compile` is at work in this module, or is this module."""
    return vars(layer).get("_compiled_call_impl") is not None or "_orig_mod" in layer._modules


def is_batched_or_without_memory(values: Tensor) -> bool:
    """Whether a tensor stands for several, or for zeros that are stored nowhere."""
    return values._is_zerotensor() or is_legacy_batchedtensor(values)

"""Where the arithmetic happens, and how the machine is prepared for it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from thumbnet.errors import ConfigError
from thumbnet.kernels.cpu import cpu_form
from thumbnet.specs.engine import PRECISIONS, check_device
from thumbnet.specs.launch import this_launch

if sys.platform == "win32":
    import ctypes
else:
    import resource


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` is the first of cuda, mps and cpu that is here.

    Of several processes, each gets the GPU of its number on its machine from `auto` and `cuda`.

    Raises:
        ConfigError: it is not here, or several processes would share a GPU.
    """
    check_device(name)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(candidate for candidate, is_here in available.items() if is_here)
    kind = name.partition(":")[0]
    if not available[kind]:
        raise ConfigError(f"device {name!r} is not available on this machine", hint="use --device auto")
    return _pick_gpu(name) if kind == "cuda" else torch.device(name)


def _pick_gpu(name: str) -> torch.device:
    launch, num_gpus = this_launch(), torch.cuda.device_count()
    if launch is not None and launch.has_several:
        if name != "cuda":
            raise ConfigError(
                f"device is {name!r}, but {launch.size} processes train together",
                hint="leave --device out: each process takes a GPU of its own",
            )
        name = f"cuda:{launch.local_rank}"
    device = torch.device(name)
    if device.index is not None and device.index >= num_gpus:
        raise ConfigError(
            f"device {name!r} is not here: this machine has {num_gpus} GPU{'s' if num_gpus > 1 else ''}",
            hint="start as many processes as there are GPUs, or use --device auto or cpu",
        )
    return device


def pick_precision(name: str, device: torch.device, *, fully_fused: bool = False) -> torch.dtype:
    """The number format of convolutions and matrix products; weights, losses and updates are float32 in any case.

    `auto` is bfloat16 if the device multiplies it natively, or if the model runs `fully_fused` and PyTorch has a
    bfloat16 kernel for its frozen convolution; else float32. Our kernels run every trained convolution then: they
    compute in float32 and only store bfloat16. PyTorch takes ten times as long where it has no kernel.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"unknown precision {name!r}", hint=f"choose one of {', '.join(PRECISIONS)}")
    if name == "auto":
        stores_bfloat16 = fully_fused and has_bfloat16_convolutions()
        name = "bfloat16" if stores_bfloat16 or has_native_bfloat16(device) else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware: GPUs since 2020, server processors of some makes."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or cpu_form() != "native":  # PyTorch's own answer does not know of THUMBNET_CPU
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # an older PyTorch tells less
        tells = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return tells is not None and bool(tells())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def has_bfloat16_convolutions() -> bool:
    """Whether PyTorch has a kernel of oneDNN for convolutions in bfloat16 on this processor, emulated or not."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a build without oneDNN
        return False


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """While this lasts, PyTorch's own generators of the CPU and of `device` go on from `seed`; then as they were."""
    mps_state = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            if mps_state is not None:
                torch.mps.set_rng_state(mps_state)


def processor_name() -> str:
    """The processor's make, as the system tells it, and what THUMBNET_CPU limits it to."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or platform.machine()
    limit = "" if cpu_form() == "native" else f", limited to {cpu_form()}"
    return f"{name} ({os.cpu_count()} cores{limit})"


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory held so far: on the GPU for cuda, else resident in this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return _peak_memory_on_windows()
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS and in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if sys.platform == "win32":

    class _MemoryCounters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of psapi.h."""

        _fields_ = (
            ("cb", ctypes.c_uint32),
            ("PageFaultCount", ctypes.c_uint32),
            ("PeakWorkingSetSize", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 7),
        )

    def _peak_memory_on_windows() -> int:
        counters = _MemoryCounters(cb=ctypes.sizeof(_MemoryCounters))
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.GetCurrentProcess.restype = ctypes.c_void_p
        kernel32.K32GetProcessMemoryInfo.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
        if not kernel32.K32GetProcessMemoryInfo(kernel32.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
            raise ctypes.WinError(ctypes.get_last_error())
        return int(counters.PeakWorkingSetSize)

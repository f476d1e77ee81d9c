"""What a training computes with: as long as nothing of it changes, the same steps give the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.errors import ConfigError, RunError
from thumbnet.kernels.choice import describe_kernels, pick_kernels, runs_fully_fused
from thumbnet.kernels.cpu import cpu_form
from thumbnet.specs.processors import num_processors
from thumbnet.training.device import pick_device, pick_precision, processor_name
from thumbnet.training.ranks import num_ranks_now
from thumbnet.training.threads import computing_with


@dataclass(frozen=True)
class Environment:
    """Device, number format, whose kernels, threads, THUMBNET_CPU, the vector instructions that PyTorch uses, processor
    or GPU, PyTorch's version, and how many processes train together. None: an earlier version did not record it."""

    device: str | None = None
    precision: str | None = None
    kernels: str | None = None
    num_threads: int | None = None
    cpu: str | None = None
    instructions: str | None = None
    processor: str | None = None
    torch: str | None = None
    num_ranks: int | None = None

    def num_threads_now(self) -> int | None:
        """The number of threads to compute with again; None where as many as there are: another number of processes
        shares the processor."""
        return self.num_threads if self.num_ranks in (None, num_ranks_now()) else None

    def difference_of_ranks(self, now: Environment) -> list[str]:
        """Another number of processes, and of each one's threads, where the first differs, as in `differences`."""
        if self.num_ranks in (None, now.num_ranks):
            return []
        alike = replace(now, num_ranks=self.num_ranks, num_threads=self.num_threads)
        return [each for each in self.differences(now) if each not in self.differences(alike)]

    def differences(self, now: Environment) -> list[str]:
        """What is known of both and differs, a text each."""
        pairs = zip(asdict(self).items(), asdict(now).values(), strict=True)
        return [
            f"{name} was {then} and is {value}"
            for (name, then), value in pairs
            if then is not None and value is not None and then != value
        ]


def environment_of(config: TrainConfig, model: nn.Module) -> Environment:
    """That in which the model would be trained now, as a resolved config says."""
    device = pick_device(config.engine.device)
    kernels = pick_kernels(config.engine.kernels, model, device, compiled=config.engine.compiled)
    fully_fused = kernels is not None and runs_fully_fused(model)
    precision = pick_precision(config.engine.precision, device, fully_fused=fully_fused)
    return Environment(
        device=device.type,
        precision=str(precision).removeprefix("torch."),
        kernels=describe_kernels(kernels),
        num_threads=torch.get_num_threads(),
        cpu=cpu_form(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        processor=torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        torch=str(torch.__version__),
        num_ranks=num_ranks_now(),
    )


def check_still_here(device: str, *, cannot: str, hint: str) -> None:
    """RunError where a device that was trained on is not here, and none other will do; `cannot` says what for."""
    try:
        pick_device(device)
    except ConfigError as error:
        raise RunError(f"{cannot} here: {error.message}", hint=hint) from error


@contextmanager
def using_threads(num_threads: int | None, *, say: Callable[[str], None]) -> Iterator[None]:
    """While this lasts, PyTorch computes with so many threads, if the machine has as many cores; None: as it does."""
    before = torch.get_num_threads()
    if num_threads is None or num_threads == before or not 1 <= num_threads <= num_processors():
        yield
        return
    say(f"Computing with {num_threads} thread{'s' if num_threads > 1 else ''}, as before, instead of {before}.")
    with computing_with(num_threads):
        yield

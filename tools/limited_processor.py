"""A processor that THUMBNET_CPU limits: its name says so, and so must the command of what was measured on it."""

from __future__ import annotations

from thumbnet.kernels.cpu import VARIABLE

LIMITED = ", limited to "  # in the name of a processor, before the kind that it was limited to and a bracket


def command_on(processor: str, command: str) -> str:
    """The command with THUMBNET_CPU before it, which some records leave out, where the processor was limited by it."""
    _, limited, kind = processor.partition(LIMITED)
    if not limited or command.startswith(f"{VARIABLE}="):
        return command
    return f"{VARIABLE}={kind.removesuffix(')')} {command}"

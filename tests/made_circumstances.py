"""What a benchmark's figures come with, as `circumstances` in benchmarks/measuring.py gives it, of no real machine."""

from __future__ import annotations

from typing import Any


def made_circumstances(command: str, *, processor_kind: str = "AVX2 float32") -> dict[str, Any]:
    return {
        "processor": "a processor",
        "processor_kind": processor_kind,
        "num_threads": 2,
        "torch": "2",
        "python": "3",
        "date": "2026-11-29",
        "commit": "abc",
        "command": command,
    }

"""A server as a process, for the scripts that measure it and those that try to break it."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass
class ServerProcess:
    """`thumbnet serve` at a port of 127.0.0.1."""

    process: subprocess.Popen[str]
    port: int

    def memory_mb(self) -> float | None:
        """The most memory that it has had, in 10^6 bytes; None where there is no /proc."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
        return None if found is None else int(found[1]) * 1024 / 1e6


@contextmanager
def serving(run_or_name: str) -> Iterator[ServerProcess]:
    """A server at a free port, ended by SIGTERM; SystemExit where it does not begin, or not end cleanly."""
    command = [sys.executable, "-m", "thumbnet", "serve", run_or_name, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    if found is None:
        raise SystemExit(line + process.communicate()[1])
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(process.stderr or ()))  # or a full pipe would stop it
    reader.start()
    try:
        yield ServerProcess(process, int(found[1]))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        reader.join()
    if code != 0 or told:
        raise SystemExit(f"the server ended with {code} and said:\n{''.join(told)[-5000:]}")


def picture(kind: str, *, width: int, height: int, seed: int = 0) -> bytes:
    """A file of smooth noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(stream, kind)
    return stream.getvalue()

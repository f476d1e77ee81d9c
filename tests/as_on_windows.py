"""Train in a process that looks as on Windows: without what only other systems have. Run by test_wheel_install.py.

python as_on_windows.py PACKAGE_FOLDER RUN_FOLDER
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from types import ModuleType, SimpleNamespace

LIBRARIES = (  # all that is loaded later would look for Windows in earnest
    "torch._dynamo", "tqdm", "matplotlib.figure", "matplotlib.backends.backend_agg", "scipy.optimize", "scipy.stats",
    "sklearn.datasets", "sklearn.neighbors", "pooch", "requests", "platformdirs", "jinja2", "safetensors.numpy",
    "PIL.Image", "multiprocessing", "ctypes.wintypes",
)  # fmt: skip
OTHER_SYSTEMS = ("O_CLOEXEC", "O_NOFOLLOW", "fchown", "fchmod", "geteuid", "sched_getaffinity", "sysconf")
PEAK = 123 << 20
locked: list[int] = []


def locking(descriptor: int, mode: int, num_bytes: int) -> None:
    locked.append(os.lseek(descriptor, 0, os.SEEK_CUR))


def memory_info(process: int, counters: object, size: int) -> int:
    assert counters._obj.cb == size == 72
    counters._obj.PeakWorkingSetSize = PEAK
    return 1


class Function:
    def __init__(self, does: object) -> None:
        self.does = does

    def __call__(self, *arguments: object) -> object:
        return self.does(*arguments)


def pretend() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in OTHER_SYSTEMS:
        delattr(os, name)
    for name in ("fcntl", "resource", "pwd"):
        sys.modules[name] = None
    msvcrt = ModuleType("msvcrt")
    msvcrt.LK_LOCK, msvcrt.LK_NBLCK, msvcrt.locking = 1, 2, locking
    sys.modules["msvcrt"] = msvcrt
    kernel32 = SimpleNamespace(GetCurrentProcess=Function(lambda: 1), K32GetProcessMemoryInfo=Function(memory_info))
    ctypes.WinDLL = lambda name, **options: kernel32
    sys.platform = "win32"


if __name__ == "__main__":
    pretend()
    sys.path.insert(0, sys.argv[1])
    from thumbnet.cli import main

    assert main(["train", "--data", "digits", "--epochs", "1", "--run-dir", sys.argv[2]]) == 0
    assert locked == [1 << 30]

"""Install PyTorch beside this Python: python tools/install_torch.py torch==2.13.0

pip's default on Linux is a CUDA build of several GB. On a machine without a GPU the CPU build is taken instead, from
PyTorch's own index, unless pip has an index, links or constraints of its own; where that index fails, pip's default
follows. Needs no package but pip.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_MACHINES = ("x86_64", "aarch64")  # those that the index has builds for
PLACES = ("index-url", "pypi-url", "extra-index-url", "find-links", "no-index", "constraint")  # settings of pip
TIMEOUT_S = 10.0


def main(arguments: Sequence[str] | None = None, pip: Sequence[str] = PIP) -> int:
    """Install; the exit status of the last call of pip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requirement", help="as pip takes it: torch==2.13.0")
    parser.add_argument("--cpu-index", default=CPU_INDEX, metavar="URL", help="default: %(default)s")
    parsed = parser.parse_args(arguments)
    default = [*pip, "install", "--quiet", parsed.requirement]
    reason = reason_for_default(pip, parsed.requirement)
    if reason is None:
        say(f"No nvidia-smi here: PyTorch's CPU build, about 200 MB, from {parsed.cpu_index} ...")
        if answers(pip, parsed.cpu_index) and is_done(from_index(pip, parsed.cpu_index, parsed.requirement)):
            return 0
        reason = (
            f"{parsed.cpu_index} did not give it, pip's default follows: a CUDA build of several GB. For another one "
            'stop here (Ctrl-C) and name it: make setup TORCH="torch==2.13.0+cpu --index-url URL"'
        )
    say(f"PyTorch: {reason} ...")
    return subprocess.run(default, check=False).returncode


def reason_for_default(pip: Sequence[str], requirement: str) -> str | None:
    """Why pip's default is right, or None where the CPU build is better."""
    if sys.platform != "linux" or platform.machine() not in CPU_MACHINES:
        return "pip's build for this system"
    if shutil.which("nvidia-smi"):
        return "a GPU is here: pip's default, on Linux a CUDA build of several GB"
    places = own_places(pip)
    if places:
        return f"as pip's own configuration says ({', '.join(places)})"
    offline = [*pip, "install", "--quiet", "--dry-run", "--no-deps", "--no-index", requirement]
    return "already installed" if is_done(offline, is_quiet=True) else None


def own_places(pip: Sequence[str]) -> list[str]:
    """The settings, of files and of the environment, that say where pip takes packages from."""
    listed = subprocess.run([*pip, "config", "list"], check=False, capture_output=True, text=True).stdout
    settings = [line.partition("=") for line in listed.splitlines()]
    given = {key.rpartition(".")[2] for key, _, value in settings if value.strip("'\"")}
    return sorted(given.intersection(PLACES))


def answers(pip: Sequence[str], index: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether an index lists builds of PyTorch for this Python, without waiting long."""
    patience = ["--timeout", str(timeout_s), "--retries", "0"]
    return is_done([*pip, "index", "versions", "torch", *patience, "--index-url", index], is_quiet=True)


def from_index(pip: Sequence[str], index: str, requirement: str) -> list[str]:
    """The command that installs from an index; what PyTorch itself needs comes with requirements.lock."""
    patience = ["--timeout", str(TIMEOUT_S), "--retries", "1"]
    return [*pip, "install", "--quiet", "--no-deps", *patience, "--index-url", index, requirement]


def is_done(command: Sequence[str], *, is_quiet: bool = False) -> bool:
    """Run a command; whether it succeeded."""
    output = subprocess.DEVNULL if is_quiet else None
    return subprocess.run(command, check=False, stdout=output, stderr=output).returncode == 0


def say(message: str) -> None:
    """Write to stderr."""
    sys.stderr.write(f"{message}\n")


if __name__ == "__main__":
    sys.exit(main())

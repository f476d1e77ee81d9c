"""What the benchmarks share: work in separate processes that runs on demand, and results as files."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch

from thumbnet.data.own_sources import data_folder
from thumbnet.kernels.cpu import VARIABLE, cpu_form
from thumbnet.training.device import processor_name
from thumbnet.training.processor import processor_kind

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BINARY_RELEASE = "cifar-10-batches-bin"

Work = Callable[[int], Any]  # does so many steps and returns something


class Worker:
    """A process of its own that works when asked: `make(*arguments)` is called in it and gives the work."""

    def __init__(self, make: Callable[..., Work], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")  # nothing of this process's settings
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, make, arguments), daemon=True)
        self.process.start()

    def run(self, num_steps: int) -> Any:
        self.connection.send(num_steps)
        try:
            return self.connection.recv()
        except EOFError:
            raise SystemExit("a benchmark's process failed; its error stands above") from None

    def close(self) -> None:
        self.connection.close()
        self.process.join()


@contextmanager
def workers(*all_of_them: Worker) -> Iterator[None]:
    """Closed at the end."""
    try:
        yield
    finally:
        for worker in all_of_them:
            worker.close()


def plain_work(kind: str, folder: str, num_images: int) -> Work:
    """Steps of `plain_reference`: `train` or `train_on_one_batch`. Gives (seconds, losses) of so many steps."""
    sys.path.insert(0, str(HERE))
    import plain_reference

    dataset = plain_reference.CifarImages(folder, num_images)
    steps = getattr(plain_reference, kind)(plain_reference.PlainNet(), dataset)

    def work(num_steps: int) -> tuple[float, list[float]]:
        pairs = [next(steps) for _ in range(num_steps)]
        return sum(seconds for _, seconds in pairs), [loss for loss, _ in pairs]

    return work


def check_kept(run_dir: Path, asked: list[str]) -> None:
    """Note beside a run's folder what it is trained with, a recipe first, and on which kind of processor.

    SystemExit where that was something else. Earlier versions did not note the kind.
    """
    kept = run_dir.with_name(f"{run_dir.name}.json")
    with_kind = [*asked, f"on {processor_kind()}"]
    if run_dir.exists() and kept.exists() and (before := json.loads(kept.read_text())) not in (asked, with_kind):
        raise SystemExit(
            f"{run_dir} was trained with {before[1:]}, not {with_kind[1:]}, or with other fields of its recipe: delete "
            "it"
        )
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(with_kind))


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with what all of the benchmarks take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="where CIFAR-10's binary files are")
    return parser


def cifar_folder(data_dir: str | None) -> str:
    """Where CIFAR-10's binary files are, or an end with what to do."""
    folder = data_folder(data_dir)
    if not (folder / BINARY_RELEASE / "data_batch_1.bin").exists():
        raise SystemExit(
            f"the binary release of CIFAR-10 is not in {folder / BINARY_RELEASE}: fetch it with `thumbnet data "
            "prepare`, or give --data-dir, the folder that holds that one"
        )
    return str(folder)


def circumstances() -> dict[str, Any]:
    """Hardware, versions, date and command: the circumstances that are given with every number."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=10"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True)
    form = "" if cpu_form() == "native" else f"{VARIABLE}={cpu_form()} "
    return {
        "processor": processor_name(),
        "processor_kind": processor_kind(),
        "num_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "command": f"{form}{shlex.join(['python', *map(without_folder, sys.argv)])}",
    }


def without_folder(word: str) -> str:
    """A word of a command; of an absolute path the name of a file only, or DIR: no folders of one machine."""
    path = Path(word)
    return word if not path.is_absolute() else path.name if path.suffix else "DIR"


def describe_circumstances(values: dict[str, Any]) -> str:
    """Those of `circumstances` in a line."""
    return (
        f"{values['processor']}, {values['processor_kind']}, {values['num_threads']} threads, torch {values['torch']}, "
        f"Python {values['python']}, {values['date']}, commit {values['commit']}; `{values['command']}`"
    )


def theme_of(name: str, chosen: Sequence[str], everything: Sequence[str], *more: str) -> str:
    """A theme for `write_results` that tells a part from the whole: `chosen` where it is not everything, and `more`."""
    words = [name, *(chosen if list(chosen) != list(everything) else []), *more]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def holds(reached: bool) -> str:
    """A verdict's word."""
    return "holds" if reached else "misses"


def describe_peaks(gflops: Sequence[float]) -> str:
    """The machine's speed in matrix products over a sitting, in GFLOP/s."""
    return (
        f"Matrix peak (float32, the best of 1024 to 4096): **{max(gflops):.0f} GFLOP/s** (over the sitting "
        f"{min(gflops):.0f} to {max(gflops):.0f})."
    )


def check_place(theme: str, values: dict[str, Any]) -> Path:
    """Where `write_results` will write these; SystemExit where results of another kind of processor are there."""
    hardware = re.sub(r"[^a-z0-9]+", "-", values["processor"].lower()).strip("-")
    path = RESULTS / f"{theme}_{hardware}_{values['date']}.md"
    if path.with_suffix(".json").exists():
        before = json.loads(path.with_suffix(".json").read_text()).get("processor_kind")
        if before != values["processor_kind"]:
            raise SystemExit(
                f"{path} holds results of the kind {before}, this processor is {values['processor_kind']}: rename it"
            )
    return path


def write_results(theme: str, values: dict[str, Any], report: str) -> Path:
    """`results/<theme>_<hardware>_<date>`, as .json and .md; the latter's path.

    It warns where the code was not committed.
    """
    path = check_place(theme, values)
    if values["commit"].endswith("-dirty"):
        print(f"warning: these are results of {values['commit']}, which nobody else has: commit first", file=sys.stderr)
    RESULTS.mkdir(exist_ok=True)
    path.write_text(report)
    path.with_suffix(".json").write_text(json.dumps(values, indent=1) + "\n")
    return path


def _serve(connection: Connection, make: Callable[..., Work], arguments: tuple[Any, ...]) -> None:
    work = make(*arguments)
    while True:
        try:
            num_steps = connection.recv()
        except EOFError:
            return
        connection.send(work(num_steps))

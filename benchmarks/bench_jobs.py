"""Eight seeds of digits, one after the other and two at once, here and on a Dask cluster: time, and the same bits.

    python benchmarks/bench_jobs.py
    python benchmarks/bench_jobs.py --seeds 2 --epochs 1 --turns 1      # to try it

Each way is the command `thumbnet train --data digits --seeds N`, start and reports included, in a new process; the ways
take turns, and their times are medians over --turns. Three things must hold: `--jobs 2` takes at most 0.75 of one after
the other; two seeds of one thread each at once take no longer than one after the other; and with one thread each, one
after the other, `--jobs 2` and a cluster of two workers on this machine give the same weights to the last bit.

Writes benchmarks/results/jobs_<processor>_<date>.json and .md (jobs-tried where fewer seeds or epochs were trained).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from measuring import circumstances, describe_circumstances, holds, make_parser, theme_of, write_results

SEEDS, TURNS = 8, 3
MOST_SHARE = 0.75  # of the time of one after the other
WAYS: dict[str, list[str]] = {
    "one after the other": [],
    "--jobs 2": ["--jobs", "2"],
    "one after the other, one thread": ["--threads", "1"],
    "--jobs 2, one thread each": ["--jobs", "2", "--threads", "1"],
}
CLUSTER = "cluster of two workers, one thread each"
SAME_BITS = ("one after the other, one thread", "--jobs 2, one thread each", CLUSTER)
PAIR, PAIR_AT_ONCE = "two seeds, one after the other", "two seeds at once, one thread each"
START_S = 120.0


def train(folder: Path, seeds: int, more: list[str]) -> float:
    """The seconds that the command takes."""
    command = [sys.executable, "-m", "thumbnet", "train", "--data", "digits", "--seeds", f"{seeds}"]
    command += ["--run-dir", str(folder), "--log-style", "silent", *more]
    begin_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin_s


def weights_of(folder: Path) -> list[str]:
    """SHA-256 of each seed's weights."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("seed-*/model.safetensors"))]


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of a scheduler with two workers of one thread on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, log = f"tcp://127.0.0.1:{port}", folder / "cluster.log"
    dask = [sys.executable, "-m", "dask"]
    commands = (
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        [*dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"],
    )
    with ExitStack() as stack, log.open("wb") as out:
        for command in commands:
            process = stack.enter_context(
                subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, env={**os.environ})
            )
            stack.callback(process.terminate)
        end_s = time.monotonic() + START_S
        while log.read_text().count("Registered to:") < 2:
            if time.monotonic() > end_s:
                raise SystemExit(f"the cluster did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield address


def measure(work: Path, *, seeds: int, epochs: int | None, turns: int) -> dict[str, Any]:
    """Seconds of each way, turn by turn, and whether the bits are the same."""
    seconds: dict[str, list[float]] = {}
    weights: dict[str, list[str]] = {}
    length = [] if epochs is None else ["--epochs", f"{epochs}"]
    with cluster(work) as address:
        for turn in range(turns):
            ways = {
                **{name: (seeds, more) for name, more in WAYS.items()},
                CLUSTER: (seeds, ["--scheduler", address, "--threads", "1"]),
                PAIR: (2, []),
                PAIR_AT_ONCE: (2, ["--jobs", "2", "--threads", "1"]),
            }
            for number, (name, (how_many, more)) in enumerate(ways.items()):
                folder = work / f"{turn}-{number}"
                seconds.setdefault(name, []).append(train(folder, how_many, [*length, *more]))
                weights.setdefault(name, weights_of(folder))
                print(f"turn {turn + 1} of {turns}: {name}: {seconds[name][-1]:.1f} s", file=sys.stderr)
    same = [weights[name] for name in SAME_BITS]
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "seeds": seeds,
        "epochs": epochs,
        "seconds": seconds,
        "share": median["--jobs 2"] / median["one after the other"],
        "share_of_pair": median[PAIR_AT_ONCE] / median[PAIR],
        "are_same_bits": len(same[0]) == seeds and all(each == same[0] for each in same),
    }


def report(values: dict[str, Any]) -> str:
    """The results for people."""
    share, pair = values["share"], values["share_of_pair"]
    length = "as long as its recipe says" if values["epochs"] is None else f"{values['epochs']} epochs"
    bits = "the same" if values["are_same_bits"] else "**not the same**"
    verdicts = (
        f"`--jobs 2` takes **{share:.2f}** of one after the other (bar: {MOST_SHARE:g}): {holds(share <= MOST_SHARE)}.",
        f"Two seeds of one thread each at once take **{pair:.2f}** of that (bar: 1): {holds(pair <= 1)}.",
        f"One thread each, in the three ways: {bits} weights: {holds(values['are_same_bits'])}.",
    )
    return "\n".join(
        [
            "# Several trainings at once",
            "",
            f"{values['seeds']} seeds of `thumbnet train --data digits`, {length}: the whole command (medians).",
            "",
            "| way | s | of each turn |",
            "|---|---|---|",
            *(
                f"| {name} | {statistics.median(times):.1f} | {', '.join(f'{each:.1f}' for each in times)} |"
                for name, times in values["seconds"].items()
            ),
            "",
            *verdicts,
            "",
            describe_circumstances(values),
            "",
        ]
    )


def main() -> None:
    """Measure, print and write."""
    parser: argparse.ArgumentParser = make_parser(__doc__)
    parser.add_argument("--seeds", metavar="N", type=int, default=SEEDS, help=f"seeds (default: {SEEDS})")
    parser.add_argument("--epochs", metavar="N", type=int, help="of each (default: the recipe's)")
    parser.add_argument("--turns", metavar="N", type=int, default=TURNS, help=f"of each way (default: {TURNS})")
    parsed = parser.parse_args()
    values: dict[str, Any] = circumstances()
    with tempfile.TemporaryDirectory() as work:
        values |= measure(Path(work), seeds=parsed.seeds, epochs=parsed.epochs, turns=parsed.turns)
    text = report(values)
    print(text)
    is_whole = (parsed.seeds, parsed.epochs) == (SEEDS, None)
    print(write_results(theme_of("jobs", [], [], *([] if is_whole else ["tried"])), values, text))


if __name__ == "__main__":
    main()

"""Give every reader of thumbnet's broken files, and see that it reads or refuses each, soon and in little memory.

python benchmarks/fuzz_readers.py [--minutes 10] [--jobs 1] [--sitting M] [--readers NAME ...] [--json FILE]
    [--cases DIR] [--corpus DIR] [--seed 0]

Each reader runs in a process of its own, with 1 GB of memory beyond what it begins with. Where atheris is installed
(`pip install atheris`; it is in no extra) libFuzzer looks for new paths through thumbnet's code; without it, whole
files are changed at random. A fault is any error but thumbnet's, a case that takes more than 10 s, or too little
memory; its file is written to --cases, one for each place in the code. So is the last case of a process that dies, or
that has to be ended since it hangs.

With --json, it goes on where it was stopped: a reader that was fuzzed for so long, and whose code (trust/code.py) is
the same, is not fuzzed again; one that was fuzzed for less, for the rest alone. --sitting ends the call after so many
minutes. It ends with 1 where there was a fault, and with 3 where readers are left for the next sitting.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from trust.sittings import AT_RANDOM, ATHERIS, TITLE, State
from trust.watch import Fuzzing, fuzz, read_figures

STARTS_S = 25.0  # a process with one reader; atheris changes all of thumbnet as it is imported
LATE_S = 120.0  # after its time: it starts in STARTS_S where nothing else computes, and its last case may take 10 s
LEAST_S = 1.0
FAULTS, NOT_DONE = 1, 3


def main() -> int:
    """Fuzz what is not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for each reader (default: 10)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="readers at a time (default: 1)")
    parser.add_argument("--sitting", type=float, metavar="M", help="end after so many minutes (default: when done)")
    parser.add_argument("--readers", nargs="+", metavar="NAME", help="these only (default: all; `list` names them)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where figures go, and which are there already")
    parser.add_argument("--cases", type=Path, default=Path("fuzz-cases"), metavar="DIR", help="where found cases go")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="what atheris begins with, beside whole files")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: 0)")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "RUN", "FIGURES"), help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.one is not None:
        name, run, figures = parsed.one
        seconds = 60 * parsed.minutes
        return fuzz(Fuzzing(name, Path(run), seconds, parsed.seed, Path(figures), parsed.cases, parsed.corpus))
    begin_s = time.monotonic()
    end_s = None if parsed.sitting is None else begin_s + 60 * parsed.sitting
    from trust.code import code_of
    from trust.made import code_commit
    from trust.readers import make_readers, small_run

    with tempfile.TemporaryDirectory() as temporary:
        run = small_run(Path(temporary) / "small")
        readers = make_readers(run, Path(temporary) / "readers")
        if parsed.readers == ["list"]:
            print("\n".join(readers))
            return 0
        chosen = parsed.readers or list(readers)
        if unknown := sorted({*chosen} - {*readers}):
            parser.error(f"there is no reader {unknown[0]!r}; `--readers list` names them")
        state = State(
            parsed.json,
            readers,
            {name: code_of(readers[name]) for name in chosen},
            commit=code_commit(),
            way=AT_RANDOM if find_spec("atheris") is None else ATHERIS,
            wanted_s=60 * parsed.minutes,
        )

        def fuzz_in_own_process(name: str) -> None:
            seconds = state.left_s(name)
            if end_s is not None:
                seconds = min(seconds, end_s - time.monotonic() - STARTS_S)
            if seconds < LEAST_S:
                return
            with tempfile.TemporaryDirectory() as place:
                task = Fuzzing(
                    name,
                    run,
                    seconds,
                    parsed.seed + round(state.done_s(name)),  # other changes than before
                    Path(place) / "figures.json",
                    parsed.cases.absolute(),
                    None if parsed.corpus is None else (parsed.corpus / name).absolute(),
                )
                state.add(name, read_figures(task, ended=_run(task, place)))
            _tell(state, name)

        with ThreadPoolExecutor(parsed.jobs) as pool:
            for done in [pool.submit(fuzz_in_own_process, name) for name in chosen if state.left_s(name) >= LEAST_S]:
                done.result()
        left = [name for name in chosen if state.left_s(name) >= LEAST_S]
        print(f"{len(chosen) - len(left)} of {len(chosen)} readers were fuzzed for {parsed.minutes:g} minutes each")
        if any(state.entries[name]["faults"] for name in chosen):
            return FAULTS
        return NOT_DONE if left else 0


def _run(task: Fuzzing, place: str) -> str:
    """Fuzz in a process of its own; how it ended, for where it should not have."""
    command = [sys.executable, __file__, "--one", task.name, str(task.run), str(task.figures), "--seed", str(task.seed)]
    command += ["--minutes", str(task.seconds / 60), "--cases", str(task.cases)]
    command += [] if task.corpus is None else ["--corpus", str(task.corpus)]
    limit = task.seconds + LATE_S
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=place, check=False, errors="replace", timeout=limit
        )
    except subprocess.TimeoutExpired:
        return f"not ended after {limit:.0f} s"
    crash = done.stderr.rfind("Fatal Python error")  # after which come the frames, and a long list of modules
    return f"exit code {done.returncode}: {done.stderr[-800:] if crash < 0 else done.stderr[crash : crash + 800]}"


def _tell(state: State, name: str) -> None:
    entry = state.entries[name]
    cases, faults = f"{entry['cases']:,} cases in {entry['seconds']:.0f} s", len(entry["faults"])
    print(f"{TITLE}{name}: {cases}, {faults} faults", flush=True)
    for fault in entry["faults"]:
        print(f"  {fault}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

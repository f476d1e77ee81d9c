"""Give every reader of thumbnet's broken files, and see that it reads or refuses each, soon and in little memory.

python benchmarks/fuzz_readers.py [--minutes 10] [--readers NAME ...] [--json FILE] [--cases DIR] [--seed 0]

Each reader runs in a process of its own, with 1 GB of memory beyond what it begins with. Where atheris is installed
(`pip install atheris`; it is in no extra) libFuzzer looks for new paths through thumbnet's code; without it, whole
files are changed at random. A fault is any error but thumbnet's, a case that takes more than 10 s, or too little
memory; its file is written to DIR (default: fuzz-cases), one for each place in the code. It ends with 1 where there
was one.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

TIMEOUT_S = 10
MEMORY_BYTES = 2**30
MAX_LENGTH = 65536
TITLE = "reader fuzzed: "


class LateError(BaseException):
    """A case takes longer than TIMEOUT_S; no reader may catch it."""


def main() -> int:
    """Fuzz the readers one after the other; returns 1 where one has a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for each reader (default: 10)")
    parser.add_argument("--readers", nargs="+", metavar="NAME", help="these only (default: all; `list` names them)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where figures go, and which are there already")
    parser.add_argument("--cases", type=Path, default=Path("fuzz-cases"), metavar="DIR", help="where found cases go")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: 0)")
    parser.add_argument("--one", metavar="RUN", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.one is not None:
        return fuzz_one(parsed)
    from trust.made import code_commit, is_made_of, made_now
    from trust.readers import make_readers, small_run

    with tempfile.TemporaryDirectory() as temporary:
        run = small_run(Path(temporary) / "small")
        names = list(make_readers(run, Path(temporary) / "names"))
        if parsed.readers == ["list"]:
            print("\n".join(names))
            return 0
        commit = code_commit()
        figures = {each["name"]: each for each in kept(parsed.json) if is_made_of([each], commit, kills=0)}
        for name in parsed.readers or names:
            if figures.get(TITLE + name, {}).get("minutes", 0) < parsed.minutes:
                figures[TITLE + name] = (
                    in_own_process(name, run, parsed) | made_now(commit) | {"minutes": parsed.minutes}
                )
                if parsed.json is not None:
                    parsed.json.write_text(json.dumps(list(figures.values()), indent=1) + "\n")
    return int(any(each["faults"] for each in figures.values()))


def kept(figures: Path | None) -> list[dict[str, Any]]:
    """What an earlier call wrote: readers of this code that were fuzzed for as long already are not fuzzed again."""
    return [] if figures is None or not figures.exists() else json.loads(figures.read_text())


def in_own_process(name: str, run: Path, parsed: argparse.Namespace) -> dict[str, Any]:
    """The figures of one reader, as bench_trust's tallies are."""
    with tempfile.TemporaryDirectory() as temporary:
        figures = Path(temporary) / "figures.json"
        command = [sys.executable, __file__, "--one", str(run), "--readers", name, "--minutes", str(parsed.minutes)]
        command += ["--json", str(figures), "--cases", str(parsed.cases), "--seed", str(parsed.seed)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=temporary, check=False)
        if not figures.exists():  # the process itself died: its memory or a crash of compiled code
            figures.write_text(
                json.dumps(tally(name, "?", 0, 0, [f"exit code {done.returncode}: {done.stderr[-800:]}"]))
            )
        result: dict[str, Any] = json.loads(figures.read_text())
    print(f"{result['name']}: {result['cases']:,} cases, {len(result['faults'])} faults", flush=True)
    for fault in result["faults"]:
        print(f"  {fault}", flush=True)
    return result


def tally(name: str, way: str, num_read: int, num_refused: int, faults: list[str]) -> dict[str, Any]:
    """Figures of a reader."""
    outcomes = {"read": num_read, "a clear error": num_refused}
    cases = num_read + num_refused + len(faults)
    return {"name": TITLE + name, "cases": cases, "outcomes": outcomes, "faults": faults, "note": way}


class Watch:
    """Runs a reader on cases, and keeps one case for each place in the code that is at fault."""

    def __init__(self, name: str, run: Path, parsed: argparse.Namespace) -> None:
        from trust.readers import make_readers

        self.place = tempfile.TemporaryDirectory()
        self.reader = make_readers(run, Path(self.place.name))[name]
        self.name, self.parsed = name, parsed
        self.num_read = self.num_refused = 0
        self.faults: dict[str, str] = {}
        for seed in self.reader.seeds:
            with suppress(Exception):  # what is a fault is found as one below
                self.reader.try_on(seed)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        self.limit = size + MEMORY_BYTES

    def case(self, content: bytes) -> None:
        """Try one case."""
        signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
        try:
            if self.reader.try_on(content):
                self.num_read += 1
            else:
                self.num_refused += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is what is looked for
            self._keep(content, error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _keep(self, content: bytes, error: BaseException) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "thumbnet" in frame.filename]
        last = frames[-1] if frames else None
        where = f"{Path(last.filename).name}:{last.lineno}" if last else "?"
        what = f"{type(error).__name__} at {where}"
        if what in self.faults:
            return
        self.parsed.cases.mkdir(parents=True, exist_ok=True)
        path = self.parsed.cases / f"{self.name}-{hashlib.sha256(content).hexdigest()[:8]}"
        path.write_bytes(content)
        self.faults[what] = f"{what}: {str(error)[:200]} ({path.name})"

    def write(self, way: str) -> None:
        """The figures so far."""
        figures = tally(self.name, way, self.num_read, self.num_refused, list(self.faults.values()))
        self.parsed.json.write_text(json.dumps(figures))


def fuzz_one(parsed: argparse.Namespace) -> int:
    """One reader, in this process."""
    warnings.simplefilter("ignore")
    faulthandler.enable()
    parsed.cases = parsed.cases.absolute()
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is not None:
        with atheris.instrument_imports(include=["thumbnet"]):
            watch = Watch(parsed.readers[0], Path(parsed.one), parsed)
    else:
        watch = Watch(parsed.readers[0], Path(parsed.one), parsed)
    signal.signal(signal.SIGALRM, _late)
    resource.setrlimit(resource.RLIMIT_AS, (watch.limit, resource.RLIM_INFINITY))
    end = time.monotonic() + 60 * parsed.minutes
    if atheris is None:
        by_chance(watch, end, random.Random(parsed.seed))
        return 0
    corpus = Path(watch.place.name) / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(watch.reader.seeds):
        (corpus / str(index)).write_bytes(seed)

    def one_input(content: bytes) -> None:
        watch.case(content)
        if time.monotonic() > end:
            watch.write("atheris")
            os._exit(0)

    options = [f"-max_len={MAX_LENGTH}", f"-seed={parsed.seed + 1}", "-rss_limit_mb=0", "-timeout=60", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, enable_python_coverage=True)
    atheris.Fuzz()
    return 0


def by_chance(watch: Watch, end: float, source: random.Random) -> None:
    """Whole files, changed at random, until the end."""
    while time.monotonic() < end:
        watch.case(changed(source, source.choice(watch.reader.seeds)))
    watch.write("changed at random, without atheris")


def changed(source: random.Random, content: bytes) -> bytes:
    """A file with up to four places changed: bits flipped, cut, doubled, moved, or numbers and words put in."""
    result = bytearray(content)
    for _ in range(source.randint(1, 4)):
        start = source.randint(0, len(result))
        end = start + source.choice((1, 1, 2, 4, 16, 200))
        way = source.randrange(7)
        if way == 0 and start < len(result):
            result[start] ^= 1 << source.randrange(8)
        elif way == 1:
            result[start:end] = source.randbytes(len(result[start:end]))
        elif way == 2:
            del result[start:end]
        elif way == 3:
            result[start:start] = result[start:end]
        elif way == 4:
            result = result[:start]
        elif way == 5:
            result[start:end] = source.choice(
                (b"\xff" * 4, b"\x00" * 8, b"\x7f\xff\xff\xff", b"-1", b"1e999", b"9" * 400)
            )
        else:
            result[start:start] = source.choice(
                (b"nan", b"null", b"[" * 3000, b'"', b",", b"\n", b"{}", b"\xef\xbb\xbf")
            )
    return bytes(result)


def _late(number: int, frame: FrameType | None) -> None:
    raise LateError(f"not done after {TIMEOUT_S} s")


if __name__ == "__main__":
    sys.exit(main())

"""One reader fuzzed, in a process of its own: what each case leads to, and one case kept for each place at fault."""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trust.bounds import TIMEOUT_S, late, memory_limit

MAX_LENGTH = 65536
IN_MEMORY = Path("/dev/shm")  # noqa: S108  # in which a folder of our own is made: most readers take a file a case


@dataclass(frozen=True)
class Fuzzing:
    """What is to be fuzzed: the reader's `name`, with the files of a finished `run`, for so many seconds.

    `figures` is the file that what came of it goes to, `cases` the folder for found cases, `corpus` one for what
    atheris found of interest, which it begins with the next time; None: it begins with whole files alone.
    """

    name: str
    run: Path
    seconds: float
    seed: int
    figures: Path
    cases: Path
    corpus: Path | None

    @property
    def current(self) -> Path:
        """The file with the case that is tried now: of a process that dies, the one that it died of."""
        return self.figures.with_name("case")

    def keep(self, content: bytes) -> str:
        """Write a case to the folder of found cases; its name there."""
        self.cases.mkdir(parents=True, exist_ok=True)
        path = self.cases / f"{self.name}-{hashlib.sha256(content).hexdigest()[:8]}"
        path.write_bytes(content)
        return path.name


def fuzz(task: Fuzzing) -> int:
    """Fuzz until the time is over, by atheris if it is installed; then the process ends."""
    warnings.simplefilter("ignore")
    faulthandler.enable()
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is None:
        watch = _Watch(task)
    else:
        with atheris.instrument_imports(include=["thumbnet"]):
            watch = _Watch(task)
    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (watch.limit, resource.RLIM_INFINITY))
    watch.begin_s = time.monotonic()
    if atheris is None:
        source = random.Random(task.seed)
        while not watch.is_over():
            watch.case(changed(source, source.choice(watch.reader.seeds)))
        watch.write()
        return 0
    seeds = Path(watch.place.name) / "seeds"
    corpus = Path(watch.place.name) / "corpus" if task.corpus is None else task.corpus
    for folder in (seeds, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(watch.reader.seeds):
        (seeds / str(index)).write_bytes(seed)

    def one_input(content: bytes) -> None:
        watch.case(content)
        if watch.is_over():
            watch.write()
            os._exit(0)

    options = [f"-max_len={MAX_LENGTH}", f"-seed={task.seed + 1}", "-rss_limit_mb=0", "-timeout=60", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], one_input, enable_python_coverage=True)
    atheris.Fuzz()
    return 0


def read_figures(task: Fuzzing, *, ended: str) -> Mapping[str, Any]:
    """What the process wrote; where it wrote nothing, it died (its memory, or a crash of compiled code), as `ended`
    says, and the case that it tried last is kept."""
    if not task.figures.exists():
        case = f" ({task.keep(task.current.read_bytes())})" if task.current.exists() else ""
        return {"outcomes": {}, "faults": [ended + case], "seconds": 0.0}
    figures: dict[str, Any] = json.loads(task.figures.read_text())
    return figures


class _Watch:
    """Runs the reader on cases."""

    def __init__(self, task: Fuzzing) -> None:
        from trust.readers import make_readers

        self.task, self.place = task, tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
        self.reader = make_readers(task.run, Path(self.place.name))[task.name]
        self.num_read = self.num_refused = 0
        self.faults: dict[str, str] = {}
        self.begin_s = time.monotonic()
        for seed in self.reader.seeds:
            with suppress(Exception):  # what is a fault is found as one below
                self.reader.try_on(seed)
        self.limit = memory_limit()
        self.current = os.open(task.current, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def is_over(self) -> bool:
        """Whether it was fuzzed for long enough."""
        return time.monotonic() - self.begin_s >= self.task.seconds

    def case(self, content: bytes) -> None:
        """Try one case."""
        os.ftruncate(self.current, 0)
        os.pwrite(self.current, content, 0)
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

    def write(self) -> None:
        """The figures so far."""
        figures = {
            "outcomes": {"read": self.num_read, "a clear error": self.num_refused},
            "faults": list(self.faults.values()),
            "seconds": time.monotonic() - self.begin_s,
        }
        self.task.figures.write_text(json.dumps(figures))

    def _keep(self, content: bytes, error: BaseException) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "thumbnet" in frame.filename]
        last = frames[-1] if frames else None
        where = f"{Path(last.filename).name}:{last.lineno}" if last else "?"
        what = f"{type(error).__name__} at {where}"
        if what in self.faults:
            return
        self.faults[what] = f"{what}: {str(error)[:200]} ({self.task.keep(content)})"


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

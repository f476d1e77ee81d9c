"""Every file of a run folder cut short and bits of it flipped, read by everything that reads a run."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from thumbnet.runs.files.names import METRICS, PREDICTIONS, WEIGHTS
from trust.child import Ended, command, run_forked
from trust.tally import Tally
from trust.trainings import Training

NUM_FLIPS = 4  # bits of each file, beside the first one
TIMES = re.compile(r"\d+(\.\d+)? (ms|s|min)\b")
NOT_DONE = ("missing", "damaged", "not finished", "cannot be read", "unfinished", "does not", "no checksum")


READERS = ("evaluate", "report", "predict", "resume", "compare", "export", "runs")
READERS_OF_FOLDS = ("evaluate", "resume", "runs")


def of_finished_runs(training: Training, reader: str) -> Tally:
    """Each file of a finished run, for one reader: the same answer as of the whole run, or an error."""
    tally = Tally(f"files of a finished run cut or with a flipped bit, then `{reader}`")
    picture = training.place / "picture.png"
    Image.new("RGB", (16, 16), (200, 10, 10)).save(picture)
    arguments = _readers(training, picture)[reader]
    whole = _damaged(training.whole, training, METRICS, (training.whole / METRICS).read_bytes())  # in the same place
    whole_ended, undamaged = _answer(training, whole, reader, arguments)
    usual = whole_ended.text + whole_ended.error
    for file, kind, content in _damages(training, training.whole):
        ended, answer = _answer(training, _damaged(training.whole, training, file, content), reader, arguments)
        if reader == "resume":  # which compares what it leaves as it is, and so not the broken file itself
            answer[1].pop(file, None)
        expected = undamaged[0], {name: each for name, each in undamaged[1].items() if name != file}
        what, told = f"{file} {kind}", ended.text + ended.error
        if ended.fault:
            tally.fault(f"{what}: {ended.fault}")
        elif ended.code:
            tally.add("a clear error")
        elif answer == (expected if reader == "resume" else undamaged):
            tally.add("not needed: the same answer")
        elif any(told.count(word) > usual.count(word) for word in (file, *NOT_DONE)):
            tally.add("an answer with a warning")
        else:
            tally.fault(f"{what}: another answer in silence")
    return tally


def of_unfinished_runs(training: Training, unfinished: Path) -> Tally:
    """Each file of a run that was broken off: resumed to the same bytes, or an error."""
    tally = Tally("files of an unfinished run cut or with a flipped bit, resumed")
    for file, kind, content in _damages(training, unfinished):
        run = _damaged(unfinished, training, file, content)
        ended = run_forked(command("train", "--resume", run, *training.options), training.place / "streams")
        if ended.fault:
            tally.fault(f"{file} {kind}: {ended.fault}")
        elif ended.code:
            tally.add("a clear error")
        elif difference := training.difference(run):
            tally.fault(f"{file} {kind}: {difference}")
        else:
            tally.add("resumed to the same bytes")
    return tally


def _readers(training: Training, picture: Path) -> dict[str, Callable[[Path], tuple[str | Path, ...]]]:
    out = training.place / "read"
    return {
        "evaluate": lambda run: ("evaluate", run, "--json"),
        "report": lambda run: ("report", run, "--out", out / "report.html"),
        "predict": lambda run: ("predict", picture, "--run", run, "--json"),
        "resume": lambda run: ("train", "--resume", run, *training.options),
        "compare": lambda run: ("compare", training.whole, run, "--out", out / "comparison"),
        "export": lambda run: ("export", run, "--format", "html", "--out", out / "page.html", "--json"),
        "runs": lambda run: ("runs", run.parent, "--json"),
    }


def _answer(
    training: Training, run: Path, name: str, arguments: Callable[[Path], tuple[str | Path, ...]]
) -> tuple[Ended, tuple[str, dict[str, bytes]]]:
    """How the command ended, and what it answered or wrote, without times and places."""
    out = training.place / "read"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    ended = run_forked(command(*arguments(run)), training.place / "streams")
    written = {path.name: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    if name == "resume":  # which, of a finished run, leaves all as it is
        written = {each: (run / each).read_bytes() for each in (WEIGHTS, PREDICTIONS, METRICS) if (run / each).exists()}
    told = ended.text.replace(str(run.parent), "").replace(f"/{run.name}", "/run").replace(run.name, "run")
    return ended, (TIMES.sub("", told), {each: _plain(content, run) for each, content in written.items()})


def _plain(content: bytes, run: Path) -> bytes:
    return content.replace(str(run).encode(), b"").replace(run.name.encode(), b"run")


def _damages(training: Training, run: Path) -> Iterator[tuple[str, str, bytes]]:
    """Each file's path in the run, what is done to it, and what it then holds."""
    source = random.Random(0)
    for path in training.files(run):
        content, name = path.read_bytes(), path.relative_to(run).as_posix()
        for kind, end in (("emptied", 0), ("cut in half", len(content) // 2), ("without its last byte", -1)):
            yield name, kind, content[:end]
        bits = [0, *(source.randrange(8 * len(content)) for _ in range(NUM_FLIPS))] if content else []
        for bit in bits:
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            yield name, f"with bit {bit} flipped", bytes(flipped)


def _damaged(run: Path, training: Training, file: str, content: bytes) -> Path:
    place = training.place / "damaged"
    shutil.rmtree(place, ignore_errors=True)
    copy = shutil.copytree(run, place / "copy")
    (copy / file).write_bytes(content)
    return Path(copy)

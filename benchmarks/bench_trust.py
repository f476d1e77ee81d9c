"""Kill trainings, fill disks, damage and remove files on purpose, and count what is lost: nothing may be.

python benchmarks/bench_trust.py [--keep DIR] [--kills 30] [--only PART ...] [--out FILE]
    [--fuzz-minutes M] [--fuzz-jobs N] [--sitting M]

It trains a small network in forked processes (half a second each), and writes docs/results/trust.md, and a .json file
beside it, after every part:

- kills-*: by SIGKILL at random moments, again and again in one run, at every rename, in the middle of every write, and
  of one or both of two processes;
- disk-*: full at every write of a training, and file systems of every size, for what else writes, too (as root);
- damage-*: every file of a finished run cut or with flipped bits, for evaluate, report, predict, resume, compare,
  export and runs; every file of an unfinished one, resumed;
- vanishing-*: data removed, emptied or changed while a training runs or before it is resumed;
- fuzz: every reader for M minutes each (fuzz_readers.py; default: 0, none), N at a time.

Parts that end in -pictures are of a training that also draws its report and logs for TensorBoard, those in -folds of a
folder of folds. --only takes parts by how their names begin. Parts that DIR has are not repeated, unless the code was
another commit's then, or has changes that are in no commit, or fewer random moments were asked for. Fuzzing goes on
reader by reader: what counts of a reader is told by its own code, and --sitting ends it after so many minutes. It ends
with 1 where there was a fault, or fuzzing did not come to its end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from trust import damage, full_disk, kills, ranks, vanishing
from trust.child import MAX_MB, TIMEOUT_S, command, run_forked
from trust.made import NO_COMMIT, code_commit, is_made_of, made_now
from trust.page import page
from trust.tally import Tally
from trust.trainings import KINDS, Training

from thumbnet.runs.files.names import CONFIG, METRICS
from thumbnet.training.device import processor_name

ROOT = Path(__file__).parent.parent
FUZZ = "fuzz"
CORPUS = ROOT / "runs" / "fuzz-corpus"  # large, and only of use here
Part = Callable[[Training, int], Tally]
PARTS: Mapping[str, Part] = {
    "kills-random": kills.at_random_moments,
    "kills-random-folds": kills.at_random_moments,
    "kills-row": kills.again_and_again,
    "kills-rename": lambda training, _: kills.at_every_rename(training),
    "kills-rename-pictures": lambda training, _: kills.at_every_rename(training),
    "kills-write": lambda training, _: kills.in_every_write(training),
    "kills-ranks": ranks.killed,
    **{
        f"disk-write{kind}": lambda training, _: full_disk.at_every_write(training)
        for kind in ("", "-pictures", "-folds")
    },
    **{f"disk-sizes{kind}": lambda training, _: full_disk.on_small_disks(training) for kind in ("", "-pictures")},
    "disk-others": lambda training, _: full_disk.what_else_writes(training),
    **{
        f"damage-{reader}": lambda training, _, reader=reader: damage.of_finished_runs(training, reader)
        for reader in damage.READERS
    },
    **{
        f"damage-{reader}-folds": lambda training, _, reader=reader: damage.of_finished_runs(training, reader)
        for reader in damage.READERS_OF_FOLDS
    },
    "damage-unfinished": lambda training, _: damage.of_unfinished_runs(
        training, unfinished(training, training.place / "unfinished")
    ),
    "vanishing-running": vanishing.while_it_runs,
    "vanishing-resumed": lambda training, _: vanishing.before_a_resume(training, lambda run: unfinished(training, run)),
}


def main() -> int:
    """Do all parts that are not done; returns 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the parts' results are kept (default: nowhere)")
    parser.add_argument("--kills", type=int, default=30, help="random moments (default: 30)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help=", ".join([*PARTS, FUZZ]))
    parser.add_argument(
        "--fuzz-minutes", type=float, default=0, metavar="M", help="fuzz each reader for so long (default: 0)"
    )
    parser.add_argument("--fuzz-jobs", type=int, default=1, metavar="N", help="so many at a time (default: 1)")
    parser.add_argument(
        "--sitting", type=float, metavar="M", help="end fuzzing after so many minutes (default: when all is done)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "trust.md", help="the page")
    parsed = parser.parse_args()
    for begin in parsed.only:
        if not any(name.startswith(begin) for name in [*PARTS, FUZZ]):
            parser.error(f"no part begins with {begin!r}: there are {', '.join([*PARTS, FUZZ])}")
        if begin and FUZZ.startswith(begin) and not parsed.fuzz_minutes:
            parser.error("fuzz takes --fuzz-minutes")
    commit = code_commit()
    if commit == NO_COMMIT:
        print("src or benchmarks has changes that are in no commit: nothing that is kept counts", file=sys.stderr)
    torch.set_num_threads(1)  # the process forks
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is mounted is unmounted
    with tempfile.TemporaryDirectory() as temporary:
        keep = parsed.keep or Path(temporary) / "kept"
        keep.mkdir(parents=True, exist_ok=True)
        trainings: dict[str, Training] = {}

        def trained(kind: str) -> Training:
            if kind not in trainings:
                trainings[kind] = make_training(kind, Path(temporary) / f"trust{kind}")
            return trainings[kind]

        for name, part in PARTS.items():
            kept = keep / f"{name}.json"
            if name.startswith(tuple(parsed.only)) and not is_made_of(read(kept), commit, kills=parsed.kills):
                training = trained(kind_of(name))
                tally = part(training, parsed.kills).to_dict() | made_now(commit) | {"kills": parsed.kills}
                tally["name"] += training.what
                kept.write_text(json.dumps([tally], indent=1) + "\n")
                write(keep, parsed.out)
        is_whole = True
        if parsed.fuzz_minutes and FUZZ.startswith(tuple(parsed.only)):
            is_whole = fuzz(keep, parsed.fuzz_minutes, jobs=parsed.fuzz_jobs, sitting=parsed.sitting)
        write(keep, parsed.out)
        return int(not is_whole or any(tally["faults"] for tally in all_of(keep)))


def kind_of(part: str) -> str:
    """The training that a part is of: one of KINDS, or "" for the plain one."""
    return next((kind for kind in KINDS if part.endswith(f"-{kind}")), "")


def make_training(kind: str, place: Path) -> Training:
    return KINDS.get(kind, Training)(place)


def unfinished(training: Training, run: Path) -> Path:
    """A run that was killed soon after it had written its first checkpoint."""
    shutil.rmtree(run, ignore_errors=True)
    place = 0
    while not (run / CONFIG).exists() or not (run / "checkpoint-last.pt").exists():
        shutil.rmtree(run, ignore_errors=True)

        def armed(place: int = place) -> int:
            kills.kill_at_rename(place)
            return command(*training.begin(run))()

        run_forked(armed, training.place / "streams")
        place += 1
    assert not (run / METRICS).exists()
    return run


def fuzz(keep: Path, minutes: float, *, jobs: int, sitting: float | None) -> bool:
    """Every reader in a process of its own; whether all came to their end."""
    kept = keep / f"{FUZZ}.json"
    command = [sys.executable, str(Path(__file__).parent / "fuzz_readers.py"), "--minutes", str(minutes)]
    command += ["--jobs", str(jobs), "--cases", str(keep / "cases"), "--corpus", str(CORPUS)]
    command += [] if sitting is None else ["--sitting", str(sitting)]
    command += ["--json", str(kept)]
    code = subprocess.run(command, check=False).returncode
    is_whole = kept.exists() and code == int(any(tally["faults"] for tally in read(kept)))
    if not is_whole:
        print(f"{FUZZ} did not come to its end (exit code {code})", file=sys.stderr)
    return is_whole


def read(kept: Path) -> list[dict[str, Any]]:
    """What is kept of a part."""
    tallies: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    return tallies


def all_of(keep: Path) -> list[dict[str, Any]]:
    """The tallies that are kept, in the order of the parts."""
    return [tally for name in [*PARTS, FUZZ] for tally in read(keep / f"{name}.json")]


def write(keep: Path, out: Path) -> None:
    """The page and its figures, of what is there."""
    tallies = all_of(keep)
    if not tallies:
        return
    not_done = [name for name in [*PARTS, FUZZ] if not (keep / f"{name}.json").exists()]
    made = f"{processor_name()}; torch {torch.__version__}; a small training of three epochs."
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(tallies, not_done, circumstances=made, timeout=TIMEOUT_S, megabytes=MAX_MB))
    out.with_suffix(".json").write_text(json.dumps({"made": made, "tallies": tallies}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())

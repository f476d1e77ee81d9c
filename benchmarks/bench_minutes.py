"""The time that `thumbnet train --minutes M` takes, from the start of its process to its end, and what it reaches.

python benchmarks/bench_minutes.py --keep DIR [--sets digits cifar-5000 solar] [--minutes 1 2 3 10 60] [--runs N]
    [--forms one seeds folds] [--busy] [--data-dir DIR] [--stop-after MIN] [--again]

Each training is a command as a user gives it, with nothing said of flips, on a folder of pictures: scikit-learn's
digits for 1 minute, all of CIFAR-10 for 1, 2, 3 and 10 minutes and once for 60, and with `--sets solar` the solar cells
for 1, 3 and 10. Three runs of each budget with seeds 0, 1 and 2, of an hour one (--runs: another number of all).
Minutes that no set has are given to each: a bar for a machine of another speed is measured with as many more, 13 at 138
GFLOP/s for 10 at 180. `--forms seeds folds` trains the digits with `--seeds 2` and with `--folds 2`, where each run has
M minutes. --busy does the same beside two processes that never rest: give --runs 1. The sets are those of
bench_own_pictures, made into DIR/sets.

What is finished is kept in DIR/minutes, one file each, and not repeated, whichever code it was made by (the report
names the commits); --again measures it anew. Nothing else may run beside it. THUMBNET_CPU=avx2 measures AVX2, the kind
that the bars of accuracy are for. About: digits 3 minutes; CIFAR-10 without the hour 48; seeds and folds 4; the hour
60; `--busy --runs 1` 17, and with `--minutes 1 3 10 --sets cifar-5000` 14. After each training
benchmarks/results/minutes_<hardware>_<date>.md and .json are written anew, from all that DIR/minutes has.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measuring import circumstances, make_parser, write_results
from minutes_report import FORMS, NUM_COMPETITORS, RUNS_OF_A_FORM, describe, rows_of
from own_pictures.folders import MadeSet
from own_pictures.record import SAME
from own_pictures.sets import CIFAR_SIZES, Place, made

from thumbnet.atomic import write_atomically
from thumbnet.bench.measure import matrix_gflops
from thumbnet.data.own_sources import data_folder
from thumbnet.training.progress import duration

BUDGETS = {"digits": (1.0,), "cifar-5000": (1.0, 2.0, 3.0, 10.0, 60.0), "solar": (1.0, 3.0, 10.0)}  # minutes
RUNS, LONG_FROM = 3, 30.0  # trainings of a budget; from so many minutes on, one
BINARY_RELEASE = "cifar-10-batches-bin"


@dataclass(frozen=True)
class Task:
    """One command: `run` is its first seed; each of its trainings has so many `minutes`."""

    set_name: str
    form: str
    minutes: float
    run: int
    is_busy: bool

    @property
    def file_name(self) -> str:
        words = [self.set_name, self.form, f"{self.minutes:g}", str(self.run), *(["busy"] if self.is_busy else [])]
        return f"{'_'.join(words)}.json"

    @property
    def budget_s(self) -> float:
        return 60 * self.minutes * RUNS_OF_A_FORM[self.form]


def main() -> None:
    """Train what is missing, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="where sets and results are")
    names = list(BUDGETS)
    parser.add_argument("--sets", nargs="+", choices=names, default=names[:2], help=f"of {', '.join(names)}")
    parser.add_argument(
        "--minutes",
        nargs="+",
        type=float,
        metavar="M",
        help="these budgets, of a set only its own, or any that no set has",
    )
    parser.add_argument("--runs", type=int, help=f"of each budget (default: {RUNS}, from {LONG_FROM:g} minutes on 1)")
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=["one"], help="one, seeds, folds")
    parser.add_argument("--busy", action="store_true", help="beside two processes that never rest")
    parser.add_argument("--stop-after", type=float, metavar="MIN", help="begin nothing after so many minutes")
    parser.add_argument("--again", action="store_true", help="measure again what is there already")
    parsed = parser.parse_args()
    begin_s = time.perf_counter()
    now, place = circumstances(), _place(parsed)
    check_machine(parsed.keep / "minutes", now)
    for task in tasks(parsed):
        file = parsed.keep / "minutes" / task.file_name
        if file.exists() and not parsed.again:
            continue
        if parsed.stop_after is not None and time.perf_counter() - begin_s > 60 * parsed.stop_after:
            print(f"stopped after {parsed.stop_after:g} minutes: the same command goes on")
            break
        values = measure(task, made(task.set_name, place), parsed.keep / "scratch" / "minutes")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(asdict(task) | values | {"circumstances": now}, indent=1) + "\n")
        print(
            f"{file.stem}: {duration(values['wall_s'])} of {duration(task.budget_s)} "
            f"({values['wall_s'] / task.budget_s:.3f}), {values['test_accuracy']:.2%}",
            flush=True,
        )
        write(parsed.keep / "minutes", now)
    path = write(parsed.keep / "minutes", now)
    print(path.read_text())
    print(path)


def _place(parsed: argparse.Namespace) -> Place:
    cifar = data_folder(parsed.data_dir)
    has_cifar = (cifar / BINARY_RELEASE / "data_batch_1.bin").exists()
    missing = [name for name in parsed.sets if name in CIFAR_SIZES]
    if missing and not has_cifar:
        raise SystemExit(f"{missing[0]}: fetch CIFAR-10 with `thumbnet data prepare`, or give --data-dir")
    return Place(parsed.keep, str(cifar) if has_cifar else None)


def tasks(parsed: argparse.Namespace) -> Iterator[Task]:
    """What was asked for, the shortest first; seeds and folds of the digits alone, once."""
    usual_of_any = {minutes for budgets in BUDGETS.values() for minutes in budgets}
    budgets = sorted({minutes for name in parsed.sets for minutes in BUDGETS[name]})
    for minutes in budgets if parsed.minutes is None else sorted(parsed.minutes):
        for name in (name for name in parsed.sets if minutes in BUDGETS[name] or minutes not in usual_of_any):
            for form in parsed.forms:
                if form != "one" and name != "digits":
                    continue
                usual = 1 if form != "one" or minutes >= LONG_FROM else RUNS
                for run in range(usual if parsed.runs is None else parsed.runs):
                    yield Task(name, form, minutes, run, parsed.busy)


def check_machine(folder: Path, now: Mapping[str, Any]) -> None:
    """SystemExit where results of another machine are kept there."""
    for values in results_in(folder):
        before = values["circumstances"]
        different = [f"{key} {before[key]!r}, not {now[key]!r}" for key in SAME if before[key] != now[key]]
        if different:
            raise SystemExit(f"{folder} was measured with {'; '.join(different)}: give another folder with --keep")


def measure(task: Task, made_set: MadeSet, scratch: Path) -> dict[str, Any]:
    """The seconds of a command and of its trainings one by one, what was planned, and what it reached."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    run_dir = scratch / "run"
    command = [sys.executable, "-m", "thumbnet", "train", "--data", f"folder:{made_set.side('split')}"]
    command += ["--minutes", f"{task.minutes:g}", "--seed", str(task.run), *FORMS[task.form]]
    command += ["--run-dir", str(run_dir)]
    peak = matrix_gflops()
    with beside(NUM_COMPETITORS if task.is_busy else 0):
        began, begin_s = time.time(), time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        wall_s = time.perf_counter() - begin_s
    if done.returncode:
        raise SystemExit(f"{task.file_name}: {done.stderr}")
    metrics = json.loads((run_dir / "metrics.json").read_text())
    values = {"wall_s": wall_s, "matrix_gflops": peak, "test_accuracy": metrics["test_accuracy"]}
    values["trainings"] = [training_of(folder) for folder in trainings_in(run_dir)]
    ends = [each.pop("ended") for each in values["trainings"]]
    for each, before, end in zip(values["trainings"], [began, *ends], ends, strict=False):
        each["seconds"] = end - before
    shutil.rmtree(scratch)
    return values


@contextmanager
def beside(number: int) -> Iterator[None]:
    """So many processes that never rest."""
    competitors = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for each in competitors:
            each.kill()
            each.wait()


def trainings_in(run_dir: Path) -> list[Path]:
    """The folders of a command's trainings, in the order in which they ended."""
    if (run_dir / "model.json").exists():
        return [run_dir]
    return sorted((path.parent for path in run_dir.glob("*/model.json")), key=_ended)


def _ended(run_dir: Path) -> float:
    return (run_dir / "metrics.json").stat().st_mtime


def training_of(run_dir: Path) -> dict[str, Any]:
    """What a training's folder tells of its plan."""
    metrics, plan = (json.loads((run_dir / name).read_text()) for name in ("metrics.json", "plan.json"))
    card = json.loads((run_dir / "model.json").read_text())
    config = tomllib.loads((run_dir / "config.toml").read_text())
    return {
        "ended": _ended(run_dir),
        "recipe": plan["recipe"],
        "sides": card["image_shape"][1:],
        "epochs": metrics["epochs"],
        "steps": metrics["steps"],
        "planned_steps": plan["steps"],
        "ends_early": metrics["steps"] >= plan["max_steps"],
        "num_paces": len(config.get("pace_starts", ())),
        "augmentation": config["augmentation"],
        "planned_s": plan["planned_s"],
        "train_s": metrics["train_s"],
        "reserve_s": plan["reserve_s"],
    }


def results_in(folder: Path) -> list[dict[str, Any]]:
    """All that is kept, by file name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def write(folder: Path, now: dict[str, Any]) -> Path:
    """All that is finished, as files."""
    results = results_in(folder)
    values: dict[str, Any] = {**now, "results": results, "rows": rows_of(results)}
    return write_results("minutes", values, describe(values))


if __name__ == "__main__":
    main()

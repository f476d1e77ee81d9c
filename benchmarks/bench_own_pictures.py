"""Pictures such as people bring: `thumbnet train --minutes` beside two fixed baselines, on a dozen sets.

python benchmarks/bench_own_pictures.py --keep DIR [--sets ...] [--methods ...] [--minutes 2 10] [--seeds 0 1 2]
    [--data-dir DIR] [--stop-after MIN] [--make-only] [--tune] [--rescore]

The sets are made into DIR/sets of packages (DIR/packages: fetched by exact version, nothing is installed), of what is
drawn here, and of CIFAR-10 where --data-dir has it; none of their pictures may be committed. Each has its own test
pictures; letters, stamps and clipart are held out: no rule may be tuned on them. Each set is scored once: --rescore
scores again what was scored by other code, and the report says so of those held out. The first minutes of --minutes are
trained with all seeds, longer ones with the first seed only. Nothing else may run beside it. What is finished is kept
in DIR/results, one file each, and not repeated as long as its pictures are the same. After each training
benchmarks/results/own-pictures_* are written anew. --stop-after begins no further training after so many minutes.

It takes, on two cores, 32 minutes a set: thumbnet and the plain network 2 minutes with three seeds and 10 with one
each (less where thumbnet ends early: 300 epochs of digits, cifar-50 and stamps are over after 2 to 5 minutes); 256 for
eight sets, which the bar asks for, three of them held out, and 416 for all thirteen. Support vectors come on top once a
set, most of them a minute, many times that on cifar-5000. In rounds: 2 minutes with the first seed 4 a set, 10 minutes
20, the other seeds 8; so after the first round of eight sets, 32 minutes, there is a verdict for n = 1. --solar-folds
10 minutes each of four folds, and some 5 for the default of before: 45.

--tune trains on DIR/sets/SET/tune, which is made of training pictures alone, writes no report, and refuses the sets
that are held out. --make-only makes the sets. --solar-folds trains on all solar cells by folds, with the longest of
--minutes and the first of --seeds, and as the default of before did, and compares them: results/own-solar_*.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import circumstances, make_parser, theme_of, write_results
from own_pictures import solar_folds
from own_pictures.folders import MadeSet, Part
from own_pictures.methods import METHODS, NotThereYetError, trained
from own_pictures.record import Record, Task, is_missing
from own_pictures.report import SetFacts, describe, score, verdicts
from own_pictures.sets import CIFAR_SIZES, SETS, Place, made

from thumbnet.data.own_sources import data_folder
from thumbnet.training.progress import duration

BINARY_RELEASE = "cifar-10-batches-bin"


def main() -> None:
    """Make the sets, train what is missing, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="where packages, sets and results are")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), help=f"of {', '.join(SETS)}")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--minutes", nargs="+", type=_minutes, default=[2.0, 10.0], help="default: 2 10")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--stop-after", type=_minutes, metavar="MIN", help="begin nothing after so many minutes")
    parser.add_argument("--make-only", action="store_true", help="make the sets, and train nothing")
    parser.add_argument("--tune", action="store_true", help="by training pictures alone; not the held-out sets")
    parser.add_argument("--rescore", action="store_true", help="score again what was scored by other code")
    parser.add_argument("--solar-folds", action="store_true", help="solar cells out of fold, and nothing else")
    parsed = parser.parse_args()
    begin_s = time.perf_counter()
    if parsed.solar_folds:
        solar = make_sets(["solar"], parsed.keep, parsed.data_dir)["solar"]
        try:
            values = solar_folds.measure(solar, parsed.keep / "solar-folds", max(parsed.minutes), parsed.seeds[0])
        except NotThereYetError as missing:
            raise SystemExit(str(missing)) from None
        values = {**circumstances(), **values}
        path = write_results("own-solar", values, solar_folds.describe(values))
        print(path.read_text(), path, sep="\n")
        return
    refused = [name for name in parsed.sets if SETS[name].held_out]
    if parsed.tune and refused:
        raise SystemExit(f"--tune with {', '.join(refused)}: no rule may be tuned on the sets that are held out")
    sets = make_sets(parsed.sets, parsed.keep, parsed.data_dir)
    if parsed.make_only:
        return
    purpose = "tune" if parsed.tune else "split"
    record = Record(parsed.keep / "results" / ("tune" if parsed.tune else ""), circumstances())
    facts = {name: facts_of(name, made_set, purpose) for name, made_set in sets.items()}
    for task in tasks(parsed):
        if parsed.stop_after is not None and time.perf_counter() - begin_s > 60 * parsed.stop_after:
            print(f"stopped after {parsed.stop_after:g} minutes: the same command goes on")
            break
        if (
            train_if_missing(record, task, sets[task.set_name], facts[task.set_name], purpose, parsed)
            and not parsed.tune
        ):
            write(record, facts, parsed)
    if not parsed.tune:
        path = write(record, facts, parsed)
        print(path.read_text())
        print(path)


def make_sets(names: list[str], keep: Path, data_dir: str | None) -> dict[str, MadeSet]:
    """The sets on disk; those of CIFAR-10 are left out, and this is said, where its files are not there."""
    cifar = data_folder(data_dir)
    has_cifar = (cifar / BINARY_RELEASE / "data_batch_1.bin").exists()
    place = Place(keep, str(cifar) if has_cifar else None)
    sets = {}
    for name in names:
        if name in CIFAR_SIZES and not has_cifar:
            print(f"{name} is left out: the binary release of CIFAR-10 is not at hand (--data-dir)", flush=True)
            continue
        begin_s = time.perf_counter()
        sets[name] = made(name, place)
        counts = sets[name].manifest
        seconds = time.perf_counter() - begin_s
        print(
            f"{name}: {sum(counts['train'].values()):,} and {sum(counts['test'].values()):,} pictures of "
            f"{len(counts['train'])} classes, {seconds:.0f} s",
            flush=True,
        )
    return sets


def tasks(parsed: argparse.Namespace) -> Iterator[Task]:
    """In the order of what is known first: all sets with the first seed, then longer, then more seeds."""
    first, *others = parsed.seeds
    shortest, *longer = sorted(parsed.minutes)
    rounds = [(shortest, first), *((minutes, first) for minutes in longer), *((shortest, seed) for seed in others)]
    known = set()
    for minutes, seed in rounds:
        for name in parsed.sets:
            for method in parsed.methods:
                task = Task.of(name, method, minutes, seed)
                if task not in known:
                    known.add(task)
                    yield task


def train_if_missing(
    record: Record, task: Task, made_set: MadeSet, facts: SetFacts, purpose: str, parsed: argparse.Namespace
) -> bool:
    """Train and keep, unless that is done; whether something was trained."""
    manifest, before = made_set.manifest["sha256"], record.result(task)
    if not is_missing(before, task, manifest=manifest, rescore=parsed.rescore):
        return False
    try:
        found = trained(
            task.method,
            made_set.side(purpose),
            minutes=task.minutes or 0.0,
            seed=task.seed or 0,
            flips=SETS[task.set_name].flips,
            scratch=parsed.keep / "scratch",
        )
    except NotThereYetError as missing:
        print(f"{task.set_name}, {task.method}: {missing}", flush=True)
        return False
    record.add(task, found, manifest=manifest)
    is_right = facts.labels == found["predicted"]
    print(
        f"{task.set_name}, {task.method}"
        + (f", {task.minutes:g} min, seed {task.seed}" if task.minutes is not None else "")
        + f": {score(facts.labels, is_right, balanced=facts.is_unequal):.2%} {facts.metric} "
        f"in {duration(found['seconds'])}",
        flush=True,
    )
    return True


def facts_of(name: str, made_set: MadeSet, purpose: str) -> SetFacts:
    """What a report says of a set."""
    return SetFacts(
        title=SETS[name].title,
        num_train=sum(made_set.manifest["train"].values()),
        num_classes=len(made_set.manifest["train"]),
        labels=Part.of(made_set.side(purpose) / "test").labels,
        is_unequal=made_set.is_unequal(),
        held_out=SETS[name].held_out,
    )


def write(record: Record, facts: dict[str, SetFacts], parsed: argparse.Namespace) -> Path:
    """All results of the sets and minutes that were asked for, as files."""
    results = [each for each in record.results() if each["set"] in facts]
    values = {**record.now, "minutes": sorted(parsed.minutes), "results": results}
    values["verdicts"] = [verdicts(facts, results, minutes) for minutes in values["minutes"]]
    theme = theme_of("own-pictures", list(facts), list(SETS))
    return write_results(theme, values, describe(values, facts))


def _minutes(text: str) -> float:
    """Minutes above 0."""
    minutes = float(text)
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} minutes: give more than 0")
    return minutes


if __name__ == "__main__":
    main()

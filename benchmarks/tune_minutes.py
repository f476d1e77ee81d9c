"""The numbers of the rule of minutes, compared on validation pictures: one command, one factor after the other.

python benchmarks/tune_minutes.py --keep DIR [--sets ...] [--minutes 1] [--more 0.5 2 3] [--seeds 0] [--large]
    [--init] [--factors WORD ...] [--data-dir DIR] [--stop-after MIN] [--table]

The sets are those of bench_own_pictures that are not held out, made into DIR/sets, each by its tune side: three
quarters of its training pictures to train on, the others of them to score; no test picture is touched. By default
nine: solar, digits, handwritten, emoji, gauges, textures, icons, cifar-50 and cifar-500, at one minute of an assumed
machine (two AVX2 cores), whatever this one is: nothing hangs on what else runs.

The candidates are tuning/candidates.py, 21 variants of eleven factors, in the order of what they cost and may tell:
growth (1), strength of augmentation (3), steps from which sprint-long is taken (3), batch (2), epochs for a larger
size (2), the longest training (2), unequal classes (2), rates by batch (2), rates of biases and head (1), smoothing and
mixup (2), when growing images are full (1); then --large: sprint or sprint-long, and growth, on all of CIFAR-10 in ten
minutes (2). A variant is taken where it gains, in the mean over the sets and seeds, more than its standard error, and
what comes after is compared with it. --factors compares only those whose names have one of the words, with more --seeds
or --sets, say, where one set alone changes.
--init: trained weights where they win in short trainings (init = auto) against new ones, for each of the minutes, on
the sets that are not of CIFAR-10, which those weights know.
Then the plan as it was and as it was found are trained for each of --more minutes: more minutes must not give a lower
accuracy in the mean.

A training takes 75 to 100 s on two cores with AVX-512, a comparison of all sets 10 minutes a variant, less where few
plans change: where a variant plans the same for a set, nothing is trained. So: about two hours for the eleven factors,
and --more 0.5 2 3 an hour more, --large 20 minutes. DIR/tuning.jsonl has a line for each plan and each
training; what is there is not repeated, unless the file is deleted: do so where the code of training has changed.
--stop-after begins nothing after so many minutes; --table only prints.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
from own_pictures.folders import MadeSet
from own_pictures.sets import CIFAR_SIZES, SETS, Place, made
from tuning.candidates import COMPARISONS, LARGE, START, Changes, Comparison, on_top
from tuning.choice import best, describe, gain
from tuning.trainings import Trainings, keys_of

from thumbnet.data.own_sources import data_folder
from thumbnet.data.source_registry import keeping_sources

ALL_OF_CIFAR = "cifar-5000"
LARGE_MINUTES = 10.0
OPEN = [name for name, each in SETS.items() if not each.held_out]
USUAL = [name for name in OPEN if name != ALL_OF_CIFAR]


class StoppedError(Exception):
    """No further training is to begin."""


class Tuning:
    """Trainings that are made as they are asked for, until the time is over."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        self.parsed = parsed
        self.trainings = Trainings(parsed.keep / "tuning.jsonl")
        self.sets: dict[str, MadeSet] = {}
        self.begin_s = time.perf_counter()

    def scores(self, sets: list[str], minutes: float, changes: Changes) -> list[dict[str, Any]]:
        """A result for each set and seed."""
        found = []
        for key in keys_of(sets, minutes, self.parsed.seeds, changes):
            known = self.trainings.result(key)
            if known is None:
                if self.parsed.table:
                    raise StoppedError("this is not trained yet")
                if self.parsed.stop_after is not None and self._minutes() > self.parsed.stop_after:
                    raise StoppedError(f"stopped after {self.parsed.stop_after:g} minutes: the same command goes on")
                if key.set_name not in self.sets:
                    self.sets[key.set_name] = made(key.set_name, place_of(self.parsed))
                with keeping_sources():
                    known = self.trainings.made(key, self.sets[key.set_name])
                print(
                    f"  {self._minutes():5.1f} min: {key.set_name}, {known['recipe']} at {known['sides'][0]}, "
                    f"{known['epochs']} epochs of {known['batch_size']}, {known['augmentation']}"
                    f"{', begun with trained weights' if known.get('init') else ''}: "
                    f"{known['accuracy']:.2%}, loss {known['loss']:.4f}",
                    flush=True,
                )
            found.append(known)
        return found

    def _minutes(self) -> float:
        return (time.perf_counter() - self.begin_s) / 60

    def compare(self, comparison: Comparison, base: dict[str, Any], sets: list[str], minutes: float) -> dict[str, Any]:
        """The rule's changes after a comparison, with what it says for people."""
        print(f"\n## {comparison.factor}\n\n{comparison.why}\n", flush=True)
        before, gains = self.scores(sets, minutes, base), {}
        for name, changes in comparison.variants.items():
            gains[name] = gain(before, self.scores(sets, minutes, on_top(base, changes)))
        print("\n| variant | plans that change | accuracy, points | loss |\n|---|---|---|---|")
        print("\n".join(describe(name, found) for name, found in gains.items()))
        taken = best(gains)
        print(f"\nTaken: {'as it was' if taken is None else taken}.", flush=True)
        return base if taken is None else on_top(base, comparison.variants[taken])

    def over_minutes(self, budgets: Sequence[float], changes: Changes, title: str) -> None:
        """Whether more minutes give no lower accuracy, in the mean over the sets."""
        sets = self.parsed.sets
        print(f"\n## More minutes: {title}\n\n| minutes | accuracy, mean | to the row before |\n|---|---|---|")
        rows = [(minutes, self.scores(sets, minutes, changes)) for minutes in sorted(budgets)]
        before: list[dict[str, Any]] | None = None
        for minutes, found in rows:
            mean = sum(each["accuracy"] for each in found) / len(found)
            to_before = "" if before is None else describe("", gain(before, found)).split("|")[3].strip()
            print(f"| {minutes:g} | {mean:.2%} | {to_before} |", flush=True)
            before = found


def place_of(parsed: argparse.Namespace) -> Place:
    """Where the sets are made."""
    cifar = data_folder(parsed.data_dir)
    has_cifar = (cifar / "cifar-10-batches-bin" / "data_batch_1.bin").exists()
    return Place(parsed.keep, str(cifar) if has_cifar else None)


def main() -> None:
    """Compare what is missing, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="where the sets and tuning.jsonl are")
    parser.add_argument("--data-dir", help="where CIFAR-10's binary files are")
    parser.add_argument("--sets", nargs="+", choices=OPEN, default=USUAL, help=f"of {', '.join(OPEN)}")
    parser.add_argument("--minutes", type=float, default=1.0, metavar="M", help="of each comparison (default: 1)")
    parser.add_argument("--more", nargs="*", type=float, default=[0.5, 2.0, 3.0], metavar="M", help="0.5 2 3")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="default: 0")
    parser.add_argument("--large", action="store_true", help="all of CIFAR-10 in ten minutes, too")
    parser.add_argument("--init", action="store_true", help="trained weights where they win, too")
    parser.add_argument("--factors", nargs="+", default=[""], metavar="WORD", help="those with a word in their names")
    parser.add_argument("--stop-after", type=float, metavar="MIN", help="begin nothing after so many minutes")
    parser.add_argument("--table", action="store_true", help="train nothing: print what is known")
    parsed = parser.parse_args()
    if not (has_cifar := place_of(parsed).cifar is not None):
        parsed.sets = [name for name in parsed.sets if name not in CIFAR_SIZES]
        print("Without the sets of CIFAR-10: its binary release is not at hand (--data-dir)")
    comparisons = [each for each in COMPARISONS if any(word in each.factor for word in parsed.factors)]
    if not comparisons:
        parser.error(f"--factors {' '.join(parsed.factors)}: of {', '.join(each.factor for each in COMPARISONS)}")
    tuning, base = Tuning(parsed), dict[str, Any]()
    try:
        for comparison in comparisons:
            base = tuning.compare(comparison, base, parsed.sets, parsed.minutes)
        print(f"\nFound: {base or 'as it was'}.")
        for changes, title in (({}, "as it was"), (base, "as found")):
            if parsed.more and (changes or title == "as it was"):
                tuning.over_minutes([*parsed.more, parsed.minutes], changes, title)
        if parsed.init:
            sets = [name for name in parsed.sets if name not in CIFAR_SIZES]
            for minutes in sorted({parsed.minutes, *parsed.more}):
                print(f"\n{minutes:g} minutes:")
                tuning.compare(START, base, sets, minutes)
        if parsed.large and has_cifar:
            for comparison in LARGE:
                tuning.compare(comparison, base, [ALL_OF_CIFAR], LARGE_MINUTES)
    except StoppedError as stopped:
        print(f"\n{stopped}. Until now: {base or 'as it was'}.")


if __name__ == "__main__":
    main()

"""Wrong labels planted in CIFAR-10, and how many of them `thumbnet data check` lists by default.

python benchmarks/bench_label_issues.py [--noise-seed 0] [--keep DIR] [--data-dir DIR]

Of the 50,000 training labels 2,500, drawn with the seed, are replaced by another class, uniformly. The command then
runs with its defaults in a process of its own, and suspects.csv is compared with what was planted; natural errors of
CIFAR-10's own labels count against its precision. The bar: 80 % of them at a precision of 80 %, within 15 minutes on
two cores. Writes benchmarks/results/label-issues_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import cifar_folder, circumstances, describe_circumstances, make_parser, write_results

from thumbnet.data.cifar import read_cifar10

NUM_PLANTED = 2_500
BAR_RECALL = BAR_PRECISION = 0.8
BAR_S = 15 * 60


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--noise-seed", type=int, default=0, help="default: 0")
    parser.add_argument("--num-planted", type=int, default=NUM_PLANTED, help="wrong labels (default: 2500)")
    parser.add_argument("--keep", metavar="DIR", help="keep the data and the check's folder there")
    parser.add_argument("options", nargs="*", help="more options of `thumbnet data check`, after --")
    parsed = parser.parse_args()
    folder = cifar_folder(parsed.data_dir)
    values: dict[str, Any] = circumstances() | {"noise_seed": parsed.noise_seed}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(parsed.keep or scratch)
        place.mkdir(parents=True, exist_ok=True)
        planted = plant(Path(folder), place / "noisy.npz", num_planted=parsed.num_planted, seed=parsed.noise_seed)
        values |= check(place / "noisy.npz", place / "check", parsed.options)
        listed = read_listed(place / "check" / "suspects.csv")
    found = len(planted & listed)
    values |= {
        "num_planted": len(planted),
        "num_listed": len(listed),
        "num_found": found,
        "recall": found / len(planted),
        "precision": found / max(len(listed), 1),
    }
    report = describe(values)
    print(report)
    print(write_results("label-issues", values, report))


def plant(folder: Path, path: Path, *, num_planted: int, seed: int) -> set[int]:
    """Write CIFAR-10 with wrong labels as an .npz file; the indices of the images that have them."""
    splits = read_cifar10(folder, allow_unverified=True)
    assert splits.test is not None
    labels, num_classes = splits.train.labels.numpy().copy(), len(splits.class_names)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(labels), num_planted, replace=False)
    labels[chosen] = (labels[chosen] + rng.integers(1, num_classes, num_planted)) % num_classes
    np.savez(
        path,
        train_images=splits.train.images.numpy(),
        train_labels=labels,
        test_images=splits.test.images.numpy(),
        test_labels=splits.test.labels.numpy(),
        class_names=np.array(splits.class_names),
    )
    return set(chosen.tolist())


def check(data: Path, out: Path, options: list[str]) -> dict[str, Any]:
    """Run the command; its output, and the seconds it took."""
    command = [sys.executable, "-m", "thumbnet", "data", "check", "--data", f"npz:{data}", "--out", str(out), *options]
    begin_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command_s = time.perf_counter() - begin_s
    summary: dict[str, Any] = json.loads((out / "check.json").read_text())
    summary["num_duplicate_pairs"] = len(summary.pop("duplicates"))
    del summary["data"]  # a path of this machine
    return {**summary, "command_s": command_s}


def read_listed(path: Path) -> set[int]:
    """The indices of the images whose label the file calls wrong."""
    with path.open(newline="") as file:
        return {int(row["index"]) for row in csv.DictReader(file) if row["kind"] == "label"}


def describe(values: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    is_met = values["recall"] >= BAR_RECALL and values["precision"] >= BAR_PRECISION and values["command_s"] <= BAR_S
    others = ", ".join(f"{number:,} {kind}" for kind, number in values["suspects"].items() if kind != "label")
    lines = [
        "# Wrong labels planted in CIFAR-10",
        "",
        describe_circumstances(values),
        "",
        (
            f"{values['num_planted']:,} training labels replaced by another class (seed {values['noise_seed']}). "
            f"{values['num_folds']} folds, {values['num_repeats']} repeats; the models predict the label of "
            f"{values['accuracy']:.2%} of the images that they had not seen."
        ),
        "",
        "| planted | listed | of them planted | recall | precision | foretold | whole command, s |",
        "|---|---|---|---|---|---|---|",
        (
            f"| {values['num_planted']:,} | {values['num_listed']:,} | {values['num_found']:,} | "
            f"**{values['recall']:.1%}** | **{values['precision']:.1%}** | {values['label_recall']:.1%}, "
            f"{values['label_precision']:.1%} | {values['command_s']:.0f} |"
        ),
        "",
        (
            f"The bar (recall {BAR_RECALL:.0%} and precision {BAR_PRECISION:.0%} within {BAR_S} s) is "
            f"{'met' if is_met else 'not met'}. Besides: {others} ({values['num_duplicate_pairs']:,} pairs of "
            "duplicates in all splits)."
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Two unequal classes of CIFAR-10, and a recall of the rare one that is asked for.

python benchmarks/bench_imbalance.py [--seeds 0 1 2] [--keep DIR] [--data-dir DIR] [-- OPTIONS]

5,000 training pictures of automobiles and the first 250 of trucks; 1,000 and 1,000 for the test. The command trains
with `--recall 0.8 --positive truck`, which picks a threshold on validation, then with balanced class weights and with
the balanced sampler instead. The bar: the recall of trucks on the test pictures lies between 0.70 and 0.90 with each
seed, and average precision is no lower than that of a training without weights: a threshold changes no training, so its
area is that training's. Runs are kept in DIR, and not repeated. Nothing else may run beside it. Writes
benchmarks/results/imbalance_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import (
    check_kept,
    cifar_folder,
    circumstances,
    describe_circumstances,
    holds,
    make_parser,
    write_results,
)

from thumbnet.data.cifar import read_cifar10

COMMON, RARE = "automobile", "truck"
NUM_COMMON, NUM_RARE = 5_000, 250
RECALL = 0.8
LOWEST, HIGHEST = 0.70, 0.90  # that the recall on the test pictures may be
METHODS = {
    "threshold": ["--recall", str(RECALL), "--positive", RARE],
    "class_weights": ["--set", "class_weights=balanced"],
    "sampler": ["--set", "sampler=balanced"],
}
METRICS = ("test_accuracy", "test_balanced_accuracy", "test_mcc", "test_auc", "test_average_precision")


def main() -> None:
    """Train what is missing, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--num-common", type=int, default=NUM_COMMON, help=f"training pictures (default: {NUM_COMMON})")
    parser.add_argument("--num-rare", type=int, default=NUM_RARE, help=f"training pictures (default: {NUM_RARE})")
    parser.add_argument("--keep", metavar="DIR", help="keep the data and the runs there")
    parser.add_argument("options", nargs="*", help="more options of `thumbnet train`, after --")
    parsed = parser.parse_args()
    folder = cifar_folder(parsed.data_dir)
    values: dict[str, Any] = circumstances() | {"num_common": parsed.num_common, "num_rare": parsed.num_rare}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(parsed.keep or scratch)
        place.mkdir(parents=True, exist_ok=True)
        data = write_pair(Path(folder), place / "pair.npz", num_common=parsed.num_common, num_rare=parsed.num_rare)
        values["runs"] = {
            name: [train(place / f"{name}-{seed}", data, seed, options, parsed.options) for seed in parsed.seeds]
            for name, options in METHODS.items()
        }
    report = describe(values)
    print(report)
    print(write_results("imbalance", values, report))


def write_pair(folder: Path, path: Path, *, num_common: int, num_rare: int) -> Path:
    """The pictures of two classes as an .npz file, as many of the training ones as asked for, in their order."""
    splits = read_cifar10(folder, allow_unverified=True)
    assert splits.test is not None
    classes = [splits.class_names.index(name) for name in (COMMON, RARE)]
    arrays: dict[str, np.ndarray] = {"class_names": np.array([COMMON, RARE])}
    for name, split, counts in (
        ("train", splits.train, (num_common, num_rare)),
        ("test", splits.test, (len(splits.test), len(splits.test))),
    ):
        labels = split.labels.numpy()
        chosen = [np.flatnonzero(labels == label)[:count] for label, count in zip(classes, counts, strict=True)]
        arrays[f"{name}_images"] = split.images.numpy()[np.concatenate(chosen)]
        arrays[f"{name}_labels"] = np.repeat([0, 1], [len(each) for each in chosen])
    np.savez(path, **arrays)
    return path


def train(run_dir: Path, data: Path, seed: int, options: list[str], more: list[str]) -> dict[str, Any]:
    """The metrics of a run, which is trained unless it is there."""
    words = ["--recipe", "sprint", "--data", f"npz:{data}", "--seed", str(seed), *options, *more]
    check_kept(run_dir, [word for word in words if word != f"npz:{data}"])
    if not (run_dir / "metrics.json").exists():
        command = [sys.executable, "-m", "thumbnet", "train", *words, "--run-dir", str(run_dir), "--no-pictures"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    metrics: dict[str, Any] = json.loads((run_dir / "metrics.json").read_text())
    kept = {name: metrics[name] for name in (*METRICS, "train_s", "epochs")}
    if "threshold" in metrics:
        kept |= {name: metrics[name] for name in ("threshold", "threshold_rule", "val_at_threshold")}
    return kept | {"seed": seed, **_of_rare(run_dir)}


def _of_rare(run_dir: Path) -> dict[str, float]:
    """Recall and precision of the rare class on the test pictures, as the run answered them."""
    rows = (run_dir / "predictions.csv").read_text().splitlines()[1:]
    pairs = [tuple(map(int, row.split(",")[2:4])) for row in rows]
    found = sum(label == predicted == 1 for label, predicted in pairs)
    num_rare, num_answered = (sum(pair[place] == 1 for pair in pairs) for place in (0, 1))
    return {"recall": found / num_rare, "precision": found / num_answered if num_answered else 0.0}


def describe(values: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    runs = values["runs"]
    recalls = [run["recall"] for run in runs["threshold"]]
    is_met = all(LOWEST <= recall <= HIGHEST for recall in recalls)
    lines = [
        f"# {COMMON}s and few {RARE}s, and a recall of {RECALL} asked for",
        "",
        describe_circumstances(values),
        "",
        (
            f"{values['num_common']:,} training pictures of {COMMON}s, {values['num_rare']:,} of {RARE}s; the recipe "
            f"sprint, n = {len(recalls)} seeds each, mean ± deviation of the sample. Recall and precision are of "
            f"{RARE}s on the test pictures, of which each class has as many."
        ),
        "",
        "| training | recall | precision | balanced accuracy | Matthews | area under ROC | average precision |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, of_seeds in runs.items():
        cells = [_spread([run[key] for run in of_seeds]) for key in ("recall", "precision", *METRICS[1:])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    validation = ", ".join(
        f"{run['val_at_threshold']['recall']:.2f} on {run['val_at_threshold']['num_positives']} validation pictures, "
        f"{run['recall']:.3f} on the test pictures"
        for run in runs["threshold"]
    )
    lines += [
        "",
        f"The recall, seed by seed: {validation}.",
        "",
        f"The bar (a test recall between {LOWEST:.2f} and {HIGHEST:.2f} with each seed) {holds(is_met)}.",
        "",
    ]
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()

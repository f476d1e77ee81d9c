"""What each ingredient gives: variants of one recipe, scored on validation images only.

python benchmarks/bench_ablations.py benchmarks/ablations/NAME.toml --keep DIR [--only VARIANT ...] [--data-dir DIR]

The file names the recipe, the seeds, `settings` of all variants and, in the table [variants], each one's own, as
KEY=VALUE texts. `teacher`, if it is there, has those of a run that is trained first, once, with the first seed, in
DIR/teacher; the others' settings may name that as {keep}/teacher. `subset`, if it is there, has how many images of each
class are trained on and how many validate, all of them training images of CIFAR-10: on a quarter of the images, a
network learns them by heart in ten minutes instead of an hour. The variants are a grid that `thumbnet sweep` tries, for
each seed in a folder of its own under --keep: a sweep that was stopped is gone on with, and what is finished is not
repeated. --only trains some variants. Writes benchmarks/results/ablations-<name>_<hardware>_<date>.md and .json, of all
that is finished.
"""

from __future__ import annotations

import csv
import hashlib
import json
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import check_kept, cifar_folder, circumstances, describe_circumstances, make_parser, write_results

from thumbnet.config import config_to_toml
from thumbnet.data.sources import load_dataset
from thumbnet.recipes import load_recipe
from thumbnet.specs.toml_text import parse_setting
from thumbnet.training.history import history_from_csv
from thumbnet.training.progress import duration

NO_LIMITS = ["--max-params", str(10**9), "--max-macs", str(10**12)]


def main() -> None:
    """Train what is missing, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("file", type=Path, help="the .toml with the variants")
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="where the run folders are, or go")
    parser.add_argument("--only", metavar="VARIANT", nargs="+", help="train these variants only")
    parsed = parser.parse_args()
    plan = tomllib.loads(parsed.file.read_text())
    unknown = set(parsed.only or ()) - set(plan["variants"])
    if unknown:
        raise SystemExit(f"no such variant: {', '.join(unknown)}; there are {', '.join(plan['variants'])}")
    folder = cifar_folder(parsed.data_dir)
    data = write_subset(folder, *plan["subset"], parsed.keep) if "subset" in plan else "cifar10"
    if "teacher" in plan:
        train(plan["recipe"], plan["teacher"], plan["seeds"][0], data, folder, parsed.keep / "teacher")
        print("teacher: done", flush=True)
    for seed in plan["seeds"]:
        sweep(plan, parsed.only or list(plan["variants"]), seed, data, folder, parsed.keep)
        print(f"seed {seed}: done", flush=True)
    variants = {name: collect(plan, name, data, parsed.keep) for name in plan["variants"]}
    values = circumstances() | {"plan": plan, "variants": variants}
    report = describe(parsed.file.stem, values)
    print(report)
    print(write_results(f"ablations-{parsed.file.stem}", values, report))


def tables_of(plan: dict[str, Any], names: Sequence[str], keep: Path) -> list[dict[str, Any]]:
    """The fields of these variants, as a sweep takes them."""
    tables = []
    for name in names:
        table: dict[str, Any] = {}
        for setting in plan["variants"][name]:
            for field, value in parse_setting(setting.replace("{keep}", str(keep))).items():
                table[field] = {**table.get(field, {}), **value} if isinstance(value, dict) else value
        tables.append(table)
    return tables


def sweeps_of(plan: dict[str, Any], seed: int, data: str, keep: Path) -> list[Path]:
    """The folders of the sweeps of this recipe with these settings and this seed."""
    asked = [*what_is_asked(plan["recipe"], plan["settings"], data), f"seed {seed}"]
    folders = [path.parent for path in sorted(keep.glob("sweep-*/sweep.json"))]
    return [each for each in folders if json.loads(Path(f"{each}.json").read_text())[: len(asked)] == asked]


def sweep(plan: dict[str, Any], names: Sequence[str], seed: int, data: str, folder: str, keep: Path) -> None:
    """Train the variants of these names that are missing, all of them once."""
    start = [sys.executable, "-m", "thumbnet", "sweep", "--log-style", "silent"]
    for path in sweeps_of(plan, seed, data, keep):
        subprocess.run([*start, "--run-dir", str(path), "--resume"], check=True, stdout=subprocess.DEVNULL)
    missing = [name for name in names if found(plan, name, seed, data, keep) is None]
    if not missing:
        return
    tables = tables_of(plan, missing, keep)
    asked = [*what_is_asked(plan["recipe"], plan["settings"], data), f"seed {seed}", json.dumps(tables)]
    path = keep / f"sweep-{seed}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]}"
    check_kept(path, asked)
    is_subset = data != "cifar10"
    command = [
        *start,
        "--recipe",
        plan["recipe"],
        "--seed",
        str(seed),
        "--data",
        data,
        "--run-dir",
        str(path),
        "--grid",
    ]
    command += ["--search", f"variant={json.dumps(tables)}", *NO_LIMITS]
    command += [] if is_subset else ["--allow-unverified", "--data-dir", folder]
    for setting in plan["settings"]:
        command += ["--set", setting]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def found(plan: dict[str, Any], name: str, seed: int, data: str, keep: Path) -> Path | None:
    """The folder of a variant's finished trial."""
    (table,) = tables_of(plan, [name], keep)
    for path in sweeps_of(plan, seed, data, keep):
        with (path / "sweep.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["state"] == "finished" and json.loads(row["variant"]) == table:
                    return path / f"trial-{int(row['trial']):04d}"
    return None


def write_subset(folder: str, num_training: int, num_validation: int, keep: Path) -> str:
    """The first training images of every class of CIFAR-10, and those after them for validation, for `--data`.

    SystemExit where a class has too few.
    """
    images = load_dataset("cifar10", data_dir=folder, allow_unverified=True, val_fraction=0.0)
    labels = images.train.labels.numpy()
    of_classes = [np.flatnonzero(labels == label) for label in range(images.num_classes)]
    fewest = min(map(len, of_classes))
    if num_training + num_validation > fewest:
        raise SystemExit(f"subset asks for {num_training} + {num_validation} images a class, but one has only {fewest}")
    parts = {
        "train": np.sort(np.concatenate([chosen[:num_training] for chosen in of_classes])),
        "val": np.sort(np.concatenate([chosen[num_training:][:num_validation] for chosen in of_classes])),
    }
    pixels = images.train.images.permute(0, 2, 3, 1).numpy()
    arrays = {f"{part}_images": pixels[chosen] for part, chosen in parts.items()}
    arrays |= {f"{part}_labels": labels[chosen] for part, chosen in parts.items()}
    # Without test images a tenth of the training images would be taken; nothing here reads what these ones score.
    arrays |= {"test_images": arrays["val_images"], "test_labels": arrays["val_labels"]}
    path = keep.resolve() / f"{num_training}-and-{num_validation}-a-class.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, class_names=np.array(images.class_names), **arrays)
    return f"npz:{path}"


def train(recipe: str, settings: list[str], seed: int, data: str, folder: str, run_dir: Path) -> None:
    """Train one run, go on with it, or leave it as it is where it is finished; SystemExit where it was another."""
    is_subset = data != "cifar10"
    check_kept(run_dir, what_is_asked(recipe, settings, data))
    if (run_dir / "metrics.json").exists():
        return
    command = [sys.executable, "-m", "thumbnet", "train", "--log-style", "silent", "--no-pictures"]
    if (run_dir / "config.toml").exists():
        command += ["--resume", str(run_dir)]
    else:
        command += ["--recipe", recipe, "--seed", str(seed), "--run-dir", str(run_dir), "--data", data]
        command += [] if is_subset else ["--allow-unverified"]
        for setting in settings:
            command += ["--set", setting.replace("{keep}", str(run_dir.parent))]
    command += [] if is_subset else ["--data-dir", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def what_is_asked(recipe: str, settings: list[str], data: str) -> list[str]:
    """All that a run's metrics depend on, except its seed."""
    return [config_to_toml(load_recipe(recipe)), *settings, *([Path(data).stem] if data != "cifar10" else [])]


def collect(plan: dict[str, Any], name: str, data: str, keep: Path) -> list[dict[str, Any]]:
    """The metrics of a variant's finished trials."""
    runs = []
    for seed in plan["seeds"]:
        trial = found(plan, name, seed, data, keep)
        if trial is None:
            continue
        metrics = json.loads((trial / "trial.json").read_text())
        last = history_from_csv((trial / "history.csv").read_text())[-1]
        runs.append(
            {"seed": seed, "val_accuracy": last.val_accuracy, "train_accuracy": last.train_accuracy}
            | {key: metrics[key] for key in ("num_params", "macs", "epochs", "train_s", "num_threads", "date")}
        )
    return runs


def describe(name: str, values: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    plan = values["plan"]
    subset = ""
    if "subset" in plan:
        num_training, num_validation = plan["subset"]
        subset = f"{num_training:,} images a class for training, {num_validation:,} for validation. "
    lines = [
        f"# Ablations: {name}",
        "",
        describe_circumstances(values),
        "",
        (
            f"{subset}Recipe `{plan['recipe']}`{''.join(f', `{setting}`' for setting in plan['settings'])}; seeds "
            f"{', '.join(map(str, plan['seeds']))}; validation accuracy after the last epoch, mean ± sample deviation."
        ),
        "",
        "| variant | settings | validation | n | training | parameters | MACs | time | trained on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for variant, runs in values["variants"].items():
        settings = " ".join(f"`{setting}`" for setting in plan["variants"][variant])
        lines.append(f"| {variant} | {settings} | {describe_runs(runs)} |")
    return "\n".join([*lines, ""])


def describe_runs(runs: list[dict[str, Any]]) -> str:
    """The cells of a variant's metrics."""
    if not runs:
        return "not trained | 0 | | | | |"
    accuracies = [run["val_accuracy"] for run in runs]
    deviation = f" ± {statistics.stdev(accuracies):.2%}" if len(runs) > 1 else ""
    training = statistics.mean(run["train_accuracy"] for run in runs)
    seconds = statistics.median(run["train_s"] for run in runs)
    dates = ", ".join(sorted({run["date"] for run in runs}))
    return (
        f"{statistics.mean(accuracies):.2%}{deviation} | {len(runs)} | {training:.2%} | {runs[0]['num_params']:,} | "
        f"{runs[0]['macs'] / 1e6:.1f} M | {duration(seconds)}, threads: {runs[0]['num_threads']} | {dates}"
    )


if __name__ == "__main__":
    main()

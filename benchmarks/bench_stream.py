"""More pictures than memory: a training in a memory control group that is smaller than its pictures.

    python benchmarks/bench_stream.py --keep DIR
    python benchmarks/bench_stream.py --keep DIR --accuracy 3 --data-dir DIR

Generates 1,000,000 pictures of 32x32 pixels, sorted by class (3 GB, a pack in DIR, kept for another time), evicts them
from the page cache, and trains `sprint` on them in a control group of 1.5 GB, page cache included, in turn with the
same training outside it, where they are in memory. The bar is 85 % of the images a second in memory, and memory that
does not grow from epoch to epoch. Needs root; where no group can be made, it says so, has the pictures streamed all the
same, and gives the memory of the process without mapped pages.

--accuracy SEEDS trains `sprint` on CIFAR-10, sorted by class, shuffled whole and by blocks, whose windows are as small
a part of it as those of the 3 GB are, with as many blocks each.

Writes benchmarks/results/stream_<processor>_<date>.json and .md (stream-memory, stream-accuracy where only that was
measured; -100k for 100,000 pictures).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from measuring import (
    cifar_folder,
    circumstances,
    describe_circumstances,
    holds,
    make_parser,
    theme_of,
    write_results,
)

from thumbnet.data.block_shuffle import BLOCK_BYTES, WINDOW_BYTES
from thumbnet.data.cifar import read_cifar10
from thumbnet.data.dataset import Source, Split
from thumbnet.data.packs.listing import images_file
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.store import note_verified, write_the_rest
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.streamed import streamed

PARTS = ("memory", "accuracy")
NUM_IMAGES, NUM_CLASSES, SHAPE = 1_000_000, 10, (3, 32, 32)
LEAST_SHARE, MOST_GROWTH_MB = 0.85, 32
GROUPS = Path("/sys/fs/cgroup")
TRAIN = """
import json, resource, sys
from pathlib import Path
import thumbnet
from thumbnet.data import block_shuffle, memory
options = json.loads(sys.argv[1])
memory.DATA_SHARE = options["data_share"]
block_shuffle.WINDOW_BYTES, block_shuffle.BLOCK_BYTES = options["window"], options["block"]
group = options["group"]
def used_mb():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found = {name: int(status[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")}
    for name in ("memory.usage_in_bytes", "memory.current"):
        if group is not None and (Path(group) / name).exists():
            found["group"] = int((Path(group) / name).read_text()) / 2**20
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found
epochs = []
run = thumbnet.train(thumbnet.load_recipe("sprint", options=options["fields"], settings=options["settings"]),
    run_dir=options["run_dir"], log_style="silent", pictures=False, on_epoch_end=lambda _: epochs.append(used_mb()))
print(json.dumps({"epochs": epochs, "images_per_s": run.history.column("images_per_s"),
    "shuffle": run.config.inputs.shuffle, "accuracy": run.metrics["test_accuracy"]}))
"""


def write_pack(folder: Path, labels: np.ndarray, images_of: Any) -> None:
    """A pack of training images, which `images_of` gives from the first row and the row after the last."""
    folder.mkdir(parents=True)
    file = RowFile.create(folder / images_file("train"), (len(labels), *SHAPE))
    parts = tuple((first, last, file.write(first, images_of(first, last))) for first, last in file.parts())
    file.flush()
    train = Split(streamed(file), torch.from_numpy(labels))
    names, source = tuple(map(str, range(NUM_CLASSES))), Source("generated", "pictures made for a benchmark")
    write_the_rest(folder, SourceSplits(train, None, None, names, True, source), {"train": parts})
    note_verified(folder, {"train": file})


def generate(folder: Path, number: int) -> None:
    """Pictures of noise whose classes differ in brightness, unless they are there."""
    if (folder / "manifest.json").exists():
        return
    labels = np.arange(number) * NUM_CLASSES // number

    def images_of(first: int, last: int) -> np.ndarray:
        noise = np.random.default_rng(first).integers(0, 100, (last - first, *SHAPE), np.uint8)
        return noise + (15 * labels[first:last, None, None, None]).astype(np.uint8)

    write_pack(folder, labels, images_of)


def evict(folder: Path) -> None:
    """Have the system forget the files of a pack, so that they are read from the disk."""
    os.sync()
    for path in folder.glob("*.npy"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@contextmanager
def control_group(num_bytes: int) -> Iterator[Path | None]:
    """A memory control group of this size, page cache included; None where there can be none."""
    is_second = (GROUPS / "cgroup.controllers").exists()
    group = (GROUPS if is_second else GROUPS / "memory") / f"thumbnet-bench-{os.getpid()}"
    try:
        if is_second:
            (GROUPS / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / ("memory.max" if is_second else "memory.limit_in_bytes")).write_text(str(num_bytes))
    except OSError as error:
        print(f"no control group can be made: {error}", file=sys.stderr)
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


def train(data: str, *, epochs: int | None, group: Path | None = None, **options: Any) -> dict[str, Any]:
    """What a training tells, in a process of its own, in a group if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        fields = {"data": data, **({} if epochs is None else {"epochs": epochs}), **options.pop("fields", {})}
        values = {
            "data_share": 0.5, "window": WINDOW_BYTES, "block": BLOCK_BYTES, "settings": [], "fields": fields,
            "group": None if group is None else str(group), "run_dir": f"{folder}/run", **options,
        }  # fmt: skip
        enter = "" if group is None else f"echo $$ > {group}/cgroup.procs; "
        command = ["sh", "-c", f'{enter}exec "$@"', "sh", sys.executable, "-c", TRAIN, json.dumps(values)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_memory(pack: Path, *, limit_mb: int, epochs: int, turns: int) -> dict[str, Any]:
    """Trainings from the disk and in memory, in turn. The first from the disk searches for leaks in the group, too."""
    pairs, has_group = [], False
    num_bytes = sum(path.stat().st_size for path in pack.glob("*.npy"))
    for _ in range(turns):
        for path in (pack / "results").glob("*"):
            path.unlink()
        evict(pack)
        with control_group(limit_mb * 2**20) as group:
            has_group = group is not None
            share = min(0.5, 0.9 * num_bytes / (limit_mb * 2**20)) if has_group else 1e-9  # few pictures, too
            mine = train(f"packed:{pack}", epochs=epochs, group=group, data_share=share)
        assert mine["shuffle"] == "blocks"
        theirs = train(f"packed:{pack}", epochs=epochs)
        assert theirs["shuffle"] == "whole"
        pairs.append((mine, theirs))
    shares = [
        statistics.median(mine["images_per_s"]) / statistics.median(theirs["images_per_s"]) for mine, theirs in pairs
    ]
    own = [[used["RssAnon"] for used in mine["epochs"]][1 if epochs > 2 else 0 :] for mine, _ in pairs]
    grown = [max(each) - each[0] for each in own]  # what the first epoch still takes is none of it
    return {
        "limit_mb": limit_mb,
        "has_group": has_group,
        "num_bytes": num_bytes,
        "from_disk": [mine for mine, _ in pairs],
        "in_memory": [theirs for _, theirs in pairs],
        "share": statistics.median(shares),
        "growth_mb": max(grown),
    }


def measure_accuracy(folder: Path, data_dir: str, num_seeds: int, epochs: int | None) -> dict[str, Any]:
    """`sprint` on CIFAR-10 sorted by class, shuffled whole and by blocks; accuracies on a tenth, held out for test."""
    splits = read_cifar10(Path(data_dir), allow_unverified=True)
    order = splits.train.labels.argsort(stable=True)
    images, labels = splits.train.images[order].numpy(), splits.train.labels[order].numpy()
    pack = folder / "cifar10-sorted"
    if not (pack / "manifest.json").exists():
        write_pack(pack, labels, lambda first, last: images[first:last])
    window = WINDOW_BYTES * images.size // (NUM_IMAGES * int(np.prod(SHAPE)))
    small = {"window": window, "block": window * BLOCK_BYTES // WINDOW_BYTES}
    found: dict[str, list[float]] = {"whole": [], "blocks": []}
    for seed in range(num_seeds):
        for shuffle, accuracies in found.items():
            settings = [f"seed={seed}", f"shuffle={shuffle}"]
            accuracies.append(train(f"packed:{pack}", epochs=epochs, settings=settings, **small)["accuracy"])
    return {**found, **small, "lost": statistics.mean(found["whole"]) - statistics.mean(found["blocks"])}


def report(values: dict[str, Any]) -> str:
    """The results for people."""
    lines = ["# More pictures than memory", ""]
    if "memory" in values:
        found = values["memory"]
        where = f"a control group of {found['limit_mb']:,} MB" if found["has_group"] else "**no control group**"
        speeds = [
            statistics.median(speed for run in found[kind] for speed in run["images_per_s"])
            for kind in ("from_disk", "in_memory")
        ]
        size, share = found["num_bytes"] / 1e9, found["share"]
        on_disk = f"{size:.2f} GB of pictures, in {where}: {speeds[0]:,.0f} images/s, in memory {speeds[1]:,.0f}"
        verdicts = holds(share >= LEAST_SHARE), holds(found["growth_mb"] <= MOST_GROWTH_MB)
        grows = f"The process's own memory grows by {found['growth_mb']:.0f} MB from the second epoch on"
        lines += [
            f"{on_disk}: **{share:.1%}** (bar: {LEAST_SHARE:.0%}): {verdicts[0]}.",
            f"{grows} (at most {MOST_GROWTH_MB}): {verdicts[1]}.",
            "",
            "| turn | epoch | images/s | own memory, MB | mapped files, MB | most of both, MB | group, MB |",
            "|---|---|---|---|---|---|---|",
        ]
        for turn, run in enumerate(found["from_disk"], 1):
            for epoch, (used, speed) in enumerate(zip(run["epochs"], run["images_per_s"], strict=True), 1):
                group = f"{used['group']:,.0f}" if "group" in used else ""
                cells = f"{used['RssAnon']:,.0f} | {used['RssFile']:,.0f} | {used['peak']:,.0f} | {group}"
                lines.append(f"| {turn} | {epoch} | {speed:,.0f} | {cells} |")
        lines.append("")
    if "accuracy" in values:
        found = values["accuracy"]
        windows = f"CIFAR-10 sorted by class, `sprint`, windows of {found['window'] / 1e6:.1f} MB"
        kinds = f"whole {shown(found['whole'])}, by blocks {shown(found['blocks'])}"
        lines += [f"{windows}: {kinds}: **{100 * found['lost']:.2f} points lost**.", ""]
    return "\n".join([*lines, describe_circumstances(values), ""])


def shown(accuracies: list[float]) -> str:
    """Mean and standard deviation."""
    spread = f" ± {statistics.stdev(accuracies):.2%}" if len(accuracies) > 1 else ""
    return f"{statistics.mean(accuracies):.2%}{spread} (n = {len(accuracies)})"


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--keep", metavar="DIR", required=True, help="where the pictures are, and stay")
    parser.add_argument("--images", metavar="N", type=int, default=NUM_IMAGES, help="pictures (default: %(default)s)")
    parser.add_argument("--limit-mb", type=int, default=1500, help="of the control group (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="of each training (default: 3; of --accuracy the recipe's)")
    parser.add_argument("--turns", type=int, default=1, help="trainings of each kind (default: %(default)s; 0: none)")
    parser.add_argument("--accuracy", metavar="SEEDS", type=int, default=0, help="trainings on CIFAR-10 of each kind")
    parsed = parser.parse_args()
    measure(parsed, Path(parsed.keep).resolve())


def measure(parsed: argparse.Namespace, folder: Path) -> None:
    """What the arguments ask for."""
    values: dict[str, Any] = circumstances()
    if parsed.turns:
        pack = folder / f"generated-{parsed.images}"
        generate(pack, parsed.images)
        values["memory"] = measure_memory(pack, limit_mb=parsed.limit_mb, epochs=parsed.epochs or 3, turns=parsed.turns)
    if parsed.accuracy:
        data_dir = cifar_folder(parsed.data_dir)
        values["accuracy"] = measure_accuracy(folder, data_dir, parsed.accuracy, parsed.epochs)
    text = report(values)
    print(text)
    chosen = [part for part in PARTS if part in values]
    size = () if parsed.images == NUM_IMAGES or "memory" not in values else (f"{parsed.images // 1000}k",)
    print(write_results(theme_of("stream", chosen, PARTS, *size), values, text))


if __name__ == "__main__":
    main()

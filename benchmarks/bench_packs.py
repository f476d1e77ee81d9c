"""Pictures decoded once: how fast a folder is packed, and how soon a second training on it starts.

    python benchmarks/bench_packs.py --pack-rate 100000
    python benchmarks/bench_packs.py --cifar-jpegs 5 --data-dir DIR

--pack-rate N packs N generated PNG files of 32x32 pixels in ten classes; the bar is 2,000 a second.

--cifar-jpegs TURNS writes CIFAR-10 as 60,000 JPEG files, reads them once, and then starts as many trainings on them as
on CIFAR-10's own files, in turn. A start is a process of its own: from its beginning until the data is read, searched
for leaks as a training does, and its checksum known. The bar is 3 s more than from CIFAR-10's own files (medians). Then
a picture is added, removed and changed, which must be noticed.

--work DIR keeps the files that were written, for another time; the cache of decoded pictures is there, too. Writes
benchmarks/results/packs_<processor>_<date>.json and .md (packs-rate, packs-jpegs where only that was measured).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import (
    cifar_folder,
    circumstances,
    describe_circumstances,
    holds,
    make_parser,
    theme_of,
    write_results,
)
from PIL import Image

from thumbnet.data.cifar import read_cifar10

PARTS = ("rate", "jpegs")
LEAST_RATE, MOST_LATER_S = 2_000, 3.0
NUM_CLASSES = 10
QUALITY = 95  # of the JPEG files
START = """
import json, sys, time
from thumbnet.recipes import load_recipe
from thumbnet.runs.leaks import look_for_leaks
from thumbnet.runs.resolve import load_data, say_nothing
options = json.loads(sys.argv[2])
dataset, _ = load_data(load_recipe("sprint", options=options), say=say_nothing)
leaks = look_for_leaks(dataset, say=say_nothing)
checksum = dataset.checksum()
seconds = time.time() - float(sys.argv[1])
number = sum(len(split) for split in (dataset.train, dataset.val, dataset.test) if split is not None)
print(json.dumps({"seconds": seconds, "num_images": number, "checksum": checksum}))
"""
PACK = """
import json, sys, time
import thumbnet
began = time.perf_counter()
packed = thumbnet.pack_data(sys.argv[1], sys.argv[2], show_progress=False)
print(json.dumps({"seconds": time.perf_counter() - began, "num_images": packed.num_images}))
"""


def in_process(code: str, *arguments: object, cache: Path) -> dict[str, Any]:
    """What a process of its own prints, with the cache of decoded pictures in `cache`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "THUMBNET_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values


def write_pngs(folder: Path, number: int) -> None:
    """So many PNG files of noise whose classes differ in brightness, unless they are there."""
    done = folder / "written.json"
    if done.exists() and json.loads(done.read_text()) == number:
        return
    random = np.random.default_rng(0)
    for label in range(NUM_CLASSES):
        (folder / f"class-{label}").mkdir(parents=True, exist_ok=True)
    for index in range(number):
        label = index % NUM_CLASSES
        pixels = random.integers(0, 100, (32, 32, 3), np.uint8) + np.uint8(15 * label)
        Image.fromarray(pixels).save(folder / f"class-{label}" / f"{index:07}.png", compress_level=1)
    done.write_text(json.dumps(number))


def write_jpegs(folder: Path, data_dir: str) -> None:
    """CIFAR-10 as JPEG files in train/CLASS and test/CLASS, unless they are there."""
    if (folder / "written.json").exists():
        return
    splits = read_cifar10(Path(data_dir), allow_unverified=True)
    for name, split in (("train", splits.train), ("test", splits.test)):
        assert split is not None
        for class_name in splits.class_names:
            (folder / name / class_name).mkdir(parents=True, exist_ok=True)
        for index, (image, label) in enumerate(zip(split.images.numpy(), split.labels.tolist(), strict=True)):
            place = folder / name / splits.class_names[label] / f"{index:05}.jpg"
            Image.fromarray(image.transpose(1, 2, 0)).save(place, quality=QUALITY)
    (folder / "written.json").write_text(json.dumps(QUALITY))


def measure_rate(work: Path, number: int) -> dict[str, Any]:
    """Pictures a second of `data pack`, from the beginning of the call to the finished pack."""
    write_pngs(work / "pngs", number)
    target = work / f"pack-{time.time_ns()}"
    done = in_process(PACK, f"folder:{work / 'pngs'}", target, cache=work / "cache")
    assert done["num_images"] == number
    return {"num_images": number, "seconds": done["seconds"], "rate": number / done["seconds"]}


def start(work: Path, options: dict[str, Any]) -> dict[str, Any]:
    """A start of a training on data, by what it takes and finds."""
    return in_process(START, time.time(), json.dumps(options), cache=work / "cache")


def measure_jpegs(work: Path, data_dir: str, turns: int) -> dict[str, Any]:
    """Starts on JPEG files and on CIFAR-10's own, in turn; then what changes."""
    folder = work / "jpegs"
    write_jpegs(folder, data_dir)
    jpegs: dict[str, Any] = {"data": f"folder:{folder}"}
    own: dict[str, Any] = {"data": "cifar10", "data_dir": data_dir, "allow_unverified": True}
    first = start(work, jpegs)
    start(work, own)
    pairs = [(start(work, jpegs), start(work, own)) for _ in range(turns)]
    later = [mine["seconds"] - theirs["seconds"] for mine, theirs in pairs]
    return {
        "first_s": first["seconds"],
        "second_s": [mine["seconds"] for mine, _ in pairs],
        "own_s": [theirs["seconds"] for _, theirs in pairs],
        "later_s": statistics.median(later),
        "is_same_data": all(mine["checksum"] == first["checksum"] for mine, _ in pairs),
        "changes": measure_changes(work, folder, jpegs, first),
    }


def measure_changes(work: Path, folder: Path, jpegs: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The seconds of a start after each change, and whether it was noticed. The files are as before at the end."""
    one, other = sorted((folder / "train" / "cat").glob("*.jpg"))[:2]
    added, content = one.with_name("added.jpg"), one.read_bytes()
    found: dict[str, Any] = {}
    added.write_bytes(other.read_bytes())
    done = start(work, jpegs)
    found["added"] = {"seconds": done["seconds"], "noticed": done["num_images"] == before["num_images"] + 1}
    added.unlink()
    done = start(work, jpegs)
    found["removed"] = {"seconds": done["seconds"], "noticed": done["checksum"] == before["checksum"]}
    one.write_bytes(other.read_bytes())
    done = start(work, jpegs)
    found["changed"] = {"seconds": done["seconds"], "noticed": done["checksum"] != before["checksum"]}
    one.write_bytes(content)
    return found


def report(values: dict[str, Any]) -> str:
    """The results for people."""
    lines = ["# Packs", ""]
    if "rate" in values:
        rate = values["rate"]
        taken = f"`data pack` of {rate['num_images']:,} PNG files of 32x32 pixels: {rate['seconds']:.1f} s"
        verdict = holds(rate["rate"] >= LEAST_RATE)
        lines += [f"{taken}, **{rate['rate']:,.0f} a second** (bar: {LEAST_RATE:,}): {verdict}.", ""]
    if "jpegs" in values:
        jpegs = values["jpegs"]
        second, own = (statistics.median(jpegs[name]) for name in ("second_s", "own_s"))
        later, number = jpegs["later_s"], len(jpegs["second_s"])
        lines += [
            f"CIFAR-10 as 60,000 JPEG files: the first start takes {jpegs['first_s']:.1f} s, each after it",
            f"{second:.2f} s, one from CIFAR-10's own files {own:.2f} s (medians of {number}).",
            f"**{later:.2f} s later** (median; bar: {MOST_LATER_S:g}): {holds(later <= MOST_LATER_S)}.",
            "",
            "| a picture was | noticed | start, s |",
            "|---|---|---|",
            *(
                f"| {name} | {'yes' if found['noticed'] else '**no**'} | {found['seconds']:.2f} |"
                for name, found in jpegs["changes"].items()
            ),
            "",
        ]
    return "\n".join([*lines, describe_circumstances(values), ""])


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--pack-rate", metavar="N", type=int, help="pack so many PNG files")
    parser.add_argument("--cifar-jpegs", metavar="TURNS", type=int, help="so many starts on CIFAR-10 as JPEG files")
    parser.add_argument("--work", metavar="DIR", help="a folder for the files (default: one that is removed)")
    parsed = parser.parse_args()
    if parsed.pack_rate is None and parsed.cifar_jpegs is None:
        parser.error("give --pack-rate or --cifar-jpegs, or both")
    if parsed.work is not None:
        measure(parsed, Path(parsed.work).resolve())
        return
    with tempfile.TemporaryDirectory() as work:
        measure(parsed, Path(work))


def measure(parsed: argparse.Namespace, work: Path) -> None:
    """What the arguments ask for, in a folder."""
    data_dir = None if parsed.cifar_jpegs is None else cifar_folder(parsed.data_dir)
    work.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = circumstances()
    if parsed.pack_rate is not None:
        values["rate"] = measure_rate(work, parsed.pack_rate)
    if data_dir is not None:
        values["jpegs"] = measure_jpegs(work, data_dir, parsed.cifar_jpegs)
    text = report(values)
    print(text)
    chosen = [part for part in PARTS if part in values]
    print(write_results(theme_of("packs", chosen, PARTS), values, text))


if __name__ == "__main__":
    main()

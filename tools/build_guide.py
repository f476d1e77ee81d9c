"""Run docs/guides/own-pictures.md as a reader would, and write its figures into it and into the README.

python tools/build_guide.py --keep DIR [--packages DIR]    all of it: half an hour, with nothing beside it
python tools/build_guide.py                                write again what is recorded

DIR is a new or empty folder, in which the pictures and runs stay; none of them may be committed. --packages names a
folder in which elpv-dataset's wheel is already. The record is docs/results/own-pictures-guide.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guide_figures import blocks_of, read_facts, with_blocks
from guide_steps import PACKAGES, ROOT, run_step, steps_of

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch

from thumbnet.training.device import processor_name
from thumbnet.training.processor import processor_kind

GUIDE = ROOT / "docs" / "guides" / "own-pictures.md"
PAGES = (GUIDE, ROOT / "README.md")
RECORD = ROOT / "docs" / "results" / "own-pictures-guide.json"
FETCH = "pip install --no-deps elpv-dataset"
VERSION = "elpv-dataset==1.0.0.post1"
# What stands for a command: thumbnet is installed already, and nobody looks at the browser.
REPLACED = {
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": "",
    "pip install '.[train]'": "",
    FETCH: f"pip install --quiet --no-deps --target {PACKAGES} {VERSION}",
    "thumbnet report runs/first --open": "thumbnet report runs/first",
}


def main() -> None:
    """Run and record, if a folder is given; then write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new or empty folder: run all commands in it")
    parser.add_argument("--packages", type=Path, metavar="DIR", help="where elpv-dataset's wheel is")
    parsed = parser.parse_args()
    if parsed.keep is not None:
        record = measured(parsed.keep, {**REPLACED, FETCH: fetching(parsed.packages)})
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    elif parsed.packages is not None:
        raise SystemExit("--packages is given without --keep, which alone fetches a package")
    for page in PAGES:
        page.write_text(with_blocks(page.read_text(), recorded_blocks()))


def recorded_blocks() -> dict[str, str]:
    """The pages' blocks; none until something was measured."""
    return blocks_of(json.loads(RECORD.read_text())) if RECORD.exists() else {}


def fetching(packages: Path | None) -> str:
    """The command that puts the pictures' package into the folder of the packages."""
    command = REPLACED[FETCH]
    return command if packages is None else f"{command} --no-index --find-links {packages.resolve()}"


def measured(folder: Path, replaced: Mapping[str, str]) -> dict[str, Any]:
    """Run the guide in a new or empty folder: circumstances, steps with their seconds, and the facts that they left.

    SystemExit where a step fails.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SystemExit(f"{folder} is not empty: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    now, steps = circumstances(), []
    for step in steps_of(GUIDE.read_text()):
        title = step.text if step.language == "sh" else "the pictures, sorted into folders"
        print(f"$ {title}", flush=True)
        done = run_step(step, folder, replaced=replaced)
        print(done.output, flush=True)
        if done.status != 0:
            raise SystemExit(f"this ended with {done.status}: {title}")
        steps.append({"text": title, "seconds": round(done.seconds, 1)})
    return {"circumstances": now, "steps": steps, "facts": read_facts(folder)}


def circumstances() -> dict[str, Any]:
    """Hardware, versions, date and command."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    if commit.endswith("-dirty"):
        print(f"warning: these are results of {commit}, which nobody else has: commit first", file=sys.stderr)
    return {
        "processor": processor_name(),
        "processor_kind": processor_kind(),
        "num_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit,
        "command": "python tools/build_guide.py --keep DIR",
    }


if __name__ == "__main__":
    main()

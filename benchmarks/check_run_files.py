"""Break a run's files and processes on purpose, and count what is noticed: none of it may be used in silence.

    python benchmarks/check_run_files.py [--flips 40] [--run RUN]

It trains a small network for two epochs (or takes the finished run RUN, of which it breaks a copy), then

- flips single bits in the weights and the checkpoint, turn and turn about: each must be refused;
- kills a training at each rename of a file, resumes it, and compares the weights with those of a whole one.

The process forks, so it computes with one thread.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

from thumbnet.config import TrainConfig, config_from_dict
from thumbnet.errors import CheckpointError
from thumbnet.runs.files.names import CHECKPOINT, CONFIG, WEIGHTS
from thumbnet.runs.resume import resume
from thumbnet.runs.run import load_run, open_run_dir
from thumbnet.runs.train import train


def main() -> int:
    """Run both checks; returns 1 where something was not noticed or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=40, help="bits to flip (default: 40)")
    parser.add_argument("--run", help="a finished run to flip bits in a copy of (default: a small new one)")
    parsed = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        config = small_config(place / "data.npz")
        whole = train(config, run_dir=place / "whole", log_style="silent", pictures=False).path
        flipped = shutil.copytree(parsed.run or whole, place / "flipped")
        num_used = count_used_flips(flipped, parsed.flips)
        print(f"{parsed.flips} flipped bits in {WEIGHTS} and {CHECKPOINT}: {num_used} used in silence")
        num_kills, num_different = kill_everywhere(config, whole, place)
        print(f"{num_kills} kills, one at each rename: {num_different} resumed to another end")
    return 1 if num_used or num_different else 0


def small_config(data: Path) -> TrainConfig:
    """Of forty pictures of noise in two classes, written to `data`."""
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 150, (40, 16, 16), np.uint8) + 100 * labels[:, None, None]
    np.savez(data, images=images.astype(np.uint8), labels=labels)
    return config_from_dict(
        {
            "recipe": "small",
            "model": "sprint",
            "model_options": {"blocks": "c8p"},
            "data": f"npz:{data}",
            "epochs": 2,
            "batch_size": 16,
            "lr": 0.05,
            "schedule": "one-cycle",
            "warmup_fraction": 0.5,
            "val_fraction": 0.2,
            "augmentation": "none",
            "device": "cpu",
            "kernels": "pytorch",
        }
    )


def count_used_flips(run: Path, num_flips: int) -> int:
    """How many of so many flipped bits, one at a time, did not make reading fail."""
    generator, num_used = random.Random(0), 0
    for index in range(num_flips):
        name = (WEIGHTS, CHECKPOINT)[index % 2]
        content = (run / name).read_bytes()
        bit = generator.randrange(8 * len(content))
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        (run / name).write_bytes(broken)
        try:
            load_run(run) if name == WEIGHTS else open_run_dir(run).read_checkpoint()
        except CheckpointError:
            pass
        else:
            num_used += 1
            print(f"bit {bit} of {name} is used in silence", file=sys.stderr)
        (run / name).write_bytes(content)
    return num_used


def kill_everywhere(config: TrainConfig, whole: Path, place: Path) -> tuple[int, int]:
    """How many kills a training had, and after how many of them it resumed to another end than `whole`."""
    num_kills = num_different = 0
    while killed_at_rename(num_kills, config, place / f"killed-{num_kills}"):
        run = place / f"killed-{num_kills}"
        if (run / CONFIG).exists():
            resume(run, log_style="silent", pictures=False)
        else:  # killed before it was a run: begun anew
            train(config, run_dir=run, log_style="silent", pictures=False)
        is_equal = (run / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
        leftovers = [path.name for path in run.iterdir() if path.name.startswith(".")]
        if not is_equal or leftovers:
            num_different += 1
            print(f"killed at rename {num_kills}: equal {is_equal}, left {leftovers}", file=sys.stderr)
        load_run(run)
        num_kills += 1
    return num_kills, num_different


def killed_at_rename(number: int, config: TrainConfig, run: Path) -> bool:
    """Train in a process of its own that is killed as it renames its file `number`; False if it came to its end."""
    child = os.fork()
    if child == 0:
        count = iter(range(sys.maxsize))

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if event == "os.rename" and next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        train(config, run_dir=run, log_style="silent", pictures=False)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    sys.exit(main())

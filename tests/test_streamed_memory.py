"""A training on images that stay on the disk takes no more memory with each epoch: in a process of its own, where
nothing else takes any."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import thumbnet

SHAPE = (2800, 3, 112, 112)  # 105 MB: many times the buffers in which they are read, of which 0 to 28 MB stay

# Prints the memory of the process that is no file's, in bytes, after each of three epochs.
TRAINING = """
import sys
from pathlib import Path

import torch

import thumbnet
from thumbnet.data import block_shuffle, memory, streamed
from thumbnet.training.progress import Silent

memory.DATA_SHARE = 1e-12  # so that nothing is held in memory
streamed.KEPT_BYTES = 0
block_shuffle.WINDOW_BYTES = 2**22

def print_own_bytes(state):
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    print(1024 * int(line.split()[1]), flush=True)

torch.set_num_threads(1)
dataset = thumbnet.load_dataset(sys.argv[1])
assert streamed.is_streamed(dataset.train.images)
model = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(147, 2))
thumbnet.fit(
    model, dataset, epochs=3, batch_size=32, inputs=thumbnet.Inputs(augmentation="none"),
    scorers=thumbnet.scorers(dataset, "val"), progress=Silent(), on_epoch_end=print_own_bytes,
)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_three_epochs_from_the_disk_take_the_memory_of_one(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(len(images)) % 2)
    thumbnet.pack_data(f"npz:{tmp_path / 'data.npz'}", tmp_path / "pack", show_progress=False)
    command = [sys.executable, "-c", TRAINING, f"packed:{tmp_path / 'pack'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, _, third = map(int, done.stdout.split())
    assert third - first < images.nbytes / 2

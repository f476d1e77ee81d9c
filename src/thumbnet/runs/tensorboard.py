"""A run's figures for TensorBoard: the scalars of each epoch; at the end those of the test images, and pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from thumbnet.runs.files.names import CONFUSION, MISCLASSIFIED
from thumbnet.runs.files.on_disk import told
from thumbnet.training.history import COLUMNS, EpochRecord, History

FOLDER = "tensorboard"  # in the run's
SPLITS = ("train", "val", "test")
PICTURES = {"test/confusion_matrix": CONFUSION, "test/misclassified": MISCLASSIFIED}  # by their tags


class TensorBoardLog:
    """Writes event files into the run's folder `tensorboard`; a step is an epoch.

    What an earlier process wrote of the epochs after `num_kept` counts no longer, since it is written again.
    """

    def __init__(self, run: Path, *, num_kept: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second, and an extra

        self.run, self.folder = run, run / FOLDER
        is_new = not any(self.folder.glob("events.*"))
        self.num_logged = 0 if is_new else num_kept
        with told(self.folder):
            self.writer = SummaryWriter(str(self.folder), purge_step=None if is_new else num_kept + 1)

    def epochs_end(self, history: History) -> None:
        """Write the epochs that are not there yet."""
        with told(self.folder):
            for record in tuple(history)[self.num_logged :]:
                for tag, value in scalars_of(record).items():
                    self.writer.add_scalar(tag, value, record.epoch)
            self.writer.flush()
        self.num_logged = len(history)

    def run_ends(self, metrics: Mapping[str, object]) -> None:
        """Write the figures of the test images, and the pictures that the run has."""
        with told(self.folder):
            for name, value in metrics.items():
                if name.startswith("test_") and isinstance(value, float):
                    self.writer.add_scalar(f"final/{name}", value, self.num_logged)
            for tag, name in PICTURES.items():
                if (self.run / name).exists():
                    with Image.open(self.run / name) as picture:
                        pixels = np.asarray(picture.convert("RGB"))
                    self.writer.add_image(tag, pixels, self.num_logged, dataformats="HWC")
            self.writer.flush()

    def close(self) -> None:
        with told(self.folder):
            self.writer.close()


@contextmanager
def without_tracebacks() -> Iterator[None]:
    """While this lasts, the threads in which TensorBoard writes print no traceback where they cannot: the next call of
    the log raises their error."""
    others = threading.excepthook

    def is_raised_later(arguments: threading.ExceptHookArgs) -> None:
        if not type(arguments.thread).__module__.startswith("tensorboard."):
            others(arguments)

    threading.excepthook = is_raised_later
    try:
        yield
    finally:
        threading.excepthook = others


def scalars_of(record: EpochRecord) -> dict[str, float]:
    """The record's numbers by their tags: those of a split stand together, as `val/accuracy`."""
    scalars = {}
    for name in COLUMNS:
        value = getattr(record, name)
        split, _, figure = name.partition("_")
        if name != "epoch" and value is not None:
            scalars[f"{split}/{figure}" if split in SPLITS and figure != "s" else name] = float(value)
    return scalars

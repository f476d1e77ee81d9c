"""The small trainings whose files and processes are broken, and whether one ended as it does when left alone."""

from __future__ import annotations

import csv
import io
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from thumbnet.cli import main
from thumbnet.config import TrainConfig, config_from_dict, config_to_toml
from thumbnet.runs.files.names import CONFIG, FOLDS, HISTORY, LOCK, METRICS, PICTURES, PREDICTIONS, REPORT, WEIGHTS
from thumbnet.runs.tensorboard import FOLDER as LOG
from trust.child import Ended, command, run_forked

NUM_IMAGES = 60
NUM_FOLDS = 2
OF_THE_CLOCK = ("train_s", "images_per_s", "setup_s")
SILENT = ("--log-style", "silent")
QUIET = ("--no-pictures", *SILENT)


def small_config(data: Path, *, epochs: int = 3) -> TrainConfig:
    """A network of one block, for pictures of 16x16 pixels in two classes, by PyTorch's layers."""
    return config_from_dict(
        {
            "recipe": "small", "model": "sprint", "model_options": {"blocks": "c8p"}, "data": f"npz:{data}",
            "epochs": epochs, "batch_size": 16, "lr": 0.05, "schedule": "one-cycle", "warmup_fraction": 0.5,
            "val_fraction": 0.2, "augmentation": "none", "device": "cpu", "kernels": "pytorch",
        }
    )  # fmt: skip


class Training:
    """The training's data and recipe in a folder, and what it leaves when nothing disturbs it (`whole`).

    `options` are those of the command, also where it goes on; `made_by` is the last file that a start writes, and
    `what` says what is otherwise than in the plain training. `step_kb` is how much larger the next file system is, of
    those that are too small for it.
    """

    options: ClassVar[tuple[str, ...]] = QUIET
    options_of_start: ClassVar[tuple[str, ...]] = ()
    made_by: ClassVar[str] = CONFIG
    what: ClassVar[str] = ""
    step_kb: ClassVar[int] = 4  # a page

    def __init__(self, place: Path) -> None:
        self.place = place
        self.data = place / "data.npz"
        self.recipe = place / "small.toml"
        self.whole = place / "whole"
        place.mkdir(parents=True, exist_ok=True)
        labels = np.arange(NUM_IMAGES) % 2
        images = np.random.default_rng(0).integers(0, 150, (NUM_IMAGES, 16, 16), np.uint8)
        np.savez(self.data, images=(images + 100 * labels[:, None, None]).astype(np.uint8), labels=labels)
        self.recipe.write_text(config_to_toml(small_config(self.data)))
        if self.whole.exists():
            shutil.rmtree(self.whole)
        with redirect_stdout(io.StringIO()):  # in this process: what it imports, those forked have
            main([str(each) for each in self.begin(self.whole)])
        run = place / "timed"
        shutil.rmtree(run, ignore_errors=True)
        self.seconds = run_forked(command(*self.begin(run)), place / "streams").seconds
        if self.difference(run):
            raise SystemExit(f"undisturbed, two trainings differ: {self.difference(run)}")

    def begin(self, run: Path) -> tuple[str | Path, ...]:
        """The command's arguments that begin a run."""
        return "train", "--recipe", self.recipe, "--run-dir", run, *self.options_of_start, *self.options

    def go_on(self, run: Path) -> tuple[str | Path, ...]:
        """Those that go on with what is there of a run, as a user would."""
        return ("train", "--resume", run, *self.options) if (run / self.made_by).exists() else self.begin(run)

    def finish(self, run: Path) -> Ended:
        """Go on with a run that was broken off, to its end."""
        return run_forked(command(*self.go_on(run)), self.place / "streams")

    def difference(self, run: Path, *, whole: Path | None = None) -> str:
        """How a run differs from the one that nothing disturbed; empty: in nothing but times."""
        return _difference(run, whole or self.whole)

    def files(self, run: Path) -> Iterator[Path]:
        """The files of a run that are read back, in order."""
        read_back = (path for path in sorted(run.iterdir()) if path.is_file())
        yield from (path for path in read_back if path.suffix not in (".png", ".svg", ".html"))


class WithPictures(Training):
    """Also writes its report and the pictures, and a log for TensorBoard."""

    options = ("--logger", "tensorboard", *SILENT)
    what = ", with pictures and TensorBoard"
    step_kb = 16

    def difference(self, run: Path, *, whole: Path | None = None) -> str:
        """As that of `Training`; and what is drawn is whole, and the log has the same."""
        whole = whole or self.whole
        return (
            super().difference(run, whole=whole)
            or _difference_of_pictures(run, whole)
            or ("" if _logged(run) == _logged(whole) else "another log")
        )


class OfFolds(Training):
    """A folder of a training for each of two folds."""

    options_of_start = ("--folds", str(NUM_FOLDS))
    made_by = FOLDS
    what = ", of two folds"

    def difference(self, run: Path, *, whole: Path | None = None) -> str:
        """As that of `Training`, of each fold, and of the predictions of all images."""
        whole = whole or self.whole
        if not (run / METRICS).exists():
            return f"it has no {METRICS}"
        if (run / PREDICTIONS).read_bytes() != (whole / PREDICTIONS).read_bytes():
            return f"another {PREDICTIONS}"
        names = [f"fold-{fold}" for fold in range(NUM_FOLDS)]
        found = [f"{name}: {difference}" for name in names if (difference := _difference(run / name, whole / name))]
        return ", ".join(found) or _left_behind(run)

    def files(self, run: Path) -> Iterator[Path]:
        """Those of the folder itself and of the first fold."""
        yield from super().files(run)
        yield from super().files(run / "fold-0")


KINDS: Mapping[str, type[Training]] = {"pictures": WithPictures, "folds": OfFolds}


def _difference(run: Path, whole: Path) -> str:
    if not (run / METRICS).exists():
        return f"it has no {METRICS}"
    for name in (WEIGHTS, PREDICTIONS):
        if (run / name).read_bytes() != (whole / name).read_bytes():
            return f"another {name}"
    if _rows(run / HISTORY) != _rows(whole / HISTORY):
        return f"another {HISTORY}"
    return _left_behind(run)


def _left_behind(run: Path) -> str:
    left = [path.name for path in run.iterdir() if path.name.startswith(".") and path.name != LOCK]
    return f"it keeps {', '.join(left)}" if left else ""


def _rows(history: Path) -> list[dict[str, str]]:
    with history.open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in OF_THE_CLOCK} for row in csv.DictReader(file)
        ]


def _difference_of_pictures(run: Path, whole: Path) -> str:
    """The first picture that is missing or cut; they show times, too, and are not compared byte by byte."""
    for name in (*PICTURES, REPORT):
        if not (whole / name).exists():
            continue
        if not (run / name).exists():
            return f"it has no {name}"
        if name.endswith(".png"):
            with Image.open(run / name) as picture:
                picture.load()
        elif name.endswith((".svg", ".html")) and not (run / name).read_text().rstrip().endswith(("</svg>", "</html>")):
            return f"{name} is cut"
    return ""


def _logged(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads: steps and values by tag, and the steps of pictures; without times."""
    from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every run that went on
    found = EventAccumulator(str(run / LOG), size_guidance={SCALARS: 0, IMAGES: 0}).Reload()
    scalars = {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
        if tag.rpartition("/")[2] not in OF_THE_CLOCK
    }
    return scalars | {tag: [(event.step, 0.0) for event in found.Images(tag)] for tag in found.Tags()["images"]}

"""The small training whose files and processes are broken, and whether one ended as it does when left alone."""

from __future__ import annotations

import csv
import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from thumbnet.cli import main
from thumbnet.config import TrainConfig, config_from_dict, config_to_toml
from thumbnet.runs.files.names import CONFIG, HISTORY, LOCK, METRICS, PREDICTIONS, WEIGHTS
from trust.child import Ended, command, run_forked

NUM_IMAGES = 60
OF_THE_CLOCK = ("train_s", "images_per_s", "setup_s")
QUIET = ("--no-pictures", "--log-style", "silent")


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
    """The training's data and recipe in a folder, and what it leaves when nothing disturbs it (`whole`)."""

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
        return "train", "--recipe", self.recipe, "--run-dir", run, *QUIET

    def go_on(self, run: Path) -> tuple[str | Path, ...]:
        """Those that go on with what is there of a run, as a user would."""
        return ("train", "--resume", run, *QUIET) if (run / CONFIG).exists() else self.begin(run)

    def finish(self, run: Path) -> Ended:
        """Go on with a run that was broken off, to its end."""
        return run_forked(command(*self.go_on(run)), self.place / "streams")

    def difference(self, run: Path, *, whole: Path | None = None) -> str:
        """How a run differs from the one that nothing disturbed; empty: in nothing but times."""
        whole = whole or self.whole
        if not (run / METRICS).exists():
            return "it has no metrics.json"
        for name in (WEIGHTS, PREDICTIONS):
            if (run / name).read_bytes() != (whole / name).read_bytes():
                return f"another {name}"
        if _rows(run / HISTORY) != _rows(whole / HISTORY):
            return f"another {HISTORY}"
        left = [path.name for path in run.iterdir() if path.name.startswith(".") and path.name != LOCK]
        return f"it keeps {', '.join(left)}" if left else ""


def _rows(history: Path) -> list[dict[str, str]]:
    with history.open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in OF_THE_CLOCK} for row in csv.DictReader(file)
        ]

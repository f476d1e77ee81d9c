"""The files of a run folder by name. Without PyTorch."""

from __future__ import annotations

import os
import re
from pathlib import Path

from thumbnet.atomic import TEMPORARY
from thumbnet.errors import ConfigError
from thumbnet.specs.own_code import COPY

CONFIG = "config.toml"
ASKED = "asked.toml"  # the config as it was asked for, before it was resolved
HISTORY = "history.csv"
CHECKPOINT = "checkpoint-last.pt"
WEIGHTS = "model.safetensors"
MODEL_CARD = "model.json"
EXPORT_DATA = "export-data.safetensors"  # ranges of maps and sample pictures: see models/export_data.py
PREDICTIONS = "predictions.csv"
VAL_LOGITS = "val-logits.safetensors"  # only with refit: of the first network, which was not trained on them
METRICS = "metrics.json"
REPORT = "report.html"
ROBUSTNESS = "robustness.json"  # only if it was measured
ROBUSTNESS_PLOT = "robustness.png"
EXCLUDED = "excluded.csv"
GROUPS = "groups.csv"  # a copy, if the config names a file
LEAKS = "leaks.csv"  # only if images of one split are also in another
VAL_LEAKS = "leaks-val.csv"  # only if such images are in a validation split of the source's own
SKIPPED = "skipped.txt"  # only if unreadable files were left out
DATA_NOTE = "data-note.txt"  # only if the data stands in for other data
CHECKSUMS = "SHA256SUMS"
PLAN = "plan.json"  # only if minutes were planned
INIT_CHOICE = "init.json"  # only if init was auto
REMARKS = "remarks.json"  # only if something is to be said of how the training began
SEEDS = "seeds.json"  # of a folder that holds a run for each of several seeds
FOLDS = "folds.json"  # of a folder that holds a run for each of several folds
FOLD_TABLE = "folds.csv"
SWEEP = "sweep.json"  # of a folder that holds the trials of a sweep
SWEEP_TABLE = "sweep.csv"
SWEEP_REPORT = "sweep.html"
SWEEP_DATABASE = "sweep.db"  # the study, unless its storage is elsewhere
BEST = "best.toml"  # a sweep's best trial as a recipe
TRIAL = "trial.json"  # of a sweep's trial: its figures, of validation images only
SHARED_CONFIG = "shared.toml"  # not config.toml: that would make the folder a run
LOCK = ".lock"  # while a process writes to the folder

CONFUSION = "confusion.png"
MISCLASSIFIED = "misclassified.png"
PICTURES = ("summary.txt", "graph.svg", "curves.png", CONFUSION, MISCLASSIFIED, ROBUSTNESS_PLOT)
OF_THE_DATA = frozenset({EXCLUDED, GROUPS, LEAKS, VAL_LEAKS, SKIPPED, DATA_NOTE, REMARKS})
BEFORE_TRAINING = OF_THE_DATA | {CHECKSUMS, ASKED, FOLD_TABLE, SHARED_CONFIG, PLAN, INIT_CHOICE}  # and before CONFIG
OF_A_RUN = BEFORE_TRAINING | {CONFIG, HISTORY, CHECKPOINT, WEIGHTS, MODEL_CARD, EXPORT_DATA, PREDICTIONS, METRICS}
OF_A_RUN |= {VAL_LOGITS, REPORT, ROBUSTNESS, SEEDS, FOLDS, LOCK, *PICTURES}
OF_A_RUN |= {SWEEP, SWEEP_TABLE, SWEEP_REPORT, SWEEP_DATABASE, BEST, TRIAL}
MAKE_A_RUN = frozenset({CONFIG, SEEDS, FOLDS, SWEEP})  # the last of what a start writes
LOGITS = re.compile(r"lessons-.*\.npy")  # what a teacher said, kept in its own folder
OF_A_SEED = re.compile(r"predictions-seed-\d+\.csv")  # of all folds, where each has several seeds
CODE = re.compile(rf"{COPY}.*\.py", re.DOTALL)  # copies of code of the user's own


def is_temporary(name: str) -> bool:
    """Whether this is what a killed process left of a file of a run that it was about to write."""
    match = TEMPORARY.fullmatch(name)
    return match is not None and (match["name"] in OF_A_RUN or _is_of_varying_name(match["name"]))


def _is_of_varying_name(name: str) -> bool:
    return any(pattern.fullmatch(name) is not None for pattern in (LOGITS, CODE, OF_A_SEED))


def check_no_part_of_a_run(path: str | Path, *, option: str = "--out") -> None:
    """ConfigError where a file to be written is one that a run keeps, also through a link."""
    target = Path(os.path.realpath(path))
    is_run = any((target.parent / name).exists() for name in MAKE_A_RUN)
    if is_run and (target.name in OF_A_RUN or _is_of_varying_name(target.name)):
        raise ConfigError(
            f"{path} is part of the run {target.parent}: it is not replaced", hint=f"name another file with {option}"
        )

"""The quality of a dataset in one call: a folder with suspects.csv, check.json and pictures of the suspects.

The source's training images are checked; none is held out for validation. The others (val and test, or the tenth that
is held out for test if the source has no such split) are only searched for duplicates.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data_check.description import describe_check
from thumbnet.data_check.folds import NUM_FOLDS, NUM_REPEATS, OutOfFold, check_folds, predict_out_of_fold
from thumbnet.data_check.label_issues import LabelIssues, find_label_issues
from thumbnet.data_check.pictures import draw_pictures
from thumbnet.data_check.suspects import (
    Duplicate,
    Suspect,
    SuspectKind,
    collect_suspects,
    find_duplicates_across,
    suspects_to_csv,
)
from thumbnet.recipes import load_recipe
from thumbnet.runs.resolve import load_data, speaker
from thumbnet.runs.run import RunDir, create_run_dir
from thumbnet.runs.train import check_trainable
from thumbnet.training.device import pick_device
from thumbnet.training.progress import LogStyle

SUSPECTS = "suspects.csv"
SUMMARY = "check.json"


@dataclass(frozen=True)
class DataCheck:
    """What was found: the folder with the files, the suspects (by kind, the worst first), every pair of duplicates, how
    the label errors were found, what the models said, and check.json's values; `str(check)` is for people."""

    path: Path
    suspects: tuple[Suspect, ...]
    duplicates: tuple[Duplicate, ...]
    label_issues: LabelIssues
    out_of_fold: OutOfFold
    summary: dict[str, Any]

    def __str__(self) -> str:
        return describe_check(self.summary)


def check_data(
    config: TrainConfig | None = None,
    *,
    num_folds: int = NUM_FOLDS,
    num_repeats: int = NUM_REPEATS,
    out: str | Path | None = None,
    log_style: LogStyle = "auto",
) -> DataCheck:
    """Check the training images of a config's data, and leave a folder with suspects.csv, check.json and pictures.

    Args:
        config: of the data, and of the models that tell which labels are wrong; None: the default recipe. Its
            `val_fraction` does not apply.
        num_folds, num_repeats: as in `predict_out_of_fold`.
        out: a new or empty folder; None: `runs/data-check-<n>`.
        log_style: as in `train`.

    Raises:
        ThumbnetError: as `train` and `predict_out_of_fold`.
    """
    config = load_recipe() if config is None else config
    say = speaker(log_style)
    pick_device(config.engine.device)
    dataset, config = load_data(config.replace(val_fraction=0.0), say=say)
    check_folds(config, dataset, num_folds=num_folds, num_repeats=num_repeats)
    check_trainable(config, dataset, say=say)
    with create_run_dir("data-check", out, option="--out", data=config.data) as folder:
        return _check_into(folder, config, dataset, num_folds=num_folds, num_repeats=num_repeats, log_style=log_style)


def _check_into(
    folder: RunDir, config: TrainConfig, dataset: Dataset, *, num_folds: int, num_repeats: int, log_style: LogStyle
) -> DataCheck:
    say = speaker(log_style)
    say(f"Folder: {folder.path}\nLooking for duplicates ...")
    duplicates = find_duplicates_across(dataset)
    out_of_fold = predict_out_of_fold(
        config, dataset, num_folds=num_folds, num_repeats=num_repeats, log_style=log_style
    )
    issues = find_label_issues(out_of_fold.probabilities, dataset.train.labels.numpy())
    suspects = collect_suspects(dataset, duplicates, out_of_fold, issues)
    predicted = out_of_fold.probabilities.argmax(axis=1)
    summary = {
        "data": dataset.source.name,
        "num_images": len(dataset.train),
        "num_held_out": len(dataset.test) + (0 if dataset.val is None else len(dataset.val)),
        "num_folds": num_folds,
        "num_repeats": num_repeats,
        "accuracy": float((predicted == dataset.train.labels.numpy()).mean()),
        "suspects": dict.fromkeys(get_args(SuspectKind), 0) | Counter(suspect.kind for suspect in suspects),
        "num_label_errors": issues.num_errors,
        "label_precision": issues.precision,
        "label_recall": issues.recall,
        "models_accuracy": issues.models_accuracy,
        "models_are_weak": issues.models_are_weak,
        "duplicates": [asdict(duplicate) for duplicate in duplicates],
    }
    folder.write(SUSPECTS, suspects_to_csv(suspects))
    for name, picture in draw_pictures(dataset, suspects, duplicates, out_of_fold).items():
        folder.write(name, picture)
    folder.write_json(SUMMARY, summary)
    return DataCheck(folder.path, suspects, duplicates, issues, out_of_fold, summary)

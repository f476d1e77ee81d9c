"""The quality of a dataset in one call: a folder with tables, check.json and pictures of the suspects.

suspects.csv lists all suspects, exclude.csv those of the kinds that are to be left out (exact copies, unless other
kinds are asked for), and scores.csv every image. Of pictures in files groups.csv has those that are alike as groups; it
has a heading alone where there are none, so that a command that names it holds for every folder.

The source's training images are checked; none is held out for validation. The others (val and test, or the tenth that
is held out for test if the source has no such split) are only searched for duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.duplicates import num_compared
from thumbnet.data.several_labels import refuse_several_labels
from thumbnet.data_check.by_class import count_kinds, large_losses
from thumbnet.data_check.description import describe_check
from thumbnet.data_check.folds import (
    NUM_FOLDS,
    NUM_REPEATS,
    OutOfFold,
    check_folds,
    predict_out_of_fold,
    refuse_known_weights,
)
from thumbnet.data_check.groups import find_groups, groups_to_csv, is_parted
from thumbnet.data_check.label_issues import LabelIssues, find_label_issues
from thumbnet.data_check.pictures import draw_pictures
from thumbnet.data_check.scores import scores_to_csv
from thumbnet.data_check.suspects import (
    Duplicate,
    Place,
    Suspect,
    SuspectKind,
    collect_suspects,
    find_duplicates_across,
    is_exact,
    suspects_to_csv,
)
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.runs.load_checked import check_trainable
from thumbnet.runs.resolve import load_data, speaker
from thumbnet.runs.run import create_run_dir
from thumbnet.runs.train import with_own_code
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.decisions import Decisions
from thumbnet.specs.stopping import Stopping
from thumbnet.training.device import pick_device
from thumbnet.training.progress import LogStyle
from thumbnet.training.threads import obeys_threads

SUSPECTS = "suspects.csv"
EXCLUDE = "exclude.csv"
SCORES = "scores.csv"
GROUPS = "groups.csv"
SUMMARY = "check.json"
KINDS: tuple[SuspectKind, ...] = ("exact-duplicate",)  # that exclude.csv lists unless others are asked for
MAX_LISTED = 1000  # suspects in check.json


@dataclass(frozen=True)
class DataCheck:
    """What was found: the folder with the files, the suspects (by kind, the worst first), those that exclude.csv lists,
    every pair of duplicates, how the label errors were found, what the models said, and check.json's values;
    `str(check)` is for people."""

    path: Path
    suspects: tuple[Suspect, ...]
    excluded: tuple[Suspect, ...]
    duplicates: tuple[Duplicate, ...]
    label_issues: LabelIssues
    out_of_fold: OutOfFold
    summary: dict[str, Any]

    def __str__(self) -> str:
        return describe_check(self.summary)


@obeys_threads
def check_data(
    config: TrainConfig | None = None,
    *,
    num_folds: int = NUM_FOLDS,
    num_repeats: int = NUM_REPEATS,
    kinds: Sequence[str] = KINDS,
    max_labels: int | None = None,
    out: str | Path | None = None,
    log_style: LogStyle = "auto",
    dataset: Dataset | None = None,
    model: object = None,
    augmentation: object = None,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> DataCheck:
    """Check the training images of a config's data, and leave a folder with tables, check.json and pictures.

    Args:
        config: of the data, and of the models that tell which labels are wrong; None: the default recipe. Its
            `val_fraction` does not apply, no threshold (models answer with the likeliest class), and no `patience`.
        num_folds, num_repeats: as in `predict_out_of_fold`.
        kinds: the kinds of suspects that exclude.csv lists: label, exact-duplicate, duplicate (nearly alike), outlier,
            dark, bright, flat.
        max_labels: suspect so many labels; None: as many as are probably wrong.
        out: a new or empty folder; None: `runs/data-check-<n>`.
        log_style: as in `train`.
        dataset: the data, read before with val_fraction 0, or made by `dataset_from_arrays` likewise.
        model, augmentation: as in `train`.
        jobs, scheduler: how many models to train at once, and where, as in `train_seeds`.

    Raises:
        ConfigError: an unknown kind, or `max_labels` below 1; ThumbnetError: as `train` and `predict_out_of_fold`.
    """
    chosen = _chosen_kinds(kinds)
    if max_labels is not None and max_labels < 1:
        raise ConfigError(f"max_labels is {max_labels}", hint="give 1 or more, or leave it out (--max-labels)")
    at_once = AtOnce(jobs, scheduler)
    config = with_own_code(load_recipe() if config is None else config, model, augmentation)
    refuse_known_weights(config)
    say = speaker(log_style)
    pick_device(config.engine.device)
    without_val = config.replace(
        val_fraction=0.0, val_per_class=None, decisions=Decisions(), stopping=Stopping(), refit=False
    )
    dataset, config = load_data(without_val, say=say, dataset=dataset)
    refuse_several_labels(
        dataset,
        "data check compares each image with its one label",
        hint="pictures that stand in two splits are found by train (leaks.csv)",
    )
    check_folds(config, dataset, num_folds=num_folds, num_repeats=num_repeats)
    check_trainable(config, dataset, say=say)
    with create_run_dir("data-check", out, option="--out", data=config.data) as folder:
        say(f"Folder: {folder.path}\nLooking for duplicates ...")
        duplicates = find_duplicates_across(dataset)
        compared = num_compared(dataset.train.images)
        if compared < len(dataset.train) + _num_held_out(dataset):
            say(f"Equal images were looked for among all, nearly equal ones among {compared:,}.")
        out_of_fold = predict_out_of_fold(
            config, dataset, num_folds=num_folds, num_repeats=num_repeats, log_style=log_style, at_once=at_once
        )
        labels = dataset.train.labels.numpy()
        issues = find_label_issues(out_of_fold.probabilities, labels, max_labels=max_labels)
        suspects = collect_suspects(dataset, duplicates, out_of_fold, issues)
        excluded = tuple(suspect for suspect in suspects if suspect.kind in chosen)
        groups = () if dataset.train.paths is None else find_groups(dataset)
        summary = {
            "num_folds": num_folds,
            "num_repeats": num_repeats,
            "kinds": list(chosen),
            **_summary(dataset, out_of_fold, issues, suspects, excluded),
            "duplicates": [_pair(dataset, duplicate) for duplicate in duplicates],
            "num_groups": len(groups),
            "groups_are_parted": is_parted(dataset, groups),
        }
        folder.write(SUSPECTS, suspects_to_csv(suspects))
        folder.write(EXCLUDE, suspects_to_csv(excluded))
        folder.write(SCORES, scores_to_csv(dataset, out_of_fold))
        if dataset.train.paths is not None:
            folder.write(GROUPS, groups_to_csv(dataset, groups))
        for name, picture in draw_pictures(dataset, suspects, duplicates, out_of_fold).items():
            folder.write(name, picture)
        folder.write_json(SUMMARY, summary)
        return DataCheck(folder.path, suspects, excluded, duplicates, issues, out_of_fold, summary)


def _chosen_kinds(kinds: Sequence[str]) -> tuple[SuspectKind, ...]:
    known: tuple[SuspectKind, ...] = get_args(SuspectKind)
    unknown = [kind for kind in kinds if kind not in known]
    if unknown or not kinds:
        raise ConfigError(
            f"kinds has {unknown[0]!r}" if unknown else "kinds is empty",
            hint=f"choose from {', '.join(known)} (--kinds)",
        )
    return tuple(kind for kind in known if kind in kinds)


def _summary(
    dataset: Dataset,
    out_of_fold: OutOfFold,
    issues: LabelIssues,
    suspects: Sequence[Suspect],
    excluded: Sequence[Suspect],
) -> dict[str, Any]:
    """The values of check.json, but for how it was asked for and the pairs of duplicates."""
    predicted = out_of_fold.probabilities.argmax(axis=1)
    sizes = dataset.train.labels.bincount(minlength=dataset.num_classes).tolist()
    class_sizes = dict(zip(dataset.class_names, sizes, strict=True))
    losses = [
        *large_losses(excluded, class_sizes, file=EXCLUDE),
        *large_losses(suspects, class_sizes, file=SUSPECTS),
    ]
    return {
        "data": dataset.source.name,
        "num_images": len(dataset.train),
        "num_held_out": _num_held_out(dataset),
        "class_sizes": class_sizes,
        "accuracy": float((predicted == dataset.train.labels.numpy()).mean()),
        "suspects": dict.fromkeys(get_args(SuspectKind), 0) | Counter(suspect.kind for suspect in suspects),
        "num_label_errors": issues.num_errors,
        "label_precision": issues.precision,
        "label_recall": issues.recall,
        "models_accuracy": issues.models_accuracy,
        "models_are_weak": issues.models_are_weak,
        "suspects_by_class": count_kinds(suspects, dataset.class_names),
        "excluded_by_class": count_kinds(excluded, dataset.class_names),
        "num_excluded": len({suspect.index for suspect in excluded}),
        "warnings": [loss.to_dict() for loss in losses],
        "suspects_listed": [asdict(suspect) for suspect in suspects[:MAX_LISTED]],
    }


def _num_held_out(dataset: Dataset) -> int:
    return len(dataset.test) + (0 if dataset.val is None else len(dataset.val))


def _pair(dataset: Dataset, duplicate: Duplicate) -> dict[str, Any]:
    """A pair of duplicates with the paths of both images, where they have any."""

    def described(place: Place) -> dict[str, Any]:
        paths = dataset.split(place.split).paths
        return {**asdict(place), "path": "" if paths is None else paths[place.index]}

    return {
        **asdict(duplicate),
        "first": described(duplicate.first),
        "second": described(duplicate.second),
        "is_exact": is_exact(dataset, duplicate),
    }

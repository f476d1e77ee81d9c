"""Leaks between the splits of a run's data: looked for before it trains, told, and kept in its folder."""

from __future__ import annotations

from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.duplicates import describe_likeness
from thumbnet.data.exclusion import how_to_exclude
from thumbnet.data.leaks import (
    Leak,
    Leaks,
    can_be_left_out,
    find_leaks,
    in_order,
    leaks_from_csv,
    leaks_to_csv,
    val_leaks_from_csv,
    val_leaks_to_csv,
)
from thumbnet.data.source_registry import is_searched_for_leaks
from thumbnet.evaluation.balanced import balanced_accuracy_of
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.runs.files.folder import RunDir
from thumbnet.runs.files.names import LEAKS, VAL_LEAKS
from thumbnet.runs.resolve import Say
from thumbnet.specs.json_text import damaged
from thumbnet.terminal.text import counted, escaped


def look_for_leaks(dataset: Dataset, *, say: Say) -> Leaks:
    """The leaks of a dataset whose source is searched for them; says so if that was only done in part."""
    if not is_searched_for_leaks(dataset.source.name):
        return Leaks()
    leaks = find_leaks(dataset)
    if leaks.num_searched < leaks.num_held_out:
        say(
            f"Leaks between splits were looked for among {leaks.num_searched:,} of the {leaks.num_held_out:,} images "
            "held out."
        )
    return leaks


def keep_leaks(folder: RunDir, leaks: Leaks, dataset: Dataset, *, say: Say) -> None:
    """Write leaks.csv, and leaks-val.csv where it is needed, and say what they hold; nothing where no image leaks."""
    if leaks.found:
        files = {LEAKS: leaks_to_csv(leaks, dataset)}
        if not all(can_be_left_out(leak, dataset) for leak in leaks.found):
            files[VAL_LEAKS] = val_leaks_to_csv(leaks, dataset)
        folder.write_checked(files)
        say(f"{describe_leaks(leaks, dataset)} {_what_to_do(leaks, dataset, folder.path)}")


def _what_to_do(leaks: Leaks, dataset: Dataset, folder: Path) -> str:
    """How to train without them. Those of a validation split that the source defines itself only it can leave out."""
    listed, path = [can_be_left_out(leak, dataset) for leak in leaks.found], folder / LEAKS
    rest = f"Those of the data's own validation split are in {folder / VAL_LEAKS}, and for you to take out of it."
    if not any(listed):
        return rest
    which = "They" if all(listed) else f"{rest} Those of training"
    return f"{which} are listed in {path}; to train without them: {how_to_exclude(path, dataset.num_excluded)}"


def kept_leaks(folder: RunDir) -> Leaks:
    """What leaks.csv and leaks-val.csv say; none where there are no such files."""
    found: list[Leak] = []
    for file, read in ((LEAKS, leaks_from_csv), (VAL_LEAKS, val_leaks_from_csv)):
        if (folder.path / file).exists():
            found += read(folder.read_text(file), name=str(folder.path / file)).found
    return Leaks(in_order(found))


def leaked_test_images(folder: RunDir, *, num_test: int) -> frozenset[int]:
    """The test images of a finished run of so many that others are like; RunError where its leaks.csv names more."""
    found = kept_leaks(folder).held_out_of("test")
    if max(found, default=0) >= num_test:
        raise damaged(str(folder.path / LEAKS), f"it names the test image {max(found)} of {num_test}")
    return found


def describe_leaks(leaks: Leaks, dataset: Dataset) -> str:
    """A sentence for people."""
    first = leaks.found[0]
    exactly = f"{leaks.num_exact:,} of them pixel by pixel; " if leaks.num_exact else ""
    return (
        f"Leaks between splits: {counted(leaks.num_images, 'image')} of training or validation equal, or nearly, to "
        f"one that is held out ({exactly}for instance {_pair(first, dataset)}): figures on those are too good."
    )


def leak_metrics(
    leaks: Leaks, test: Predictions | LabelPredictions, *, val: Predictions | LabelPredictions | None = None
) -> dict[str, object]:
    """What metrics.json holds of them: how many there are, and of both splits how many images are concerned, and
    accuracy and balanced accuracy without these.

    Balanced accuracy is left out where images may have several labels, and where no image of a class is left.

    Args:
        test: the predictions of all test images.
        val: the same of the validation images; None where none of these is concerned, or none are held out.
    """
    if not leaks.found:
        return {"num_leaks": 0}
    metrics: dict[str, object] = {"num_leaks": leaks.num_images, **_without(leaks, "test", test)}
    return metrics if val is None else metrics | _without(leaks, "val", val)


def _without(leaks: Leaks, split: str, predictions: Predictions | LabelPredictions) -> dict[str, object]:
    leaked = leaks.held_out_of(split)
    kept = [index for index in range(len(predictions.labels)) if index not in leaked]
    metrics: dict[str, object] = {f"num_{split}_leaked": len(leaked)}
    if kept:
        right = predictions.right[kept]
        accuracy = float(right.double().mean())
        metrics[f"{split}_accuracy_without_leaks"] = accuracy
        metrics[f"{split}_accuracy_without_leaks_interval"] = accuracy_interval(accuracy, len(kept))
        if isinstance(predictions, Predictions):
            labels, num_classes = predictions.labels[kept].numpy(), predictions.logits.shape[1]
            balanced = balanced_accuracy_of(right.numpy(), labels, num_classes=num_classes)
            if balanced is not None:
                metrics[f"{split}_balanced_accuracy_without_leaks"] = balanced.value
                metrics[f"{split}_balanced_accuracy_without_leaks_interval"] = balanced.interval
    return metrics


def _pair(leak: Leak, dataset: Dataset) -> str:
    names = []
    for name, index in ((leak.split, leak.index), (leak.held_split, leak.held_index)):
        paths = dataset.split(name).paths
        names.append(f"{index} of {name}" if paths is None else f"{escaped(paths[index])} of {name}")
    return f"{' and '.join(names)}, {describe_likeness(leak.likeness)}"

"""Leaks between the splits of a run's data: looked for before it trains, told, and kept in its folder."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Bool
from torch import Tensor

from thumbnet.data.dataset import Dataset
from thumbnet.data.duplicates import describe_likeness
from thumbnet.data.leaks import Leak, Leaks, can_be_left_out, find_leaks, leaks_from_csv, leaks_to_csv
from thumbnet.data.source_registry import is_searched_for_leaks
from thumbnet.runs.folder import RunDir
from thumbnet.runs.metrics import KnownMetrics
from thumbnet.runs.names import LEAKS
from thumbnet.runs.resolve import Say
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
    """Write leaks.csv and say what it holds; nothing where no image leaks."""
    if leaks.found:
        path = folder.path / LEAKS
        folder.write_checked({LEAKS: leaks_to_csv(leaks, dataset)})
        say(f"{describe_leaks(leaks, dataset)} {_what_to_do(leaks, dataset, path)}")


def _what_to_do(leaks: Leaks, dataset: Dataset, path: Path) -> str:
    """How to train without them. Those of a validation split that the source defines itself only it can leave out."""
    listed = [can_be_left_out(leak, dataset) for leak in leaks.found]
    rest = "Those of the data's own validation split are for you to take out of it."
    if not any(listed):
        return rest
    which = "They" if all(listed) else f"{rest} Those of training"
    return f"{which} are listed in {path}; to train without them: --exclude {path}"


def kept_leaks(folder: RunDir) -> Leaks:
    """What leaks.csv says; none where there is no such file."""
    if not (folder.path / LEAKS).exists():
        return Leaks()
    return leaks_from_csv(folder.read_text(LEAKS), name=str(folder.path / LEAKS))


def describe_leaks(leaks: Leaks, dataset: Dataset) -> str:
    """A sentence for people."""
    first = leaks.found[0]
    exactly = f"{leaks.num_exact:,} of them pixel by pixel; " if leaks.num_exact else ""
    return (
        f"Leaks between splits: {counted(leaks.num_images, 'image')} of training or validation equal, or nearly, to "
        f"one that is held out ({exactly}for instance {_pair(first, dataset)}): figures on those are too good."
    )


def describe_kept_leaks(known: KnownMetrics) -> str:
    """What the metrics of a run with leaks say of them, in sentences for people."""
    found = (
        f"Leaks: {counted(known.num_leaks, 'image')} of training or validation equal, or nearly, to one that is held "
        "out (leaks.csv)."
    )
    if not known.num_test_leaked:
        return f"{found} No test image is concerned."
    if known.test_accuracy_without_leaks is None:
        return f"{found} All test images are concerned: accuracy on others is not known."
    concerned = counted(known.num_test_leaked, "test image")
    return f"{found} Without the {concerned} concerned, accuracy is {known.test_accuracy_without_leaks:.2%}."


def leak_metrics(leaks: Leaks, right: Bool[Tensor, " n"]) -> dict[str, object]:
    """What metrics.json holds of them: how many there are, and the test accuracy without the test images concerned;
    `right` is whether each test image is answered right."""
    if not leaks.found:
        return {"num_leaks": 0}
    leaked = leaks.held_out_of("test")
    kept = [index for index in range(len(right)) if index not in leaked]
    metrics: dict[str, object] = {"num_leaks": leaks.num_images, "num_test_leaked": len(leaked)}
    if kept:
        metrics["test_accuracy_without_leaks"] = float(right[kept].double().mean())
    return metrics


def _pair(leak: Leak, dataset: Dataset) -> str:
    names = []
    for name, index in ((leak.split, leak.index), (leak.held_split, leak.held_index)):
        paths = dataset.split(name).paths
        names.append(f"{index} of {name}" if paths is None else f"{escaped(paths[index])} of {name}")
    return f"{' and '.join(names)}, {describe_likeness(leak.likeness)}"

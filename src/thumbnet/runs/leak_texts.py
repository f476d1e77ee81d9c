"""What the metrics of a run say of its leaks, in sentences. Without PyTorch, as model cards need it."""

from __future__ import annotations

from thumbnet.evaluation.interval_texts import with_interval
from thumbnet.evaluation.intervals import Interval, accuracy_interval
from thumbnet.runs.files.metrics import KnownMetrics
from thumbnet.terminal.text import counted


def describe_kept_leaks(known: KnownMetrics, *, listed_in: str = "leaks.csv") -> str:
    """What the metrics of a run with leaks say of them, in sentences for people; `listed_in` is the file to
    name, if any."""
    file = f" ({listed_in})" if listed_in else ""
    found = (
        f"Leaks: {counted(known.num_leaks, 'image')} of training or validation equal, or nearly, to one that is held "
        f"out{file}."
    )
    return " ".join([found, _of_test(known), *_of_val(known)])


def _of_test(known: KnownMetrics) -> str:
    if not known.num_test_leaked:
        return "No test image is concerned."
    if known.test_accuracy_without_leaks is None:
        return "All test images are concerned: accuracy on others is not known."
    concerned = counted(known.num_test_leaked, "test image")
    accuracy = _with_interval(known.test_accuracy_without_leaks, known.num_test - known.num_test_leaked)
    balanced = _balanced(
        known.test_balanced_accuracy_without_leaks, known.test_balanced_accuracy_without_leaks_interval
    )
    return f"Without the {concerned} concerned, accuracy is {accuracy}{balanced}."


def _of_val(known: KnownMetrics) -> list[str]:
    if not known.num_val_leaked:
        return []
    if known.val_accuracy_without_leaks is None:
        return ["All validation images are concerned."]
    concerned = counted(known.num_val_leaked, "validation image")
    accuracy = _with_interval(known.val_accuracy_without_leaks, known.num_val - known.num_val_leaked)
    balanced = _balanced(known.val_balanced_accuracy_without_leaks, known.val_balanced_accuracy_without_leaks_interval)
    return [f"Without the {concerned} concerned, validation accuracy is {accuracy}{balanced}."]


def _balanced(value: float | None, interval: Interval | None) -> str:
    """The balanced accuracy as the sentence goes on with it; nothing where it is not known."""
    return "" if value is None else f", balanced accuracy {with_interval(value, interval)}"


def _with_interval(accuracy: float, num_images: int) -> str:
    """`num_images` is below 1 where a run of an earlier version does not say how many there were."""
    return with_interval(accuracy, accuracy_interval(accuracy, num_images) if num_images > 0 else None)

"""metrics.json: which values it must hold, and what they can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thumbnet.evaluation.intervals import Interval
from thumbnet.specs.json_text import damaged
from thumbnet.specs.typed import from_fields

METRICS_FORMAT = 2
INTERVAL = "_interval"  # after a metric's name
FRACTIONS = (
    *("test_macro_f1", "test_mcc", "commonest_share", "test_auc", "test_average_precision"),
    *("test_mean_average_precision", "test_micro_f1", "test_hamming_loss"),
    *("test_accuracy_without_leaks", "val_accuracy_without_leaks"),
    *("test_balanced_accuracy_without_leaks", "val_balanced_accuracy_without_leaks"),
)


@dataclass(frozen=True)
class KnownMetrics:
    """What is used of metrics.json, with its types; there is more in it, and earlier versions wrote less.

    `test_auc` and `test_average_precision` are of two classes alone; `test_mean_average_precision`, `test_micro_f1` and
    `test_hamming_loss` of pictures that may have several labels. `test_accuracy_without_leaks` is None where there are
    no leaks, and where all test images are concerned, `val_accuracy_without_leaks` so of the validation images; the
    balanced ones are None also where no image of a class is left, or images may have several labels.
    `best_epoch` (on validation) and `kept_epoch` (of the weights) are 0 where nothing could stop the training early or
    keep other weights than the last. `num_threads` are those of each of `num_ranks` processes. `num_refit` are the
    images of a second training, on training and validation images together, and `refit_s` its part of `train_s`.
    """

    model: str
    data: str
    test_accuracy: float
    test_loss: float
    num_test: int
    num_params: int
    macs: int
    epochs: int
    train_s: float
    images_per_s: float
    device: str
    num_threads: int
    machine: str
    processor_kind: str = ""
    num_ranks: int = 1
    seed: int = 0
    minutes: float = 0.0
    steps: int = 0
    recipe: str = ""
    num_excluded: int = 0
    num_leaks: int = 0
    num_test_leaked: int = 0
    num_val_leaked: int = 0
    test_accuracy_without_leaks: float | None = None
    val_accuracy_without_leaks: float | None = None
    test_balanced_accuracy_without_leaks: float | None = None
    test_balanced_accuracy_without_leaks_interval: tuple[float, float] | None = None
    val_balanced_accuracy_without_leaks: float | None = None
    val_balanced_accuracy_without_leaks_interval: tuple[float, float] | None = None
    total_s: float = 0.0
    best_train_accuracy: float = 0.0
    val_accuracy: float = 0.0
    val_loss: float = 0.0
    num_val: int = 0
    val_standard_error: float = 0.0
    best_test_accuracy: float = 0.0
    best_test_epoch: int = 1
    stopped_early: bool = False
    stopped_by: str = ""
    best_epoch: int = 0
    kept_epoch: int = 0
    test_balanced_accuracy: float | None = None
    test_macro_f1: float | None = None
    test_mcc: float | None = None
    commonest_share: float | None = None
    test_auc: float | None = None
    test_average_precision: float | None = None
    test_mean_average_precision: float | None = None
    test_micro_f1: float | None = None
    test_hamming_loss: float | None = None
    num_refit: int = 0
    refit_s: float = 0.0
    resumed_with_changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MetricIntervals:
    """The intervals in metrics.json that model cards show, from the lowest to the highest value; earlier versions wrote
    none."""

    test_loss_interval: Interval | None = None
    test_balanced_accuracy_interval: Interval | None = None
    test_macro_f1_interval: Interval | None = None
    test_mcc_interval: Interval | None = None
    test_auc_interval: Interval | None = None
    test_average_precision_interval: Interval | None = None
    test_mean_average_precision_interval: Interval | None = None
    test_micro_f1_interval: Interval | None = None
    test_hamming_loss_interval: Interval | None = None
    ece_interval: Interval | None = None


def known_metrics(values: Mapping[str, object], *, name: str = "metrics.json") -> KnownMetrics:
    """The known values among those of metrics.json; RunError, which names the file `name`, if one is missing, of
    another type or out of its range."""
    known = from_fields(KnownMetrics, values, name=name)
    for key, value in vars(known).items():
        if not isinstance(value, (int, float)):
            continue
        lowest = -1 if key == "test_mcc" else 0
        if value < lowest or ((key.endswith("_accuracy") or key in FRACTIONS) and value > 1):
            raise damaged(name, f"{key} is {value}")
    if min(known.num_test, known.num_threads, known.num_ranks) < 1:
        raise damaged(name, "a number is out of its range")
    return known


def metric_intervals(values: Mapping[str, object], *, name: str = "metrics.json") -> dict[str, Interval]:
    """The interval of each metric of the test images by the metric's name, as far as metrics.json has it; RunError,
    which names the file `name`, where one is no pair of numbers."""
    known = from_fields(MetricIntervals, values, name=name)
    return {key.removesuffix(INTERVAL): bounds for key, bounds in vars(known).items() if bounds is not None}


def check_metrics(values: Mapping[str, object], *, name: str, num_epochs: int) -> None:
    """RunError, which names the file `name`, where the values cannot be those of a run with a history so long."""
    known = known_metrics(values, name=name)
    if known.epochs != num_epochs:
        raise damaged(name, f"epochs is {known.epochs}, but the history has {num_epochs}")
    if max(known.best_epoch, known.kept_epoch) > num_epochs:
        raise damaged(name, f"best_epoch is {known.best_epoch} and kept_epoch {known.kept_epoch} of {num_epochs}")

"""What is said of a training that may end early, or keep other weights than the last: before, after, in the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.specs.objective import is_balanced
from thumbnet.specs.stopping import Stopping
from thumbnet.terminal.text import counted
from thumbnet.training.result import FitResult, S


def check_stopping(config: TrainConfig, dataset: Dataset) -> None:
    """ConfigError where no images are there by which a training could be ended early, or its best weights found."""
    if config.stopping.needs_validation and dataset.val is None:
        raise ConfigError(
            f"{config.stopping.describe()}, but no images are held out for validation",
            hint="set val_fraction above 0, or leave patience and keep_weights out",
        )


def announce_stopping(config: TrainConfig, minutes: float | None, *, has_several_labels: bool = False) -> str:
    """What may happen, for the terminal; empty where nothing was asked for. `minutes` are those of the command."""
    stopping = config.stopping
    if stopping.patience is None:
        return ""
    unused = "" if minutes is None else f", even if that takes less than {counted(minutes, 'minute')}"
    weights = "the best epoch" if stopping.keep_weights == "best" else "the last epoch"
    epochs = counted(stopping.patience, "epoch")
    measure = _measure(config, has_several_labels=has_several_labels)
    return f"The training ends where {epochs} brought no better {measure}{unused}; the weights of {weights} are kept."


def _measure(config: TrainConfig, *, has_several_labels: bool) -> str:
    """What epochs are compared by, in words (see `best_on_validation`)."""
    weighs_alike = is_balanced(config.objective, config.inputs) and not has_several_labels
    return "balanced accuracy on validation" if weighs_alike else "validation accuracy"


def metrics_of_stopping(config: TrainConfig, result: FitResult[S]) -> dict[str, object]:
    """What metrics.json says; nothing of a training that was to go on to its end and keep its last weights, and did."""
    if config.stopping == Stopping() and result.stopped_by is None:
        return {}
    metrics: dict[str, object] = {"stopped_early": result.stopped_by is not None, "kept_epoch": result.kept_epoch}
    if result.stopped_by is not None:
        metrics["stopped_by"] = result.stopped_by
    if result.best_epoch is not None:
        metrics["best_epoch"] = result.best_epoch
    return metrics


def describe_stopping(config: TrainConfig, metrics: Mapping[str, object]) -> list[str]:
    """The same in sentences, of a resolved config and the values of metrics.json."""
    known = known_metrics(metrics)
    sentences = []
    if known.stopped_early:
        why = {
            "patience": f"{counted(known.epochs - known.best_epoch, 'epoch')} brought no better "
            f"{_measure(config, has_several_labels='test_hamming_loss' in metrics)} than epoch {known.best_epoch}",
            "callback": "on_epoch_end returned STOP",
        }.get(known.stopped_by, known.stopped_by)
        sentences.append(f"Ended early, after epoch {known.epochs} of {config.epochs}: {why}.")
    if config.stopping.keep_weights == "best" and known.kept_epoch:
        sentences.append(
            f"The weights are those of epoch {known.kept_epoch} of {known.epochs}, the best on validation: the "
            "validation figures chose it, and are a little too good."
        )
    return sentences


def describe_stopping_of_several(configs: Sequence[TrainConfig], metrics: Sequence[Mapping[str, object]]) -> list[str]:
    """The same of trainings by one recipe, each of which was stopped by its own validation images, and had perhaps a
    pace of its own."""
    num_early = sum(known_metrics(each).stopped_early for each in metrics)
    lengths = sorted({config.epochs for config in configs})
    last = f"epoch {lengths[0]}" if len(lengths) == 1 else f"their last epochs, {lengths[0]} to {lengths[-1]}"
    sentences = []
    if num_early:
        sentences.append(f"{num_early} of {len(metrics)} trainings ended early, before {last}.")
    if configs[0].stopping.keep_weights == "best":
        sentences.append("The weights of each are those of its best epoch on its own validation images.")
    return sentences

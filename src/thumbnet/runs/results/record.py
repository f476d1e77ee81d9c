"""What metrics.json and a model's card say of a training, whatever its labels."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from torch import nn

import thumbnet
from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.metrics import standard_error
from thumbnet.kernels.cpu import cpu_form
from thumbnet.models.blocknet import architecture_of_model
from thumbnet.models.card import ModelCard
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import LabelDecision
from thumbnet.models.trace import Trace
from thumbnet.models.unknown import Unknown
from thumbnet.models.unsure import Unsure
from thumbnet.runs.stopping import metrics_of_stopping
from thumbnet.specs.own_code import file_of
from thumbnet.specs.pace import Pace
from thumbnet.training.device import processor_name
from thumbnet.training.processor import processor_kind
from thumbnet.training.result import FitResult, S

RECORDED_PACKAGES = ("torch", "numpy", "pillow", "scikit-learn")


def metrics_of_training(
    config: TrainConfig,
    dataset: Dataset,
    trace: Trace,
    result: FitResult[S],
    *,
    scores: Mapping[str, object],
) -> dict[str, object]:
    """What metrics.json says of a training, with the `scores` of the test split."""
    history = result.history
    kept = history[result.kept_epoch - 1]
    metrics: dict[str, object] = {
        "recipe": config.recipe,
        "model": config.model,
        "data": config.data,
        "data_verified": dataset.source.verified,
        **scores,
        "num_excluded": dataset.num_excluded,
        "num_params": trace.num_params,
        "macs": trace.macs,
        "epochs": len(history),
        "best_train_accuracy": max(history.column("train_accuracy")),
        "train_s": history.train_s,
        "images_per_s": _num_trained(config, len(history), len(dataset.train)) / history.train_s,
        "seed": config.seed,
        "device": result.device,
        "num_threads": result.num_threads,
        "machine": processor_name(),
        "processor_kind": processor_kind(),
        "cpu": cpu_form(),
        "date": datetime.now(UTC).date().isoformat(),
        "kernels": result.kernels,
    }
    if config.pace is not None:
        metrics["steps"] = _num_steps(config, config.pace, len(history), len(dataset.train))
    if kept.val_accuracy is not None:
        metrics |= {"val_accuracy": kept.val_accuracy, "val_loss": kept.val_loss}
    if kept.val_accuracy is not None and dataset.val is not None:
        num_val = len(dataset.val)
        metrics |= {
            "num_val": num_val,
            "val_standard_error": standard_error(kept.val_accuracy, num_val),
            "val_accuracy_interval": accuracy_interval(kept.val_accuracy, num_val),
        }
    metrics |= metrics_of_stopping(config, result)
    best = history.best_test_epoch()
    if best is not None:
        metrics |= {"best_test_accuracy": best.test_accuracy, "best_test_epoch": best.epoch}
    return metrics


def _num_trained(config: TrainConfig, num_epochs: int, num_images: int) -> int:
    """The training images of all epochs together; the last of a training in steps may be a short one."""
    if config.pace is None:
        return num_epochs * num_images
    before = num_epochs - 1
    steps_before = before * num_batches(num_images, config.batch_size)
    last_steps = _num_steps(config, config.pace, num_epochs, num_images) - steps_before
    return before * num_images + min(num_images, last_steps * config.batch_size)


def _num_steps(config: TrainConfig, pace: Pace, num_epochs: int, num_images: int) -> int:
    """The steps that were made: those of the pace, or of whole epochs where the training ended early."""
    return min(pace.num_steps, num_epochs * num_batches(num_images, config.batch_size))


def model_card(
    config: TrainConfig,
    dataset: Dataset,
    trace: Trace,
    model: nn.Module,
    *,
    data_checksum: str,
    metrics: Mapping[str, float],
    decision: Decision | None = None,
    unsure: Unsure | None = None,
    label_decision: LabelDecision | None = None,
    unknown: Unknown | None = None,
    refit: bool = False,
) -> ModelCard:
    """The card of a model that was trained as `config` says, and in the end anew on validation images, too (`refit`);
    `metrics` are those of the test split."""
    own_file = file_of(config.model)
    return ModelCard(
        model=config.model,
        model_options=dict(config.model_options),
        num_params=trace.num_params,
        class_names=dataset.class_names,
        mean=dataset.mean,
        std=dataset.std,
        image_shape=dataset.image_shape,
        recipe=config.recipe,
        data=dataset.source.name,
        data_description=dataset.source.description,
        data_note=dataset.source.note,
        data_checksum=data_checksum,
        data_verified=dataset.source.verified,
        num_train=len(dataset.train),
        num_val=0 if dataset.val is None else len(dataset.val),
        num_test=len(dataset.test),
        versions=dict(_versions()),
        commit=_commit(),
        white_levels=dict(dataset.white_levels),
        architecture=architecture_of_model(model),
        fit=dataset.fit,
        metrics=metrics,
        decision=decision,
        unsure=unsure,
        label_decision=label_decision,
        unknown=unknown,
        refit=refit,
        code={} if own_file is None else {own_file.name: own_file.sha256},
    )


@cache
def _versions() -> Mapping[str, str]:
    """Those of this process, whose packages are looked for once."""
    return {
        "thumbnet": thumbnet.__version__,
        **{name: metadata.version(name) for name in RECORDED_PACKAGES},
        "python": platform.python_version(),
    }


@cache
def _commit() -> str | None:
    """The commit of the checkout that this package runs from, as the first run of this process finds it, None where it
    is none (an installed wheel)."""
    folder = Path(__file__).parent.parent
    try:
        found = subprocess.run(  # noqa: S603  # a fixed command
            ["git", "-C", str(folder), "log", "-1", "--format=%H", "--", "."],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None

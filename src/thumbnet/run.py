"""The main path: from a config to a run folder with a trained model, its figures and its pictures."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import thumbnet
from thumbnet.augment import create_policy, policy_flips
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.sources import data_folder, load_dataset
from thumbnet.errors import CheckpointError, ConfigError
from thumbnet.evaluation.images import ImagePrediction, predict_files
from thumbnet.evaluation.metrics import Evaluation, evaluate, misclassified
from thumbnet.models.registry import create_model
from thumbnet.models.trace import Trace, trace_model
from thumbnet.recipes import load_recipe
from thumbnet.run_dir import Checkpoint, ModelCard, Run, RunDir, create_run_dir, load_run, open_run_dir
from thumbnet.training.device import peak_memory_bytes, pick_device
from thumbnet.training.fit import ScoredSplit, TrainingState, fit
from thumbnet.training.history import History
from thumbnet.training.lr_finder import LrTrial, find_lr
from thumbnet.training.progress import LogStyle, Progress, ReferenceLog, Silent, pick_progress
from thumbnet.training.schedules import OneCycle, Schedule, StepSchedule
from thumbnet.views.confusion import draw_confusion
from thumbnet.views.curves import curves_of, draw_curves
from thumbnet.views.figure import png_bytes
from thumbnet.views.gallery import draw_gallery
from thumbnet.views.graph import draw_graph
from thumbnet.views.summary import summarize

NUM_GALLERY_IMAGES = 10

Say = Callable[[str], None]


def train(config: TrainConfig | None = None, *, run_dir: str | Path | None = None, log_style: LogStyle = "auto") -> Run:
    """Train as `config` says (None: the default recipe) and leave a run folder.

    Args:
        config: from `load_recipe`, for instance.
        run_dir: a new or empty folder; None: `runs/<recipe>-<n>`.
        log_style: `auto` picks what suits the place, `reference` prints the published log lines, `silent` nothing.

    Returns:
        Run: the finished run, as `load_run` gives it.

    Raises:
        ThumbnetError: the config, the data, the model, the folder or the training fails; its hint says what to do.
    """
    config = load_recipe() if config is None else config
    say = _say(log_style)
    pick_device(config.device)
    dataset, config = load_data(config, say=say)
    model = build_model(config, dataset)
    folder = create_run_dir(config.recipe, run_dir)
    folder.write_config(config, note=_data_note(dataset))
    say(f"Run folder: {folder.path}")
    return _train_in(folder, config, dataset, model, log_style=log_style, checkpoint=None)


def resume(
    run_dir: str | Path, *, data_dir: str | Path | None = None, device: str | None = None, log_style: LogStyle = "auto"
) -> Run:
    """Go on with a run that was stopped, to the same end as if it never had been; a finished one is just loaded.

    Args:
        run_dir: its folder. Without a checkpoint in it, the run starts again from its config.
        data_dir, device: where the data lies and what to compute on now, if not as recorded (another machine, say).
        log_style: as in `train`.

    Raises:
        CheckpointError: the checkpoint is damaged, or the data is not that which the run began with.
    """
    say = _say(log_style)
    folder = open_run_dir(run_dir)
    if folder.is_complete:
        say(f"{folder.path} is finished: nothing to resume.")
        return load_run(folder.path)
    changes = {"data_dir": None if data_dir is None else str(data_dir), "device": device}
    config = folder.read_config().replace(**{name: value for name, value in changes.items() if value is not None})
    checkpoint = folder.read_checkpoint()
    dataset, config = load_data(config, say=say)
    if checkpoint is not None and checkpoint.data_checksum != dataset.checksum():
        raise CheckpointError(
            f"{folder.path} was begun on other data: the checksum of its images and labels differs",
            hint="resume with the data that it began with (--data-dir)",
        )
    done = 0 if checkpoint is None else checkpoint.state.epoch
    say(f"Resuming {folder.path} after epoch {done} of {config.epochs}.")
    model = build_model(config, dataset)
    return _train_in(folder, config, dataset, model, log_style=log_style, checkpoint=checkpoint)


def predict(run: Run, paths: list[str] | list[Path], *, num_top: int = 3) -> list[ImagePrediction]:
    """What a run's model says of image files of any size; ImageError names a file that cannot be read."""
    card = run.card
    return predict_files(
        run.model,
        paths,
        class_names=card.class_names,
        image_shape=card.image_shape,
        mean=card.mean,
        std=card.std,
        num_top=num_top,
    )


def find_recipe_lr(config: TrainConfig, *, log_style: LogStyle = "auto") -> LrTrial:
    """The learning rate that the LR finder gives for a recipe's model, data, batch size and optimizer."""
    dataset, config = load_data(config, say=_say(log_style))
    return find_lr(
        build_model(config, dataset),
        dataset,
        batch_size=config.batch_size,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        augmentation=create_policy(config.augmentation, flip=config.flip is True, mean=dataset.mean),
        seed=config.seed,
        device=config.device,
    )


def load_data(config: TrainConfig, *, say: Say) -> tuple[Dataset, TrainConfig]:
    """The dataset that a config asks for, and the config resolved: what was `auto` or computed is written out."""
    mean, std = config.mean, config.std
    arguments: dict[str, Any] = {
        "data_dir": config.data_dir,
        "allow_unverified": config.allow_unverified,
        "image_size": config.image_size,
        "val_fraction": config.val_fraction,
        "split_seed": config.split_seed,
    }
    dataset = load_dataset(config.data, **arguments)
    if mean is not None and std is not None:
        if len(mean) == len(std) == dataset.num_channels:
            dataset = dataset.with_statistics(mean, std)
        elif _is_from_recipe(config):
            say(
                f"The recipe's mean and std are for {len(mean)} channels and these images have {dataset.num_channels}: "
                "they are computed from the training images instead."
            )
        else:
            dataset.with_statistics(mean, std)  # refuses them, with the numbers of channels
    if dataset.source.note:
        say(dataset.source.note)
    flip = config.flip
    if flip == "auto":
        flip = policy_flips(config.augmentation) and dataset.mirror_keeps_labels
    uses_data_dir = dataset.source.name == "cifar10"
    return dataset, config.replace(
        data=dataset.source.name,
        data_dir=str(data_folder(config.data_dir).resolve()) if uses_data_dir else None,
        mean=dataset.mean,
        std=dataset.std,
        flip=flip,
    )


def build_model(config: TrainConfig, dataset: Dataset) -> nn.Module:
    """The config's model for the dataset's classes, channels and image size, with weights drawn from the seed."""
    return create_model(
        config.model,
        num_classes=dataset.num_classes,
        in_channels=dataset.num_channels,
        image_size=dataset.image_shape[1],
        seed=config.seed,
        **config.model_options,
    )


def _train_in(
    folder: RunDir,
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    *,
    log_style: LogStyle,
    checkpoint: Checkpoint | None,
) -> Run:
    begin_s = time.perf_counter() - (0.0 if checkpoint is None else checkpoint.total_s)
    data_checksum = dataset.checksum()

    def keep(state: TrainingState) -> None:
        folder.write_checkpoint(Checkpoint(state, data_checksum, time.perf_counter() - begin_s))

    history = fit(
        model,
        dataset,
        epochs=config.epochs,
        batch_size=config.batch_size,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        schedule=_schedule(config),
        augmentation=create_policy(config.augmentation, flip=config.flip is True, mean=dataset.mean),
        seed=config.seed,
        device=config.device,
        score=_scored_splits(config, dataset),
        progress=_progress(config, dataset, log_style),
        on_epoch_end=keep,
        resume_from=None if checkpoint is None else checkpoint.state,
    )
    evaluation = evaluate(model, dataset, "test")
    trace = trace_model(model, dataset.image_shape)
    folder.write_weights(model.state_dict())
    folder.write_card(_model_card(config, dataset, trace, data_checksum))
    folder.write_predictions(evaluation.predictions, dataset.test, dataset.class_names)
    _write_views(folder, model, dataset, history, evaluation)
    device = next(model.parameters()).device
    metrics = _metrics(config, dataset, trace, history, evaluation)
    folder.write_json(
        "metrics.json",
        {
            **metrics,
            "total_s": time.perf_counter() - begin_s,
            "peak_memory_bytes": peak_memory_bytes(device),
            "device": str(device),
            "num_threads": torch.get_num_threads(),
            "machine": platform.processor() or platform.machine(),
        },
    )
    return load_run(folder.path)


def _write_views(folder: RunDir, model: nn.Module, dataset: Dataset, history: History, evaluation: Evaluation) -> None:
    """The pictures and the table for people."""
    worst = misclassified(evaluation.predictions)[:NUM_GALLERY_IMAGES]
    folder.write("summary.txt", f"{summarize(model, dataset.image_shape)}\n")
    folder.write("graph.svg", draw_graph(model, dataset.image_shape, "svg"))
    folder.write("curves.png", png_bytes(draw_curves([curves_of(history, label=folder.path.name)])))
    folder.write("confusion.png", png_bytes(draw_confusion(evaluation.confusion, dataset.class_names)))
    gallery = draw_gallery(
        dataset.test.images[worst],
        evaluation.predictions.labels[worst],
        evaluation.predictions.predicted[worst],
        evaluation.predictions.confidence[worst],
        dataset.class_names,
    )
    folder.write("misclassified.png", png_bytes(gallery))


def _metrics(
    config: TrainConfig, dataset: Dataset, trace: Trace, history: History, evaluation: Evaluation
) -> dict[str, Any]:
    last = history[-1]
    metrics = {
        "recipe": config.recipe,
        "model": config.model,
        "data": config.data,
        "data_verified": dataset.source.verified,
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "num_test": evaluation.num_images,
        "num_params": trace.num_params,
        "macs": trace.macs,
        "epochs": config.epochs,
        "best_train_accuracy": max(history.column("train_accuracy")),
        "train_s": history.train_s,
        "images_per_s": len(history) * len(dataset.train) / history.train_s,
        "seed": config.seed,
    }
    if last.val_accuracy is not None:
        metrics |= {"val_accuracy": last.val_accuracy, "val_loss": last.val_loss}
    best = history.best_test_epoch()
    if best is not None:
        metrics |= {"best_test_accuracy": best.test_accuracy, "best_test_epoch": best.epoch}
    return metrics


def _model_card(config: TrainConfig, dataset: Dataset, trace: Trace, data_checksum: str) -> ModelCard:
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
        versions={
            "thumbnet": thumbnet.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pillow": metadata.version("pillow"),
            "scikit-learn": metadata.version("scikit-learn"),
            "python": platform.python_version(),
        },
        commit=_commit(),
    )


def _schedule(config: TrainConfig) -> Schedule:
    if config.schedule == "one-cycle":
        assert config.warmup_fraction is not None
        return OneCycle(config.warmup_fraction)
    assert config.step_epochs is not None
    assert config.gamma is not None
    return StepSchedule(config.step_epochs, config.gamma, config.num_drops)


def _scored_splits(config: TrainConfig, dataset: Dataset) -> tuple[ScoredSplit, ...]:
    splits: tuple[ScoredSplit, ...] = () if dataset.val is None else ("val",)
    return (*splits, "test") if config.score_test == "each-epoch" else splits


def _progress(config: TrainConfig, dataset: Dataset, log_style: LogStyle) -> Progress:
    if log_style == "silent":
        return Silent()
    if log_style == "auto":
        return pick_progress()
    stepped = None
    if config.step_epochs is not None and config.num_drops is not None:
        stepped = config.step_epochs * config.num_drops + 1
    return ReferenceLog(sys.stderr, num_test_images=len(dataset.test), last_stepped_epoch=stepped)


def _say(log_style: LogStyle) -> Say:
    if log_style not in ("auto", "reference", "silent"):
        raise ConfigError(f"unknown log style {log_style!r}", hint="choose auto, reference or silent")
    return (lambda text: None) if log_style == "silent" else (lambda text: print(text, file=sys.stderr, flush=True))


def _is_from_recipe(config: TrainConfig) -> bool:
    """Whether the config's mean and std are those that its named recipe states, rather than the user's own."""
    try:
        recipe = load_recipe(config.recipe)
    except ConfigError:  # a file of the user's own
        return False
    return (recipe.mean, recipe.std) == (config.mean, config.std)


def _data_note(dataset: Dataset) -> str:
    verified = {True: "every file matches its published checksum", False: "NOT the official files", None: ""}
    lines = [dataset.source.note, f"Data: {dataset.source.description}", verified[dataset.source.verified]]
    return "\n".join(line for line in lines if line)


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, None where it is none (an installed wheel)."""
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "log", "-1", "--format=%H", "--", str(folder)],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None

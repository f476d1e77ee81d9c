"""What a report says of a training beside its figures: facts, and notes on how far the figures can be trusted."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.config import TrainConfig, config_to_dict
from thumbnet.data.dataset import Dataset
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.leak_texts import describe_kept_leaks
from thumbnet.runs.planning.reasons import describe_longest
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.refit import describe_refit
from thumbnet.runs.stopping import describe_stopping
from thumbnet.terminal.text import counted


def report_facts(
    config: TrainConfig, dataset: Dataset, metrics: Mapping[str, object], plan: PlanRecord | None
) -> list[tuple[str, str]]:
    """What was trained, on what and how long, by name."""
    channels, height, width = dataset.image_shape
    num_val = 0 if dataset.val is None else len(dataset.val)
    names = config_to_dict(config)
    known = known_metrics(metrics)
    threads = counted(known.num_threads, "thread")
    if known.num_ranks > 1:
        threads = f"{known.num_ranks} processes of {threads}"
    epochs = f"{known.epochs} of {config.epochs}" if known.stopped_early else f"{known.epochs}"
    return [
        ("recipe", config.recipe),
        ("model", " ".join([config.model, *(f"{name}={value}" for name, value in config.model_options.items())])),
        ("data", dataset.source.name),
        ("images", f"{len(dataset.train):,} training, {num_val:,} validation, {len(dataset.test):,} test"),
        ("each", f"{width}x{height} pixels, {'grey' if channels == 1 else 'colour'}"),
        ("epochs", f"{epochs}, {config.batch_size} images a step"),
        *([] if plan is None else [("time asked for", f"{counted(plan.minutes, 'minute')} for the whole command")]),
        ("augmentation", str(config.inputs.augmentation)),
        ("optimizer", f"{names['optimizer']}, learning rate {config.optimizer.lr:g}, {names['schedule']}"),
        ("seed", str(config.seed)),
        ("computed on", f"{metrics['device']}, {threads}, {metrics['machine']}"),
    ]


def report_notes(
    config: TrainConfig,
    dataset: Dataset,
    metrics: Mapping[str, object],
    plan: PlanRecord | None,
    init_choice: InitChoice | None = None,
    *,
    scored_on: str = "The test set",
) -> list[str]:
    """What a reader must know to take the figures for what they are; `scored_on` begins the sentence on that."""
    is_best = config.stopping.keep_weights == "best"
    scored = {
        "end": f"{scored_on} was scored once, {'at the end' if is_best else 'after the last epoch'}, in one view; it "
        "picked nothing.",
        "each-epoch": f"{scored_on} was scored after every epoch; the figures are those of "
        f"{'the weights that are kept' if is_best else 'the last one'}.",
    }
    notes = [scored[config.score_test], *describe_stopping(config, metrics)]
    notes += describe_refit(config, metrics, num_train=len(dataset.train))
    notes += _without_threshold(config, dataset)
    notes += [] if plan is None else plan.reasons
    notes += describe_longest(plan, [metrics])
    if dataset.source.verified is False:
        notes.append("The data is not the official files: their checksums differ (--allow-unverified).")
    if dataset.source.note:
        notes.append(dataset.source.note)
    notes.extend(dataset.source.remarks)
    if init_choice is not None and init_choice.reason not in notes:
        notes.append(init_choice.reason)
    if dataset.num_excluded:
        notes.append(
            f"Left out of training and validation: {counted(dataset.num_excluded, 'image')} that a file lists "
            "(exclude); validation figures do not compare with those of runs that kept them."
        )
    known = known_metrics(metrics)
    if known.num_leaks:
        notes.append(describe_kept_leaks(known))
    if dataset.val is None:
        notes.append("No images were held out for validation.")
    return notes


def _without_threshold(config: TrainConfig, dataset: Dataset) -> list[str]:
    """What is not of the threshold's answers, which is picked after the training; nothing where there is none."""
    if config.decisions.threshold == "none":
        return []
    several = dataset.has_several_labels
    answers = "each label from a probability of one half on" if several else "the likelier class"
    curves = "The curves count" if dataset.val is None else "The curves and the validation accuracy count"
    return [f"{curves} {answers}; all other figures obey the threshold{'s' * several}."]

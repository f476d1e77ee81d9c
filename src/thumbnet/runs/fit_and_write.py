"""A training and what it leaves in its run folder: by one label an image, or by several."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.label_scoring import evaluate_labels, label_scorers
from thumbnet.evaluation.metrics import evaluate, scorers
from thumbnet.runs.parts import build_progress, build_teacher_logits, fit_config, scored_splits
from thumbnet.runs.ranks import call_others
from thumbnet.runs.refit import Refit, refit
from thumbnet.runs.resolve import describe_data, speaker
from thumbnet.runs.run import RunDir
from thumbnet.specs.pace import Pace
from thumbnet.training.clock import Clock
from thumbnet.training.progress import LogStyle
from thumbnet.training.result import FitResult, S
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import OnEpochEnd


def fit_and_write(
    folder: RunDir,
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    *,
    data_checksum: str,
    log_style: LogStyle,
    pictures: bool,
    on_epoch_end: OnEpochEnd,
    resume_from: TrainingState | None,
    clock: Clock | None,
) -> tuple[dict[str, object], str, TrainConfig]:
    """Train the model and write all but metrics.json; the metrics, the device that it was trained on, and the config
    with the pace that was followed in the end."""

    def fitted(scored: Mapping[str, Callable[[nn.Module], S]]) -> FitResult[S]:
        teacher = build_teacher_logits(config, dataset, say=speaker(log_style))
        return fit_config(
            config,
            dataset,
            model,
            teacher=teacher,
            scorers=scored,
            progress=build_progress(config, dataset, log_style),
            on_epoch_end=on_epoch_end,
            resume_from=resume_from,
            clock=clock,
            ranks=call_others(config, dataset, teacher=teacher, state=resume_from),
        )

    def refit_or_none(followed: TrainConfig, result: FitResult[S]) -> Refit | None:
        if not config.refit or result.stopped_by is not None:
            return None
        return refit(followed, dataset, log_style=log_style, say=speaker(log_style))

    splits = scored_splits(config, dataset)
    if dataset.has_several_labels:
        labelled = fitted(label_scorers(dataset, *splits))
        from thumbnet.runs.results.write_labels import write_label_results  # not before: what draws takes a second

        followed = _with_followed_pace(config, labelled.pace, dataset, folder)
        again = refit_or_none(followed, labelled)
        kept = model if again is None else again.model
        metrics = write_label_results(
            folder,
            config=followed,
            asked=folder.read_asked(),
            dataset=dataset,
            model=model,
            result=labelled,
            evaluation=labelled.scores["test"] if "test" in labelled.scores else evaluate_labels(kept, dataset),
            data_checksum=data_checksum,
            pictures=pictures,
            say=speaker(log_style),
            plan=folder.read_plan(),
            refit=again,
        )
        return metrics, labelled.device, followed
    result = fitted(scorers(dataset, *splits))
    from thumbnet.runs.results.write import write_results

    followed = _with_followed_pace(config, result.pace, dataset, folder)
    again = refit_or_none(followed, result)
    kept = model if again is None else again.model
    metrics = write_results(
        folder,
        config=followed,
        asked=folder.read_asked(),
        dataset=dataset,
        model=model,
        result=result,
        evaluation=result.scores["test"] if "test" in result.scores else evaluate(kept, dataset, "test"),
        data_checksum=data_checksum,
        pictures=pictures,
        say=speaker(log_style),
        plan=folder.read_plan(),
        refit=again,
    )
    return metrics, result.device, followed


def _with_followed_pace(config: TrainConfig, pace: Pace | None, dataset: Dataset, folder: RunDir) -> TrainConfig:
    """The config with the pace that was followed in the end, which the folder's config.toml then has, too."""
    followed = with_pace_of(config, pace, dataset)
    if followed != config:
        folder.write_config(followed, note=describe_data(dataset))
    return followed


def with_pace_of(config: TrainConfig, pace: Pace | None, dataset: Dataset) -> TrainConfig:
    """The resolved config with the pace of its training, and the epochs that this makes; None: as the config says."""
    if pace is None or pace == config.pace:
        return config
    return config.with_pace(pace, steps_per_epoch=num_batches(len(dataset.train), config.batch_size))

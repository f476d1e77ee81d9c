"""One training of a sweep in its run folder, scored on validation images only.

The folder is that of a training that was stopped before its end: config, checkpoint, history, and the weights besides.
`thumbnet train --resume` makes a whole run of it: only then is the test set scored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.errors import RunError
from thumbnet.evaluation.label_scoring import label_scorers
from thumbnet.evaluation.metrics import scorers
from thumbnet.models.trace import trace_model
from thumbnet.runs.changes import check_accepted
from thumbnet.runs.environment import Environment, environment_of, using_threads
from thumbnet.runs.files.contents import weights_to_bytes
from thumbnet.runs.files.folder import RunDir
from thumbnet.runs.files.names import CONFIG, HISTORY, TRIAL, WEIGHTS
from thumbnet.runs.files.new_folder import create_run_dir
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.known_data import KnownData
from thumbnet.runs.leaks import keep_leaks
from thumbnet.runs.parts import build_model, build_progress, build_teacher_logits, fit_config
from thumbnet.runs.resolve import describe_data, say_nothing
from thumbnet.runs.results.record import metrics_of_training
from thumbnet.runs.run import Checkpoint
from thumbnet.specs.json_text import FORMAT, to_json
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.progress import LogStyle
from thumbnet.training.result import Scores
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import STOP, Stop

TRIAL_FORMAT = 1
GivesUp = Callable[[History], bool]


@dataclass(frozen=True)
class TrialResult:
    """What a training gave: `value` is of the epoch whose weights are kept, `num_threads` computed it."""

    value: float
    val_loss: float
    epochs: int
    seconds: float
    num_threads: int
    is_pruned: bool


def value_of(record: EpochRecord, measure: str) -> float:
    """The validation accuracy of an epoch that was scored."""
    value = record.val_balanced_accuracy if measure == "val_balanced_accuracy" else None
    value = record.val_accuracy if value is None else value
    assert value is not None
    return value


def train_trial(
    path: Path,
    config: TrainConfig,
    dataset: Dataset,
    *,
    asked: TrainConfig,
    leaks: Leaks,
    measure: str,
    gives_up: GivesUp,
    log_style: LogStyle,
    accept_changes: bool = False,
) -> TrialResult:
    """Train in this folder, or go on in it.

    Args:
        config: as resolved; `asked` as the sweep proposed it.
        gives_up: is given the history after each epoch that is scored and is not the last one, and says whether that is
            enough.
        accept_changes: go on although the trial would not end as it would have; trial.json then records it.

    Raises:
        RunError: the folder cannot be read or written, or is of other values; CheckpointError: its checkpoint is
            damaged, or of another processor, number of threads or the like, and that is not accepted.
    """
    is_new = not (path / CONFIG).exists()
    with _opened(path, config, is_new=is_new) as folder:
        if is_new:
            keep_leaks(folder, leaks, dataset, say=say_nothing)
            folder.begin(config, asked=asked, source=dataset.source, note=describe_data(dataset))
        else:
            _check_values(folder, asked)
        config = folder.read_config()
        folder.allow_code(config.model, config.inputs.augmentation)
        checkpoint = folder.read_checkpoint()
        recorded = Environment() if checkpoint is None else checkpoint.environment
        with using_threads(recorded.num_threads, say=say_nothing):
            model = build_model(config, dataset)
            changes: Sequence[str] = ()
            if checkpoint is None:
                begin_with_trained_weights(model, config, dataset)
            else:
                checkpoint.known_data.check(dataset, run_dir=path)
                new = recorded.differences(environment_of(config, model))
                check_accepted(new, folder=path, accept_changes=accept_changes, record=TRIAL)
                begins = f"from epoch {checkpoint.state.epoch + 1} on"
                changes = (*checkpoint.changes, *(f"{begins}: {change}" for change in new))
            return _train(
                folder,
                config,
                dataset,
                model,
                checkpoint,
                changes=changes,
                measure=measure,
                gives_up=gives_up,
                log_style=log_style,
            )


def _check_values(folder: RunDir, asked: TrainConfig) -> None:
    """RunError where the folder is not of the trial that the study has by its number."""
    began = folder.read_asked()
    if began is not None and config_to_toml(began) != config_to_toml(asked):
        raise RunError(
            f"{folder.path} was begun with other values than the sweep's storage has for this trial",
            hint="go on with the storage that the sweep was made in; or move the folders of its trials away, and they "
            "are trained anew",
        )


@contextmanager
def _opened(path: Path, config: TrainConfig, *, is_new: bool) -> Iterator[RunDir]:
    """The trial's folder, locked."""
    if is_new:
        with create_run_dir(config.recipe, path, data=config.data) as folder:
            yield folder
        return
    folder = RunDir(path)
    with folder.locked():
        yield folder


def _train(
    folder: RunDir,
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    checkpoint: Checkpoint | None,
    *,
    changes: Sequence[str],
    measure: str,
    gives_up: GivesUp,
    log_style: LogStyle,
) -> TrialResult:
    before_s = 0.0 if checkpoint is None else checkpoint.total_s
    begin_s = time.perf_counter() - before_s
    known_data, environment = KnownData.of(dataset), environment_of(config, model)

    def keep(state: TrainingState) -> None:
        total_s = time.perf_counter() - begin_s
        folder.write_checkpoint(Checkpoint(state, known_data, total_s, config, environment, tuple(changes)))

    def epoch_ends(state: TrainingState) -> Stop | None:
        keep(state)
        if state.epoch < config.epochs and gives_up(state.history):
            keep(replace(state, stopped_by="callback"))
            return STOP
        return None

    scored: Mapping[str, Callable[[nn.Module], Scores]] = (
        label_scorers(dataset, "val") if dataset.has_several_labels else scorers(dataset, "val")
    )
    result = fit_config(
        config,
        dataset,
        model,
        teacher=build_teacher_logits(config, dataset, say=say_nothing),
        scorers=scored,
        progress=build_progress(config, dataset, log_style),
        on_epoch_end=epoch_ends,
        resume_from=None if checkpoint is None else checkpoint.state,
    )
    seconds = time.perf_counter() - begin_s
    trace = trace_model(model, dataset.image_shape)
    kept = result.history[result.kept_epoch - 1]
    value = value_of(kept, measure)
    metrics = metrics_of_training(config, dataset, trace, result, scores={})
    is_pruned = result.stopped_by == "callback"
    values = {
        FORMAT: TRIAL_FORMAT,
        "scored_on": "validation images only; the test set was not looked at",
        "state": "pruned" if is_pruned else "finished",
        "measure": measure,
        "value": value,
        **metrics,
        "total_s": seconds,
    }
    if changes:
        values["resumed_with_changes"] = list(changes)
    folder.write_checked(
        {
            HISTORY: result.history.to_csv(),
            WEIGHTS: weights_to_bytes(model.state_dict()),
            TRIAL: to_json(values, name=TRIAL, indent=2) + "\n",
        }
    )
    assert kept.val_loss is not None
    return TrialResult(value, kept.val_loss, len(result.history), seconds, result.num_threads, is_pruned)

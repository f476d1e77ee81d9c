"""A training that ends early: by patience on validation, by a callback; which weights it keeps; resumed alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thumbnet
from fitting import fit_flat
from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.cli.training_output import described
from thumbnet.config import TrainConfig, config_from_dict, config_to_dict
from thumbnet.data.dataset import Dataset
from thumbnet.errors import CheckpointError, ConfigError, RunError
from thumbnet.evaluation.metrics import Evaluation, evaluate
from thumbnet.runs.choices.trials import train_shortly
from thumbnet.runs.reports.facts import report_facts, report_notes
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.runs.resume import resume
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.stopping import announce_stopping, describe_stopping, describe_stopping_of_several
from thumbnet.runs.train import train
from thumbnet.specs.pace import Pace
from thumbnet.specs.stopping import Stopping
from thumbnet.training.clock import Clock
from thumbnet.training.fit import fit
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.length import Length
from thumbnet.training.progress import Silent
from thumbnet.training.result import FitResult
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import STOP, Stop, best_on_validation

ACCURACIES = (0.5, 0.75, 0.7, 0.75, 0.6, 0.9, 0.9, 0.9)  # of the validation images after each epoch


@dataclass(frozen=True)
class Score:
    accuracy: float
    loss: float = 1.0


def history_of(*epochs: tuple[float | None, float | None, float | None]) -> History:
    """Epochs with these validation accuracies, losses and balanced accuracies."""
    return History(
        tuple(
            EpochRecord(number, 0.1, 1.0, 0.5, loss, accuracy, None, None, 1.0, 100.0, val_balanced_accuracy=balanced)
            for number, (accuracy, loss, balanced) in enumerate(epochs, start=1)
        )
    )


@pytest.mark.parametrize(
    ("epochs", "is_balanced", "best"),
    [
        ([(0.5, 1.0, 0.5), (0.7, 2.0, 0.5), (0.6, 0.1, 0.5)], False, 2),
        ([(0.7, 1.0, 0.5), (0.7, 0.9, 0.5), (0.7, 0.95, 0.5)], False, 2),  # of equal ones that of the lowest loss
        ([(0.7, 1.0, 0.5), (0.7, 1.0, 0.5)], False, 1),  # nothing got better
        ([(None, None, None), (0.2, 3.0, 0.5), (None, None, None)], False, 2),  # not all were scored
        ([(0.9, 1.0, 0.5), (0.8, 1.0, 0.6)], True, 2),  # classes weigh the same
        ([(0.9, 1.0, None), (0.8, 1.0, None)], True, 1),  # scores without it
        ([(None, None, None)], False, None),
    ],
)
def test_the_best_epoch_on_validation(epochs: list[Any], is_balanced: bool, best: int | None) -> None:
    found = best_on_validation(history_of(*epochs), is_balanced=is_balanced)
    assert (None if found is None else found.epoch) == best


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 3))


def scripted_fit(
    model: nn.Module, dataset: Dataset, *, accuracies: Sequence[float] = ACCURACIES, **length: Any
) -> FitResult[Score]:
    """A training whose validation accuracies are those, one after the other."""
    values = iter(accuracies)
    keys = ("on_epoch_end", "resume_from", "average_decay")
    rest = {name: length.pop(name) for name in keys if name in length}
    length = {"epochs": len(ACCURACIES), **length} if "pace" not in length else length
    return fit(
        model,
        dataset,
        epochs=Length(**length),
        batch_size=48,
        engine=thumbnet.Engine(device="cpu"),
        scorers={"val": lambda model: Score(next(values))},
        progress=Silent(),
        **rest,
    )


@pytest.mark.parametrize(
    ("patience", "score_every", "num_epochs", "best"),
    [
        (1, 1, 3, 2),
        (2, 1, 4, 2),  # equal is no better
        (3, 1, 5, 2),
        (4, 1, 8, 6),  # not used up
        (2, 2, 6, 4),  # scored after epochs 2, 4, ...: 0.5, 0.75, 0.7
        (None, 1, 8, 6),
    ],
)
def test_a_training_ends_where_patience_is_used_up(
    tiny_dataset: Dataset, patience: int | None, score_every: int, num_epochs: int, best: int
) -> None:
    done = scripted_fit(linear(), tiny_dataset, stopping=Stopping(patience=patience), score_every=score_every)
    assert (len(done.history), done.best_epoch) == (num_epochs, best)
    assert done.stopped_by == (None if num_epochs == len(ACCURACIES) else "patience")
    assert done.kept_epoch == num_epochs


def test_patience_that_is_used_up_at_the_end_stopped_nothing(tiny_dataset: Dataset) -> None:
    done = scripted_fit(linear(), tiny_dataset, epochs=3, stopping=Stopping(patience=1))
    assert (len(done.history), done.stopped_by) == (3, None)


@pytest.mark.parametrize("average_decay", [0.0, 0.5])
def test_the_last_weights_are_kept_or_the_best(tiny_dataset: Dataset, average_decay: float) -> None:
    for keep_weights in ("last", "best"):
        states: list[TrainingState] = []
        model = linear()
        done = scripted_fit(
            model,
            tiny_dataset,
            stopping=Stopping(patience=3, keep_weights=keep_weights),
            on_epoch_end=states.append,
            average_decay=average_decay,
        )
        kept = 2 if keep_weights == "best" else 5
        assert done.kept_epoch == kept
        assert done.scores["val"].accuracy == ACCURACIES[kept - 1]
        weights = states[kept - 1].average if average_decay else states[kept - 1].model
        assert weights is not None
        assert all(weights[name].equal(tensor) for name, tensor in model.state_dict().items())
        assert not states[1].model["1.weight"].equal(states[4].model["1.weight"])


@pytest.mark.parametrize("average_decay", [0.0, 0.5])
def test_a_resumed_training_ends_as_one_never_stopped(tiny_dataset: Dataset, average_decay: float) -> None:
    states: list[TrainingState] = []
    fields: dict[str, Any] = {
        "stopping": Stopping(patience=3, keep_weights="best"),
        "average_decay": average_decay,
    }
    whole = linear()
    expected = scripted_fit(whole, tiny_dataset, on_epoch_end=states.append, **fields)
    for state in states:  # the last one is where it ended
        model = linear()
        done = scripted_fit(model, tiny_dataset, accuracies=ACCURACIES[state.epoch :], resume_from=state, **fields)
        assert [row.val_accuracy for row in done.history] == [row.val_accuracy for row in expected.history]
        assert (done.stopped_by, done.best_epoch, done.kept_epoch) == ("patience", 2, 2)
        assert all(a.equal(b) for a, b in zip(model.state_dict().values(), whole.state_dict().values(), strict=True))
        assert done.scores == ({} if state.epoch >= 2 else expected.scores)


def test_a_state_without_the_best_weights_is_refused_where_they_are_wanted(tiny_dataset: Dataset) -> None:
    states: list[TrainingState] = []
    scripted_fit(linear(), tiny_dataset, epochs=2, on_epoch_end=states.append)
    with pytest.raises(CheckpointError, match="has no best weights"):
        scripted_fit(linear(), tiny_dataset, stopping=Stopping(keep_weights="best"), resume_from=states[0])
    other = dataclasses.replace(states[0], best={"1.weight": torch.zeros(2, 2)})
    with pytest.raises(CheckpointError, match="best weights"):
        scripted_fit(linear(), tiny_dataset, stopping=Stopping(keep_weights="best"), resume_from=other)


def stops_after(epoch: int, answer: object = STOP) -> Callable[[TrainingState], Stop | None]:
    def on_epoch_end(state: TrainingState) -> Stop | None:
        return answer if state.epoch == epoch else None  # type: ignore[return-value]

    return on_epoch_end


def test_a_callback_ends_the_training(tiny_dataset: Dataset) -> None:
    done = scripted_fit(linear(), tiny_dataset, on_epoch_end=stops_after(2))
    assert (len(done.history), done.stopped_by, done.best_epoch) == (2, "callback", 2)
    at_the_end = scripted_fit(linear(), tiny_dataset, epochs=2, on_epoch_end=stops_after(2))
    assert (len(at_the_end.history), at_the_end.stopped_by) == (2, None)
    assert thumbnet.STOP is STOP


@pytest.mark.parametrize("answer", [True, "stop", False])
def test_a_callback_that_returns_something_else_is_refused(tiny_dataset: Dataset, answer: object) -> None:
    with pytest.raises(ConfigError, match="on_epoch_end returned") as caught:
        scripted_fit(linear(), tiny_dataset, on_epoch_end=stops_after(1, answer))
    assert "thumbnet.STOP" in caught.value.hint


def test_a_training_with_a_clock_may_end_before_its_time(tiny_dataset: Dataset) -> None:
    clock = Clock(deadline_s=1e9, reserve_s=0.0, tolerance_s=1e9, max_steps=1000)
    done = scripted_fit(linear(), tiny_dataset, pace=Pace(16), clock=clock, stopping=Stopping(patience=1))
    assert (len(done.history), done.stopped_by, done.pace) == (3, "patience", Pace(16))


@pytest.mark.parametrize("fields", [{"patience": 0}, {"patience": 2_000_000}, {"keep_weights": "first"}])
def test_what_is_no_way_to_stop_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(fields))} is"):
        config_from_dict({**config_to_dict(thumbnet.load_recipe("quick")), **fields})


@pytest.mark.parametrize("stopping", [Stopping(patience=1), Stopping(keep_weights="best")])
def test_validation_is_needed(tiny_dataset: Dataset, stopping: Stopping) -> None:
    with pytest.raises(ConfigError, match="no scorer for 'val'"):
        fit_flat(linear(), tiny_dataset, stopping=stopping, score=("test",))


# In a run: its metrics, its report, the terminal, and where it goes on.


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("data") / "data.npz")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], None]:
    """Have runs find these accuracies on their validation images, one after the other."""

    def script(accuracies: Sequence[float]) -> None:
        values = iter(accuracies)

        def scorers(dataset: Dataset, *splits: str) -> dict[str, Callable[[nn.Module], Evaluation]]:
            def score(model: nn.Module) -> Evaluation:
                return dataclasses.replace(evaluate(model, dataset, "val"), accuracy=next(values), loss=1.0)

            assert splits == ("val",)
            return {"val": score}

        monkeypatch.setattr("thumbnet.runs.fit_and_write.scorers", scorers)

    return script


def stopping_config(data: Path, **fields: Any) -> TrainConfig:
    return small_config(data, **{"epochs": 8, "patience": 2, "keep_weights": "best", **fields})


def quiet_train(config: TrainConfig, path: Path, **arguments: Any) -> Run:
    return train(config, run_dir=path, pictures=False, **{"log_style": "silent", **arguments})


def test_a_run_says_where_and_why_it_ended(
    data: Path, tmp_path: Path, scripted: Callable[[Sequence[float]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(ACCURACIES)
    run = quiet_train(stopping_config(data), tmp_path / "run", log_style="auto")
    said = capsys.readouterr().err
    assert "The training ends where 2 epochs brought no better validation accuracy; the weights of the best" in said
    early = "Ended early, after epoch 4 of 8: 2 epochs brought no better validation accuracy than epoch 2."
    best = "The weights are those of epoch 2 of 4, the best on validation"
    assert early in said
    assert best in said
    found = {name: run.metrics[name] for name in ("epochs", "stopped_early", "stopped_by", "best_epoch", "kept_epoch")}
    assert found == {"epochs": 4, "stopped_early": True, "stopped_by": "patience", "best_epoch": 2, "kept_epoch": 2}
    assert run.metrics["val_accuracy"] == ACCURACIES[1]
    assert (run.config.epochs, len(run.history)) == (8, 4)
    dataset, _ = load_data(run.config, say=say_nothing)
    assert evaluate(run.model, dataset).accuracy == run.metrics["test_accuracy"]
    assert dict(report_facts(run.config, dataset, run.metrics, None))["epochs"].startswith("4 of 8,")
    notes = report_notes(run.config, dataset, run.metrics, None)
    assert early in notes
    assert any(note.startswith(best) and "too good" in note for note in notes)
    assert "after 4 epochs" in described(run)[0]
    kept = RunDir(run.path).read_checkpoint()
    assert kept is not None
    assert kept.state.best is not None
    assert all(kept.state.best[name].equal(tensor) for name, tensor in run.model.state_dict().items())


def test_a_run_that_nothing_can_stop_has_no_word_of_it(small_run: Path) -> None:
    run = load_run(small_run)
    assert not {"stopped_early", "stopped_by", "best_epoch", "kept_epoch"} & run.metrics.keys()
    assert run.config.stopping == Stopping()
    assert announce_stopping(run.config, None) == ""


def test_minutes_may_be_left_over_and_that_is_said(data: Path) -> None:
    assert "even if that takes less than 10 minutes;" in announce_stopping(stopping_config(data), 10.0)


def test_what_epochs_are_compared_by_is_named_where_the_classes_weigh_the_same(data: Path) -> None:
    config = stopping_config(data, class_weights="balanced")
    assert "2 epochs brought no better balanced accuracy on validation;" in announce_stopping(config, None)
    assert "no better validation accuracy;" in announce_stopping(config, None, has_several_labels=True)
    ended = {**load_metrics(), "stopped_early": True, "stopped_by": "patience", "best_epoch": 2, "epochs": 4}
    early = "Ended early, after epoch 4 of 8: 2 epochs brought no better balanced accuracy on validation than epoch 2."
    assert early in describe_stopping(config, ended)
    of_labels = describe_stopping(config, {**ended, "test_hamming_loss": 0.25})
    assert early.replace("balanced accuracy on validation", "validation accuracy") in of_labels


def test_a_run_that_was_interrupted_ends_early_all_the_same(
    data: Path, tmp_path: Path, scripted: Callable[[Sequence[float]], None]
) -> None:
    """Once before its best epoch, once after."""

    def interrupts(state: TrainingState) -> None:
        if state.epoch in (1, 3):
            raise KeyboardInterrupt

    scripted(ACCURACIES)
    whole = quiet_train(stopping_config(data), tmp_path / "whole")
    scripted(ACCURACIES)
    with pytest.raises(KeyboardInterrupt):
        quiet_train(stopping_config(data), tmp_path / "run", on_epoch_end=interrupts)
    scripted(ACCURACIES[1:])
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run", log_style="silent", pictures=False, on_epoch_end=interrupts)
    scripted(ACCURACIES[3:])
    resumed = resume(tmp_path / "run", log_style="silent", pictures=False)
    assert (resumed.metrics["epochs"], resumed.metrics["kept_epoch"]) == (4, 2)
    assert resumed.metrics["val_accuracy"] == ACCURACIES[1]
    assert all(
        a.equal(b) for a, b in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    )


def test_a_run_that_was_told_to_stop_does_not_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # it ends after the last checkpoint, before its results
        patch.setattr("thumbnet.runs.files.folder.RunDir.write_metrics", None)
        with pytest.raises(TypeError):
            quiet_train(small_config(data, epochs=3), tmp_path / "run", on_epoch_end=stops_after(2))
    seen: list[int] = []
    resumed = resume(
        tmp_path / "run", log_style="silent", pictures=False, on_epoch_end=lambda state: seen.append(state.epoch)
    )
    assert seen == []
    assert (resumed.metrics["epochs"], resumed.metrics["stopped_by"]) == (2, "callback")
    assert resumed.metrics["kept_epoch"] == 2


def test_an_error_in_a_callback_ends_the_run_which_goes_on_to_the_same_end(
    data: Path, tmp_path: Path, small_run: Path
) -> None:
    def fails(state: TrainingState) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        quiet_train(small_config(data, epochs=2), tmp_path / "run", on_epoch_end=fails)
    with pytest.raises(RunError, match="not finished"):
        load_run(tmp_path / "run")
    seen: list[int] = []
    resume(tmp_path / "run", log_style="silent", pictures=False, on_epoch_end=lambda state: seen.append(state.epoch))
    assert seen == [2]
    weights = "model.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (small_run / weights).read_bytes()


def test_steps_are_those_that_were_made(data: Path, tmp_path: Path) -> None:
    config = small_config(data, epochs=0, steps=7)
    run = quiet_train(config, tmp_path / "run", on_epoch_end=stops_after(2))
    whole = quiet_train(config, tmp_path / "whole")
    per_epoch = -(-run.card.num_train // 16)
    assert (run.metrics["epochs"], run.metrics["steps"]) == (2, 2 * per_epoch)
    assert whole.metrics["steps"] == 7
    seconds = run.metrics["train_s"]
    assert isinstance(seconds, float)
    assert run.metrics["images_per_s"] == pytest.approx(2 * run.card.num_train / seconds)


@pytest.mark.parametrize("fields", [{"patience": 2}, {"keep_weights": "best"}])
def test_a_run_without_validation_images_is_refused(data: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no images are held out for validation"):
        quiet_train(small_config(data, val_fraction=0.0, **fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_short_training_that_something_is_chosen_by_goes_on_to_its_end(data: Path) -> None:
    config = stopping_config(data)
    dataset, resolved = load_data(config, say=say_nothing)
    assert isinstance(train_shortly(resolved, dataset, steps=1), nn.Module)


@pytest.mark.parametrize("command", [["find-lr"], ["data", "check", "--out", "check"]], ids=["find-lr", "data check"])
def test_verbs_that_could_not_obey_it_refuse_it(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--data", "digits", "--set", "patience=3"]) == 2
    assert "patience is set, but has no effect here" in capsys.readouterr().err


def test_trainings_on_several_folds_say_how_many_ended_early(data: Path) -> None:
    metrics = load_metrics()
    several = [{**metrics, "stopped_early": early, "epochs": 4} for early in (True, False, True)]
    best = "The weights of each are those of its best epoch on its own validation images."
    config, ended = stopping_config(data), "2 of 3 trainings ended early, before"
    assert describe_stopping_of_several(3 * [config], several) == [f"{ended} epoch 8.", best]
    paced = [config, config.replace(epochs=11), config.replace(epochs=9)]
    assert describe_stopping_of_several(paced, several) == [f"{ended} their last epochs, 8 to 11.", best]
    assert describe_stopping_of_several([small_config(data)], [metrics]) == []


def load_metrics() -> dict[str, object]:
    """Those that every metrics.json has."""
    return {
        "model": "sprint", "data": "digits", "test_accuracy": 0.5, "test_loss": 1.0, "num_test": 8, "num_params": 10,
        "macs": 10, "epochs": 8, "train_s": 1.0, "images_per_s": 10.0, "device": "cpu", "num_threads": 1,
        "machine": "a machine",
    }  # fmt: skip

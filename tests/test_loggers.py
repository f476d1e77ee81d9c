"""Loggers: a run's figures for TensorBoard, read back by TensorBoard's own reader, with and without interruptions."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from small_runs import small_config, write_small_data
from thumbnet.cli import build_parser, main
from thumbnet.config import config_to_toml
from thumbnet.errors import ConfigError, ExtraMissingError, RunError
from thumbnet.runs.loggers import loggers_to_go_on, opened_logs
from thumbnet.runs.resume import resume
from thumbnet.runs.run import Run, load_run
from thumbnet.runs.seeds.train import resume_seeds, train_seeds
from thumbnet.runs.tensorboard import TensorBoardLog, scalars_of
from thumbnet.runs.train import train
from thumbnet.specs import extras
from thumbnet.specs.loggers import LOGGERS, check_loggers
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.state import TrainingState

TENSORBOARD = ["tensorboard"]
LOG = "thumbnet.runs.tensorboard.TensorBoardLog"


@pytest.fixture(autouse=True)
def files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads event files by their names, which have the second, the process and a number in it: here all of
    a run are of one second and one process, and 10 would come before 9."""
    from tensorboard.summary.writer import event_file_writer

    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("data") / "data.npz")


def quiet_train(data: Path, path: Path, **arguments: Any) -> Run:
    fields = {name: arguments.pop(name) for name in ("epochs", "score_every") if name in arguments}
    config = small_config(data, **{"epochs": 3, **fields})
    return train(config, run_dir=path, log_style="silent", pictures=False, loggers=TENSORBOARD, **arguments)


def logged(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator

    return EventAccumulator(str(folder), size_guidance={SCALARS: 0, IMAGES: 0}).Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = logged(folder)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def assert_whole(run: Run) -> None:
    """The log has each epoch of the history once, with its numbers, and the figures of the test images once."""
    found = scalars(run.path / "tensorboard")
    by_epoch = {tag: values for tag, values in found.items() if not tag.startswith("final/")}
    assert set(by_epoch) == {tag for record in run.history for tag in scalars_of(record)}
    for tag, values in by_epoch.items():
        expected = [(each.epoch, scalars_of(each)[tag]) for each in run.history if tag in scalars_of(each)]
        assert [step for step, _ in values] == [step for step, _ in expected], tag
        assert [value for _, value in values] == pytest.approx([value for _, value in expected], rel=1e-6), tag
    final = found["final/test_accuracy"]
    assert final == [(len(run.history), pytest.approx(run.metrics["test_accuracy"], rel=1e-6))]


def test_a_run_is_logged_epoch_by_epoch(data: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def looks(state: TrainingState) -> None:
        seen.append(len(scalars(tmp_path / "run" / "tensorboard")["train/loss"]))

    run = quiet_train(data, tmp_path / "run", on_epoch_end=looks)
    assert seen == [1, 2, 3]  # it can be watched while it trains
    assert_whole(run)
    assert {"train/loss", "val/accuracy", "lr", "train_s", "images_per_s"} <= scalars(run.path / "tensorboard").keys()
    assert (run.path / "history.csv").is_file()


def test_a_run_logs_its_pictures(data: Path, tmp_path: Path) -> None:
    run = train(small_config(data), run_dir=tmp_path / "run", log_style="silent", loggers=TENSORBOARD)
    assert logged(run.path / "tensorboard").Tags()["images"] == ["test/confusion_matrix", "test/misclassified"]


@pytest.mark.parametrize("score_every", [1, 2])
def test_an_interrupted_run_has_no_epoch_twice_and_none_is_missing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score_every: int
) -> None:
    """It ends after the log of an epoch, then between a checkpoint and its log, then before metrics.json."""

    def interrupts(state: TrainingState) -> None:
        raise KeyboardInterrupt

    def go_on() -> Run:
        return resume(tmp_path / "run", log_style="silent", pictures=False)

    with pytest.raises(KeyboardInterrupt):
        quiet_train(data, tmp_path / "run", epochs=5, score_every=score_every, on_epoch_end=interrupts)
    epochs_end = TensorBoardLog.epochs_end

    def fails_later(log: TensorBoardLog, history: History) -> None:
        if len(history) > score_every:
            raise KeyboardInterrupt
        epochs_end(log, history)

    with monkeypatch.context() as patch:
        patch.setattr(f"{LOG}.epochs_end", fails_later)
        with pytest.raises(KeyboardInterrupt):
            go_on()
    with monkeypatch.context() as patch:
        patch.setattr("thumbnet.runs.files.folder.RunDir.write_metrics", None)
        with pytest.raises(TypeError):
            go_on()
    run = go_on()
    assert len(run.history) == 5
    assert_whole(run)


def test_a_run_may_be_logged_from_where_it_goes_on(data: Path, tmp_path: Path) -> None:
    def interrupts(state: TrainingState) -> None:
        raise KeyboardInterrupt

    config = small_config(data, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False, on_epoch_end=interrupts)
    assert not (tmp_path / "run" / "tensorboard").exists()
    options = ["--log-style", "silent", "--no-pictures", "--logger", "tensorboard"]
    assert main(["train", "--resume", str(tmp_path / "run"), *options]) == 0
    assert_whole(load_run(tmp_path / "run"))


def test_each_seed_has_its_own_log_also_where_they_go_on(data: Path, tmp_path: Path) -> None:
    def interrupts(*arguments: object) -> None:
        raise KeyboardInterrupt

    config = small_config(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{LOG}.run_ends", interrupts)
        with pytest.raises(KeyboardInterrupt):
            train_seeds(
                config, num_seeds=2, run_dir=tmp_path / "runs", log_style="silent", pictures=False, loggers=TENSORBOARD
            )
    for run in resume_seeds(tmp_path / "runs", log_style="silent", pictures=False).runs:
        assert_whole(run)


def test_pictures_of_the_end_are_in_the_log(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "confusion.png")
    Image.fromarray(pixels[::-1]).save(tmp_path / "misclassified.png")
    history = History((EpochRecord(1, 0.1, 1.0, 0.5, None, None, None, None, 1.0, 100.0),))
    metrics = {"test_accuracy": 0.5, "num_test": 8, "test_auc": None}
    for _ in range(2):  # killed before metrics.json, and again
        with opened_logs(TENSORBOARD, tmp_path, history=history, score_every=1) as logs:
            logs.run_ends(metrics)
    found = logged(tmp_path / "tensorboard")
    assert found.Tags()["images"] == ["test/confusion_matrix", "test/misclassified"]
    for tag, expected in (("test/confusion_matrix", pixels), ("test/misclassified", pixels[::-1])):
        (event,) = found.Images(tag)
        assert event.step == 1
        with Image.open(io.BytesIO(event.encoded_image_string)) as picture:
            assert np.array_equal(np.asarray(picture), expected)
    assert scalars(tmp_path / "tensorboard")["final/test_accuracy"] == [(1, 0.5)]
    assert "final/test_auc" not in scalars(tmp_path / "tensorboard")


def test_the_tags_of_an_epoch() -> None:
    record = EpochRecord(2, 0.1, 1.0, 0.5, 0.9, 0.6, None, None, 3.0, 100.0, val_balanced_accuracy=0.55)
    assert scalars_of(record) == {
        "lr": 0.1, "train/loss": 1.0, "train/accuracy": 0.5, "val/loss": 0.9, "val/accuracy": 0.6, "train_s": 3.0,
        "images_per_s": 100.0, "val/balanced_accuracy": 0.55,
    }  # fmt: skip


def test_a_log_that_cannot_be_written_is_told(data: Path, tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file in its place")
    with (
        pytest.raises(RunError, match="tensorboard cannot be written"),
        opened_logs(TENSORBOARD, tmp_path, history=History(), score_every=1),
    ):
        pass


def test_a_full_disk_is_told_without_the_traceback_of_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard writes in a thread, whose traceback would stand before the error; pytest makes an error of it."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    def write(writer: RecordWriter, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RecordWriter, "write", write)
    before = threading.excepthook
    with (
        pytest.raises(RunError, match=r"tensorboard cannot be written: .*No space left"),
        opened_logs(TENSORBOARD, tmp_path, history=History(), score_every=1),
    ):
        pass
    assert threading.excepthook is before


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)


@pytest.mark.usefixtures("not_installed")
def test_a_missing_package_is_named_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExtraMissingError, match="the logger tensorboard needs tensorboard") as caught:
        train(small_config(tmp_path / "no such file.npz"), loggers=TENSORBOARD)
    assert "thumbnet[tensorboard]" in caught.value.hint
    assert main(["train", "--data", "no-such-data", "--logger", "tensorboard"]) == 2
    assert "thumbnet[tensorboard]" in capsys.readouterr().err


@pytest.mark.parametrize(("names", "hint"), [("tensorboard", "a list"), (["tensorbord"], "did you mean")])
def test_what_is_no_logger_is_refused(names: Any, hint: str) -> None:
    with pytest.raises(ConfigError, match="logger") as caught:
        check_loggers(names)
    assert hint in caught.value.hint


def test_the_command_takes_loggers_by_name(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.toml").write_text(config_to_toml(small_config(data)))
    options = ["--recipe", str(tmp_path / "small.toml"), "--log-style", "silent", "--no-pictures"]
    assert main(["train", *options, "--run-dir", str(tmp_path / "run"), "--logger", "tensorboard"]) == 0
    assert_whole(load_run(tmp_path / "run"))
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "--logger", "csv"])
    assert "tensorboard" in capsys.readouterr().err


def test_loggers_are_found_again(tmp_path: Path) -> None:
    assert loggers_to_go_on([], tmp_path) == ()
    assert loggers_to_go_on(TENSORBOARD, tmp_path) == ("tensorboard",)
    (tmp_path / "seed-0" / LOGGERS[0]).mkdir(parents=True)
    assert loggers_to_go_on([], tmp_path) == LOGGERS
    assert loggers_to_go_on([], tmp_path / "seed-0") == LOGGERS

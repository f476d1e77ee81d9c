"""Several trainings at once: the same bits, and one that dies takes no other with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.sources import load_dataset
from thumbnet.data_check.check import check_data
from thumbnet.errors import ConfigError, JobsFailedError
from thumbnet.runs.folds.train import train_folds
from thumbnet.runs.jobs.job import Job, Outcome, Setting, check_all_done
from thumbnet.runs.jobs.local import LocalWorkers
from thumbnet.runs.jobs.run_jobs import run_jobs
from thumbnet.runs.run import load_run
from thumbnet.runs.seeds.train import train_seeds
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.processors import num_processors

QUIET: dict[str, Any] = {"log_style": "silent", "pictures": False}

# An augmentation of the user's own that ends its process where a file is, which it removes first; the command's own
# process, which looks at the augmentation beforehand, goes on.
DEADLY = """
import multiprocessing, os
from pathlib import Path

FLAG = Path({flag!r})

def deadly(images):
    if multiprocessing.current_process().name == "MainProcess":
        return images
    try:
        FLAG.unlink()
    except FileNotFoundError:
        return images
    os.kill(os.getpid(), 9)
"""


def threads_of(setting: Setting) -> tuple[int, int, str, int]:
    return setting.threads, torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.getpid()


def refuses(setting: Setting) -> None:
    raise ConfigError("no data", hint="give some")


def fails(setting: Setting) -> None:
    raise ZeroDivisionError("of our own")


def dies(setting: Setting) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def gives_what_cannot_be_sent(setting: Setting) -> object:
    return threading.Lock()


def leaves(setting: Setting) -> None:
    sys.exit("nothing to do")


class Exits:
    """Something that ends the process which pickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        sys.exit(0)


def gives_what_exits(setting: Setting) -> object:
    return Exits()


def refuses_here() -> None:
    if multiprocessing.current_process().name == "MainProcess":
        raise ImportError("of the other process only")


class OnlyThere:
    """Something that can be read in the process which made it, and not in this one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return refuses_here, ()


def gives_what_cannot_be_read_here(setting: Setting) -> object:
    return OnlyThere()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    calls = {
        "one": threads_of,
        "refuses": refuses,
        "fails": fails,
        "dies": dies,
        "odd": gives_what_cannot_be_sent,
        "leaves": leaves,
        "exits": gives_what_exits,
        "there": gives_what_cannot_be_read_here,
        "other": threads_of,
    }
    done = run_jobs([Job(name, call) for name, call in calls.items()], AtOnce(jobs=2), threads=3, say=print)
    assert [outcome.name for outcome in done] == list(calls)
    return {outcome.name: outcome for outcome in done}


def test_each_job_is_done_in_a_process_with_its_threads(outcomes: dict[str, Outcome]) -> None:
    for name in ("one", "other"):
        assert isinstance(outcomes[name].value, tuple)
        threads, computing, limit, process = outcomes[name].value
        assert (threads, computing, limit) == (3, 3, "3")
        assert process != os.getpid()


def test_what_failed_is_told_with_its_own_error(outcomes: dict[str, Outcome]) -> None:
    assert (outcomes["refuses"].error, outcomes["refuses"].hint) == ("no data", "give some")
    assert outcomes["fails"].error == "ZeroDivisionError: of our own"
    assert outcomes["dies"].error == "its process ended (SIGKILL(-9))"
    assert str(outcomes["odd"].error).startswith("its result cannot be sent back: ")
    assert outcomes["leaves"].error == "SystemExit: nothing to do"
    assert outcomes["exits"].error == "its result cannot be sent back: SystemExit: 0"
    assert outcomes["there"].error == "its result cannot be read here: ImportError: of the other process only"
    with pytest.raises(JobsFailedError, match=r"(?s)7 of 9 jobs failed:\n  refuses: no data \(give some\)\n  fails: "):
        check_all_done(list(outcomes.values()), hint="try again")


def test_only_what_was_killed_has_died(outcomes: dict[str, Outcome]) -> None:
    assert [name for name, outcome in outcomes.items() if outcome.has_died] == ["dies"]


def test_a_process_that_died_with_nothing_to_do_is_replaced() -> None:
    with LocalWorkers(1, threads=1) as workers:

        def process_of(name: str) -> int:
            assert workers.begin(Job(name, threads_of))
            found: list[Outcome] = []
            wait_for(lambda: found.extend(workers.ended()) or found, seconds=300.0)
            assert isinstance(found[0].value, tuple), found[0].error
            return int(found[0].value[-1])

        first = process_of("first")
        assert process_of("second") == first
        (idle,) = workers._idle
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: idle._flags.broken)
        assert process_of("third") != first


def test_threads_are_the_share_of_the_processors_unless_they_are_given() -> None:
    assert AtOnce(jobs=2).threads_here(None, num_runs=None) == max(1, num_processors() // 2)
    assert AtOnce(jobs=1000).threads_here(None, num_runs=1000) == 1
    assert AtOnce(jobs=8).threads_here(None, num_runs=1) == num_processors()
    assert AtOnce(jobs=2).threads_here(5, num_runs=8) == 5
    assert AtOnce().threads_here(None, num_runs=8) is None
    for jobs in (0, 1025):
        with pytest.raises(ConfigError, match=f"jobs is {jobs}"):
            AtOnce(jobs=jobs)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One thread, an augmentation that can kill, and a flag beside it that is not there yet."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "aug.py").write_text(DEADLY.format(flag=str(folder / "flag")))
    config = small_config(write_small_data(folder / "data.npz"), epochs=2, threads=1, augmentation="aug.py:deadly")
    (folder / "small.toml").write_text(config_to_toml(config))
    return folder / "small.toml"


@pytest.fixture(scope="module")
def one_after_the_other(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one") / "seeds"
    assert main([*command(recipe, folder), "--log-style", "silent"]) == 0
    return folder


def command(recipe: Path, folder: Path, *more: str) -> list[str]:
    return ["train", "--recipe", str(recipe), "--seeds", "3", "--run-dir", str(folder), "--no-pictures", *more]


def test_one_that_is_killed_is_told_the_others_go_on_and_a_resume_does_what_is_missing(
    recipe: Path, one_after_the_other: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (recipe.parent / "flag").touch()
    folder = tmp_path / "seeds"
    assert main(command(recipe, folder, "--jobs", "2")) == 1
    said = capfd.readouterr().err
    names = {f"seed-{seed}" for seed in range(3)}
    finished = {name for name in names if (folder / name / "metrics.json").exists()}
    (killed,) = names - finished
    assert f"{killed}: failed: its process ended (SIGKILL(-9))" in said
    assert f"1 of 3 jobs failed:\n  {killed}: its process ended (SIGKILL(-9))" in said
    assert f"hint: train what is missing with: thumbnet train --resume {folder}" in said
    for name in finished:
        assert any(line.startswith(f"{name}: epoch 2/2  loss ") for line in said.splitlines())
    assert not (folder / "metrics.json").exists()
    before = {name: (folder / name / "metrics.json").stat().st_mtime_ns for name in finished}

    assert main(["train", "--resume", str(folder), "--jobs", "2", "--no-pictures"]) == 0
    assert before == {name: (folder / name / "metrics.json").stat().st_mtime_ns for name in finished}
    assert f"{killed}: finished, test accuracy" in capfd.readouterr().err
    for name in names:
        assert_same_bits(folder / name, one_after_the_other / name)


def assert_same_bits(path: Path, other: Path) -> None:
    for name in ("model.safetensors", "config.toml", "predictions.csv"):
        assert (path / name).read_bytes() == (other / name).read_bytes()
    times = ("train_s", "images_per_s")
    rows = [[{k: v for k, v in row.items() if k not in times} for row in load_run(each).history.to_rows()]
            for each in (path, other)]  # fmt: skip
    assert rows[0] == rows[1]


@pytest.mark.services
def test_folds_and_what_was_given_in_python(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), threads=1)

    class Flat(torch.nn.Sequential):
        def __init__(self, num_classes: int, in_channels: int) -> None:
            super().__init__(torch.nn.Flatten(), torch.nn.Linear(256 * in_channels, num_classes))

    one = train_folds(config, num_folds=2, run_dir=tmp_path / "one", **QUIET)
    two = train_folds(config, num_folds=2, run_dir=tmp_path / "two", jobs=2, **QUIET)
    for run, other in zip(one.runs, two.runs, strict=True):
        assert_same_bits(run.path, other.path)
    open_config, share = config.replace(threads=None), max(1, num_processors() // 2)
    given = train_seeds(open_config, num_seeds=2, run_dir=tmp_path / "given", model=Flat, jobs=2, **QUIET)
    assert [run.config.model for run in given.runs] == ["given:Flat"] * 2
    assert [run.config.engine.threads for run in given.runs] == [share, share]
    assert given.runs[0].asked is not None
    assert given.runs[0].asked.engine.threads is None


@pytest.mark.services
def test_what_a_process_reads_must_be_the_data_that_the_command_was_given(tmp_path: Path) -> None:
    """A dataset that was changed after it was read is not what the other processes read by its name."""
    config = small_config(write_small_data(tmp_path / "data.npz"), threads=1)
    dataset = load_dataset(config.data, val_fraction=0.2)
    fewer = dataset.with_train(dataset.train.select(range(20)))
    alone = train_seeds(config, num_seeds=1, run_dir=tmp_path / "alone", dataset=fewer, **QUIET)
    assert alone.runs[0].card.num_train == 20
    with pytest.raises(JobsFailedError, match="seeds was started on other data: the checksum of its images"):
        train_seeds(config, num_seeds=2, run_dir=tmp_path / "seeds", dataset=fewer, jobs=2, **QUIET)
    assert not list((tmp_path / "seeds").glob("seed-*"))  # told before anything was trained


@pytest.mark.services
def test_a_check_of_data_gives_the_same_though_a_training_is_killed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, flag = small_config(write_small_data(tmp_path / "data.npz"), threads=1), tmp_path / "flag"

    def deadly(images: torch.Tensor) -> torch.Tensor:
        if multiprocessing.current_process().name != "MainProcess":
            with suppress(FileNotFoundError):
                flag.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return images

    flag.touch()
    options: dict[str, Any] = {"num_folds": 2, "num_repeats": 2, "augmentation": deadly}
    checks = [check_data(config, out=tmp_path / f"{jobs}", jobs=jobs, **options) for jobs in (1, 2)]
    assert not flag.exists()
    assert "its process ended (SIGKILL(-9)): it is done once more, after the others" in capfd.readouterr().err
    for name in ("scores.csv", "suspects.csv", "check.json"):
        assert (checks[0].path / name).read_text() == (checks[1].path / name).read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--jobs", "2"], "--jobs is given, but this is one training"),
        (["train", "--seeds", "2", "--jobs", "0"], "jobs is 0"),
        (["train", "--seeds", "2", "--scheduler", "here"], "scheduler is 'here'"),
        (
            ["train", "--seeds", "2", "--minutes", "3", "--scheduler", "tcp://h:1", "--data", "digits"],
            "minutes is given",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


# A training that never ends, of which each process tells its number in a file.
ENDLESS = """
import multiprocessing, os, time
from pathlib import Path

def endless(images):
    if multiprocessing.current_process().name == "MainProcess":
        return images
    (Path({folder!r}) / f"worker-{{os.getpid()}}").touch()
    time.sleep(0.1)
    return images
"""


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "aug.py").write_text(ENDLESS.format(folder=str(tmp_path)))
    data = write_small_data(tmp_path / "data.npz")
    config: TrainConfig = small_config(data, epochs=100_000, threads=1, augmentation="aug.py:endless")
    (tmp_path / "small.toml").write_text(config_to_toml(config))
    arguments = command(tmp_path / "small.toml", tmp_path / "seeds", "--jobs", "2", "--log-style", "silent")
    hears = ["env", "--default-signal=INT"]  # also where these tests run in the background, which ignores it
    process = subprocess.Popen(
        [*hears, sys.executable, "-m", "thumbnet", *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: len(workers(tmp_path)) >= 2)
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def workers(folder: Path) -> list[int]:
    """The processes that train."""
    return [int(path.name.partition("-")[2]) for path in folder.glob("worker-*")]


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(holds: Any, *, seconds: float = 60.0) -> None:
    end_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.1)


@pytest.mark.services
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_or_a_kill_of_the_command_ends_all(
    number: signal.Signals, endless: subprocess.Popen[str], tmp_path: Path
) -> None:
    endless.send_signal(number)
    assert endless.wait(timeout=60) == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_for(lambda: not any(is_alive(process) for process in workers(tmp_path)))

"""A command that a launcher starts again goes on with the run that it had begun, by code of the user's own, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch.distributed import HashStore

import thumbnet
from small_runs import small_config, write_small_data
from test_own_code import NET
from test_ranks import environment
from thumbnet.errors import RunError
from thumbnet.specs import own_code
from thumbnet.specs.trust import is_trusted
from thumbnet.training import ranks
from thumbnet.training.ranks import _Current


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is all that a launcher started, whose store outlives its trainings."""
    store = HashStore()
    monkeypatch.setattr(ranks, "open_store", lambda *_: store)
    monkeypatch.setattr(_Current, "ranks", None)
    monkeypatch.setattr(_Current, "number", 0)
    for name, value in (environment(0, 29500) | {"WORLD_SIZE": "1"}).items():
        monkeypatch.setenv(name, value)


def interrupts(_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("launched")
def test_the_file_that_the_command_names_is_trusted_again_as_long_as_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net, path = tmp_path / "net.py", tmp_path / "run"
    net.write_text(NET)
    own = {"model": f"{net}:Net", "model_options": {}, "augmentation": f"{net}:noise", "flip": False}
    config = small_config(write_small_data(tmp_path / "set.npz"), epochs=2, **own)

    def train(**arguments: Any) -> thumbnet.Run:
        monkeypatch.setattr(own_code, "_executed", {})  # as in a new process
        return thumbnet.train(config, run_dir=path, log_style="reference", pictures=False, **arguments)

    with pytest.raises(KeyboardInterrupt):
        train(on_epoch_end=interrupts)
    run = train()
    assert run.path == path
    assert len(run.history) == 2
    assert "after epoch 1 of 2" in capsys.readouterr().err
    net.write_text(f"{NET}\n# edited\n")
    with pytest.raises(RunError, match="which would be executed"):
        train()


def test_another_process_has_a_run_that_was_finished_before_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which it has executed nothing: nobody sent it the code, since nothing is trained."""
    net = tmp_path / "net.py"
    net.write_text(NET)
    own = {"model": f"{net}:Net", "model_options": {}, "augmentation": "none"}
    config = small_config(write_small_data(tmp_path / "set.npz"), epochs=1, **own)
    finished = thumbnet.train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    monkeypatch.setattr(own_code, "_executed", {})
    monkeypatch.setattr("thumbnet.runs.ranks.follow", lambda _: finished.path)
    for name, value in environment(1, 29500).items():
        monkeypatch.setenv(name, value)
    run = thumbnet.train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert type(run.model).__name__ == "Net"
    assert not is_trusted()

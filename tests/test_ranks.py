"""Training by two processes on loopback: one process's losses, and equal weights in both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from rank_trainings import CASES, PLANNED_EPOCHS, fail_in_the_first, in_two, train
from thumbnet.cli import main, ranks
from thumbnet.errors import ConfigError
from thumbnet.kernels import sync_norm
from thumbnet.kernels.choice import using_kernels
from thumbnet.kernels.library import can_load, load_kernels
from thumbnet.kernels.sync_norm import norms_of, synchronised
from thumbnet.models.registry import create_model
from thumbnet.specs.launch import Launch, launch_of
from thumbnet.training.rank_store import meet
from thumbnet.training.ranks import _Current, joined

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def environment(rank: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the first of two processes, this one, saw of the cases, and the weights that the second one ended with."""
    out, port = tmp_path_factory.mktemp("ranks") / "weights.pt", free_port()
    command = [sys.executable, str(HERE / "rank_trainings.py"), str(out)]
    with subprocess.Popen(command, env=os.environ | environment(1, port)) as second:
        launch = launch_of(environment(0, port))
        assert launch is not None
        with joined(launch) as ranks:
            done = in_two(ranks, tuple(CASES))
        fail_in_the_first(launch)
        with joined(launch) as ranks:
            done["again"] = train("mixup", ranks)
        assert second.wait(60) == 0
    return done, torch.load(out, weights_only=True)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_losses_of_one(name: str, two: tuple[dict[str, Any], dict[str, Any]]) -> None:
    alone, _ = train(name, None)
    together, _ = two[0][name]
    assert len(alone) == len(together) >= 4
    if name != "fewer images":  # of which a norm of one value a channel makes much of the least rounding
        for (loss, accuracy), (other_loss, other_accuracy) in zip(alone, together, strict=True):
            assert other_loss == pytest.approx(loss, rel=0.02 if "bfloat16" in name else 1e-4)
            assert other_accuracy == pytest.approx(accuracy, abs=0.1 if "bfloat16" in name else 1e-6)


@pytest.mark.parametrize("name", [*CASES, "parts", "compiled", "stopped", "paced", "again"])
def test_both_processes_have_the_same_weights(name: str, two: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, weights = two[0][name]
    assert all(torch.equal(weights[key], other) for key, other in two[1][name].items())


def test_a_pace_that_the_first_process_changes_is_that_of_both(two: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Otherwise the second one would wait for sums that never come; their weights are compared above."""
    as_planned = len(two[0]["mixup"][0]) // 2 * PLANNED_EPOCHS
    assert 2 < len(two[0]["paced"][0]) < 0.7 * as_planned


def test_an_end_that_the_first_process_decides_is_that_of_both(two: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Otherwise the second one would wait for sums that never come; their weights are compared above."""
    whole = two[0]["mixup"][0]
    assert two[0]["stopped"][0] == whole[: len(whole) // 2]


def test_norms_of_parts_are_others(two: tuple[dict[str, Any], dict[str, Any]]) -> None:
    whole, parts = two[0]["mixup"][0], two[0]["parts"][0]
    assert parts[0][0] != pytest.approx(whole[0][0], rel=1e-4)
    assert parts[-1][0] == pytest.approx(whole[-1][0], rel=0.5)


def test_a_compiled_network_has_the_losses_of_the_same_parts(two: tuple[dict[str, Any], dict[str, Any]]) -> None:
    for (loss, _), (other_loss, _) in zip(two[0]["parts"][0], two[0]["compiled"][0], strict=True):
        assert other_loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("name", ["mixup", "sprint", "sprint, our kernels", "bfloat16, our kernels"])
def test_running_statistics_are_those_of_the_whole_batch(name: str, two: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, alone = train(name, None)
    tolerance = 0.05 if "bfloat16" in name else 1e-3
    for key, value in two[0][name][1].items():
        if "running" in key:
            assert torch.allclose(value, alone[key], rtol=tolerance, atol=tolerance * float(alone[key].abs().mean())), (
                key
            )


def test_a_launcher_says_it_by_all_its_variables_or_not_at_all() -> None:
    variables = environment(1, 29500)
    assert launch_of({}) is None
    assert launch_of({name: value for name, value in variables.items() if name != "RANK"}) is None
    assert launch_of(variables) == Launch(1, 1, 2, "127.0.0.1", 29500)
    with pytest.raises(ConfigError, match="RANK=two"):
        launch_of({**variables, "RANK": "two"})
    with pytest.raises(ConfigError, match="WORLD_SIZE=1"):
        launch_of({**variables, "WORLD_SIZE": "1"})


def test_processes_that_begin_again_meet_each_other_and_none_that_were_ended() -> None:
    """Whatever these left in the store, and whichever process comes first."""
    store, words = HashStore(), list[str]()
    with ThreadPoolExecutor() as pool:
        for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
            first, *others = [pool.submit(meet, store, rank, 3) for rank in order]
            word = first.result(10)
            assert [other.result(10) for other in others] == [word, word]
            words.append(word)
    assert len(set(words)) == 3


def ended_while_it_sleeps(seconds: float) -> None:
    """As torchrun ends a process once another one has failed."""
    if seconds:
        raise SystemExit(143)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models"], "`thumbnet models` is for one process, but torchrun started 2 processes"),
        (["train", "--seeds", "2"], "--seeds trains several networks, but torchrun started 2 processes"),
    ],
)
def test_what_is_for_one_process_is_refused_once(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ranks, "time", SimpleNamespace(sleep=ended_while_it_sleeps))
    monkeypatch.setattr(_Current, "ranks", None)
    for name, value in environment(0, 29500).items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    for name, value in environment(1, 29500).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="143"):
        main(arguments)
    assert capsys.readouterr().err.count(message) == 1


@pytest.mark.skipif(not can_load(), reason="there are no kernels for this machine")
def test_our_kernels_ask_for_sums_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    model, library, sizes = create_model("sprint", num_classes=3, seed=0), load_kernels(), list[int]()
    monkeypatch.setattr(sync_norm._Synchronised, "__call__", None)  # PyTorch's layers are not called
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    images = torch.randn(3, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with using_kernels(model, library), synchronised(model, lambda sums: sizes.append(len(sums)), library):
        model(images).sum().backward()
    forwards = [2 * norm.num_features + 1 for norm in norms_of(model)]
    assert sizes == [*forwards, *reversed(forwards)]
    with using_kernels(model, library):
        model(images)
    assert len(sizes) == 2 * len(forwards)

"""A process that fails before it has met the others says why, and these do not wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch.distributed import DistNetworkError, HashStore, PrefixStore, TCPStore
from torch.distributed.distributed_c10d import _get_process_group_name

from test_ranks import environment
from thumbnet.cli import main
from thumbnet.cli import ranks as cli_ranks
from thumbnet.errors import ConfigError, RankLostError, ThumbnetError, TrainingError
from thumbnet.specs.launch import Launch
from thumbnet.training import rank_failures, rank_group, rank_store, ranks
from thumbnet.training.rank_failures import FAILED, Failures, tell
from thumbnet.training.rank_group import begin_group, check_network
from thumbnet.training.rank_store import lost_where_it_fails, meet
from thumbnet.training.ranks import FAILURES, Ranks, _Current, current_ranks, joined, last_ranks

SECOND_MACHINE = Launch(rank=1, local_rank=0, size=2, address="127.0.0.1", port=29500)
SAME_MACHINE = Launch(rank=1, local_rank=1, size=2, address="127.0.0.1", port=29500)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the command slept in the place of being ended, in the unit of what torchrun is given."""
    times = list[float]()
    monkeypatch.setattr(cli_ranks, "ENDING_S", 1.0)
    monkeypatch.setattr(cli_ranks, "time", SimpleNamespace(sleep=times.append))
    monkeypatch.setattr(_Current, "ranks", None)
    return times


def waits_for_the_others(store: HashStore, rank: int, size: int) -> None:
    with pytest.raises(RankLostError, match="another process of this training has failed"):
        meet(store, rank, size)


@pytest.mark.parametrize(("rank", "has_begun"), [(0, "answer to 2"), (1, "asks 1")])
def test_nobody_waits_for_a_process_that_has_failed(rank: int, has_begun: str) -> None:
    store = HashStore()
    store.set("asks 2", "a number")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(waits_for_the_others, store, rank, 4)
        while not store.check([has_begun]):
            time.sleep(0.001)
        tell(store, 3)
        waiting.result(10)


def test_the_word_of_a_process_that_was_ended_is_taken_back() -> None:
    store = HashStore()
    tell(store, 1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(meet, store, 0, 2)
        assert meet(store, 1, 2) == first.result(10)
    tell(store, 1)
    Failures(store, 0)
    assert store.get(FAILED)  # it is another one's


def test_a_word_that_stays_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_failures, "STAYS_S", 0.05)
    store = HashStore()
    tell(store, 1)
    waits_for_the_others(store, 0, 2)


def test_a_process_is_one_of_several_before_it_has_met_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> str:
        raise TrainingError("no network", hint="")

    monkeypatch.setattr(ranks, "open_store", lambda *_: HashStore())
    monkeypatch.setattr(ranks, "meet", fails)
    monkeypatch.setattr(_Current, "ranks", None)
    monkeypatch.setattr(_Current, "number", 0)
    with pytest.raises(TrainingError, match="no network"), joined(SECOND_MACHINE):
        pass
    seen = last_ranks()
    assert seen is not None
    assert not seen.have_met
    assert current_ranks() is None
    monkeypatch.setattr(ranks, "meet", lambda *_: "word")
    with joined(Launch(0, 0, 1, "127.0.0.1", 29500)) as alone:
        assert alone.have_met


def test_an_interface_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_network(HashStore())
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nosuch0")
    with pytest.raises(TrainingError, match=r"no network for several processes \(.*nosuch0"):
        check_network(HashStore())


def test_a_group_that_failed_leaves_the_next_ones_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """By which the others look for this process: of another name, each would wait for the other."""
    with monkeypatch.context() as alone:
        alone.setattr(rank_group, "STEP_LIMIT", timedelta(seconds=0.2))
        with pytest.raises(RuntimeError):
            begin_group(HashStore(), 0, 2)
    begin_group(HashStore(), 0, 1)
    try:
        assert _get_process_group_name(dist.group.WORLD) == "0"
    finally:
        dist.destroy_process_group()


def test_no_word_is_waited_for_once_a_process_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "WORD_LIMIT_S", 0.5)
    here = Ranks(SECOND_MACHINE, 1)
    here._store = HashStore()
    here._store.add(FAILURES, 1)
    for waits in (lambda: here.agree(None), lambda: here.tell_all("here")):
        with pytest.raises(RankLostError, match="another process of this training has failed"):
            waits()


@pytest.mark.usefixtures("slept")
def test_a_process_that_lives_on_after_an_error_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a script that catches it; the command still shows it."""
    store, first = HashStore(), Launch(rank=0, local_rank=0, size=2, address="127.0.0.1", port=29500)
    monkeypatch.setattr(ranks, "open_store", lambda *_: store)
    monkeypatch.setattr(ranks, "meet", lambda *_: "word")
    monkeypatch.setattr(ranks, "check_network", lambda *_: None)
    monkeypatch.setattr(ranks, "begin_group", lambda *_: None)
    monkeypatch.setattr(ranks, "WORD_LIMIT_S", 0.5)
    monkeypatch.setattr(_Current, "number", 0)
    here = Ranks(SECOND_MACHINE, 1)
    here._store = PrefixStore("word", store)
    with pytest.raises(RankLostError, match="lost"), joined(first):
        raise LOST
    assert not here._store.check([FAILURES])  # it was left alone
    with pytest.raises(ConfigError, match="own"), joined(first):
        raise OWN
    with pytest.raises(RankLostError, match="another process of this training has failed"):
        here.agree(None)
    assert not cli_ranks.keeps_silent(first, OWN)


@pytest.mark.parametrize(
    ("waits", "who"),
    [(lambda here: here.agree(None), "the first process"), (lambda here: here.tell_all("here"), "another process")],
)
def test_a_word_is_waited_for_only_so_long(
    waits: Callable[[Ranks], object], who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "WORD_LIMIT_S", 0.05)
    here = Ranks(SECOND_MACHINE, 1)
    here._store = HashStore()
    with pytest.raises(TrainingError, match=f"{who} has not said how it goes on for") as caught:
        waits(here)
    assert not isinstance(caught.value, RankLostError)


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_do_not_begin_are_waited_for_only_so_long(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_store, "MEET_LIMIT_S", 0.05)
    with pytest.raises(RankLostError, match="another process of this training has not begun for"):
        meet(HashStore(), rank, 2)


def test_the_process_that_has_the_store_waits_only_so_long_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_store, "PART_LIMIT_S", 0.05)
    first, second = HashStore(), HashStore()
    rank_store.part(second, SECOND_MACHINE)  # which does not wait
    with pytest.raises(RankLostError, match=r"the training is done, .* has not heard so within 0\.05 seconds"):
        rank_store.part(first, Launch(0, 0, 2, "127.0.0.1", 29500))
    rank_store.part(second, Launch(0, 0, 2, "127.0.0.1", 29500))
    rank_store.part(first, Launch(0, 0, 2, "127.0.0.1", 29500, is_store_kept=True))


@pytest.mark.parametrize(
    ("error", "is_of_another"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711"), True),
        (DistNetworkError("the store is gone"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"), False),
        (NotImplementedError("no such operation on this device"), False),
    ],
)
def test_only_errors_of_communication_are_blamed_on_another_process(error: RuntimeError, is_of_another: bool) -> None:
    with pytest.raises(RankLostError if is_of_another else type(error)) as caught, lost_where_it_fails():
        raise error
    assert isinstance(caught.value, RankLostError) is is_of_another


OWN, LOST = ConfigError("own"), RankLostError("lost")


@pytest.mark.parametrize(
    ("launch", "error", "sleeps"),
    [(SECOND_MACHINE, OWN, 0), (SAME_MACHINE, OWN, 1), (SECOND_MACHINE, LOST, 1), (SAME_MACHINE, LOST, 2)],
)
@pytest.mark.parametrize("has_begun", [False, True])
def test_before_they_have_met_each_speaks_that_is_not_ended(
    launch: Launch,
    error: ThumbnetError,
    sleeps: int,
    has_begun: bool,
    slept: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_Current, "ranks", Ranks(launch, 1) if has_begun else None)
    assert not cli_ranks.keeps_silent(launch, error)
    assert sum(slept) == sleeps


@pytest.mark.parametrize("is_first_to_fail", [True, False])
@pytest.mark.parametrize("error", [OWN, LOST])
def test_once_they_have_met_only_who_fails_first_speaks(
    error: ThumbnetError, is_first_to_fail: bool, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Ranks(SECOND_MACHINE, 1)
    here.have_met, here._store = True, HashStore()
    here._store.add(FAILURES, 0 if is_first_to_fail else 1)
    monkeypatch.setattr(_Current, "ranks", here)
    assert cli_ranks.keeps_silent(SECOND_MACHINE, error) is not is_first_to_fail
    assert sum(slept) == (0 if error is OWN and is_first_to_fail else 1)


def test_the_second_machine_says_what_is_wrong_there_and_the_others_hear_of_it(
    slept: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    variables = environment(1, store.port) | {"LOCAL_RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in (variables | {"THUMBNET_CPU": "abacus"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_store, "_opened", {})
    assert main(["train"]) == 2
    assert capsys.readouterr().err.count("THUMBNET_CPU became 'abacus'") == 1
    assert sum(slept) == 0
    first = rank_store.open_store(Launch(0, 0, 2, "127.0.0.1", store.port, is_store_kept=True), 1)
    assert first.get(FAILED).decode().startswith("1 ")

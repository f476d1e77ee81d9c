"""The processes that train one model together, by torch.distributed: gloo on CPUs, NCCL on GPUs.

Each applies its own part of every batch. What they agree on goes through the launcher's store, which waits without
a limit of the network's own; numbers go through collective operations, which every process must take part in.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store

from thumbnet.errors import ConfigError, RankLostError, TrainingError
from thumbnet.specs.engine import Engine
from thumbnet.specs.launch import Launch
from thumbnet.training.rank_failures import another_failed
from thumbnet.training.rank_group import begin_group, check_network, wait_awake
from thumbnet.training.rank_store import lost_where_it_fails, meet, open_store, part, wait_for

WORD_LIMIT_S = 6 * 3600.0  # that it waits for the first one, which reads, plans or scores meanwhile
FOLDER = "run folder"  # the key under which it outlives a restart
FAILURES = "failures"  # the key of how many processes have failed since they met


@dataclass(frozen=True)
class Share:
    """The part of a batch that a process trains on: the positions of its images, and the factor by which the mean loss
    of these is a summand of the batch's. Counts are to be multiplied by `count_factor` before they are added up."""

    positions: Int64[Tensor, " m"]
    loss_factor: float
    count_factor: float


class Ranks:
    """The processes, as the one of this `launch` sees them; one may be all of them, started by a launcher.

    `number` counts the trainings that this process takes part in: what they say to each other is not mixed up. Until
    they `join`, each is alone.
    """

    def __init__(self, launch: Launch, number: int) -> None:
        self._launch, self._number = launch, number
        self.rank, self.size, self.local_rank = launch.rank, launch.size, launch.local_rank
        self.have_met = False
        self._kept: Store
        self._store: Store
        self._num_words = 0
        self.processors: frozenset[int] | None = None  # of its own, that this process trains on
        self._failure: BaseException | None = None
        self._is_first_to_fail: bool | None = None  # once this process has failed

    def join(self) -> None:
        """Meet the others.

        Raises:
            TrainingError: this machine has no network that they could reach it by.
            RankLostError: they cannot be reached, or one of them has failed.
        """
        self._kept = open_store(self._launch, self._number)
        if self.size > 1:
            check_network(PrefixStore(f"alone {self.rank}", self._kept))
        self._store = PrefixStore(meet(self._kept, self.rank, self.size), self._kept)
        self.have_met = True
        if self.size > 1:
            with lost_where_it_fails():
                begin_group(PrefixStore("group", self._store), self.rank, self.size)

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def part(self) -> None:
        """Be done with a training, which all processes end alike; RankLostError where one of them has not."""
        part(self._store, self._launch)

    def leave(self) -> None:
        """Take part no longer."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def share_of(self, num_images: int) -> Share:
        """This process's part of a batch of so many images: contiguous, and as long as the others' or one image longer.

        Of a batch with fewer images than there are processes, each trains on the whole.
        """
        if num_images < self.size:
            return Share(torch.arange(num_images), 1 / self.size, 1 / self.size)
        first, last = (num_images * rank // self.size for rank in (self.rank, self.rank + 1))
        return Share(torch.arange(first, last), (last - first) / num_images, 1.0)

    def add_up(self, values: Tensor) -> None:
        """Replace the values by their sums over all processes; raises what `add_up_later` could not, too."""
        if self._failure is not None:
            raise self._failure
        with lost_where_it_fails():
            if self.processors is None:
                dist.all_reduce(values)
            else:
                wait_awake(dist.all_reduce(values, async_op=True))

    def add_up_later(self, values: Tensor) -> None:
        """As `add_up`, for callers that no error may pass through: the next `add_up` raises it."""
        try:
            self.add_up(values)
        except BaseException as error:  # noqa: BLE001  # an interruption, too
            self._failure = error

    def take_from_first(self, values: Tensor) -> None:
        """Replace the values by those of the first process."""
        with lost_where_it_fails():
            dist.broadcast(values, src=0)

    def share(self, tensors: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """The first process's tensors on the CPU, by name; the others give None."""
        content = b""
        if tensors is not None:
            buffer = io.BytesIO()
            torch.save(dict(tensors), buffer)
            content = buffer.getvalue()
        size = torch.tensor([len(content)])
        self.take_from_first(size)
        values = torch.frombuffer(bytearray(content or bytes(int(size))), dtype=torch.uint8)
        self.take_from_first(values)
        if tensors is not None:
            return tensors
        loaded: dict[str, Tensor] = torch.load(io.BytesIO(values.numpy().tobytes()), weights_only=True)
        return loaded

    def agree(self, word: str | None) -> str:
        """The first process's word, which the others wait for.

        Raises:
            TrainingError: it did not come within WORD_LIMIT_S; RankLostError: a process has failed.
        """
        key = f"word {self._num_words}"
        self._num_words += 1
        with lost_where_it_fails():
            if word is not None:
                self._store.set(key, word)
                return word
            wait_for(lambda: self._are_said([key]), limit_s=WORD_LIMIT_S, late=_no_word_came("the first process"))
            return self._store.get(key).decode()

    def tell_all(self, word: str) -> list[str]:
        """The words of all processes, by their ranks; each waits for the others'.

        Raises:
            TrainingError: one did not come within WORD_LIMIT_S; RankLostError: a process has failed.
        """
        keys = [f"word {self._num_words} of {rank}" for rank in range(self.size)]
        self._num_words += 1
        with lost_where_it_fails():
            self._store.set(keys[self.rank], word)
            wait_for(lambda: self._are_said(keys), limit_s=WORD_LIMIT_S, late=_no_word_came("another process"))
            return [self._store.get(key).decode() for key in keys]

    def _are_said(self, keys: list[str]) -> bool:
        """Whether these words are there; RankLostError where they are not, and will not come."""
        if self._store.check(keys):
            return True
        if self._store.check([FAILURES]):
            raise another_failed()
        return False

    def fails_first(self) -> bool:
        """Say, once, that this process has failed; whether no other one did before it.

        A process whose peers are gone did not fail.
        """
        if self._is_first_to_fail is None:
            try:
                self._is_first_to_fail = self._store.add(FAILURES, 1) == 1
            except RuntimeError:  # the launcher is gone, too
                self._is_first_to_fail = self.is_first
        return self._is_first_to_fail

    def remember_folder(self, path: str) -> None:
        """Keep the run's folder for processes that are started again, as long as the launcher lives."""
        with lost_where_it_fails():
            self._kept.set(FOLDER, path)

    def remembered_folder(self) -> str | None:
        """What `remember_folder` kept before a restart."""
        with lost_where_it_fails():
            return self._kept.get(FOLDER).decode() if self._kept.check([FOLDER]) else None


@dataclass(frozen=True)
class SharedEngine:
    """An engine that each of several processes has, which train one model together."""

    engine: Engine
    ranks: Ranks


class _Current:
    """What this process takes part in, or took part in last."""

    ranks: Ranks | None = None
    number = 0
    is_training = False


def current_ranks() -> Ranks | None:
    """Those that this process trains with now; None where it trains alone."""
    ranks = _Current.ranks
    return ranks if _Current.is_training and ranks is not None and ranks.size > 1 else None


def num_ranks_now() -> int:
    """How many processes train together."""
    ranks = current_ranks()
    return 1 if ranks is None else ranks.size


def last_ranks() -> Ranks | None:
    """Those that this process trains with, or trained with last."""
    return _Current.ranks


@contextmanager
def joined(launch: Launch) -> Iterator[Ranks]:
    """This process among those that were started with it, for one training; if it fails, the others wait no longer for
    a word of it, though it may live on.

    Raises:
        RankLostError, TrainingError: as `Ranks.join`; ConfigError: it takes part in a training already.
    """
    if _Current.is_training:
        raise ConfigError("this process trains already", hint="begin one training after the other")
    _Current.number += 1
    ranks = _Current.ranks = Ranks(launch, _Current.number)
    _Current.is_training = True
    try:
        ranks.join()
        yield ranks
        ranks.part()
    except RankLostError:  # this process did not fail
        raise
    except BaseException:
        if ranks.have_met:
            ranks.fails_first()
        raise
    finally:
        _Current.is_training = False
        ranks.leave()


def _no_word_came(who: str) -> TrainingError:
    return TrainingError(
        f"{who} has not said how it goes on for {WORD_LIMIT_S / 3600:g} hours",
        hint="read and cache the data beforehand in one process, then start torchrun again",
    )

"""Trainings by two processes of which one or both are killed: the other ends soon, and the run then goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from torch.distributed import TCPStore

from trust.child import Child, Ended, command
from trust.tally import Tally
from trust.trainings import Training

NUM_RANKS = 2
END_WITHIN_S = 60


def killed(training: Training, number: int, *, seed: int = 0) -> Tally:
    """In turn both, the first and the second process killed at random moments; resumed by two processes."""
    tally = Tally(f"trainings by two processes, one or both killed at {number} random moments")
    source = random.Random(seed)
    together = _Together(training)
    for index in range(number):
        run = training.place / "ranks"
        shutil.rmtree(run, ignore_errors=True)
        victims = ((0, 1), (0,), (1,))[index % 3]
        after_s = source.uniform(0.05, 1.0) * together.seconds
        what = f"kill {index} of {victims}, after {after_s:.2f} s"
        ended = together.run(training.begin(run), kill_after_s=dict.fromkeys(victims, after_s))
        others = [each for rank, each in enumerate(ended) if rank not in victims]
        was_killed = any(ended[rank].code == -signal.SIGKILL for rank in victims)
        if any(each.is_late or (was_killed and each.seconds > after_s + END_WITHIN_S) for each in others):
            tally.fault(f"{what}: the other process went on")
            continue
        finished = together.run(training.go_on(run))
        wrong = [each.error for each in finished if each.code]
        difference = wrong[0] if wrong else training.difference(run, whole=together.whole)
        if difference:
            tally.fault(f"{what}: {difference}")
        else:
            tally.add("resumed to the same bytes")
    return tally


class _Together:
    """The training by two processes, and the run that it leaves when nothing disturbs it."""

    def __init__(self, training: Training) -> None:
        self.place, self.whole = training.place, training.place / "whole-ranks"
        shutil.rmtree(self.whole, ignore_errors=True)
        ended = self.run(training.begin(self.whole))
        if any(each.code for each in ended):
            raise SystemExit(f"two processes fail undisturbed: {[(each.code, each.error) for each in ended]}")
        self.seconds = ended[0].seconds

    def run(self, arguments: tuple[str | Path, ...], *, kill_after_s: dict[int, float] | None = None) -> list[Ended]:
        """Both processes' ends; those named are killed after so long."""
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun's own process has it, too

        def rank_of(rank: int) -> int:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(NUM_RANKS)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
            os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
            return command(*arguments)()

        children = [Child(lambda rank=rank: rank_of(rank), self.place / f"streams-{rank}") for rank in range(NUM_RANKS)]
        with ThreadPoolExecutor(NUM_RANKS) as pool:
            waits = [
                pool.submit(child.wait, kill_after_s=(kill_after_s or {}).get(rank))
                for rank, child in enumerate(children)
            ]
            for wait in as_completed(waits):
                if wait.result().code:  # as torchrun does, which this stands for
                    for child, other in zip(children, waits, strict=True):
                        if not other.done():
                            child.end()
            return [wait.result() for wait in waits]

"""The group of torch.distributed by which processes add up their numbers, once they have met."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d
from torch.distributed.distributed_c10d import Store

from thumbnet.errors import TrainingError

AWAKE_S = 0.02  # that a process with processors of its own waits without sleeping
STEP_LIMIT = timedelta(minutes=15)  # that a process waits for the others within an epoch


def check_network(store: Store) -> None:
    """TrainingError where this machine has no address for the others, which then would wait for it in vain."""
    try:
        dist.ProcessGroupGloo(store, 0, 1, timeout=STEP_LIMIT)  # of this process alone, by the same means
    except RuntimeError as error:
        raise TrainingError(
            f"this machine has no network for several processes ({str(error).splitlines()[0]:.200})",
            hint="name the interface by which the others reach it (GLOO_SOCKET_IFNAME=eth0); else it is the one that "
            "the machine's name leads to",
        ) from error


def begin_group(store: Store, rank: int, size: int) -> None:
    """Connect this process with the others, which are there; RuntimeError where that fails."""
    # PyTorch names a group by how many were begun, and does not count one back that failed: of two names, each process
    # would wait for the other.
    distributed_c10d._world.group_count = 0
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=STEP_LIMIT,
    )


def wait_awake(work: dist.Work) -> None:
    """Wait for a sum without sleeping at first: on a processor of one's own, to be woken takes longer than the sum."""
    end_s = time.perf_counter() + AWAKE_S
    while not work.is_completed() and time.perf_counter() < end_s:
        os.sched_yield()  # to the threads of torch.distributed
    work.wait()

"""A peer's speed in each layout, how long its beginning takes, and one training: each in a process of its own.

The clock is that of our `train_s`: it starts when the model is built and what happens once in a process is done (a
first optimizer has PyTorch import its compiler, a second of time), and counts all that is done with the images.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from peers import PEERS
from peers.data import Images, read_images
from peers.plan import LAYOUTS, Peer, Plan, accuracy, fitting_steps, num_params

ENDLESS = 10**9  # steps: a training that is only begun
WARM_UP_STEPS = 2
TURN_S = 1.0  # at least one step
NUM_TURNS = 5


def timing(name: str, folder: str) -> dict[str, Any]:
    """Seconds of a step in each layout, alternating, and the faster layout. The first steps are left out."""
    peer, images = PEERS[name], read_images(folder)
    loops = {}
    for layout in LAYOUTS:
        model = ready_model(peer, images, layout, seed=0)
        loops[layout] = peer.train(model, images, Plan(ENDLESS, peer.batch_size, layout))
        for _ in range(WARM_UP_STEPS):
            next(loops[layout])
    turns: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
    for _ in range(NUM_TURNS):
        for layout, loop in loops.items():
            turns[layout].append(_seconds_per_step(loop))
    step_s = {layout: statistics.median(seconds) for layout, seconds in turns.items()}
    layout = min(step_s, key=lambda layout: step_s[layout])
    return {"layout": layout, "step_s": step_s[layout], "step_s_by_layout": step_s}


def setup_s(name: str, folder: str, speed: dict[str, Any]) -> float:
    """What the first step takes more than one of the `speed` that `timing` found, with all that goes before it."""
    peer, images = PEERS[name], read_images(folder)
    model = ready_model(peer, images, speed["layout"], seed=0)
    begin_s = time.perf_counter()
    next(peer.train(model, images, Plan(ENDLESS, peer.batch_size, speed["layout"])))
    return max(0.0, time.perf_counter() - begin_s - speed["step_s"])


def train_peer(name: str, folder: str, budget_s: float, seed: int, speed: dict[str, Any]) -> dict[str, Any]:
    """One training of a length that fits the budget at the `speed` that `timing` and `setup_s` found; the test set is
    scored at its end."""
    peer, images = PEERS[name], read_images(folder)
    plan = Plan(fitting_steps(budget_s, speed), peer.batch_size, speed["layout"])
    model = ready_model(peer, images, plan.layout, seed)
    begin_s = time.perf_counter()
    losses = list(peer.train(model, images, plan))
    train_s = time.perf_counter() - begin_s
    return {
        "train_s": train_s,
        "test_accuracy": accuracy(peer, model, folder, plan.layout),
        "num_params": num_params(model),
        "steps": plan.num_steps,
        "epochs": plan.num_steps * plan.batch_size / len(images.labels),
        "images_per_s": plan.num_steps * plan.batch_size / train_s,
        "layout": plan.layout,
        "last_train_loss": statistics.mean(losses[-10:]),
    }


def ready_model(peer: Peer, images: Images, layout: str, seed: int) -> nn.Module:
    """A new model; a process's first one and first optimizer, which take longer, have been built and thrown away."""
    torch.optim.SGD(peer.model(images, layout).parameters(), lr=1.0)
    torch.manual_seed(seed)
    random.seed(seed)
    return peer.model(images, layout)


def _seconds_per_step(loop: Iterator[float]) -> float:
    begin_s = time.perf_counter()
    num_steps = 0
    while (elapsed_s := time.perf_counter() - begin_s) < TURN_S or num_steps == 0:
        next(loop)
        num_steps += 1
    return elapsed_s / num_steps

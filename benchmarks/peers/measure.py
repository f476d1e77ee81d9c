"""A peer's speed in each layout, and one of its trainings, each to be called in a process of its own."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch

from peers import PEERS
from peers.data import Images, read_images
from peers.plan import LAYOUTS, Peer, Plan, accuracy, fitting_steps, num_params

ENDLESS = 10**9  # steps: a training that is only begun
WARM_UP_STEPS = 2
TURN_S = 1.0  # at least one step
NUM_TURNS = 5


def timing(name: str, folder: str) -> dict[str, Any]:
    """Seconds of a step in each layout, alternating, the faster layout, and what the beginning takes more than a step.

    The first steps are left out.
    """
    images = read_images(folder)
    loops, setups = {}, {}
    for layout in LAYOUTS:
        _seed(0)
        begin_s = time.perf_counter()
        loops[layout] = _begin(PEERS[name], images, layout)
        next(loops[layout])
        setups[layout] = time.perf_counter() - begin_s
        for _ in range(WARM_UP_STEPS):
            next(loops[layout])
    turns: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
    for _ in range(NUM_TURNS):
        for layout, loop in loops.items():
            turns[layout].append(_seconds_per_step(loop))
    step_s = {layout: statistics.median(seconds) for layout, seconds in turns.items()}
    layout = min(step_s, key=lambda layout: step_s[layout])
    return {
        "layout": layout,
        "step_s": step_s[layout],
        "setup_s": max(0.0, setups[layout] - step_s[layout]),
        "step_s_by_layout": step_s,
    }


def train_peer(name: str, folder: str, budget_s: float, seed: int, speed: dict[str, Any]) -> dict[str, Any]:
    """One training of a length that fits the budget at the `speed` that `timing` found; the test set is scored at its
    end."""
    peer = PEERS[name]
    images = read_images(folder)
    _seed(seed)
    plan = Plan(fitting_steps(budget_s, speed), peer.batch_size, speed["layout"])
    begin_s = time.perf_counter()
    model = peer.model(images, plan.layout)
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


def _begin(peer: Peer, images: Images, layout: str) -> Iterator[float]:
    return peer.train(peer.model(images, layout), images, Plan(ENDLESS, peer.batch_size, layout))


def _seconds_per_step(loop: Iterator[float]) -> float:
    begin_s = time.perf_counter()
    num_steps = 0
    while (elapsed_s := time.perf_counter() - begin_s) < TURN_S or num_steps == 0:
        next(loop)
        num_steps += 1
    return elapsed_s / num_steps


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)

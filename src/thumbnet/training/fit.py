"""TRAINING: the loop. A model and a dataset in, a history out; every epoch can be resumed from exactly.

Nothing random survives an epoch: shuffling, augmentation and dropout are drawn from the seed and the epoch's number
(see docs/decisions/), so the state to resume from is the model, the optimizer and the history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import MappingProxyType

import torch
from torch import nn

from thumbnet.data.batches import memory_order, num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.kernels.choice import describe_kernels, pick_kernels, runs_fully_fused, using_kernels
from thumbnet.kernels.memory import keep_freed_memory
from thumbnet.kernels.scoring import remember_kernels
from thumbnet.kernels.sync_norm import synchronised
from thumbnet.specs.engine import Engine
from thumbnet.specs.fine_tuning import FineTuning
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective, is_balanced
from thumbnet.specs.optimizers import SGD, Optimizer
from thumbnet.specs.schedules import OneCycle, Schedule
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.body import Body, check_body, engine_for_body
from thumbnet.training.checks import check_arguments
from thumbnet.training.clock import PaceKeeper
from thumbnet.training.course import Course
from thumbnet.training.device import pick_device, pick_precision
from thumbnet.training.epoch import train_epoch
from thumbnet.training.forecast import Forecast
from thumbnet.training.history import History
from thumbnet.training.inputs import init_model_from_data
from thumbnet.training.length import Length
from thumbnet.training.loop import Loop
from thumbnet.training.optimizers import build_optimizer
from thumbnet.training.progress import Progress
from thumbnet.training.progress_displays import pick_progress
from thumbnet.training.randomness import LATEST_SCHEME
from thumbnet.training.rank_processors import on_processors
from thumbnet.training.ranks import SharedEngine
from thumbnet.training.records import record_of
from thumbnet.training.result import FitResult, S
from thumbnet.training.state import TrainingState, check_state, load_state, state_after
from thumbnet.training.state_checks import check_finite, finite_at
from thumbnet.training.stopping import OnEpochEnd, StopRule
from thumbnet.training.threads import obeys_threads
from thumbnet.training.together import agree_on_end, begin_together, means_of, sharing_pace
from thumbnet.training.train_images import train_images_of

NO_SCORERS: Mapping[str, Callable[[nn.Module], S]] = MappingProxyType({})


@obeys_threads
def fit(
    model: nn.Module,
    dataset: Dataset,
    *,
    epochs: int | Length,
    batch_size: int = 128,
    optimizer: Optimizer | torch.optim.Optimizer = SGD(lr=0.1),
    schedule: Schedule = OneCycle(),
    inputs: Inputs = Inputs(),
    objective: Objective = Objective(),
    average_decay: float = 0.0,
    fine_tuning: FineTuning | None = None,
    engine: Engine | SharedEngine = Engine(),
    seed: int = 0,
    scorers: Mapping[str, Callable[[nn.Module], S]] = NO_SCORERS,
    progress: Progress | None = None,
    on_epoch_end: OnEpochEnd | None = None,
    resume_from: TrainingState | None = None,
) -> FitResult[S]:
    """Train `model` in place on `dataset.train`, to lower the cross-entropy of its logits; that of each label, there or
    not, where an image may have several.

    Args:
        model: takes normalised float images [N,C,H,W], returns logits [N,K]; it is moved to the device.
        epochs: passes over the training images, those before `resume_from` included; or a `Length`: in steps, kept to a
            clock, scored after every so many epochs, ended early where validation gets no better.
        optimizer: `SGD(...)`, `AdamW(...)`, `Muon(...)` or a registered class's, or one of `torch.optim` over the
            parameters of `model`; its `lr` is per step.
        schedule: multiplies the optimizer's learning rates, step by step.
        inputs: augmentation, flips and sizes of the training images.
        objective: label smoothing, class weights, mixup, and a teacher's logits, whose crop must be the first
            augmentation.
        average_decay: of the weights' moving average, which is scored and is what `model` ends with; 0: no average.
        fine_tuning: the weights are trained already, and perhaps most of them learn more slowly, or not at all; None:
            they are new, and layers that are computed from training images, as whitening is, are initialised so.
        engine: device, precision, kernels and threads; or a `SharedEngine`, with the processes that train this model
            together, each of which calls `fit` with the same arguments: the first one alone has scorers, a clock and
            `on_epoch_end`. `train` sees to that under torchrun.
        seed: of shuffling, augmentation and dropout. The model's weights have their own seed, in `create_model`.
        scorers: called with the model after every epoch, by split (`val`, `test`); see `thumbnet.scorers`.
        progress: is told of steps and epochs; None picks what suits the terminal, the notebook or the log file.
        on_epoch_end: gets the state after each epoch that was scored, to keep it; it may return `STOP`, which ends the
            training after this epoch.
        resume_from: a state to go on from; the end is the same as without the interruption.

    Returns:
        FitResult: the history, the last scores, and what the training ran on.

    Raises:
        NonFiniteLossError: with the step and the likely cause; ConfigError or ModelError: arguments that do not fit, or
            `on_epoch_end` returned something else; CheckpointError: the state is of a training with other arguments.
    """
    keep_freed_memory()
    ranks = engine.ranks if isinstance(engine, SharedEngine) else None
    engine = engine.engine if isinstance(engine, SharedEngine) else engine
    progress = pick_progress() if progress is None else progress
    length = epochs if isinstance(epochs, Length) else Length(epochs=epochs)
    stopping = length.stopping
    check_arguments(
        dataset, batch_size=batch_size, average_decay=average_decay, seed=seed, scored=scorers, stopping=stopping
    )
    objective = objective.resolved()
    body_lr_factor = 1.0 if fine_tuning is None else fine_tuning.body_lr_factor
    check_body(model, body_lr_factor)
    engine = engine_for_body(engine, body_lr_factor)
    device = pick_device(engine.device)
    library = pick_kernels(engine.kernels, model, device, compiled=engine.compiled)
    remember_kernels(model, "pytorch" if library is None and device.type == "cpu" else engine.kernels)
    train = train_images_of(dataset, inputs, objective, seed=seed, device=device, library=library)
    model.to(device, memory_format=memory_order(device))  # type: ignore[call-overload]  # missing in its stubs
    body = Body(model, body_lr_factor)
    body.freeze()
    torch_optimizer = build_optimizer(optimizer, model, library)
    body.slow_down(torch_optimizer)
    begin_s = time.perf_counter()  # not before: the first optimizer of a process has PyTorch import its compiler (1 s)
    base_lrs = [float(group["lr"]) for group in torch_optimizer.param_groups]
    lr = base_lrs[0] if isinstance(optimizer, torch.optim.Optimizer) else optimizer.lr
    steps_per_epoch = num_batches(len(dataset.train), batch_size)
    pace, history = length.pace_of(steps_per_epoch), History()
    if resume_from is not None:
        keeps_best = stopping.keep_weights == "best"
        check_state(resume_from, epochs=length.epochs, average_decay=average_decay, keeps_best=keeps_best)
        pace = resume_from.pace or pace
        load_state(resume_from, model, torch_optimizer)
        history = resume_from.history
    elif fine_tuning is None:
        init_model_from_data(model, dataset, seed=seed)
    average = WeightAverage(model, decay=average_decay) if average_decay else None
    if average is not None and resume_from is not None and resume_from.average is not None:
        average.load(resume_from.average)
    precision = pick_precision(engine.precision, device, fully_fused=library is not None and runs_fully_fused(model))
    has_clock = length.clock is not None
    if ranks is not None:
        has_clock = begin_together(ranks, model, average, means_of(device, precision, library), has_clock=has_clock)
    syncs_norms = ranks is not None and engine.sync_norm
    course = Course(
        pace=pace,
        steps_per_epoch=steps_per_epoch,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        resizing=inputs.resizing,
        full_size=train.full_size,
    )
    loop = Loop(
        model=model,
        body=body,
        forward=torch.compile(model) if engine.compiled else model,
        optimizer=torch_optimizer,
        base_lrs=base_lrs,
        precision=precision,
        train=train,
        course=course,
        objective=objective,
        average=average,
        seed=seed,
        random_scheme=LATEST_SCHEME if resume_from is None else resume_from.random_scheme,
        progress=progress,
        ranks=ranks,
        syncs_norms=syncs_norms,
    )
    setup_s = time.perf_counter() - begin_s
    epoch, first_step = len(history), len(history) * steps_per_epoch
    keeper = None
    if length.clock is not None:
        keeper = PaceKeeper(course, length.clock, score_every=length.score_every, first_step=first_step)
    synchronised_norms: Callable[[], AbstractContextManager[None]] = nullcontext
    on_own_processors = partial(on_processors, None if ranks is None else ranks.processors)
    if ranks is not None and syncs_norms:
        synchronised_norms = partial(synchronised, model, ranks.add_up_later, library)
    forecast = Forecast(progress, course.area_between, num_steps=course.num_steps, first_step=first_step)
    step_ends: Callable[[int], object] = forecast.step_ends if keeper is None else keeper.step_ends
    if ranks is not None and has_clock:
        step_ends = sharing_pace(ranks, course, step_ends)
    scores: Mapping[str, S] = {}
    rule: StopRule[S] = StopRule(stopping, is_balanced=is_balanced(objective, inputs), state=resume_from)
    if ranks is not None:
        rule.stopped_by = agree_on_end(ranks, rule.stopped_by)
    while epoch * steps_per_epoch < course.num_steps and rule.stopped_by is None:
        epoch += 1
        with using_kernels(model, library), synchronised_norms(), on_own_processors():
            trained = train_epoch(loop, epoch, step_ends)
        done = min(epoch * steps_per_epoch, course.num_steps)
        check_finite(model, step=done)
        is_scored = epoch % length.score_every == 0 or done == course.num_steps
        applied = nullcontext() if average is None or not is_scored else average.applied()
        with applied, using_kernels(model, None), finite_at(done):  # `scoring` takes ours
            scores = {split: scorer(model) for split, scorer in scorers.items()} if is_scored else {}
        record = record_of(epoch, course.lr_at(done - 1), trained, scores, setup_s=setup_s)
        setup_s = 0.0
        history = history.appended(record)
        if is_scored:
            rule.scored(history, model.state_dict() if average is None else average.averaged, scores)
        if on_epoch_end is not None and is_scored:
            kept = course.pace if length.is_paced else None
            state = state_after(
                epoch, model, torch_optimizer, history, average, loop.random_scheme, kept, rule.best_weights
            )
            rule.answered(on_epoch_end(state))
        if ranks is not None and is_scored:
            rule.stopped_by = agree_on_end(ranks, rule.stopped_by)
        if keeper is not None and is_scored:
            keeper.scoring_ends()
        progress.epoch_ends(record)  # last: a terminal that is gone must not lose the epoch
    body.thaw()
    best_epoch, kept_epoch = rule.best_epoch(history), len(history)
    if rule.best_weights is not None and best_epoch is not None:
        model.load_state_dict(rule.best_weights)
        scores, kept_epoch = rule.best_scores, best_epoch
    elif average is not None:
        model.load_state_dict(average.averaged)
    return FitResult(
        history=history,
        scores=scores,
        device=str(next(model.parameters()).device),
        precision=str(loop.precision).removeprefix("torch."),
        kernels=describe_kernels(library),
        num_threads=torch.get_num_threads(),
        pace=course.pace if length.is_paced else None,
        stopped_by=rule.stopped_by if epoch * steps_per_epoch < course.num_steps else None,
        best_epoch=best_epoch,
        kept_epoch=kept_epoch,
    )

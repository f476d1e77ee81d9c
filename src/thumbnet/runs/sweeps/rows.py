"""The trials of a sweep as values: read from the study, written to sweep.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from thumbnet.specs.search import Scalar

State = Literal["running", "finished", "pruned", "failed", "refused"]
COUNTED: tuple[State, ...] = ("finished", "pruned")  # of which as many are made as were asked for
# What is kept with a trial in the study.
PLACE, WORKER, CLAIM = "place", "worker", "claim"
REASON, REFUSED, SURPLUS = "reason", "refused", "surplus"
NUM_PARAMS, MACS, EPOCHS, SECONDS, VAL_LOSS = "num_params", "macs", "epochs", "seconds", "val_loss"
NUM_THREADS = "num_threads"


@dataclass(frozen=True)
class SweepTrial:
    """A trial. `value` is its last validation accuracy, `params` its values by field, `macs` and `num_params` those of
    its network, `seconds` and `epochs` what it was trained for, `num_threads` with how many; `ended_s` is when it
    ended, from the sweep's first trial on. None: not known, or not yet. `reason` says why it failed or was refused,
    `place` which folder it is in."""

    number: int
    state: State
    params: Mapping[str, Scalar]
    value: float | None = None
    val_loss: float | None = None
    macs: int | None = None
    num_params: int | None = None
    seconds: float | None = None
    epochs: int | None = None
    num_threads: int | None = None
    ended_s: float | None = None
    reason: str = ""
    place: str = ""


def read_trials(study: optuna.Study) -> list[SweepTrial]:
    """The trials in the order of their numbers, without those that were proposed beyond what was asked for."""
    trials = study.get_trials(deepcopy=False)
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    return [
        SweepTrial(
            number=trial.number,
            state=state_of(trial),
            params=trial.params,
            value=trial.value if trial.state.is_finished() else None,
            val_loss=trial.user_attrs.get(VAL_LOSS),
            macs=trial.user_attrs.get(MACS),
            num_params=trial.user_attrs.get(NUM_PARAMS),
            seconds=trial.user_attrs.get(SECONDS),
            epochs=trial.user_attrs.get(EPOCHS),
            num_threads=trial.user_attrs.get(NUM_THREADS),
            ended_s=None
            if trial.datetime_complete is None
            else (trial.datetime_complete - min(starts)).total_seconds(),
            reason=trial.user_attrs.get(REASON, ""),
            place=trial.user_attrs.get(PLACE, ""),
        )
        for trial in trials
        if SURPLUS not in trial.user_attrs and trial.state != TrialState.WAITING
    ]


def state_of(trial: FrozenTrial) -> State:
    """A trial's state in our words."""
    if REFUSED in trial.user_attrs:
        return "refused"
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "finished",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return states.get(trial.state, "running")


def best_of(trials: Sequence[SweepTrial]) -> SweepTrial | None:
    """The finished trial of the highest value, of equal ones of the lowest loss, of equal ones the first."""
    finished = [trial for trial in trials if trial.state == "finished"]
    return max(finished, key=lambda trial: (trial.value or 0.0, -(trial.val_loss or 0.0), -trial.number), default=None)


def trials_to_csv(trials: Sequence[SweepTrial], fields: Sequence[str]) -> str:
    """sweep.csv: a row each, empty where something is not known; numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *fields, "macs", "parameters", "seconds", "epochs", "reason"])
    for trial in trials:
        values = [trial.number, trial.state, trial.value, *(trial.params.get(field) for field in fields)]
        values += [trial.macs, trial.num_params, trial.seconds, trial.epochs, trial.reason]
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue()

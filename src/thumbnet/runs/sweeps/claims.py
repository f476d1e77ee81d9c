"""Which process makes which trial: as many as were asked for together, none of them twice.

A trial's number is the study's, and unique. A trial that is running, finished or pruned has its turn if fewer than were
asked for of a lower number are running, finished or pruned; whoever proposed one that has none gives it up. So no lock
is needed, and where a trial fails, the next one that is proposed takes its turn.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import optuna
from optuna.trial import TrialState

from thumbnet.runs.sweeps.rows import CLAIM, COUNTED, PLACE, SURPLUS, WORKER, SweepTrial, read_trials

TIME_TO_CLAIM = timedelta(seconds=60)  # of a trial that an earlier version proposed, until it is known by whom


def num_claimed(trials: list[SweepTrial], *, of_any_end: bool = False) -> int:
    """How many are running, finished or pruned; `of_any_end`: or failed, or refused."""
    return sum(of_any_end or trial.state in ("running", *COUNTED) for trial in trials)


def trials_before(study: optuna.Study, number: int) -> list[SweepTrial]:
    """Those of lower numbers."""
    return [trial for trial in read_trials(study) if trial.number < number]


def claim(
    study: optuna.Study, place: str, *, wanted: int | None, of_any_end: bool = False, worker: str = ""
) -> optuna.Trial | None:
    """A new trial of this process, which runs in `place`; None where as many as are wanted are claimed.

    Args:
        of_any_end: one that failed or was refused is not made up for by another.
        worker: a word for this process that no other one has had, if the command has several.
    """
    claimant = {PLACE: place, WORKER: worker} if worker else {PLACE: place}
    while wanted is None or num_claimed(read_trials(study), of_any_end=of_any_end) < wanted:
        trial = _proposed(study, claimant)
        if wanted is None or num_claimed(trials_before(study, trial.number), of_any_end=of_any_end) < wanted:
            return trial
        give_up(study, trial.number, surplus=trial)
    return None


def _proposed(study: optuna.Study, claimant: Mapping[str, str]) -> optuna.Trial:
    """A new trial that has these attributes from its first moment on, as one of `study.ask` has not: whenever its
    process is killed, it is known whose it was."""
    word = uuid.uuid4().hex
    study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={**claimant, CLAIM: word}))
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    (own,) = [trial for trial in running if trial.user_attrs.get(CLAIM) == word]
    return optuna.Trial(study, own._trial_id)


def give_up(study: optuna.Study, number: int, *, surplus: optuna.Trial) -> None:
    """Take a trial that nothing was trained of out of the sweep."""
    surplus.set_user_attr(SURPLUS, True)
    study.tell(number, state=TrialState.FAIL)


def left_running(study: optuna.Study, place: str, *, is_shared: bool) -> list[int]:
    """The numbers of the trials of this place that a process was killed in: nobody else may be at work there.

    Those that nobody claimed, as an earlier version left them where it was killed as it proposed them, are given up.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        is_old = trial.datetime_start is None or datetime.now() - trial.datetime_start > TIME_TO_CLAIM
        if PLACE not in trial.user_attrs and (is_old or not is_shared):
            give_up(study, trial.number, surplus=optuna.Trial(study, trial._trial_id))
    claimed = [trial for trial in running if PLACE in trial.user_attrs]
    return [trial.number for trial in claimed if not is_shared or trial.user_attrs[PLACE] == place]


def left_by(study: optuna.Study, worker: str, given: Collection[int]) -> list[int]:
    """The numbers of the trials that a process which died has left, of those that it claimed as `worker` and of those
    that it was `given` to go on with."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [trial.number for trial in running if trial.number in given or trial.user_attrs.get(WORKER) == worker]

"""sweep.html: what the page shows, from the trials of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence

import optuna
from optuna.trial import TrialState

from thumbnet.config import TrainConfig
from thumbnet.runs.sweeps.question import MEASURES, Question
from thumbnet.runs.sweeps.results import SweepResult
from thumbnet.runs.sweeps.rows import COUNTED, SweepTrial
from thumbnet.runs.sweeps.space import have_one_length
from thumbnet.specs.search import Choices, Dimension, Scalar
from thumbnet.terminal.text import counted, escaped
from thumbnet.training.progress import duration
from thumbnet.views.numbers import exact_share, per_cent, plain
from thumbnet.views.report.content import Headline
from thumbnet.views.report.parallel import Axis, TrialLine
from thumbnet.views.report.sweep_page import SweepContent, SweepPoint, SweepRow, render_sweep

MIN_FOR_IMPORTANCE = 3
MAX_TICKS = 8  # choices that are all named on their axis
MISSING = -1.0  # where it is sorted by


def build_sweep_report(
    result: SweepResult, question: Question, config: TrainConfig, dimensions: Sequence[Dimension], study: optuna.Study
) -> str:
    """The page of the trials so far."""
    trained = [trial for trial in result.trials if trial.state in COUNTED and trial.value is not None]
    best = result.best
    return render_sweep(
        SweepContent(
            title=escaped(result.path.resolve().name),
            lead=f"{escaped(config.recipe)} on {escaped(config.data)}: {counted(len(result.trials), 'trial')}, "
            "compared on validation images alone",
            measure=MEASURES[question.measure],
            headlines=_headlines(result, trained),
            best=[] if best is None else [(field, _shown(value)) for field, value in best.params.items()],
            command=escaped(result.command),
            axes=_axes(dimensions, trained),
            lines=[_line(trial, dimensions, trained, is_best=trial == best) for trial in trained],
            importance=_importance(study, trained),
            points=[
                SweepPoint((trial.ended_s or 0.0) / 60, trial.value or 0.0, trial.macs or 0, trial.state == "finished")
                for trial in trained
            ],
            fields=[(each.field, "number" if _is_of_numbers(each) else "text") for each in dimensions],
            rows=[_row(trial, dimensions) for trial in result.trials],
            notes=_notes(result, question, has_one_length=have_one_length(config, dimensions)),
        )
    )


def _headlines(result: SweepResult, trained: Sequence[SweepTrial]) -> list[Headline]:
    best = result.best
    finished = sum(trial.state == "finished" for trial in trained)
    seconds = sum(trial.seconds or 0.0 for trial in trained)
    counts = Headline("trials", f"{len(trained)}", f"{finished} finished, {len(trained) - finished} given up")
    time = Headline("training", duration(seconds), "of all trials together")
    if best is None or best.value is None:
        return [counts, time]
    network = Headline("its network", f"{best.num_params:,}", f"parameters; {(best.macs or 0) / 1e6:.1f} million MACs")
    return [
        Headline("best accuracy", exact_share(best.value), f"of trial {best.number}, on validation images"),
        network,
        counts,
        time,
    ]


def _notes(result: SweepResult, question: Question, *, has_one_length: bool) -> list[str]:
    notes = []
    if not question.grid and not has_one_length:
        notes.append("No trial is given up before its end: they are trained for different numbers of epochs.")
    for state, text in (
        (
            "refused",
            f"beyond the limits of {question.max_params:,} parameters and {question.max_macs:,} MACs: not trained",
        ),
        ("failed", "that failed: the table says why"),
        ("running", "that is not finished yet"),
    ):
        number = sum(trial.state == state for trial in result.trials)
        notes += [f"{counted(number, 'proposal' if state == 'refused' else 'trial')} {text}."] if number else []
    return notes


def _axes(dimensions: Sequence[Dimension], trained: Sequence[SweepTrial]) -> list[Axis]:
    low, high = _bounds(trained)
    ends = [(0.0, per_cent(low)), (1.0, per_cent(high))] if high > low else [(0.5, per_cent(low))]
    return [*(Axis(each.field, _ticks(each)) for each in dimensions), Axis("accuracy", ends)]


def _ticks(dimension: Dimension) -> list[tuple[float, str]]:
    space = dimension.space
    if isinstance(space, Choices):
        labels = space.labels
        shown = range(len(labels)) if len(labels) <= MAX_TICKS else (0, len(labels) - 1)
        return [(_place(dimension, labels[index]), _shown(labels[index])) for index in shown]
    return [(0.0, plain(space.low)), (1.0, plain(space.high))]


def _place(dimension: Dimension, value: Scalar) -> float:
    """Where a value is on its axis, from 0 to 1."""
    space = dimension.space
    if isinstance(space, Choices):
        return space.labels.index(value) / max(1, len(space.labels) - 1)
    assert not isinstance(value, str)
    scaled = math.log if space.is_log else float
    return (scaled(value) - scaled(space.low)) / (scaled(space.high) - scaled(space.low))


def _bounds(trained: Sequence[SweepTrial]) -> tuple[float, float]:
    values = [trial.value or 0.0 for trial in trained] or [0.0]
    return min(values), max(values)


def _line(
    trial: SweepTrial, dimensions: Sequence[Dimension], trained: Sequence[SweepTrial], *, is_best: bool
) -> TrialLine:
    low, high = _bounds(trained)
    value = trial.value or 0.0
    places = [_place(each, trial.params[each.field]) for each in dimensions]
    texts = [f"{each.field} {_shown(trial.params[each.field])}" for each in dimensions]
    return TrialLine(
        [*places, (value - low) / (high - low) if high > low else 0.5],
        "best" if is_best else "finished" if trial.state == "finished" else "pruned",
        f"trial {trial.number}: {', '.join(texts)}: {exact_share(value)}",
    )


def _importance(study: optuna.Study, trained: Sequence[SweepTrial]) -> list[tuple[str, float]]:
    """The share of each field, the greatest first; nothing where the finished trials are too few to tell."""
    values = {trial.value for trial in trained if trial.state == "finished"}
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < MIN_FOR_IMPORTANCE or len(values) < 2:
        return []
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return sorted(shares.items(), key=lambda each: -each[1])


def _row(trial: SweepTrial, dimensions: Sequence[Dimension]) -> SweepRow:
    values = [trial.params.get(each.field, "") for each in dimensions]
    return SweepRow(
        number=trial.number,
        state=trial.state,
        accuracy=(MISSING, "-") if trial.value is None else (trial.value, exact_share(trial.value)),
        values=[(value, _shown(value)) for value in values],
        macs=(MISSING, "-") if trial.macs is None else (trial.macs, f"{trial.macs:,}"),
        params=(MISSING, "-") if trial.num_params is None else (trial.num_params, f"{trial.num_params:,}"),
        seconds=(MISSING, "-") if trial.seconds is None else (trial.seconds, duration(trial.seconds)),
        reason=escaped(trial.reason),
    )


def _is_of_numbers(dimension: Dimension) -> bool:
    space = dimension.space
    return not isinstance(space, Choices) or all(type(label) in (int, float) for label in space.labels)


def _shown(value: Scalar) -> str:
    return plain(value) if type(value) is float else escaped(str(value))

"""The results as a table with a verdict: ours against the better of the two baselines, set by set."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from measuring import describe_circumstances, holds

from own_pictures.methods import METHODS, TIMELESS

NUM_RESAMPLES = 2000
MOST_MISSED = 1  # sets on which a baseline may be better
NAMES = {"thumbnet": "`thumbnet train --minutes`", "plain-net": "plain network", "svm": "support vectors"}
MISSING = "not yet measured"


@dataclass(frozen=True)
class SetFacts:
    """What a set is, and the class of each of its test pictures."""

    title: str
    num_train: int
    num_classes: int
    labels: Int64[np.ndarray, " n"]
    is_unequal: bool
    held_out: bool

    @property
    def metric(self) -> str:
        return "balanced accuracy" if self.is_unequal else "accuracy"


@dataclass(frozen=True)
class Comparison:
    """Ours against one baseline on a set: the difference of the means over seeds, and its 95 % interval."""

    baseline: str
    difference: float
    low: float
    high: float


def score(labels: Int64[np.ndarray, " n"], is_right: Bool[np.ndarray, " n"], *, balanced: bool) -> float:
    """Accuracy, or its mean over the classes."""
    if not balanced:
        return float(is_right.mean())
    return float(np.mean([is_right[labels == label].mean() for label in np.unique(labels)]))


def right(facts: SetFacts, results: Sequence[Mapping[str, Any]]) -> Float[np.ndarray, " n"]:
    """How often each picture is predicted rightly, over the seeds, from 0 to 1."""
    return np.mean([np.array(result["predicted"]) == facts.labels for result in results], axis=0)


def compared(
    facts: SetFacts, ours: Sequence[Mapping[str, Any]], baseline: str, theirs: Sequence[Mapping[str, Any]]
) -> Comparison:
    """A paired bootstrap over the test pictures, by class where the metric is balanced."""
    gain = right(facts, ours) - right(facts, theirs)
    random = np.random.default_rng(0)
    parts = [gain[facts.labels == label] for label in np.unique(facts.labels)] if facts.is_unequal else [gain]
    resampled = np.mean([_resampled_means(part, random) for part in parts], axis=0)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Comparison(baseline, float(np.mean([part.mean() for part in parts])), float(low), float(high))


def _resampled_means(values: Float[np.ndarray, " n"], random: np.random.Generator) -> Float[np.ndarray, " r"]:
    """Means of as many draws with replacement, by how often each of the few different values is drawn."""
    levels, counts = np.unique(values, return_counts=True)
    means: Float[np.ndarray, " r"] = random.multinomial(len(values), counts / len(values), NUM_RESAMPLES) @ levels
    return means / len(values)


def of_task(
    results: Sequence[Mapping[str, Any]], set_name: str, method: str, minutes: float
) -> list[Mapping[str, Any]]:
    """The results of a method on a set within so many minutes, by seed."""
    chosen = [each for each in results if (each["set"], each["method"]) == (set_name, method)]
    if method not in TIMELESS:
        chosen = [each for each in chosen if each["minutes"] == minutes]
    return sorted(chosen, key=lambda each: each["seed"] or 0)


def verdicts(facts: Mapping[str, SetFacts], results: Sequence[Mapping[str, Any]], minutes: float) -> dict[str, Any]:
    """Of each set that all methods were trained on, whether ours beats both baselines; and whether the bar holds."""
    sets: dict[str, Any] = {}
    for name, fact in facts.items():
        found = {method: of_task(results, name, method, minutes) for method in METHODS}
        if not all(found.values()):
            continue
        comparisons = [compared(fact, found["thumbnet"], each, found[each]) for each in METHODS if each != "thumbnet"]
        sets[name] = {
            "beats_both": all(each.difference > 0 for each in comparisons),
            "comparisons": [vars(each) for each in comparisons],
        }
    missed = [name for name, each in sets.items() if not each["beats_both"]]
    is_whole = set(sets) == set(facts)
    reached = len(missed) <= MOST_MISSED
    return {"minutes": minutes, "sets": sets, "missed": missed, "is_whole": is_whole, "holds": is_whole and reached}


def describe(values: Mapping[str, Any], facts: Mapping[str, SetFacts]) -> str:
    """The report for people, in Markdown."""
    results = values["results"]
    lines = [
        "# Own pictures: ours and two fixed baselines",
        "",
        describe_circumstances(dict(values)),
        "",
        "Each set was divided once into pictures for training and for test; three of them (marked *) were never used",
        "for tuning. `thumbnet train --data folder:SET --minutes M` decides all by itself; the plain network (four",
        "convolutions) gets the same minutes, reading and scoring included; support vectors on oriented gradients take",
        "as long as they take. Accuracy, or balanced accuracy (†) where the smallest class has less than half of the",
        "largest; the mean over seeds and its deviation. A difference is ours less the baseline's, in points, with a",
        "95 % interval over the test pictures (paired bootstrap).",
    ]
    for minutes in values["minutes"]:
        lines += [
            "",
            f"## {minutes:g} minutes",
            "",
            *_table(facts, results, minutes),
            "",
            _verdict(facts, values, minutes),
        ]
    again = sorted({each["set"] for each in results if each["num_scored"] > 1 and facts[each["set"]].held_out})
    if again:
        lines += ["", f"Scored more than once, by other code: {', '.join(again)}."]
    commits = sorted(
        {f"{each['circumstances']['date']} (commit {each['circumstances']['commit']})" for each in results}
    )
    return "\n".join([*lines, "", f"Measured on {', '.join(commits) or 'no day yet'}.", ""])


def _table(facts: Mapping[str, SetFacts], results: Sequence[Mapping[str, Any]], minutes: float) -> list[str]:
    names = [*(NAMES[method] for method in METHODS), "ours takes", "less plain network", "less support vectors"]
    rows = [f"| set | training pictures, classes | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for name, fact in facts.items():
        found = {method: of_task(results, name, method, minutes) for method in METHODS}
        cells = [_cell(fact, found[method]) for method in METHODS]
        taken = [each["seconds"] / 60 for each in found["thumbnet"]]
        cells.append(f"{statistics.median(taken):.2f} min" if taken else MISSING)
        for baseline in ("plain-net", "svm"):
            if found["thumbnet"] and found[baseline]:
                pair = compared(fact, found["thumbnet"], baseline, found[baseline])
                cells.append(f"{100 * pair.difference:+.1f} [{100 * pair.low:.1f}, {100 * pair.high:.1f}]")
            else:
                cells.append(MISSING)
        marks = ("*" if fact.held_out else "") + ("†" if fact.is_unequal else "")
        rows.append(f"| {fact.title}{marks} | {fact.num_train:,}, {fact.num_classes} | {' | '.join(cells)} |")
    return rows


def _cell(fact: SetFacts, results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return MISSING
    scores = [
        score(fact.labels, np.array(each["predicted"]) == fact.labels, balanced=fact.is_unequal) for each in results
    ]
    deviation = f" ± {100 * statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{100 * statistics.mean(scores):.2f}{deviation} % (n = {len(scores)})"


def _verdict(facts: Mapping[str, SetFacts], values: Mapping[str, Any], minutes: float) -> str:
    found = next(each for each in values["verdicts"] if each["minutes"] == minutes)
    num_won = len(found["sets"]) - len(found["missed"])
    sentence = f"Ours beats both baselines on {num_won} of {len(found['sets'])} sets"
    if found["missed"]:
        sentence += f", and not on {', '.join(found['missed'])}"
    if not found["is_whole"]:
        return f"{sentence}; {len(facts) - len(found['sets'])} sets are not measured yet, so the bar is not judged."
    return f"{sentence}: the bar (all but at most {MOST_MISSED}) **{holds(found['holds'])}**."

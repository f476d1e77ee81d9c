"""What bench_minutes.py found, as rows, as verdicts and as a page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from measuring import describe_circumstances, describe_peaks, holds
from own_pictures.sets import SETS

from thumbnet.terminal.text import counted

FORMS: dict[str, tuple[str, ...]] = {"one": (), "seeds": ("--seeds", "2"), "folds": ("--folds", "2")}
RUNS_OF_A_FORM = {"one": 1, "seeds": 2, "folds": 2}
NUM_COMPETITORS = 2
MOST_OFF = {False: 0.05, True: 0.15}  # of the budget, by whether the machine was busy
ACCURACY = {("digits", 1.0): 0.99, ("cifar-5000", 2.0): 0.85, ("cifar-5000", 10.0): 0.90}
ACCURACY_KIND = "AVX2 float32"  # that these are for


def rows_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each budget: the median of the time over it, the mean of the accuracies, and whether they suffice."""
    groups: dict[tuple[bool, str, str, float], list[Mapping[str, Any]]] = {}
    for result in results:
        key = result["is_busy"], result["set_name"], result["form"], result["minutes"]
        groups.setdefault(key, []).append(result)
    rows = []
    for (is_busy, name, form, minutes), group in sorted(groups.items(), key=lambda item: item[0]):
        budget_s = 60 * minutes * RUNS_OF_A_FORM[form]
        ratios = [result["wall_s"] / budget_s for result in group]
        median, off = statistics.median(ratios), MOST_OFF[is_busy]
        ends_early = all(each["ends_early"] for result in group for each in result["trainings"])
        accuracies = [result["test_accuracy"] for result in group]
        wanted = ACCURACY.get((name, minutes)) if form == "one" and not is_busy else None
        accuracy = statistics.mean(accuracies)
        rows.append(
            {
                "is_busy": is_busy,
                "set_name": name,
                "form": form,
                "minutes": minutes,
                "n": len(group),
                "ratio": median,
                "lowest": min(ratios),
                "highest": max(ratios),
                "ends_early": ends_early,
                "is_kept": median <= 1 + off and (ends_early or median >= 1 - off),
                "accuracy": accuracy,
                "deviation": statistics.stdev(accuracies) if len(group) > 1 else None,
                "wanted": wanted,
                "is_reached": None if wanted is None else accuracy >= wanted,
            }
        )
    return rows


def describe(values: Mapping[str, Any]) -> str:
    """The report for people, in Markdown."""
    rows, results = values["rows"], values["results"]
    lines = [
        "# Minutes asked for, and minutes taken",
        "",
        describe_circumstances(dict(values)),
        "",
        "The whole command `thumbnet train --data folder:SET --minutes M`, from the start of its process to its end,",
        "over the minutes asked for (of each training, where it makes several): the median, the least and the",
        "greatest. Where a training ends early, the plan said so: more epochs of so few pictures are not made. Test",
        "accuracy is the mean over the runs and its deviation.",
    ]
    for is_busy in sorted({row["is_busy"] for row in rows}):
        where = f"Beside {NUM_COMPETITORS} processes that never rest" if is_busy else "Alone on the machine"
        off = MOST_OFF[is_busy]
        lines += [
            "",
            f"## {where}: within {off:.0%}",
            "",
            "| set | command | minutes | n | taken, over them | test accuracy | recipe, size, epochs, augmentation |",
            "|---|---|---|---|---|---|---|",
            *(_line(row, results) for row in rows if row["is_busy"] == is_busy),
        ]
        missed = [row for row in rows if row["is_busy"] == is_busy and not row["is_kept"]]
        where_not = "".join(f", not {row['set_name']} ({row['form']}, {row['minutes']:g})" for row in missed)
        lines += ["", f"Within {off:.0%} of the minutes{where_not}: **{holds(not missed)}**."]
    lines += ["", "## Accuracy", "", *(_accuracy(row, values["processor_kind"]) for row in rows if row["wanted"])]
    commits = sorted(
        {f"{each['circumstances']['date']} (commit {each['circumstances']['commit']})" for each in results}
    )
    peaks = [result["matrix_gflops"] for result in results]
    lines += ["", *([describe_peaks(peaks)] if peaks else []), f"Measured on {', '.join(commits) or 'no day yet'}.", ""]
    return "\n".join(lines)


def _line(row: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    same = ("is_busy", "set_name", "form", "minutes")
    first = next(each for each in results if all(each[key] == row[key] for key in same))["trainings"][0]
    spread = f" ({row['lowest']:.3f} to {row['highest']:.3f})" if row["n"] > 1 else ""
    deviation = "" if row["deviation"] is None else f" ± {100 * row['deviation']:.2f}"
    height, width = first["sides"]
    chosen = f"{first['recipe']}, {width}x{height}, {first['epochs']}, {first['augmentation']}"
    cells = [
        SETS[row["set_name"]].title,
        " ".join(["train", *FORMS[row["form"]]]),
        f"{row['minutes']:g}",
        str(row["n"]),
        f"{row['ratio']:.3f}{spread}{', ends early' if row['ends_early'] else ''}",
        f"{100 * row['accuracy']:.2f}{deviation} %",
        chosen,
    ]
    return f"| {' | '.join(cells)} |"


def _accuracy(row: Mapping[str, Any], kind: str) -> str:
    reached = (
        f"- {SETS[row['set_name']].title}, {counted(row['minutes'], 'minute')}: {row['accuracy']:.2%} (n = {row['n']})"
    )
    if kind != ACCURACY_KIND:
        return f"{reached}; the bar of {row['wanted']:.0%} is for {ACCURACY_KIND}."
    return f"{reached}, the bar is {row['wanted']:.0%}: **{holds(row['is_reached'])}**."

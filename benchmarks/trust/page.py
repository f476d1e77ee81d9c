"""docs/results/trust.md, from the tallies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thumbnet.terminal.text import escaped
from trust.sittings import TITLE

HEAD = """# Nothing lost: faults made on purpose

Written by `make trust` (benchmarks/bench_trust.py). A case is right where what was broken gives the same bytes as what
nothing disturbed, an answer with a warning that says what is damaged, or an error of thumbnet's with the documented
exit code; and all of it without a traceback, within {timeout:.0f} s and {megabytes} MB. All else is a fault.
Each part has the date when it was made, and the last commit of the code then: `no commit` where
files had changed since it, `not noted` where the part is older than that record.
{circumstances}

| what was broken | cases | what came of it | faults | made |
|---|---|---|---|---|
"""
UNFINISHED_S = 1.0  # less than this of a reader's time is not worth a process


def page(
    tallies: Sequence[Mapping[str, Any]], not_done: Sequence[str], *, circumstances: str, timeout: float, megabytes: int
) -> str:
    """The page in Markdown; `not_done` names the parts that are missing."""
    text = HEAD.format(timeout=timeout, megabytes=megabytes, circumstances=circumstances)
    shown = [tally for tally in tallies if tally["cases"] or "wanted_s" not in tally]
    for tally in shown:
        made = f"{tally['date']}, {tally['commit'][:9]}"
        number = len(tally["faults"])
        text += f"| {tally['name']} | {tally['cases']:,} | {_outcomes(tally)} | {number} | {made} |\n"
    total, faults = sum(each["cases"] for each in shown), sum(len(each["faults"]) for each in shown)
    text += f"| **all** | **{total:,}** | | **{faults}** | |\n"
    notes = [f"- {each['name']}: {each['note']}" for each in tallies if each["note"] and each["cases"]]
    found = [f"- {each['name']}: {escaped(fault)}" for each in tallies for fault in each["faults"]]
    left = list(_left(tallies))
    if left:
        notes.append(f"- readers that are still to be fuzzed: {', '.join(left)}")
    if not_done:
        notes.append(f"- not done yet: {', '.join(not_done)}")
    if notes:
        text += "\n" + "\n".join(notes) + "\n"
    if found:
        text += "\n## The faults\n\n" + "\n".join(found) + "\n"
    return text


def _outcomes(tally: Mapping[str, Any]) -> str:
    outcomes = ", ".join(f"{number:,} {name}" for name, number in sorted(tally["outcomes"].items()))
    if "wanted_s" in tally:
        return f"{outcomes}; {_minutes(tally['seconds'])} minutes by {tally['way']}"
    return outcomes or str(tally["note"])


def _left(tallies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The readers that were not fuzzed for as long as was asked for, and those whose code has changed since."""
    for tally in tallies:
        name = tally["name"].removeprefix(TITLE)
        if tally.get("is_old"):
            yield f"{name} (its code has changed)"
        elif "wanted_s" in tally and tally["seconds"] + UNFINISHED_S < tally["wanted_s"]:
            done = f"{_minutes(tally['seconds'])} of {_minutes(tally['wanted_s'])} minutes"
            yield f"{name} ({done})" if tally["seconds"] else name


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}".removesuffix(".0")

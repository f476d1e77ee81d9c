"""docs/results/trust.md, from the tallies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thumbnet.terminal.text import escaped

HEAD = """# Nothing lost: faults made on purpose

Written by `make trust` (benchmarks/bench_trust.py). A case is right where what was broken gives the same bytes as what
nothing disturbed, or an error of thumbnet's that says so, with the exit code that is documented, no traceback, within
{timeout:.0f} s and {megabytes} MB. All else is a fault. Each part has the date when it was made, and the last commit of
the code then. {circumstances}

| what was broken | cases | what came of it | faults | made |
|---|---|---|---|---|
"""


def page(
    tallies: Sequence[Mapping[str, Any]], not_done: Sequence[str], *, circumstances: str, timeout: float, megabytes: int
) -> str:
    """The page in Markdown; `not_done` names the parts that are missing."""
    text = HEAD.format(timeout=timeout, megabytes=megabytes, circumstances=circumstances)
    for tally in tallies:
        outcomes = ", ".join(f"{number} {name}" for name, number in sorted(tally["outcomes"].items()))
        made = f"{tally['date']}, {tally['commit'][:9]}"
        number = len(tally["faults"])
        text += f"| {tally['name']} | {tally['cases']:,} | {outcomes or tally['note']} | {number} | {made} |\n"
    total, faults = (
        sum(numbers) for numbers in zip(*((each["cases"], len(each["faults"])) for each in tallies), strict=True)
    )
    text += f"| **all** | **{total:,}** | | **{faults}** | |\n"
    notes = [f"- {each['name']}: {each['note']}" for each in tallies if each["note"] and each["cases"]]
    found = [f"- {each['name']}: {escaped(fault)}" for each in tallies for fault in each["faults"]]
    if not_done:
        notes.append(f"- not done yet: {', '.join(not_done)}")
    if notes:
        text += "\n" + "\n".join(notes) + "\n"
    if found:
        text += "\n## The faults\n\n" + "\n".join(found) + "\n"
    return text

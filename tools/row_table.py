"""The table of docs/results/own-pictures.md: which tests a row names, and how its last column says what they did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_LETTERS = 110  # of a message
MAX_MESSAGES = 3  # of a test of many cases, or of a whole file
NOISE = re.compile(r"/[\w./-]*/pytest-of-\w+/pytest-\d+/| at 0x[0-9a-f]+")  # what no other run has
STANDS_IN = re.compile(r"does not exist|StandIn")  # tools/old_code.py's words
LACKS = re.compile(rf"{STANDS_IN.pattern}|^(AttributeError|ImportError|ModuleNotFoundError|TypeError)\b")


@dataclass(frozen=True)
class Test:
    """A test that a row names: a function of a file in tests/, or all of the file where it has no name."""

    __test__ = False  # for pytest

    file: str
    name: str

    @property
    def argument(self) -> str:
        """As pytest is asked for it."""
        return f"tests/{self.file}" + (f"::{self.name}" if self.name else "")


@dataclass(frozen=True)
class Outcome:
    """What one case of a test did; of a file that cannot be imported, `test` is the file."""

    test: str
    outcome: str  # "passed", "failed" or "skipped"
    text: str

    @property
    def is_behaviour(self) -> bool:
        """Whether it failed by what it met, and not since what it calls does not exist or takes other arguments."""
        return self.outcome == "failed" and not LACKS.search(self.text)


@dataclass(frozen=True)
class Seen:
    """What a test did, case by case, and the commit that its text is of; today's where there is none."""

    test: Test
    outcomes: tuple[Outcome, ...]
    text_of: str = ""

    @property
    def has_failed(self) -> bool:
        return any(outcome.outcome == "failed" for outcome in self.outcomes)

    @property
    def is_behaviour(self) -> bool:
        return any(outcome.is_behaviour for outcome in self.outcomes)

    def says_more_than(self, other: Seen) -> bool:
        """Whether it met what the code did, or failed otherwise where the other only lacked a name."""
        texts, others = ({each.text for each in seen.outcomes} for seen in (self, other))
        return self.has_failed and texts != others and (self.is_behaviour or any(map(STANDS_IN.search, others)))


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    line: int
    cells: tuple[str, ...]
    tests: tuple[Test, ...]

    @property
    def commit(self) -> str:
        """The one before the change."""
        return self.cells[3]


def rows_of(page: str) -> list[Row]:
    """The table's lines. A test without a file is in the file that was named last."""
    rows, file = [], ""
    for number, line in enumerate(page.splitlines()):
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        if not line.startswith("| ") or cells[0].strip() == "row":
            continue
        tests: dict[Test, None] = {}  # each once, in order
        for path, name in re.findall(r"`(?:tests/([\w.]+))?(?:::(\w+))?`", cells[2]):
            file = path or file
            if path or name:
                tests[Test(file, name)] = None
        rows.append(Row(number, tuple(cell.strip() for cell in cells), tuple(tests)))
    return rows


def with_cells(page: str, cells: Mapping[Row, str]) -> str:
    """The page with the last column of the rows given."""
    lines = page.splitlines()
    for row, text in cells.items():
        lines[row.line] = f"| {' | '.join((*row.cells[:4], text))} |"
    return "\n".join(lines) + "\n"


def outcomes_of(test: Test, outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Those of a test's cases, or that of its file where that could not be imported."""
    found = tuple(outcomes)
    cases = tuple(each for each in found if re.match(rf"{re.escape(test.argument)}(::|\[|$)", each.test))
    return cases or tuple(each for each in found if each.test == f"tests/{test.file}")


def cell_of(seen: Iterable[Seen]) -> str:
    """How a row's tests fail: the messages of each, and how many of its cases fail where not all do."""
    cells = []
    for each in seen:
        failed = sorted(
            (o for o in each.outcomes if o.outcome == "failed"), key=lambda outcome: not outcome.is_behaviour
        )
        messages = list(dict.fromkeys(_short(outcome.text) for outcome in failed))
        cell = ", ".join(f"`{message}`" for message in messages[:MAX_MESSAGES])
        if len(messages) > MAX_MESSAGES:
            cell += ", ..."
        if len(failed) < len(each.outcomes) or not each.test.name:
            cell = f"{len(failed)} of {len(each.outcomes)}: {cell}"
        if each.text_of:
            cell += f" (the test of {each.text_of})"
        cells.append(cell)
    return "; ".join(cells)


def _short(text: str) -> str:
    text = NOISE.sub("", text.replace("`", "'"))
    if len(text) > MAX_LETTERS:
        text = text[: MAX_LETTERS - 4].rstrip() + " ..."
    return text.replace("|", "\\|")

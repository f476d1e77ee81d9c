"""Of which code, and when, a part's figures were made: figures of other code are made again."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("src", "benchmarks")
NO_COMMIT = "no commit"


def code_commit() -> str:
    """The last commit that changed the code; NO_COMMIT where files have changed since, or there is no checkout."""
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(ROOT), *words, "--", *FOLDERS],  # noqa: S607
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for words in (("log", "-1", "--format=%H"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return NO_COMMIT
    return NO_COMMIT if changes or not commit else commit


def made_now(commit: str) -> dict[str, str]:
    """What is noted with a part's figures."""
    return {"commit": commit, "date": datetime.now(UTC).date().isoformat()}


def is_made_of(tallies: Sequence[Mapping[str, Any]], commit: str, *, kills: int) -> bool:
    """Whether there are figures, all of this commit and of as many random moments."""
    return bool(tallies) and all(
        commit != NO_COMMIT and each.get("commit") == commit and each.get("kills", 0) >= kills for each in tallies
    )

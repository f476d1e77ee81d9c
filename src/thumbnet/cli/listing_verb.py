"""The verb that lists runs: runs."""

from __future__ import annotations

import argparse

from thumbnet.cli.output import put, put_json, put_utf8


def runs(parsed: argparse.Namespace) -> None:
    """Print the runs of a folder with their settings and figures."""
    from thumbnet.runs.listing import describe_runs, list_runs, runs_to_csv, runs_to_dicts

    rows = list_runs(parsed.folder)
    if parsed.json:
        put_json({"runs": runs_to_dicts(rows)})
    elif parsed.csv:
        put_utf8(runs_to_csv(rows))
    else:
        put(describe_runs(rows))

"""The verb reproduce: a run trained again and compared."""

from __future__ import annotations

import argparse
from typing import Any

from thumbnet.cli.options import add_data, add_data_dir, add_json, add_trust, add_verb
from thumbnet.cli.output import PartlyDoneError, put, put_json
from thumbnet.errors import RunError


def add_reproduce(verbs: Any) -> None:
    """The verb reproduce."""
    parser = add_verb(
        verbs, "reproduce", reproduce, "train a finished run again and compare: exit code 0 if the bits are the same"
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--run-dir", metavar="DIR", help="a new or empty folder for the new run (default: a temporary one)"
    )
    add_data(parser, "the run's own")
    add_data_dir(parser)
    add_trust(parser)
    add_json(parser)


def reproduce(parsed: argparse.Namespace) -> None:
    """Print what is the same and what differs.

    Raises:
        PartlyDoneError: something differs.
    """
    from thumbnet.runs.reproduction import reproduce_run

    done = reproduce_run(parsed.run, out=parsed.run_dir, data=parsed.data, data_dir=parsed.data_dir)
    if parsed.json:
        put_json(done.to_dict())
    else:
        put(done)
        if done.path is not None:
            put(f"results: {done.path}")
    if not done.is_same:
        causes = "; ".join(done.causes) or "nothing recorded was otherwise; look at what the data's reading depends on"
        raise PartlyDoneError(RunError(f"{parsed.run} trained again is not the same", hint=f"likely causes: {causes}"))

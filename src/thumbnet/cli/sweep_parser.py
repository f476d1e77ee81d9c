"""The options of `sweep`."""

from __future__ import annotations

from typing import Any

from thumbnet.cli import sweep_verb
from thumbnet.cli.options import add_json, add_recipe_options, add_trust, add_verb


def add_sweep(verbs: Any) -> None:
    """`sweep`."""
    sweep = add_verb(
        verbs,
        "sweep",
        sweep_verb.sweep,
        "train a recipe with many values of its fields, and find the best on validation",
    )
    sweep.set_defaults(began_s=None)
    add_recipe_options(sweep)
    sweep.add_argument(
        "--search",
        metavar="FIELD=VALUES",
        action="append",
        help="a field and what it may be: A..B (whole numbers if both are), A..B:log, A..B:step=S, a,b,c or a JSON "
        "list; repeatable",
    )
    sweep.add_argument("--trials", metavar="N", type=int, help="how many trainings to finish or give up in all")
    sweep.add_argument(
        "--grid", action="store_true", help="instead of --trials: try every combination of the choices once, to its end"
    )
    sweep.add_argument(
        "--minutes",
        metavar="M",
        type=float,
        dest="sweep_minutes",
        help="begin no training that would end after M minutes if it took as long as the others",
    )
    sweep.add_argument(
        "--storage",
        metavar="URL",
        help="a database that several machines share, such as postgresql://USER@HOST/NAME (default: one in the folder)",
    )
    sweep.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        help="train N at once, each in a process of its own with its share of the processors (default: 1)",
    )
    sweep.add_argument(
        "--max-params",
        metavar="N",
        type=int,
        help="train no network with more parameters (default: the least of 20,000, 50,000, 100,000 and 200,000 that "
        "the recipe's own network does not exceed; of a larger network its own number)",
    )
    sweep.add_argument(
        "--max-macs",
        metavar="N",
        type=int,
        help="train no network with more MACs (default: those of the recipe's own network)",
    )
    sweep.add_argument("--run-dir", metavar="DIR", help="a new or empty folder (default: runs/sweep-<recipe>-<n>)")
    sweep.add_argument(
        "--resume", action="store_true", help="with --run-dir: go on with the sweep there; its recipe is kept"
    )
    sweep.add_argument(
        "--accept-changes",
        action="store_true",
        help="with --resume: finish a killed trial although processor, threads, kernels or the like differ",
    )
    sweep.add_argument("--log-style", choices=("auto", "silent"), help="how to show progress (default: auto)")
    add_json(sweep)
    add_trust(sweep)

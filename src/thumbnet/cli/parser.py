"""The parser: every verb with its options; each sets `verb` to the function that carries it out."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from thumbnet import __version__
from thumbnet.cli import model_verbs
from thumbnet.cli.data_parser import add_data
from thumbnet.cli.evaluation_parser import add_compare, add_evaluate, add_report, add_runs
from thumbnet.cli.options import add_device, add_json, add_model_options, add_verb
from thumbnet.cli.reproduce_verb import add_reproduce
from thumbnet.cli.shipping_parser import add_export, add_predict, add_serve
from thumbnet.cli.sweep_parser import add_sweep
from thumbnet.cli.train_parser import add_find_lr, add_train
from thumbnet.specs.engine import PRECISIONS
from thumbnet.terminal.text import escaped


class _Parser(argparse.ArgumentParser):
    """Shows what is wrong with the arguments escaped: they may hold the names of files."""

    def error(self, message: str) -> NoReturn:
        super().error(escaped(message))


def build_parser() -> argparse.ArgumentParser:
    """The parser of every verb; each sets `verb` to the function that carries it out."""
    parser = _Parser(
        prog="thumbnet",
        allow_abbrev=False,
        description="Train, understand and ship image classifiers under 200,000 parameters.",
    )
    parser.add_argument("--version", action="version", version=f"thumbnet {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    add_train(verbs)
    add_sweep(verbs)
    add_evaluate(verbs)
    add_runs(verbs)
    add_report(verbs)
    add_compare(verbs)
    add_reproduce(verbs)
    add_predict(verbs)
    _add_summary(verbs)
    _add_graph(verbs)
    add_find_lr(verbs)
    _add_bench(verbs)
    add_export(verbs)
    add_serve(verbs)
    add_data(verbs)
    add_json(add_verb(verbs, "models", model_verbs.list_models, "list the models"))
    add_json(add_verb(verbs, "recipes", model_verbs.list_recipes, "list the recipes and what they promise"))
    return parser


def _add_summary(verbs: Any) -> None:
    summary = add_verb(verbs, "summary", model_verbs.summary, "list a model's layers, parameters and cost")
    add_model_options(summary)
    add_json(summary)


def _add_graph(verbs: Any) -> None:
    graph = add_verb(verbs, "graph", model_verbs.graph, "draw a model as a graph")
    add_model_options(graph)
    graph.add_argument(
        "--format", choices=("svg", "png", "dot"), help="file format (default: the ending of --out, else svg)"
    )
    graph.add_argument("--out", metavar="FILE", help="where to write it (default: stdout; png needs a file)")


def _add_bench(verbs: Any) -> None:
    bench = add_verb(
        verbs, "bench", model_verbs.bench, "measure this machine, the models' speed and what the recipes take"
    )
    bench.add_argument("--models", metavar="NAME", nargs="*", help="which models (default: all)")
    bench.add_argument(
        "--recipes", metavar="NAME", nargs="*", help="which recipes, by name or .toml file (default: all)"
    )
    bench.add_argument("--batch-size", type=int, default=128, help="images per step, for the models (default: 128)")
    bench.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="number format, for the models (default: auto)"
    )
    add_device(bench, default="auto")
    bench.add_argument(
        "--layers", action="store_true", help="list each model's convolutions, and whose kernels train them"
    )
    add_json(bench)

"""The parser: every verb with its options; each sets `verb` to the function that carries it out."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from thumbnet import __version__
from thumbnet.cli import comparison_verbs, data_verbs, evaluation_verbs, listing_verb, model_verbs
from thumbnet.cli.options import (
    add_data_folder_options,
    add_data_options,
    add_image_size,
    add_json,
    add_model_options,
    add_recipe_options,
    add_split_options,
    add_trust,
    add_verb,
)
from thumbnet.cli.shipping_parser import add_export, add_predict, add_serve
from thumbnet.cli.train_parser import add_find_lr, add_train
from thumbnet.specs.engine import DEVICES, PRECISIONS
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

    evaluate = add_verb(
        verbs, "evaluate", evaluation_verbs.evaluate, "score a trained model on a split, and list its mistakes"
    )
    which = evaluate.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "run",
        metavar="RUN_OR_NAME",
        nargs="?",
        help="a run folder, one of `train --seeds` or `--folds`, or a model whose weights come with thumbnet",
    )
    which.add_argument("--pretrained", metavar="NAME", help="a model whose weights come with the package")
    evaluate.add_argument(
        "--temperature", action="store_true", help="also fit a temperature on the run's validation split"
    )
    evaluate.add_argument("--tta", action="store_true", help="also report accuracy with test-time augmentation")
    evaluate.add_argument(
        "--robustness", action="store_true", help="also report accuracy under corruptions (noise, blur, ...)"
    )
    evaluate.add_argument(
        "--split",
        choices=("test", "val", "train", "all"),
        default="test",
        help="which images to score; all: those of data that the model was not trained on (default: test)",
    )
    add_data_options(evaluate, "the run's own")
    add_trust(evaluate)
    add_json(evaluate)

    runs = add_verb(verbs, "runs", listing_verb.runs, "list runs with their settings and figures")
    runs.add_argument("folder", metavar="DIR", nargs="?", default="runs", help="the folder they are in (default: runs)")
    form = runs.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--csv", action="store_true", help="print CSV: a line for each run")

    report = add_verb(verbs, "report", evaluation_verbs.report, "write a run's report again: one HTML file")
    report.add_argument("run", metavar="RUN", help="a run folder, or one of `train --seeds` or `--folds`")
    report.add_argument("--out", metavar="FILE", help="the file to write (default: report.html in the run folder)")
    report.add_argument("--open", action="store_true", help="write nothing: open the run's report.html in a browser")
    add_data_options(report, "the run's own")
    add_trust(report)

    compare = add_verb(
        verbs, "compare", comparison_verbs.compare, "compare finished runs on the same test images with the first"
    )
    compare.add_argument(
        "baseline",
        metavar="RUN",
        help="the run folder that the others are compared with; to compare recipes, a folder of `train --seeds` or "
        "`--folds`",
    )
    compare.add_argument(
        "runs", metavar="RUN", nargs="+", help="other run folders, or others of `train --seeds` or `--folds`"
    )
    compare.add_argument("--out", metavar="DIR", help="a new or empty folder for pictures and comparison.json")
    add_data_options(compare, "the runs' own")
    add_trust(compare)
    add_json(compare)

    add_predict(verbs)

    summary = add_verb(verbs, "summary", model_verbs.summary, "list a model's layers, parameters and cost")
    add_model_options(summary)
    add_json(summary)

    graph = add_verb(verbs, "graph", model_verbs.graph, "draw a model as a graph")
    add_model_options(graph)
    graph.add_argument(
        "--format", choices=("svg", "png", "dot"), help="file format (default: the ending of --out, else svg)"
    )
    graph.add_argument("--out", metavar="FILE", help="where to write it (default: stdout; png needs a file)")

    add_find_lr(verbs)

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
    bench.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (default: auto)")
    bench.add_argument(
        "--layers", action="store_true", help="list each model's convolutions, and whose kernels train them"
    )
    add_json(bench)

    add_export(verbs)
    add_serve(verbs)
    _add_data_verbs(verbs)
    add_json(add_verb(verbs, "models", model_verbs.list_models, "list the models"))
    add_json(add_verb(verbs, "recipes", model_verbs.list_recipes, "list the recipes and what they promise"))
    return parser


def _add_data_verbs(verbs: Any) -> None:
    data = verbs.add_parser("data", help="look at a dataset, or fetch it")
    parts = data.add_subparsers(title="verbs", metavar="VERB", required=True)
    info = add_verb(parts, "info", data_verbs.info, "what a dataset holds")
    add_data_options(info, "auto")
    add_split_options(info)
    add_json(info)
    split = add_verb(
        parts, "split", data_verbs.split, "divide class folders into train, val and test folders, by copies or links"
    )
    split.add_argument("path", metavar="PATH", help="a folder with one sub-folder of pictures for each class")
    split.add_argument("--out", metavar="DIR", required=True, help="a new or empty folder")
    split.add_argument(
        "--test", metavar="SHARE", type=float, default=0.25, help="share of each class for test (default: 0.25)"
    )
    split.add_argument(
        "--val", metavar="SHARE", type=float, default=0.1, help="share of each class for validation (default: 0.1)"
    )
    split.add_argument("--split-seed", metavar="N", type=int, default=0, help="seed of the draw (default: 0)")
    split.add_argument(
        "--groups",
        metavar="WHAT",
        default="off",
        help="keep what belongs together in one split: folders (inside classes), a .csv file (path,group), auto or off "
        "(default: off)",
    )
    split.add_argument("--link", action="store_true", help="make symbolic links instead of copies")
    add_json(split)
    prepare = add_verb(parts, "prepare", data_verbs.prepare, "download CIFAR-10 if it is not there, and verify it")
    add_data_folder_options(prepare)
    preview = add_verb(parts, "preview", data_verbs.preview, "draw a batch before and after augmentation")
    add_data_options(preview, "auto")
    preview.add_argument(
        "--augmentation", metavar="POLICY", default="crop-flip", help="augmentation policy (default: crop-flip)"
    )
    add_image_size(preview, default="32")
    preview.add_argument("--seed", type=int, default=0, help="seed of the batch and its augmentation (default: 0)")
    preview.add_argument(
        "--out", metavar="FILE", default="preview.png", help="the file to write (default: preview.png)"
    )
    check = add_verb(parts, "check", data_verbs.check, "find wrong labels, duplicates, outliers, dark or flat images")
    add_recipe_options(check)
    check.add_argument(
        "--folds",
        metavar="K",
        type=int,
        default=4,
        help="number of folds: train on K - 1 parts, judge the other (default: 4)",
    )
    check.add_argument(
        "--repeats", metavar="N", type=int, default=3, help="repeat with N divisions into folds (default: 3)"
    )
    check.add_argument(
        "--kinds",
        metavar="KIND",
        nargs="+",
        default=["exact-duplicate"],
        help="kinds of suspects that exclude.csv lists: label, exact-duplicate, duplicate (nearly alike), outlier, "
        "dark, bright, flat (default: exact-duplicate)",
    )
    check.add_argument(
        "--max-labels",
        metavar="N",
        type=int,
        help="list the N most suspect labels (default: as many as are probably wrong)",
    )
    check.add_argument("--out", metavar="DIR", help="a new or empty folder (default: runs/data-check-<n>)")
    add_json(check)

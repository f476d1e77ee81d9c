"""The parser: every verb with its options; each sets `verb` to the function that carries it out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from thumbnet import __version__
from thumbnet.cli import (
    comparison_verbs,
    data_verbs,
    evaluation_verbs,
    model_verbs,
    predict_verb,
    shipping_verbs,
    training_verbs,
)
from thumbnet.cli.predict_verb import DEFAULT_PRETRAINED
from thumbnet.export.server import defaults
from thumbnet.recipes import DEFAULT_RECIPE
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

    train = _add_verb(verbs, "train", training_verbs.train, "train a model and leave a run folder")
    _add_recipe_options(train)
    place = train.add_mutually_exclusive_group()
    place.add_argument("--run-dir", metavar="DIR", help="a new or empty folder (default: runs/<recipe>-<n>)")
    place.add_argument(
        "--resume", metavar="RUN", help="continue a run that was stopped; give --data if its data has moved"
    )
    train.add_argument(
        "--accept-changes",
        action="store_true",
        help="with --resume: continue although config.toml was edited, or threads, kernels or the like differ",
    )
    train.add_argument("--init", metavar="NAME_OR_RUN", help="start from trained weights, with a new head")
    train.add_argument("--teacher", metavar="RUN", help="distil from this finished run on the same data")
    train.add_argument(
        "--exclude", metavar="FILE", help="leave out the images listed in this file (suspects.csv of `data check`)"
    )
    train.add_argument(
        "--seeds", metavar="N", type=int, help="train N times, with seeds from --seed on, each into a run folder"
    )
    train.add_argument(
        "--log-style", choices=("auto", "reference", "silent"), help="how to show progress (default: auto)"
    )
    train.add_argument(
        "--no-pictures", dest="pictures", action="store_false", help="draw no pictures and write no report.html"
    )

    evaluate = _add_verb(
        verbs, "evaluate", evaluation_verbs.evaluate, "score a trained model on a split, and list its mistakes"
    )
    which = evaluate.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "run", metavar="RUN_OR_NAME", nargs="?", help="a run folder, or a model whose weights come with thumbnet"
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
    _add_data_options(evaluate, "the run's own")
    _add_json(evaluate)

    report = _add_verb(verbs, "report", evaluation_verbs.report, "write a run's report again: one HTML file")
    report.add_argument("run", metavar="RUN", help="a run folder")
    report.add_argument("--out", metavar="FILE", help="the file to write (default: report.html in the run folder)")
    report.add_argument("--open", action="store_true", help="write nothing: open the run's report.html in a browser")
    _add_data_options(report, "the run's own")

    compare = _add_verb(
        verbs, "compare", comparison_verbs.compare, "compare finished runs on the same test images with the first"
    )
    compare.add_argument("baseline", metavar="RUN", help="the run folder that the others are compared with")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="other run folders")
    compare.add_argument("--out", metavar="DIR", help="a new or empty folder for pictures and comparison.json")
    _add_data_options(compare, "the runs' own")
    _add_json(compare)

    _add_predict(verbs)

    summary = _add_verb(verbs, "summary", model_verbs.summary, "list a model's layers, parameters and cost")
    _add_model_options(summary)
    _add_json(summary)

    graph = _add_verb(verbs, "graph", model_verbs.graph, "draw a model as a graph")
    _add_model_options(graph)
    graph.add_argument(
        "--format", choices=("svg", "png", "dot"), help="file format (default: the ending of --out, else svg)"
    )
    graph.add_argument("--out", metavar="FILE", help="where to write it (default: stdout; png needs a file)")

    find_lr = _add_verb(verbs, "find-lr", training_verbs.find_lr, "find a learning rate for a recipe's model and data")
    _add_recipe_options(find_lr, has_epochs=False)
    find_lr.add_argument(
        "--out", metavar="FILE", help="write the loss at each rate tried: a curve (.png, .svg) or .csv"
    )
    _add_json(find_lr)

    bench = _add_verb(
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
    _add_json(bench)

    _add_export(verbs)
    _add_serve(verbs)
    _add_data_verbs(verbs)
    _add_json(_add_verb(verbs, "models", model_verbs.list_models, "list the models"))
    _add_json(_add_verb(verbs, "recipes", model_verbs.list_recipes, "list the recipes and what they promise"))
    return parser


def _add_predict(verbs: Any) -> None:
    predict = _add_verb(verbs, "predict", predict_verb.predict, "classify pictures")
    predict.add_argument(
        "images",
        metavar="PICTURES",
        nargs="+",
        help="pictures of any size: files, folders (with all in them) or patterns such as 'photos/**/*.jpg'; "
        "- reads one from stdin",
    )
    whose = predict.add_mutually_exclusive_group()
    whose.add_argument("--run", metavar="RUN", help="the run folder whose model to use")
    whose.add_argument("--pretrained", metavar="NAME", help=f"a model of the package (default: {DEFAULT_PRETRAINED})")
    whose.add_argument("--model", metavar="PATH", help="an exported model: an .onnx file or a C folder")
    predict.add_argument(
        "--top", metavar="K", type=int, default=3, help="how many classes to give for each picture (default: 3)"
    )
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--csv", action="store_true", help="print a table: path, class, probability, the runners-up")
    predict.add_argument(
        "--sort-into", metavar="DIR", help="copy each picture into DIR/<class>; nothing is overwritten or removed"
    )
    how = predict.add_mutually_exclusive_group()
    how.add_argument("--copy", action="store_true", help="with --sort-into: copy the pictures (the default)")
    how.add_argument("--link", action="store_true", help="with --sort-into: make symbolic links instead")
    predict.add_argument(
        "--batch-size", metavar="N", type=int, default=64, help="pictures read and predicted at a time (default: 64)"
    )


def _add_export(verbs: Any) -> None:
    export = _add_verb(
        verbs, "export", shipping_verbs.export, "write a trained model so that it works elsewhere, and check it"
    )
    what = export.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "run_or_name",
        metavar="RUN_OR_NAME",
        nargs="?",
        help="a run folder, or a model whose weights come with thumbnet",
    )
    what.add_argument("--list", action="store_true", help="list the formats: what for, what they need and take")
    export.add_argument("--format", metavar="FORMAT", help="onnx, onnx-int8, tflite, c or html: see --list")
    export.add_argument(
        "--out", metavar="PATH", help="the file, or for c the folder, to write (default: exports/<name>/<name>...)"
    )
    export.add_argument(
        "--max-drop",
        type=float,
        metavar="FRACTION",
        help="refuse an int8 model that loses more accuracy on validation images (default: 0.005, or one image)",
    )
    export.add_argument(
        "--for", dest="target", metavar="PROGRAM", help="with tflite: write the folder that frigate or openmv reads"
    )
    export.add_argument(
        "--license", dest="licence", metavar="SPDX", help="the licence of a run's model, for instance CC-BY-4.0"
    )
    _add_data_options(export, "a run's own; sample pictures for a model of the package")
    _add_json(export)


def _add_serve(verbs: Any) -> None:
    serve = _add_verb(
        verbs, "serve", shipping_verbs.serve, "serve a trained model: a page, and predictions over HTTP (POST /predict)"
    )
    serve.add_argument(
        "run_or_name", metavar="RUN_OR_NAME", help="a run folder, or a model whose weights come with thumbnet"
    )
    serve.add_argument(
        "--host",
        metavar="ADDRESS",
        default=defaults.HOST,
        help=f"the address to listen on; 0.0.0.0: all of this machine's (default: {defaults.HOST}, for itself alone)",
    )
    serve.add_argument(
        "--port", type=int, default=defaults.PORT, help=f"0 takes any that is free (default: {defaults.PORT})"
    )
    serve.add_argument(
        "--max-bytes",
        metavar="N",
        type=int,
        default=defaults.MAX_BYTES,
        help=f"refuse pictures whose files are larger (default: {defaults.MAX_BYTES})",
    )
    serve.add_argument(
        "--max-pixels",
        metavar="N",
        type=int,
        default=defaults.MAX_PIXELS,
        help="refuse pictures with more pixels, or with more than twice as many if they are large JPEG files "
        f"(default: {defaults.MAX_PIXELS})",
    )


def _add_data_verbs(verbs: Any) -> None:
    data = verbs.add_parser("data", help="look at a dataset, or fetch it")
    parts = data.add_subparsers(title="verbs", metavar="VERB", required=True)
    info = _add_verb(parts, "info", data_verbs.info, "what a dataset holds")
    _add_data_options(info, "auto")
    _add_split_options(info)
    _add_json(info)
    prepare = _add_verb(parts, "prepare", data_verbs.prepare, "download CIFAR-10 if it is not there, and verify it")
    _add_data_folder_options(prepare)
    preview = _add_verb(parts, "preview", data_verbs.preview, "draw a batch before and after augmentation")
    _add_data_options(preview, "auto")
    preview.add_argument(
        "--augmentation", metavar="POLICY", default="crop-flip", help="augmentation policy (default: crop-flip)"
    )
    preview.add_argument("--seed", type=int, default=0, help="seed of the batch and its augmentation (default: 0)")
    preview.add_argument(
        "--out", metavar="FILE", default="preview.png", help="the file to write (default: preview.png)"
    )
    check = _add_verb(parts, "check", data_verbs.check, "find wrong labels, duplicates, outliers, dark or flat images")
    _add_recipe_options(check)
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
    check.add_argument("--out", metavar="DIR", help="a new or empty folder (default: runs/data-check-<n>)")
    _add_json(check)


def _add_verb(
    verbs: Any, name: str, verb: Callable[[argparse.Namespace], None], description: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, allow_abbrev=False, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    parser.set_defaults(verb=verb, command=parser.prog)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_data_options(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help=f"data source: auto, cifar10, cifar100, digits, folder:PATH or npz:FILE (default: {default})",
    )
    _add_data_folder_options(parser)


def _add_data_folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder that holds CIFAR or gets it (default: THUMBNET_DATA, else the cache folder)",
    )
    parser.add_argument(
        "--allow-unverified", action="store_true", help="accept CIFAR files that differ from the official ones"
    )


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--image-size", type=int, default=32, help="side in pixels that a folder's images are resized to (default: 32)"
    )
    parser.add_argument(
        "--val-fraction",
        type=float,
        default=0.1,
        help="share of the training images held out for validation (default: 0.1)",
    )
    parser.add_argument("--split-seed", type=int, default=0, help="seed of the held-out images (default: 0)")


def _add_recipe_options(parser: argparse.ArgumentParser, *, has_epochs: bool = True) -> None:
    parser.add_argument("--recipe", metavar="NAME", help=f"a recipe or a .toml file (default: {DEFAULT_RECIPE})")
    parser.add_argument("--model", metavar="NAME", help="use this model instead of the recipe's")
    if has_epochs:
        parser.add_argument("--epochs", type=int, help="number of passes over the training images")
    parser.add_argument("--batch-size", type=int, help="images per step")
    parser.add_argument("--lr", type=float, help="base learning rate")
    parser.add_argument("--seed", type=int, help="seed of weights, shuffling, augmentation and dropout")
    parser.add_argument("--device", choices=DEVICES, help="where to compute (default: auto)")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", dest="settings", help="any other field of the recipe; repeatable"
    )
    _add_data_options(parser, "the recipe's, auto as a rule")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a name that `thumbnet models` lists")
    parser.add_argument("--num-classes", type=int, default=10, help="number of classes (default: 10)")
    parser.add_argument("--in-channels", type=int, default=3, help="1 for grey images, 3 for colour (default: 3)")
    parser.add_argument("--image-size", type=int, default=32, help="side in pixels (default: 32)")

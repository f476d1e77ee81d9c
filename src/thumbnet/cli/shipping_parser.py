"""The parsers of the verbs that use a trained model elsewhere: predict, export, serve."""

from __future__ import annotations

from typing import Any

from thumbnet.cli import predict_verb, shipping_verbs
from thumbnet.cli.options import add_data_options, add_json, add_trust, add_verb
from thumbnet.cli.predict_verb import DEFAULT_PRETRAINED
from thumbnet.export.server import defaults


def add_predict(verbs: Any) -> None:
    """The verb `predict`."""
    predict = add_verb(verbs, "predict", predict_verb.predict, "classify pictures")
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
    add_trust(predict)


def add_export(verbs: Any) -> None:
    """The verb `export`."""
    export = add_verb(
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
        help="refuse an int8 model that loses more accuracy on validation images (default: 0.005 and a standard error)",
    )
    export.add_argument(
        "--for", dest="target", metavar="PROGRAM", help="with tflite: write the folder that frigate or openmv reads"
    )
    export.add_argument(
        "--license", dest="licence", metavar="SPDX", help="the licence of a run's model, for instance CC-BY-4.0"
    )
    add_data_options(export, "a run's own; sample pictures for a model of the package")
    add_trust(export)
    add_json(export)


def add_serve(verbs: Any) -> None:
    """The verb `serve`."""
    serve = add_verb(
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
    add_trust(serve)

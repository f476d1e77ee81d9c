"""The verbs that score and compare what was trained: evaluate, runs, report, compare, with their options."""

from __future__ import annotations

from typing import Any

from thumbnet.cli import comparison_verbs, evaluation_verbs, listing_verb
from thumbnet.cli.options import add_data_options, add_json, add_trust, add_verb


def add_evaluate(verbs: Any) -> None:
    """The verb evaluate."""
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
        help="which images to score; all: every image of the data that --data names, which the model must not have "
        "been trained on (default: test)",
    )
    add_data_options(evaluate, "the run's own")
    add_trust(evaluate)
    add_json(evaluate)


def add_runs(verbs: Any) -> None:
    """The verb runs."""
    runs = add_verb(verbs, "runs", listing_verb.runs, "list runs with their settings and figures")
    runs.add_argument("folder", metavar="DIR", nargs="?", default="runs", help="the folder they are in (default: runs)")
    form = runs.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--csv", action="store_true", help="print CSV: a line for each run")


def add_report(verbs: Any) -> None:
    """The verb report."""
    report = add_verb(verbs, "report", evaluation_verbs.report, "write a run's report again: one HTML file")
    report.add_argument("run", metavar="RUN", help="a run folder, or one of `train --seeds` or `--folds`")
    report.add_argument("--out", metavar="FILE", help="the file to write (default: report.html in the run folder)")
    report.add_argument("--open", action="store_true", help="write nothing: open the run's report.html in a browser")
    add_data_options(report, "the run's own")
    add_trust(report)


def add_compare(verbs: Any) -> None:
    """The verb compare."""
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

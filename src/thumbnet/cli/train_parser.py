"""The options of the verbs that train: train, find-lr."""

from __future__ import annotations

from typing import Any

from thumbnet.cli import training_verbs
from thumbnet.cli.options import add_at_once, add_json, add_recipe_options, add_trust, add_verb
from thumbnet.recipes import DEFAULT_RECIPE, PLANNED_RECIPE
from thumbnet.specs.loggers import LOGGERS


def add_train(verbs: Any) -> None:
    """`train`."""
    train = add_verb(verbs, "train", training_verbs.train, "train a model and leave a run folder")
    train.set_defaults(began_s=None)
    add_recipe_options(train, default=f"{DEFAULT_RECIPE}; {PLANNED_RECIPE} where minutes are planned")
    train.add_argument(
        "--minutes",
        metavar="M",
        type=float,
        help="train what fits into M minutes, start and report included, instead of a number of epochs; alone, with "
        "the recipe auto (default for folder:, packed: and npz: without --recipe, --model and --epochs: 10)",
    )
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
    train.add_argument(
        "--init",
        metavar="NAME_OR_RUN",
        help="start from trained weights, with a new head; auto: where they win on validation",
    )
    train.add_argument("--teacher", metavar="RUN", help="distil from this finished run on the same data")
    train.add_argument(
        "--exclude", metavar="FILE", help="leave out the images listed in this file (exclude.csv of `data check`)"
    )
    train.add_argument(
        "--threshold",
        metavar="RULE",
        type=number_or_name,
        help="of two classes: answer the rarer one where F1 is best on validation (f1), or from this probability on; "
        "of several labels a picture: the same of each",
    )
    train.add_argument(
        "--recall",
        metavar="FRACTION",
        type=float,
        help="of two classes: find this fraction of the rarer one's images; of several labels: of each label's",
    )
    train.add_argument(
        "--positive", metavar="CLASS", help="with --threshold or --recall: the class to find, if not the rarer one"
    )
    train.add_argument(
        "--seeds", metavar="N", type=int, help="train N times, with seeds from --seed on, each into a run folder"
    )
    train.add_argument(
        "--folds",
        metavar="K",
        type=int,
        help="train K times, each time with another K-th of the images held out for test, and report on all of them",
    )
    add_at_once(train, what="with --seeds or --folds: train N")
    train.add_argument(
        "--log-style", choices=("auto", "reference", "silent"), help="how to show progress (default: auto)"
    )
    train.add_argument(
        "--logger",
        metavar="NAME",
        action="append",
        dest="loggers",
        choices=LOGGERS,
        help="also write the figures of each epoch, and the pictures of the end, for tensorboard, into a folder of the "
        "run (history.csv has the figures always)",
    )
    train.add_argument(
        "--no-pictures", dest="pictures", action="store_false", help="draw no pictures and write no report.html"
    )
    add_trust(train)


def number_or_name(text: str) -> float | str:
    """A number where the text is one, as the field `threshold` takes it."""
    try:
        return float(text)
    except ValueError:
        return text


def add_find_lr(verbs: Any) -> None:
    """`find-lr`."""
    find_lr = add_verb(verbs, "find-lr", training_verbs.find_lr, "find a learning rate for a recipe's model and data")
    add_recipe_options(find_lr, has_epochs=False)
    find_lr.add_argument(
        "--out", metavar="FILE", help="write the loss at each rate tried: a curve (.png, .svg) or .csv"
    )
    add_json(find_lr)
    add_trust(find_lr)

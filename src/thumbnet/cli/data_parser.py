"""The verb data: what looks at a dataset, divides, fetches or checks it, with its options."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from thumbnet.cli import data_verbs
from thumbnet.cli.options import (
    add_at_once,
    add_data_folder_options,
    add_data_options,
    add_image_size,
    add_json,
    add_recipe_options,
    add_split_options,
    add_trust,
    add_verb,
)
from thumbnet.specs.data import Labels
from thumbnet.specs.sizes import FITS


def add_data(verbs: Any) -> None:
    """The verb data, with verbs of its own."""
    data = verbs.add_parser("data", help="look at a dataset, or fetch it")
    parts = data.add_subparsers(title="verbs", metavar="VERB", required=True)
    for add in (_add_info, _add_split, _add_pack, _add_cache, _add_prepare, _add_preview, _add_check):
        add(parts)


def _add_info(parts: Any) -> None:
    info = add_verb(parts, "info", data_verbs.info, "what a dataset holds")
    add_data_options(info, "auto")
    add_split_options(info)
    add_json(info)


def _add_split(parts: Any) -> None:
    split = add_verb(
        parts, "split", data_verbs.split, "divide a folder into train, val and test folders, by copies or links"
    )
    split.add_argument("path", metavar="PATH", help="a folder of pictures: a sub-folder for each class, or labels.csv")
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
    _add_labels(split)
    split.add_argument("--link", action="store_true", help="make symbolic links instead of copies")
    add_json(split)


def _add_pack(parts: Any) -> None:
    pack = add_verb(parts, "pack", data_verbs.pack, "decode data once into a folder to keep or copy (packed:DIR)")
    pack.add_argument("data", metavar="SOURCE", help="a data source, as a rule folder:PATH")
    pack.add_argument(
        "--out", metavar="DIR", required=True, help="a new or empty folder; where this was stopped, it goes on"
    )
    add_image_size(pack, default="32")
    pack.add_argument(
        "--fit",
        choices=FITS,
        default="crop",
        help="how pictures of another shape are brought to that: their centre, or all with grey around it "
        "(default: crop)",
    )
    pack.add_argument("--skip-unreadable", action="store_true", help="leave out files that cannot be read as pictures")
    _add_labels(pack)
    add_data_folder_options(pack)
    add_json(pack)


def _add_labels(parser: argparse.ArgumentParser) -> None:
    """--labels, of a folder of pictures."""
    parser.add_argument(
        "--labels",
        choices=get_args(Labels),
        default="auto",
        help="where the labels are: in the names of class folders (folders), in a labels.csv (file), or in that file "
        "if there is one (default: auto)",
    )


def _add_cache(parts: Any) -> None:
    cache = add_verb(parts, "cache", data_verbs.cache, "list or remove the decoded pictures of folders that are kept")
    what = cache.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="list what is kept, and where")
    what.add_argument(
        "--clear", metavar="NAME", nargs="?", const="", help="remove the entry of this name, or all without a name"
    )
    add_json(cache)


def _add_prepare(parts: Any) -> None:
    prepare = add_verb(parts, "prepare", data_verbs.prepare, "download CIFAR-10 if it is not there, and verify it")
    add_data_folder_options(prepare)


def _add_preview(parts: Any) -> None:
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


def _add_check(parts: Any) -> None:
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
    add_at_once(check, what="train N of the models")
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
    add_trust(check)

"""Options that several verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, cast

from thumbnet.errors import ConfigError
from thumbnet.recipes import DEFAULT_RECIPE
from thumbnet.specs.data import ValFraction
from thumbnet.specs.engine import check_device
from thumbnet.specs.plain import checked
from thumbnet.specs.sizes import ImageSize, check_image_size
from thumbnet.specs.toml_text import parse_setting


def add_verb(
    verbs: Any, name: str, verb: Callable[[argparse.Namespace], None], description: str
) -> argparse.ArgumentParser:
    """A verb's parser, which sets `verb` to the function that carries it out."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, allow_abbrev=False, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    parser.set_defaults(verb=verb, command=parser.prog)
    return parser


def refuse_options(parsed: argparse.Namespace, names: Iterable[str], *, why: str, hint: str) -> None:
    """ConfigError where one of these options is given, which the verb has no use for: `why` ends the sentence."""
    for name in names:
        if getattr(parsed, name) not in (None, False):
            raise ConfigError(f"--{name.replace('_', '-')} is given{why}", hint=hint)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """--trust-code."""
    parser.add_argument(
        "--trust-code", action="store_true", help="execute the user's own code that a run was trained with"
    )


def add_at_once(parser: argparse.ArgumentParser, *, what: str) -> None:
    """--jobs and --scheduler."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        help=f"{what} at once, each in a process of its own with its share of the processors (default: 1)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="train on the workers of a Dask cluster instead: the address of its scheduler, tcp://HOST:PORT",
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_data_options(parser: argparse.ArgumentParser, default: str) -> None:
    """--data with what goes with it; `default` says what is taken where it is not given."""
    add_data(parser, default)
    add_data_folder_options(parser)


def add_data(parser: argparse.ArgumentParser, default: str) -> None:
    """--data."""
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help=f"data source: auto, cifar10, cifar100, digits, folder:PATH, npz:FILE or packed:DIR (default: {default})",
    )


def add_data_folder_options(parser: argparse.ArgumentParser) -> None:
    """Where CIFAR is, and whether it must be the official one."""
    add_data_dir(parser)
    parser.add_argument(
        "--allow-unverified", action="store_true", help="accept CIFAR files that differ from the official ones"
    )


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """--data-dir."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder that holds CIFAR or gets it (default: THUMBNET_DATA, else the cache folder)",
    )


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """How a dataset is read and divided."""
    add_image_size(parser, default="32")
    parser.add_argument(
        "--val-fraction",
        type=_fraction_or_auto,
        default="auto",
        help="share of the training images held out for validation, or auto (default: auto)",
    )
    parser.add_argument("--split-seed", type=int, default=0, help="seed of the held-out images (default: 0)")
    add_groups(parser, default="off")


def add_groups(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """--groups; without a default, the recipe's."""
    parser.add_argument(
        "--groups",
        metavar="WHAT",
        default=default,
        help="keep what belongs together on one side of every split: folders (sub-folders of the classes), a .csv file "
        f"(path,group), auto or off (default: {default or 'that of the recipe, as a rule off'})",
    )


def _fraction_or_auto(text: str) -> ValFraction:
    try:
        return "auto" if text == "auto" else float(text)
    except ValueError:  # of which argparse would tell by this function's name
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor auto") from None


def add_image_size(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """The size that pictures are brought to, a text for `image_size_of`."""
    parser.add_argument(
        "--image-size",
        metavar="SIZE",
        default=default,
        help="side in pixels that a folder's images are brought to, or [height,width], or auto: by their own sizes "
        f"(default: {default or 'that of the recipe'})",
    )


def image_size_of(text: str) -> ImageSize:
    """A size as a recipe takes it: TOML, or a bare word; ConfigError for what is none. (Not while arguments are parsed:
    of an error there, argparse says another thing.)"""
    size = cast(ImageSize, checked("image_size", parse_setting(f"image_size={text}")["image_size"], ImageSize))
    if isinstance(size, tuple):
        check_image_size(size)
    return size


def add_recipe_options(
    parser: argparse.ArgumentParser, *, has_epochs: bool = True, default: str = DEFAULT_RECIPE
) -> None:
    """A recipe and its most used fields; `default` says which one is taken where none is given."""
    parser.add_argument("--recipe", metavar="NAME", help=f"a recipe or a .toml file (default: {default})")
    parser.add_argument("--model", metavar="NAME", help="use this model instead of the recipe's")
    if has_epochs:
        parser.add_argument("--epochs", type=int, help="number of passes over the training images")
    parser.add_argument("--batch-size", type=int, help="images per step")
    add_image_size(parser, default=None)
    parser.add_argument("--lr", type=float, help="base learning rate")
    parser.add_argument("--seed", type=int, help="seed of weights, shuffling, augmentation and dropout")
    add_device(parser, default=None)
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        help="threads that compute one training on a CPU; recorded, kept to by --resume (default: as PyTorch has it)",
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", dest="settings", help="any other field of the recipe; repeatable"
    )
    add_data_options(parser, "the recipe's, auto as a rule")
    add_groups(parser)


def add_device(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """Where to compute."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        type=device_name,
        default=default,
        help="where to compute: auto, cpu, cuda, mps, or a GPU by its number, as cuda:1 (default: auto)",
    )


def device_name(text: str) -> str:
    """The name of a device, refused by the parser where there is no such one."""
    try:
        check_device(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.hint}") from None
    return text


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """A model that is made anew."""
    parser.add_argument("model", metavar="MODEL", help="a name that `thumbnet models` lists")
    parser.add_argument("--num-classes", type=int, default=10, help="number of classes (default: 10)")
    parser.add_argument("--in-channels", type=int, default=3, help="1 for grey images, 3 for colour (default: 3)")
    parser.add_argument(
        "--image-size",
        metavar="SIZE",
        default="32",
        help="side in pixels, or [height,width]; a network of blocks is the one that is trained on them (default: 32)",
    )

"""The models by name. To add one: write its file, then its line in MODELS; a user's own is registered."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import nn

from thumbnet.config import Option
from thumbnet.errors import ConfigError, ModelError, ThumbnetError
from thumbnet.models.architecture import STEMS, parse_stem, stem_for
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.card import card_from_dict
from thumbnet.models.dilated import DilatedFixedNet, DilatedNet
from thumbnet.models.own_model import factory_of
from thumbnet.models.pretrained import pretrained_path, read_pretrained_card
from thumbnet.models.resnet8 import ResNet8
from thumbnet.models.sprint import SprintLongNet, SprintNet
from thumbnet.models.thumb import Thumb20kNet, Thumb50kNet, Thumb100kNet, Thumb200kNet
from thumbnet.models.weights import load_weights
from thumbnet.specs.checks import MAX_CLASSES, MAX_IMAGE_SIZE, MAX_SEED
from thumbnet.specs.code_reference import is_own_code
from thumbnet.specs.registry import Registry


class Models(Registry[Callable[..., nn.Module]]):
    """The models by name; code of the user's own, `net.py:Net`, is one, too."""

    def __getitem__(self, name: str) -> Callable[..., nn.Module]:
        return factory_of(name) if is_own_code(name) else super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return is_own_code(name) or super().__contains__(name)


MODELS = Models(
    "model",
    "thumbnet.models",
    {
        "dilated": DilatedNet,
        "dilated-fixed": DilatedFixedNet,
        "resnet8": ResNet8,
        "sprint": SprintNet,
        "sprint-long": SprintLongNet,
        "thumb-20k": Thumb20kNet,
        "thumb-50k": Thumb50kNet,
        "thumb-100k": Thumb100kNet,
        "thumb-200k": Thumb200kNet,
    },
    error=ModelError,
)
NO_OPTIONS: Mapping[str, Option] = {}
COMMON_ARGUMENTS = ("num_classes", "in_channels")  # of every model; what else it takes are its options


@dataclass(frozen=True)
class ModelInfo:
    """A line of `thumbnet models`: its name, what it is, and its parameters for ten classes and three channels."""

    name: str
    description: str
    num_params: int


def register_model(name: str, factory: Callable[..., nn.Module], *, replace: bool = False) -> None:
    """Let recipes say `model = "<name>"`, and `create_model` make it.

    Args:
        name: lower-case letters, digits, `-`, `_` and `.`.
        factory: a class or a function that takes `num_classes` and `in_channels`, and options of its own with defaults
            (numbers, truth values or texts), and returns a module from normalised float images [N,C,H,W] to logits
            [N,K]. Its last layer should be called `head`: a training that begins with its weights replaces that. Its
            attributes `min_image_size` and `max_image_size`, if any, are sides in pixels.
        replace: take the place of one that was registered before.

    Raises:
        ConfigError: the name is no such word or is taken; the factory does not take these arguments.
    """
    parameters = inspect.signature(factory).parameters
    missing = [argument for argument in COMMON_ARGUMENTS if argument not in parameters]
    if missing:
        raise ConfigError(f"the model {name!r} does not take {' and '.join(missing)}", hint="give it these arguments")
    MODELS.register(name, factory, replace=replace)


def list_models() -> list[str]:
    """The names that `create_model` takes."""
    return list(MODELS)


def describe_models() -> list[ModelInfo]:
    """Name, description and parameter count of every model."""
    return [
        ModelInfo(name, (inspect.getdoc(factory) or "").partition("\n")[0], num_params(create_model(name)))
        for name, factory in MODELS.items()
    ]


def create_model(
    name: str,
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int | tuple[int, int] = 32,
    seed: int | None = None,
    pretrained: bool = False,
    **options: Option,
) -> nn.Module:
    """A new model, with random weights or those that come with the package.

    Args:
        name: one of `list_models()`, or code of the user's own, `net.py:Net`, which is executed.
        num_classes: number of logits, at least 2.
        in_channels: 1 (grey) or 3 (colour).
        image_size: side in pixels of the images it will be given, or their height and width: checked against what the
            network can take. For large images give a network of blocks a `stem` such as "w4s2"; `train` chooses one.
        seed: of the random weights, from 0 to 2^64 - 1; None draws them from PyTorch's global generator.
        pretrained: with trained weights, of a model of `list_pretrained()` for its classes and channels.
        options: what this model takes besides, for instance `dropout` for `dilated`.

    Raises:
        ModelError: an unknown name or option, or a size that this network cannot take; ConfigError: num_classes or seed
            is not a whole number in its range, or not that of the trained weights.
    """
    if pretrained:
        _check_pretrained(name, num_classes=num_classes, in_channels=in_channels, seed=seed)
        card = card_from_dict(read_pretrained_card(name), name=str(pretrained_path(name)))
        options = {**card.model_options, **options}
    factory = MODELS[name]
    if not _is_integer(num_classes) or not 2 <= num_classes <= MAX_CLASSES:
        raise ConfigError(
            f"num_classes is {num_classes!r}",
            hint=f"give the number of classes: an integer, at least 2 and at most {MAX_CLASSES:,}",
        )
    if seed is not None and not (_is_integer(seed) and 0 <= seed <= MAX_SEED):
        raise ConfigError(
            f"seed is {seed!r}", hint="give an integer from 0 to 2^64 - 1, or None to draw without a seed"
        )
    if in_channels not in (1, 3):
        raise ModelError(f"in_channels is {in_channels}", hint="give 1 for grey images or 3 for colour")
    known = [key for key in inspect.signature(factory).parameters if key not in COMMON_ARGUMENTS]
    for key in options:
        if key not in known:
            choices = f"{name} takes {', '.join(known)}" if known else f"{name} takes no options"
            raise ModelError(f"model {name!r} has no option {key!r}", hint=choices)
    for side in image_size if isinstance(image_size, tuple) else (image_size,):
        check_image_size(name, side, options)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(int(seed))  # torch.manual_seed would also reseed every GPU
        try:
            model = factory(num_classes=int(num_classes), in_channels=in_channels, **options)
        except ThumbnetError:
            raise
        except (TypeError, ValueError, AttributeError) as error:  # as of a number instead of a text
            raise ModelError(
                f"model {name!r} refused its options {options}: {error}",
                hint="see the recipe that the model is made for",
            ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"the model {name!r} is no torch.nn.Module: {model!r}", hint="return one from its factory")
    if pretrained:
        load_weights(model, pretrained_path(name))
    return model


def create_with_options(
    name: str,
    options: Mapping[str, Option],
    *,
    num_classes: int,
    in_channels: int,
    image_size: int | tuple[int, int],
    seed: int | None,
) -> nn.Module:
    """`create_model` with its options as a mapping, as a config has them."""
    create: Callable[..., nn.Module] = create_model
    return create(name, num_classes=num_classes, in_channels=in_channels, image_size=image_size, seed=seed, **options)


def num_params(model: nn.Module) -> int:
    """How many numbers the model learns or keeps frozen: all its parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def _check_pretrained(name: str, *, num_classes: int, in_channels: int, seed: int | None) -> None:
    card = read_pretrained_card(name)
    trained_for = len(card["class_names"]), card["image_shape"][0]
    if (num_classes, in_channels) != trained_for:
        raise ConfigError(
            f"the trained weights of {name} are for {trained_for[0]} classes and {trained_for[1]} channels, not for "
            f"{num_classes} and {in_channels}",
            hint="for other classes, fine-tune them: thumbnet train --init",
        )
    if seed is not None:
        raise ConfigError("seed is given, but the weights are trained ones", hint="leave seed out")


def _is_integer(value: object) -> bool:
    """Also one of numpy's; `True` counts nothing."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def resolved_options(
    name: str, options: Mapping[str, Option], *, sides: tuple[int, int] | None = None
) -> dict[str, Option]:
    """All options of the model called `name`: the given ones and today's defaults of the others, so that the network
    can be created again after a default has changed.

    With `sides`, the height and width of the images that it is to be trained on, a network of blocks gets the stem for
    these, unless its stem or its blocks are given.
    """
    if name not in MODELS:
        return dict(options)  # refused where it is created
    factory = MODELS[name]
    parameters = inspect.signature(factory).parameters
    defaults = {
        key: parameter.default
        for key, parameter in parameters.items()
        if key not in COMMON_ARGUMENTS and parameter.default is not parameter.empty
    }
    unset = {key: getattr(factory, f"default_{key}") for key, default in defaults.items() if default is None}
    values = {**defaults, **unset, **options}
    if sides is not None and name in STEMS and not {"stem", "blocks"} & options.keys():
        stem, first = stem_for(name, sides)
        values |= {"stem": stem, "blocks": f"{first} {values['blocks']}".lstrip()}
    return values


def image_sides(name: str, options: Mapping[str, Option] = NO_OPTIONS) -> tuple[int, int | None]:
    """The least and the largest side in pixels of the images that the model called `name` takes; None: no largest."""
    factory = MODELS[name]
    min_size = getattr(factory, "min_image_size", 1)
    stem = options.get("stem")
    if isinstance(stem, str) and isinstance(factory, type) and issubclass(factory, BlockNet):
        min_size = parse_stem(stem).min_side
    return min_size, getattr(factory, "max_image_size", None)


def check_image_size(name: str, image_size: int, options: Mapping[str, Option] = NO_OPTIONS) -> None:
    """ModelError where the model called `name`, with these options, takes no images of this side in pixels."""
    if name not in MODELS:
        return  # refused where it is created
    min_size, max_size = image_sides(name, options)
    if image_size > MAX_IMAGE_SIZE:
        raise ConfigError(f"image_size is {image_size}", hint=f"image_size must be at most {MAX_IMAGE_SIZE} pixels")
    if image_size < min_size or (max_size is not None and image_size > max_size):
        allowed = f"at least {min_size}" if max_size is None else f"{min_size} to {max_size}"
        raise ModelError(
            f"model {name!r} takes images of {allowed} pixels a side, not {image_size}",
            hint="choose another model, or, for a folder of images, another image_size",
        )

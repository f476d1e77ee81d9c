"""What a training run is asked to do: one flat, frozen dataclass, read from a recipe file and options.

Imports no torch, so that a wrong option is refused at once. A field that is None is not given: either its meaning is
stated here, or a cross-check demands or forbids it, so that no field is ever silently ignored.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from thumbnet.errors import ConfigError
from thumbnet.terminal.text import escaped

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")
KERNELS = ("auto", "native", "pytorch")
MAX_EPOCHS = 1_000_000
MAX_STEPS = 1_000_000_000
MAX_BATCH_SIZE = 1_000_000
MAX_IMAGE_SIZE = 2048  # pixels
MAX_RATE = 1e30  # of learning rates and the like: beyond, products of them leave float32
MAX_SEED = 2**64 - 1  # of PyTorch's generators
MAX_INTEGER = 2**64 - 1  # of whole numbers in any field
MAX_NAME = 100  # characters of a recipe's name, which is part of a folder's
MAX_SHOWN = 100  # characters of a wrong value in an error
POLICIES_OF_STUDENTS = ("crop-flip", "shift-flip", "strong")  # augmentations that begin with a crop

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
Kernels = Literal["auto", "native", "pytorch"]
Optimizer = Literal["sgd", "muon"]
Schedule = Literal["step", "one-cycle", "cosine"]
ScoreTest = Literal["end", "each-epoch"]
Option = str | int | float | bool


@dataclass(frozen=True)
class TrainConfig:
    """A recipe with its options applied. Times are in epochs, rates are per step, fractions are from 0 to 1."""

    recipe: str
    model: str
    epochs: int
    lr: float
    schedule: Schedule
    model_options: Mapping[str, Option] = field(default_factory=dict)  # what the model takes besides, as `dropout`
    init: str | None = None  # trained weights to begin with, under a new head: a pretrained model's name, or a run

    data: str = "auto"
    data_dir: str | None = None  # None: THUMBNET_DATA, else the user's cache folder
    allow_unverified: bool = False
    image_size: int = 32  # side in pixels that a folder's images are resized to
    val_fraction: float = 0.1
    split_seed: int = 0
    skip_unreadable: bool = False  # of a folder: train without the files that cannot be read as pictures
    exclude: str | None = None  # a suspects.csv of `thumbnet data check`: its images are left out of train and val
    mean: tuple[float, ...] | None = None  # per channel, of pixels in 0..1; None: computed from the training split
    std: tuple[float, ...] | None = None

    augmentation: str = "crop-flip"
    flip: bool | Literal["auto"] = "auto"  # auto: where the dataset says that mirroring keeps the label
    alternating_flip: bool = False  # where images are mirrored: in every second epoch, not at random
    cutout: int = 0  # side in pixels of a square in the mean colour, painted into every training image; 0: none
    mixup: float = 0.0  # alpha of the Beta distribution of the share that a second image gets; 0: none

    min_steps: int | None = None  # on small data, as many more epochs as this takes; resolved into epochs
    batch_size: int = 128
    optimizer: Optimizer = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    vector_lr: float | None = None  # optimizer "muon": of biases, norms and depthwise filters, which it steps by SGD
    vector_momentum: float | None = None  # optimizer "muon": of that SGD
    head_lr: float | None = None  # optimizer "muon": of the layers that give the logits, by the same SGD
    label_smoothing: float = 0.0
    teacher: str | None = None  # a finished run's folder, on the same data: the student also learns what that says
    teacher_weight: float | None = None  # with a teacher: its share of the loss; None: 0.9
    teacher_temperature: float | None = None  # with a teacher: both answers are softened by it; None: 2
    average_decay: float = 0.0  # of the weights' moving average, which is then what is scored and kept; 0: none
    scales: tuple[float, ...] = (1.0,)  # growing images: their sides over the full ones, not below 16 pixels
    scale_starts: tuple[float, ...] = (0.0,)  # growing images: from which share of the steps on each scale holds
    step_epochs: int | None = None  # schedule "step": epochs between two drops of the learning rate
    gamma: float | None = None  # schedule "step": the factor of each drop
    num_drops: int | None = None  # schedule "step": how many drops at the most; None: no limit
    warmup_fraction: float | None = None  # schedules "one-cycle", "cosine": share of steps in which the rate rises

    score_test: ScoreTest = "end"
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "float32"  # auto: bfloat16 where the device, or our kernels, are faster with it
    kernels: Kernels = "auto"  # native: ours, for blocks on a CPU; auto: these where there is a compiler
    compiled: bool = False  # train through torch.compile: for GPUs

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_ranges()
        self._check_schedule()
        self._check_optimizer()
        self._check_teacher()
        if (self.mean is None) != (self.std is None):
            raise ConfigError("only one of mean and std is given", hint="give both, or neither")
        if self.alternating_flip and self.flip is False:
            raise ConfigError("alternating_flip is true but flip is false", hint="leave one of the two out")
        if self.alternating_flip and self.augmentation == "none":
            raise ConfigError(
                "alternating_flip is true but augmentation is 'none', which mirrors nothing",
                hint="set alternating_flip = false, or another augmentation",
            )
        if self.nesterov and self.momentum == 0:
            raise ConfigError("nesterov is true but momentum is 0", hint="set momentum above 0, or nesterov = false")

    def _check_texts(self) -> None:
        for field_ in dataclasses.fields(self):
            value = getattr(self, field_.name)
            for text in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(text, str) and not _is_utf8(text):
                    raise ConfigError(
                        f"{field_.name} is {text!r}, which is not UTF-8, and config.toml could not hold it",
                        hint="rename the file or the folder",
                    )
        is_name = self.recipe not in ("", ".", "..") and escaped(self.recipe) == self.recipe
        if not is_name or len(self.recipe) > MAX_NAME or any(slash in self.recipe for slash in "/\\"):
            raise ConfigError(
                f"recipe is {_shown(self.recipe)}, but the run's folder is named after it",
                hint=f"give a name without slashes and control characters, of {MAX_NAME} characters at most",
            )

    def _check_ranges(self) -> None:
        check_epochs(self.epochs)
        _require(
            2 <= self.batch_size <= MAX_BATCH_SIZE,
            "batch_size",
            self.batch_size,
            f"at least 2 (batch normalisation needs two) and at most {MAX_BATCH_SIZE:,}",
        )
        if self.min_steps is not None and self.min_steps > MAX_STEPS:
            raise ConfigError(
                f"min_steps is {self.min_steps}: at a millisecond each, that takes {_years(self.min_steps / 1e3)}",
                hint=f"min_steps must be at most {MAX_STEPS:,}",
            )
        _require(self.min_steps is None or self.min_steps >= 1, "min_steps", self.min_steps, "at least 1")
        check_image_size(self.image_size)
        _require(0 < self.lr <= MAX_RATE, "lr", self.lr, f"above 0 and at most {MAX_RATE:g}")
        _require(0 <= self.momentum < 1, "momentum", self.momentum, "at least 0 and below 1")
        _require(
            0 <= self.weight_decay <= MAX_RATE,
            "weight_decay",
            self.weight_decay,
            f"at least 0 and at most {MAX_RATE:g}",
        )
        _require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "at least 0 and below 1")
        _require(0 <= self.average_decay < 1, "average_decay", self.average_decay, "at least 0 and below 1")
        _require(0 <= self.cutout <= MAX_IMAGE_SIZE, "cutout", self.cutout, f"0 to {MAX_IMAGE_SIZE} pixels")
        _require(0 <= self.mixup <= MAX_RATE, "mixup", self.mixup, f"at least 0 and at most {MAX_RATE:g}")
        _require(0 <= self.val_fraction <= 0.5, "val_fraction", self.val_fraction, "0 to 0.5")
        for name in ("seed", "split_seed"):
            value = getattr(self, name)
            _require(0 <= value <= MAX_SEED, name, value, "at least 0 and below 2^64")
        mean, std = self.mean, self.std
        _require(mean is None or all(0 <= each <= 1 for each in mean), "mean", mean, "0 to 1 in every channel")
        _require(
            std is None or all(0 < each <= 1 for each in std), "std", std, "above 0 and at most 1 in every channel"
        )

    def _check_schedule(self) -> None:
        schedules_of: dict[str, tuple[str, ...]] = {
            "step_epochs": ("step",),
            "gamma": ("step",),
            "num_drops": ("step",),
            "warmup_fraction": ("one-cycle", "cosine"),
        }
        for name, schedules in schedules_of.items():
            if getattr(self, name) is not None and self.schedule not in schedules:
                raise ConfigError(
                    f"{name} is given, but schedule is {self.schedule!r}, which has no such field",
                    hint=f"leave {name} out, or set schedule = {schedules[0]!r}",
                )
        if self.schedule == "step" and (self.step_epochs is None or self.gamma is None):
            raise ConfigError("schedule 'step' needs step_epochs and gamma", hint="for instance 14 and 0.1")
        if self.schedule != "step" and self.warmup_fraction is None:
            raise ConfigError(f"schedule {self.schedule!r} needs warmup_fraction", hint="for instance 0.2")
        _require(self.step_epochs is None or self.step_epochs >= 1, "step_epochs", self.step_epochs, "at least 1")
        _require(self.gamma is None or 0 < self.gamma <= 1, "gamma", self.gamma, "above 0 and at most 1")
        _require(self.num_drops is None or self.num_drops >= 1, "num_drops", self.num_drops, "at least 1")
        warmup = self.warmup_fraction
        _require(warmup is None or 0 <= warmup < 1, "warmup_fraction", warmup, "at least 0 and below 1")

    def _check_optimizer(self) -> None:
        for name in ("vector_lr", "vector_momentum", "head_lr"):
            value = getattr(self, name)
            if (value is None) == (self.optimizer == "muon"):
                raise ConfigError(
                    f"{name} is {'missing' if value is None else 'given'}, but optimizer is {self.optimizer!r}",
                    hint=f"muon needs {name}, sgd has no such field",
                )
            _require(value is None or 0 < value <= MAX_RATE, name, value, f"above 0 and at most {MAX_RATE:g}")
        _require(
            self.vector_momentum is None or self.vector_momentum < 1, "vector_momentum", self.vector_momentum, "below 1"
        )
        if self.optimizer == "muon" and (self.nesterov or self.weight_decay):
            raise ConfigError(
                f"optimizer is 'muon', but nesterov is {self.nesterov} and weight_decay {self.weight_decay}",
                hint="leave both out: Muon always takes Nesterov's step and fixes the filters' norms",
            )

    def _check_teacher(self) -> None:
        given = [name for name in ("teacher_weight", "teacher_temperature") if getattr(self, name) is not None]
        if self.teacher is None and given:
            raise ConfigError(f"{given[0]} is given, but there is no teacher", hint="give --teacher RUN")
        weight, temperature = self.teacher_weight, self.teacher_temperature
        _require(weight is None or 0 < weight <= 1, "teacher_weight", weight, "above 0 and at most 1")
        _require(temperature is None or 0 < temperature < float("inf"), "teacher_temperature", temperature, "above 0")
        if self.teacher is not None and self.augmentation not in POLICIES_OF_STUDENTS:
            raise ConfigError(
                f"a teacher is given, but augmentation is {self.augmentation!r}",
                hint="a teacher is asked beforehand of crops: set augmentation to "
                + " or ".join(map(repr, POLICIES_OF_STUDENTS)),
            )

    def replace(self, **changes: Any) -> TrainConfig:
        """A copy with some fields changed, checked anew."""
        return dataclasses.replace(self, **changes)


def config_from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """A config from plain values, as TOML gives them; ConfigError names an unknown, missing or wrongly typed field."""
    hints = get_type_hints(TrainConfig)
    for name in values:
        if name not in hints:
            raise ConfigError(f"unknown field {_shown(name)}", hint=f"the fields are {', '.join(sorted(hints))}")
    required = [f.name for f in dataclasses.fields(TrainConfig) if _has_no_default(f)]
    missing = [name for name in required if name not in values]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)}", hint="every recipe states these fields")
    return TrainConfig(**{name: _checked(name, value, hints[name]) for name, value in values.items()})


def config_to_toml(config: TrainConfig) -> str:
    """The config as TOML text, fields that are None left out."""
    values = {name: value for name, value in dataclasses.asdict(config).items() if value is not None}
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in values.items() if name not in tables}
    return tomli_w.dumps({**plain, **{name: dict(table) for name, table in tables.items() if table}})


def config_from_toml(text: str, *, name: str) -> TrainConfig:
    """The config in a TOML text; `name` says in errors where the text came from."""
    return config_from_dict(parse_toml(text, name=name))


def parse_toml(text: str, *, name: str) -> dict[str, Any]:
    """The values of a TOML text, or ConfigError naming where it came from and the line."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))  # a mark that some editors put at the beginning
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}", hint='texts need quotes: model = "dilated"') from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(name) from error


def parse_setting(setting: str) -> dict[str, Any]:
    """`KEY=VALUE` of the command line as a nested dict; VALUE is TOML, or a bare word for a string; dots nest."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{_shown(setting)} is not KEY=VALUE", hint="for instance --set momentum=0.95")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"the value of {_shown(key)}") from error
    nested: Any = value
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return dict(nested)


def check_epochs(epochs: int) -> None:
    """ConfigError for fewer epochs than one, or for more than anyone could wait for."""
    _require(epochs >= 1, "epochs", epochs, "at least 1")
    if epochs > MAX_EPOCHS:
        raise ConfigError(
            f"epochs is {epochs}: at a second each, that takes {_years(epochs)}",
            hint=f"epochs must be at most {MAX_EPOCHS:,}",
        )


def check_image_size(image_size: int) -> None:
    """ConfigError for a side in pixels that is too small for an image or too large for memory."""
    if image_size > MAX_IMAGE_SIZE:
        raise ConfigError(
            f"image_size is {image_size}: a hundred colour images of that side take {300e-9 * image_size**2:,.0f} GB",
            hint=f"image_size must be at most {MAX_IMAGE_SIZE} pixels",
        )
    _require(image_size >= 4, "image_size", image_size, "at least 4 pixels")


def _years(seconds: float) -> str:
    return f"{seconds / (365.25 * 24 * 3600):,.1f} years"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(name: str) -> ConfigError:
    return ConfigError(
        f"{name} holds a number of thousands of digits, or thousands of nested lists",
        hint="no field takes such a value",
    )


def _shown(value: object) -> str:
    """A wrong value for an error, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of nested lists
        return "a value of thousands of digits or lists"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} ..."


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value}", hint=f"{name} must be {expected}")


def _has_no_default(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _checked(name: str, value: Any, hint: Any) -> Any:
    """The value in the field's type (an integer where a fraction is expected is fine), or ConfigError."""
    if get_origin(hint) in (types.UnionType, typing.Union):
        return _checked_union(name, value, [arm for arm in get_args(hint) if arm is not types.NoneType])
    if get_origin(hint) is Literal:
        if value in get_args(hint) and isinstance(value, str):
            return value
        raise ConfigError(f"{name} is {_shown(value)}", hint=f"{name} is one of {', '.join(get_args(hint))}")
    if get_origin(hint) is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_checked(name, item, float) for item in value)
    elif get_origin(hint) is Mapping:
        if isinstance(value, dict) and all(_is_plain(item) for item in value.values()):
            return value
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool) and _is_plain(value):
        return float(value)
    elif hint in (int, str, bool) and type(value) is hint and _is_plain(value):
        return value
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    expected = words.get(hint) or ("a list of numbers" if get_origin(hint) is tuple else "a table of plain values")
    raise ConfigError(f"{name} is {_shown(value)}", hint=f"{name} must be {expected}")


def _is_plain(value: object) -> bool:
    """Whether TOML can hold the value: a text or a number, whole ones of at most 64 bits."""
    return isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) <= MAX_INTEGER)


def _checked_union(name: str, value: Any, arms: list[Any]) -> Any:
    refusals = []
    for arm in arms:
        try:
            return _checked(name, value, arm)
        except ConfigError as error:
            refusals.append(error.hint)
    raise ConfigError(f"{name} is {_shown(value)}", hint="; or ".join(refusals))

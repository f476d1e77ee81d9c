"""What a training run is asked to do: one frozen value, read from a flat recipe file and options.

Imports no torch, so that a wrong option is refused at once. Optimizer, schedule, stopping, division, inputs, objective
and engine are values of `thumbnet.specs`, whose fields stand in a recipe beside the others: `optimizer = "muon"` and
`schedule = "step"` say which value it is, and a field that this value does not have is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import tomli_w

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require, require_fraction, require_seed, shown
from thumbnet.specs.data import FRACTION_TEXT, Labels, ValFraction
from thumbnet.specs.decisions import Decisions
from thumbnet.specs.division import Division
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.length import LENGTHS, check_length
from thumbnet.specs.limits import MAX_BATCH_SIZE, check_batch_size
from thumbnet.specs.objective import Objective, check_balance
from thumbnet.specs.optimizers import Optimizer
from thumbnet.specs.pace import Pace
from thumbnet.specs.parts import NAMED, PARTS, UNNAMED, check_foreign, flat, named_as, owners_of
from thumbnet.specs.plain import Value, field_names, from_plain, missing_fields, to_plain
from thumbnet.specs.policies import AUTO, POLICIES
from thumbnet.specs.renamed import with_todays_names, with_values_of_old_runs
from thumbnet.specs.schedules import Schedule
from thumbnet.specs.sizes import Fit, ImageSize, check_image_size
from thumbnet.specs.stopping import Stopping
from thumbnet.specs.toml_text import is_utf8, parse_toml
from thumbnet.terminal.text import escaped

MAX_NAME = 100  # characters of a recipe's name, which is part of a folder's
DEFAULT_OPTIMIZER = "sgd"
AUTO_INIT = "auto"  # in the place of the weights to begin with: what `train` chooses

ScoreTest = Literal["end", "each-epoch"]
Option = str | int | float | bool


@dataclass(frozen=True)
class TrainConfig:
    """A recipe with its options applied. Times are in epochs, rates are per step, fractions are from 0 to 1."""

    recipe: str
    model: str
    optimizer: Optimizer
    schedule: Schedule
    model_options: Mapping[str, Option] = field(default_factory=dict)  # what the model takes besides, as `dropout`
    init: str | None = None  # trained weights to begin with, under a new head: a pretrained model's name, a run or auto
    body_lr_factor: float = 1.0  # with init: of the learning rate of all but the head; 0: these stay as they are

    epochs: int = 0  # 0: as minutes or steps say
    minutes: float | None = None  # of the whole command: the steps that fit into them are planned, and so are
    planned: tuple[str, ...] | None = None  # these fields
    steps: int | None = None  # of the course of rates and sizes; the last epoch may be a short one
    pace_starts: tuple[int, ...] | None = None  # from these steps on, what is left of the course takes
    pace_steps: tuple[int, ...] | None = None  # so many, as a training that was kept to a clock recorded them
    score_every: int = 1  # epochs from one scoring and checkpoint to the next; the last epoch always has one
    stopping: Stopping = Stopping()

    data: str = "auto"
    data_dir: str | None = None  # None: THUMBNET_DATA, else the user's cache folder
    allow_unverified: bool = False
    image_size: ImageSize = 32  # side in pixels, or height and width, that a folder's images are brought to
    fit: Fit = "crop"  # how a folder's images of another shape are brought to that
    val_fraction: ValFraction = "auto"  # of each class; resolved into a number
    val_per_class: int | None = None  # of a rare class, at least so many; None: 60 with "auto", else 0
    split_seed: int = 0
    division: Division = Division()
    num_train: int | None = None  # of the training images, so many are trained on; None: all
    labels: Labels = "auto"  # of a folder: class folders, or labels.csv; auto: that file where it is there
    skip_unreadable: bool = False  # of a folder: train without the files that cannot be read as pictures
    exclude: str | None = None  # a suspects.csv of `thumbnet data check`: its images are left out of train and val
    mean: tuple[float, ...] | None = None  # per channel, of pixels in 0..1; None: computed from the training split
    std: tuple[float, ...] | None = None

    inputs: Inputs = Inputs()

    min_steps: int | None = None  # on small data, as many more epochs as this takes; resolved into epochs
    batch_size: int = 128
    objective: Objective = Objective()
    decisions: Decisions = Decisions()
    average_decay: float = 0.0  # of the weights' moving average, which is then what is scored and kept; 0: none
    refit: bool = False  # then train anew, on training and validation images together, and keep that network

    score_test: ScoreTest = "end"
    report_robustness: bool | Literal["auto"] = "auto"  # accuracy under corruptions in the report; auto: of pictures
    seed: int = 0
    engine: Engine = Engine()

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_ranges()
        if (self.mean is None) != (self.std is None):
            raise ConfigError("only one of mean and std is given", hint="give both, or neither")
        check_balance(self.objective, self.inputs)
        augmentation = self.inputs.augmentation
        if not isinstance(augmentation, str):
            raise ConfigError(
                "a config's augmentation is the name of a policy", hint="register yours: thumbnet.register_policy"
            )
        suits_teacher = augmentation != AUTO and POLICIES[augmentation].suits_teacher
        if self.objective.teacher is not None and not suits_teacher:
            raise ConfigError(
                f"a teacher is given, but augmentation is {augmentation!r}",
                hint="a teacher is asked beforehand of crops, none of them turned: set augmentation to "
                + " or ".join(repr(name) for name, traits in POLICIES.items() if traits.suits_teacher),
            )

    def _check_texts(self) -> None:
        for name, value in config_to_dict(self).items():
            for text in (*value, *value.values()) if isinstance(value, Mapping) else (value,):
                if isinstance(text, str) and not is_utf8(text):
                    raise ConfigError(
                        f"{name} is {text!r}, which is not UTF-8, and config.toml could not hold it",
                        hint="rename the file or the folder",
                    )
        is_name = self.recipe not in ("", ".", "..") and escaped(self.recipe) == self.recipe
        if not is_name or len(self.recipe) > MAX_NAME or any(slash in self.recipe for slash in "/\\"):
            raise ConfigError(
                f"recipe is {shown(self.recipe)}, but the run's folder is named after it",
                hint=f"give a name without slashes and control characters, of {MAX_NAME} characters at most",
            )

    def _check_ranges(self) -> None:
        check_length(
            epochs=self.epochs, minutes=self.minutes, planned=self.planned, steps=self.steps, min_steps=self.min_steps
        )
        require(self.score_every >= 1, "score_every", self.score_every, "at least 1")
        self.pace  # noqa: B018  # it checks itself
        check_batch_size(self.batch_size)
        check_image_size(self.image_size)
        require_fraction("average_decay", self.average_decay)
        if not isinstance(self.val_fraction, str):
            require(0 <= self.val_fraction <= 0.5, "val_fraction", self.val_fraction, FRACTION_TEXT)
        per_class = self.val_per_class or 0
        require(0 <= per_class <= MAX_BATCH_SIZE, "val_per_class", per_class, f"0 to {MAX_BATCH_SIZE:,}")
        if per_class and self.val_fraction == 0:
            raise ConfigError(f"val_per_class is {per_class}, but val_fraction is 0", hint="leave one of the two out")
        require(self.num_train is None or self.num_train >= 2, "num_train", self.num_train, "at least 2 images")
        require(0 <= self.body_lr_factor <= 1, "body_lr_factor", self.body_lr_factor, "0 to 1")
        if self.body_lr_factor != 1 and self.init is None:
            raise ConfigError(
                f"body_lr_factor is {self.body_lr_factor:g} without init: the body would begin, and stay, at random",
                hint="give init, the trained weights to begin with, or leave body_lr_factor out",
            )
        if self.init == AUTO_INIT and self.body_lr_factor != 1:
            raise ConfigError(
                f"body_lr_factor is {self.body_lr_factor:g} and init is {AUTO_INIT!r}, by which the body may be new",
                hint="name the weights to begin with, or leave body_lr_factor out",
            )
        if self.init == AUTO_INIT and self.objective.teacher is not None:
            raise ConfigError(
                f"init is {AUTO_INIT!r}, which is chosen by short trainings, and none of them has a teacher",
                hint="name the weights to begin with, or leave the teacher out",
            )
        if self.refit and self.against_refit:
            raise ConfigError(f"refit is true, but {self.against_refit}", hint="leave one of the two out")
        require_seed("seed", self.seed)
        require_seed("split_seed", self.split_seed)
        mean, std = self.mean, self.std
        require(mean is None or all(0 <= each <= 1 for each in mean), "mean", mean, "0 to 1 in every channel")
        is_right = std is None or all(0 < each <= 1 for each in std)
        require(is_right, "std", std, "above 0 and at most 1 in every channel")

    @property
    def against_refit(self) -> str:
        """Why a second training with the validation images cannot follow, since another network than the one that is
        kept would be asked for; empty where nothing is against it."""
        against = {
            f"{self.stopping.describe()}, which needs validation images to the end": self.stopping.needs_validation,
            "score_test is 'each-epoch', and the history would be of another network": self.score_test != "end",
            "a teacher is given, whose logits are of the training images alone": self.objective.teacher is not None,
            "unknown is given, whose limit is measured on images that the network has not seen": (
                self.decisions.share_unknown is not None
            ),
        }
        return next((reason for reason, holds in against.items() if holds), "")

    @property
    def pace(self) -> Pace | None:
        """The pace of a training in steps; None where epochs or minutes are given."""
        if self.steps is None:
            if self.pace_starts is not None or self.pace_steps is not None:
                raise ConfigError("a pace is given without steps", hint="give steps, too, or leave the pace out")
            return None
        return Pace(self.steps, self.pace_starts or (), self.pace_steps or ())

    def with_pace(self, pace: Pace, *, steps_per_epoch: int) -> TrainConfig:
        """The same config with this pace, and the epochs that its steps are, of which the last may be a short one."""
        return self.replace(
            epochs=-(-pace.num_steps // steps_per_epoch),
            steps=pace.steps,
            pace_starts=list(pace.starts) or None,
            pace_steps=list(pace.lengths) or None,
        )

    def replace(self, **changes: object) -> TrainConfig:
        """A copy with some fields changed, by the names that a recipe has, or whole values; None: left out."""
        values = config_to_dict(self)
        for name, change in changes.items():
            if change is None:
                values.pop(name, None)
            elif isinstance(change, PARTS):
                for stale in field_names(type(getattr(self, name))):
                    values.pop(stale, None)
                values |= flat(name, change)
            else:
                values[name] = change
        return config_from_dict(values)


def config_from_dict(values: Mapping[str, object]) -> TrainConfig:
    """A config from plain values, as TOML gives them; ConfigError names an unknown, missing or wrongly typed field."""
    values = {"optimizer": DEFAULT_OPTIMIZER, **with_todays_names(values)}
    missing = [name for name in missing_fields(TrainConfig, values) if name not in UNNAMED]
    missing += [] if any(name in values for name in LENGTHS) else ["epochs"]
    if missing or "lr" not in values:
        missing += [] if "lr" in values else ["lr"]
        raise ConfigError(f"missing: {', '.join(missing)}", hint="every recipe states these fields")
    kinds: dict[str, type[Value]] = {**UNNAMED}
    for name, registry in NAMED.items():
        kinds[name] = registry[named_as(name, values[name])]
    owners = owners_of(TrainConfig, kinds)
    plain: dict[str, dict[str, object]] = {name: {} for name in ("", *kinds)}
    for name, value in values.items():
        if name in owners:
            plain[owners[name]][name] = value
        else:
            check_foreign(name, value, values, owners)
    for name in NAMED:
        needed = missing_fields(kinds[name], plain[name])
        if needed:
            raise ConfigError(
                f"{name} {values[name]!r} needs {_listed(needed)}", hint=f"give {_listed(needed)}, or another {name}"
            )
    parts = {name: from_plain(kind, plain[name]) for name, kind in kinds.items()}
    rest = {name: value for name, value in plain[""].items() if name not in NAMED}
    return from_plain(TrainConfig, rest, made=parts)


def config_to_dict(config: TrainConfig) -> dict[str, object]:
    """The config's fields by the names that a recipe has, as `config_from_dict` takes them; those that are None
    are left out, and so are 0 epochs."""
    values: dict[str, object] = {}
    for name, value in to_plain(config).items():
        values |= flat(name, value) if name in NAMED or name in UNNAMED else {name: value}
    return {name: value for name, value in values.items() if value is not None and (name != "epochs" or value)}


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def config_to_toml(config: TrainConfig) -> str:
    """The config as TOML text, fields that are None left out."""
    values = config_to_dict(config)
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in values.items() if name not in tables}
    return tomli_w.dumps({**plain, **{name: dict(table) for name, table in tables.items() if table}})


def config_from_toml(text: str, *, name: str) -> TrainConfig:
    """The config in a TOML text; `name` says in errors where the text came from."""
    return config_from_dict(parse_toml(text, name=name))


def run_config_from_toml(text: str, *, name: str) -> TrainConfig:
    """The config of a run, as its folder and its checkpoints hold it; one of an earlier version means what it meant
    then."""
    return config_from_dict(with_values_of_old_runs(parse_toml(text, name=name)))

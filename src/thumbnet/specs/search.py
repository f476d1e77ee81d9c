"""What a sweep searches: a field of a recipe and the values that it may take, from a text. Imports no torch.

lr=0.02..0.5:log                numbers, as many between 0.02 and 0.1 as between 0.1 and 0.5
epochs=5..20                    whole numbers, since both ends are
label_smoothing=0..0.2:step=0.05
batch_size=64,128,256           one of these
model_options.blocks=["b32 b48p", "b48 b64p"]    one of these, as JSON
    variant=[{}, {"optimizer": "sgd", "lr": 0.1}]    one of these sets of fields
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import shown
from thumbnet.specs.toml_text import parse_setting

Scalar: TypeAlias = str | int | float | bool

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"(?P<low>{NUMBER})\.\.(?P<high>{NUMBER})(?P<options>(?::[^:]*)*)")
FORMS = "A..B, A..B:log, A..B:step=S, a,b,c or a JSON list"
MAX_CHOICES = 1000
MOST_DIGITS = 300  # of a whole number, so that it is a finite number, too
MOST_STEPS = 10**12  # from one end of a range to the other
MOST_NESTED = 20  # lists or tables within each other
VARIANT = "variant"  # not a field of a recipe: its choices are tables of them


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones, or multiples of a step from `low` on, or any."""

    low: float
    high: float
    is_whole: bool = False
    is_log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Choices:
    """Values one of which is taken. `labels` are what tells them apart: themselves, or their JSON text."""

    values: tuple[object, ...]

    @property
    def labels(self) -> tuple[Scalar, ...]:
        return tuple(label_of(value) for value in self.values)


@dataclass(frozen=True)
class Dimension:
    """A field, with dots as in `--set`, and its values; `text` is what was asked."""

    field: str
    space: Range | Choices
    text: str

    def as_setting(self, label: Scalar) -> Mapping[str, object]:
        """The field with the value of this label, nested as a recipe has it."""
        value: object = label
        if isinstance(self.space, Choices):
            value = self.space.values[self.space.labels.index(label)]
        return self.nested(value)

    def nested(self, value: object) -> Mapping[str, object]:
        """The field with this value, nested as a recipe has it; of a variant, the fields that it is of."""
        if self.field == VARIANT:
            assert isinstance(value, Mapping)
            return value
        return _with_value(parse_setting(f"{self.field}=0"), value)


def parse_search(text: str) -> Dimension:
    """A dimension from FIELD=VALUES; ConfigError, which names the text, where it is none."""
    field, sign, values = text.partition("=")
    field = field.strip()
    if not sign or not field:
        raise _wrong(text, "it is not FIELD=VALUES", hint="for instance --search lr=0.02..0.5:log")
    values = values.strip()
    found = RANGE.fullmatch(values)
    space = _range(text, found) if found is not None else _choices(text, values)
    are_tables = isinstance(space, Choices) and all(isinstance(value, Mapping) for value in space.values)
    if field == VARIANT and not are_tables:
        raise _wrong(text, "a variant is a table of fields", hint='for instance variant=[{}, {"lr": 0.1}]')
    return Dimension(field, space, text)


def label_of(value: object) -> Scalar:
    """What stands for a choice in a table: a list or a table as its JSON text, all else itself."""
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value)


def _range(text: str, found: re.Match[str]) -> Range:
    low, high = _number(found["low"]), _number(found["high"])
    is_whole = isinstance(low, int) and isinstance(high, int)
    is_log, step = False, None
    for option in found["options"].split(":")[1:]:
        name, _, value = option.strip().partition("=")
        if option.strip() == "log" and not is_log:
            is_log = True
        elif name == "step" and step is None and re.fullmatch(NUMBER, value) is not None:
            step = _number(value)
        else:
            raise _wrong(text, f"{shown(option)} is not understood", hint="after A..B, write :log or :step=S, or none")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise _wrong(text, "its first number is not below its second", hint="write the lower one first: A..B")
    if is_log and step is not None:
        raise _wrong(text, "it has both log and a step", hint="leave one of the two out")
    if is_log and low <= 0:
        raise _wrong(text, "a logarithm needs numbers above 0", hint="begin above 0, or leave :log out")
    if step is not None:
        num_steps = (high - low) / step if step > 0 else 0.0
        if not 1 <= num_steps <= MOST_STEPS or abs(num_steps - round(num_steps)) > 1e-6:
            raise _wrong(text, f"its ends are no whole number of steps of {step:g} apart", hint="give another step")
        is_whole = is_whole and isinstance(step, int)
    return Range(low, high, is_whole, is_log, step)


def _number(text: str) -> float:
    return int(text) if re.fullmatch(rf"[+-]?\d{{1,{MOST_DIGITS}}}", text) else float(text)


def _choices(text: str, values: str) -> Choices:
    if ".." in values and not values.startswith("["):
        raise _wrong(text, f"{shown(values)} is no range of numbers", hint=f"the forms are {FORMS}")
    if values.startswith("["):
        try:
            listed = json.loads(values, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise _wrong(text, f"it is no JSON list: {error}", hint='for instance ["a", "b"]') from error
    else:
        listed = [_bare(each) for each in values.split(",")]
    if not _is_plain(listed):
        raise _wrong(text, "a choice is empty, or no field could take it", hint=f"the forms are {FORMS}")
    choices = Choices(tuple(listed))
    least = 1 if text.startswith(VARIANT) else 2  # as a grid of one
    if not least <= len(listed) <= MAX_CHOICES:
        hint = f"give 2 to {MAX_CHOICES:,}; a single value is given by --set"
        raise _wrong(text, f"it has {len(listed)} choice{'s' * (len(listed) != 1)}", hint=hint)
    if len(set(choices.labels)) < len(listed):
        raise _wrong(text, "it has a choice twice", hint="give each one once")
    return choices


def _bare(text: str) -> object:
    """A choice between commas: TOML, or a bare word for a text."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    return value


def _is_plain(value: object, *, depth: int = 0) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return depth < MOST_NESTED and all(_is_plain(each, depth=depth + 1) for each in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return depth < MOST_NESTED and all(_is_plain(each, depth=depth + 1) for each in value)
    return isinstance(value, (int, bool)) or (isinstance(value, str) and value != "")


def _with_value(nested: Mapping[str, object], value: object) -> Mapping[str, object]:
    """A table of one field with another value at its innermost."""
    ((name, inner),) = nested.items()
    return {name: _with_value(inner, value) if isinstance(inner, Mapping) else value}


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")


def _wrong(text: str, why: str, *, hint: str) -> ConfigError:
    return ConfigError(f"--search {text}: {why}", hint=hint)

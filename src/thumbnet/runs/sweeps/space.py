"""The fields that a sweep searches, held against the recipe: refused where they cannot be searched. Without PyTorch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from thumbnet.config import AUTO_INIT, TrainConfig, config_to_dict
from thumbnet.errors import ConfigError
from thumbnet.recipes import with_changes
from thumbnet.specs.checks import MAX_RUNS
from thumbnet.specs.search import Choices, Dimension, Range, Scalar, parse_search

OF_THE_RUN = frozenset(
    {"recipe", "seed", "run_dir", "device", "threads", "score_test", "score_every", "report_robustness"}
)
OF_THE_DATA = frozenset(
    {"data", "data_dir", "allow_unverified", "image_size", "fit", "val_fraction", "val_per_class", "split_seed"}
    | {"groups", "folds", "fold", "num_train", "labels", "skip_unreadable", "exclude", "mean", "std"}
)
OF_THE_CLOCK = frozenset({"minutes", "planned", "pace_starts", "pace_steps"})
OF_THE_ANSWERS = frozenset({"threshold", "recall", "positive", "costs", "unsure", "unknown", "refit"})
NOT_SEARCHED = {
    OF_THE_RUN: "it is the same for all trials",
    OF_THE_DATA: "all trials are compared on the same images",
    OF_THE_CLOCK: "trials are compared by epochs, not by time",
    OF_THE_ANSWERS: "it changes no validation accuracy",
}


def parse_space(config: TrainConfig, search: Sequence[str]) -> tuple[Dimension, ...]:
    """The dimensions of these texts, each of which the recipe could take at both ends, or with every choice.

    Raises:
        ConfigError: a text is none, or its field cannot be searched, or not with these values; it names the text.
    """
    check_init(config.init)
    dimensions = tuple(_typed(config, parse_search(text)) for text in search)
    fields = [dimension.field for dimension in dimensions]
    for dimension in dimensions:
        if fields.count(dimension.field) > 1:
            raise ConfigError(
                f"--search {dimension.text}: {dimension.field} is searched twice", hint="give each field once"
            )
    if not dimensions:
        raise ConfigError("a sweep has nothing to search", hint="for instance --search lr=0.02..0.5:log")
    return dimensions


def have_one_length(config: TrainConfig, dimensions: Sequence[Dimension]) -> bool:
    """Whether all trials train for equally many epochs, so that they can be compared before their end: a shorter
    training is ahead of a longer one after as many epochs. Steps are more epochs with larger batches."""
    of_steps = config.steps is not None or config.min_steps is not None
    lengths = {"epochs", "steps", "min_steps"} | ({"batch_size"} if of_steps else set())
    return lengths.isdisjoint(name for dimension in dimensions for name in _fields_of(dimension))


def config_of_trial(config: TrainConfig, dimensions: Sequence[Dimension], params: Mapping[str, Scalar]) -> TrainConfig:
    """The recipe with the values of a trial; ConfigError where they contradict each other."""
    return with_changes(config, [dimension.as_setting(params[dimension.field]) for dimension in dimensions])


def _typed(config: TrainConfig, dimension: Dimension) -> Dimension:
    """The dimension with whole numbers only where the field takes no others."""
    space = dimension.space
    values = tried_values(dimension)
    for name in _fields_of(dimension):
        for fields, why in NOT_SEARCHED.items():
            if name in fields:
                raise ConfigError(
                    f"--search {dimension.text}: {name} cannot be searched: {why}", hint="give it by an option or --set"
                )
    for value in values:
        check_init(dimension.nested(value).get("init"))
        try:
            tried = with_changes(config, [dimension.nested(value)])
        except ConfigError as error:
            raise ConfigError(f"--search {dimension.text}: {error.message}", hint=error.hint) from error
        if isinstance(space, Range) and space.is_whole and _takes_fractions(tried, dimension):
            space = Range(float(space.low), float(space.high), False, space.is_log, space.step)
    return Dimension(dimension.field, space, dimension.text)


def tried_values(dimension: Dimension) -> Sequence[object]:
    """The values of a dimension that a recipe must take: both ends, or every choice."""
    space = dimension.space
    return (space.low, space.high) if isinstance(space, Range) else space.values


def _fields_of(dimension: Dimension) -> list[str]:
    """The fields of a recipe that it changes: several, if it is of variants."""
    return list({name: None for value in tried_values(dimension) for name in dimension.nested(value)})


def check_init(init: object) -> None:
    """ConfigError where each trial would have to choose by itself what to begin with."""
    if init == AUTO_INIT:
        raise ConfigError(
            f"init is {AUTO_INIT!r}, but only `train` chooses what to begin with, and trials are compared on the same",
            hint="name the weights to begin with, or leave init out",
        )


def _takes_fractions(tried: TrainConfig, dimension: Dimension) -> bool:
    return isinstance(config_to_dict(tried).get(dimension.field), float)


def num_trials(dimensions: Sequence[Dimension], trials: int | None, *, grid: bool) -> int | None:
    """How many trials are wanted: those of a grid, or as many as are asked for; None: as many as the minutes give."""
    return len(combinations(dimensions)) if grid else trials


def combinations(dimensions: Sequence[Dimension]) -> list[dict[str, Scalar]]:
    """Every combination of the choices, the last dimension's changing first.

    Raises:
        ConfigError: a dimension has no choices, or there are very many combinations.
    """
    labels = []
    for dimension in dimensions:
        if not isinstance(dimension.space, Choices):
            raise ConfigError(
                f"--search {dimension.text}: a grid is of choices, and this is a range", hint="list its values: a,b,c"
            )
        labels.append(dimension.space.labels)
    number = math.prod(map(len, labels))
    if number > MAX_RUNS:
        raise ConfigError(f"the grid has {number:,} combinations", hint=f"search at most {MAX_RUNS:,}")
    fields = [dimension.field for dimension in dimensions]
    return [dict(zip(fields, each, strict=True)) for each in itertools.product(*labels)]

"""What a command asks of a new sweep, as a question: checked, and with the name of its study."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from thumbnet.config import TrainConfig
from thumbnet.errors import ConfigError
from thumbnet.runs.sweeps.question import Measure, Question, study_name
from thumbnet.runs.sweeps.storage import Place
from thumbnet.runs.sweeps.whole import code_of
from thumbnet.specs.search import Dimension


def new_question(
    config: TrainConfig,
    dimensions: Sequence[Dimension],
    *,
    trials: int | None,
    minutes: float | None,
    grid: bool,
    max_params: int,
    max_macs: int,
    measure: Measure,
    place: Place | None,
    data_checksum: str,
    whole: TrainConfig,
    names: Mapping[str, str],
) -> Question:
    """The question of a new sweep.

    Args:
        place: the storage that is shared; None: one in the sweep's folder.
        whole: the config with whole paths and its code's digits; `names`: what the searched values name.
    """
    for name, value in (("max_params", max_params), ("max_macs", max_macs)):
        if value < 1:
            raise ConfigError(f"{name} is {value}", hint="give a number above 0")
    search = tuple(dimension.text for dimension in dimensions)
    code = code_of(whole, names)
    if code:
        config = config.replace(model=whole.model, augmentation=whole.inputs.augmentation)
    name = study_name(
        config,
        search,
        max_params=max_params,
        max_macs=max_macs,
        measure=measure,
        data_checksum=data_checksum,
        grid=grid,
        code=code,
    )
    storage = None if place is None else place.shown
    return Question(
        search=search,
        trials=trials,
        minutes=minutes,
        max_params=max_params,
        max_macs=max_macs,
        measure=measure,
        storage=storage,
        study=name,
        data_checksum=data_checksum,
        grid=grid,
        folder_id=uuid.uuid4().hex,
        names=names,
    )

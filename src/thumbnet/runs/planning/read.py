"""The data that a plan is for, and the size that a folder's pictures are brought to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.memory import memory_limit_bytes
from thumbnet.runs.planning.apply import is_planned
from thumbnet.runs.planning.constants import EVALUATION_SHARE, Rung
from thumbnet.runs.planning.facts import Look
from thumbnet.runs.planning.ladder import Candidate, against_larger, choose_size, epochs_in, sizes_of
from thumbnet.runs.planning.times import Times
from thumbnet.runs.resolve import Say, load_data


@dataclass(frozen=True)
class Read:
    """The data, and the seconds of reading it; or what a look at its folder showed, where its size is to be chosen."""

    dataset: Dataset | None
    look: Look | None
    seconds: float


def read_data(
    config: TrainConfig, dataset: Dataset | None, *, say: Say, now: Callable[[], float]
) -> tuple[Dataset, float]:
    """The data, as the config asks for it, and how long reading it took."""
    begin_s = now()
    unplanned = config.replace(minutes=None, planned=None, epochs=1)
    dataset, _ = load_data(unplanned, say=say, dataset=dataset, advises=not is_planned(config, "image_size"))
    return dataset, now() - begin_s


def choose_side(look: Look, times: Times, rungs: tuple[Rung, ...], *, may_grow: bool) -> tuple[int, list[Candidate]]:
    """The side that the pictures of a folder are resized to, and what is against the larger ones."""
    budget = times.budget(look.facts, before_s=look.reading_s_at)
    sizes = sizes_of(look.facts, times.minutes, memory_limit_bytes(), rungs, num_read=look.num_files)
    smallest = sizes[0], sizes[0]
    if budget.left_s(smallest) <= 0:
        raise times.too_short(look.facts, look.reading_s_at(smallest), EVALUATION_SHARE * times.image_s, smallest)
    side, refused = choose_size(look.facts, budget, rungs, sizes, may_grow=may_grow)
    if (larger := against_larger(look.facts, times.minutes, rungs, sizes[-1])) is not None:
        sides, against = larger
        epochs = epochs_in(budget, look.facts, rungs[0], sides, may_grow=may_grow)
        refused.insert(0, Candidate(rungs[0].recipe, sides, epochs, against))
    return side, refused

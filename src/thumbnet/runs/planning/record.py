"""plan.json: what was known, measured and chosen when minutes were planned, for people and for a run that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from thumbnet.runs.planning.ladder import Candidate, DataFacts
from thumbnet.specs.typed import from_fields
from thumbnet.training.clock import Clock

PLAN_FORMAT = 1


@dataclass(frozen=True)
class StepTime:
    """Seconds of a training step on images of these sides in pixels."""

    height: int
    width: int
    seconds: float


@dataclass(frozen=True)
class PlanRecord:
    """A plan of `minutes`: `reasons` are sentences for people, `not_taken` what else was reckoned.

    Seconds: `image_s` is that of training an image of 32 pixels by the ladder's first recipe, `reading_s` of reading
    the data, `planned_s` until the plan was made, `reserve_s` what is kept for the end, `scoring_s` between epochs.
    `probe_steps` is the most that each run may spend on choosing its augmentation, where that is left to it, and
    `policy_epochs` are those that the augmentation is to be for: the time may have too few for a stronger one.
    `refit_share` is the time of a second training over that of the first one; 0 where there is none.
    """

    minutes: float
    facts: DataFacts
    recipe: str
    steps: int
    epochs: int
    max_steps: int
    image_s: float
    reading_s: float
    planned_s: float
    reserve_s: float
    scoring_s: float
    tolerance_s: float
    step_s: tuple[StepTime, ...]
    reasons: tuple[str, ...]
    not_taken: tuple[Candidate, ...] = ()
    probe_steps: int | None = None
    policy_epochs: int | None = None
    refit_share: float = 0.0

    def clock(self, *, deadline_s: float) -> Clock:
        """The clock of a training whose command must be over at `deadline_s`, by `time.perf_counter`."""
        return Clock(
            deadline_s=deadline_s,
            reserve_s=self.reserve_s,
            tolerance_s=self.tolerance_s,
            max_steps=self.max_steps,
            again_share=self.refit_share,
            scoring_s=self.scoring_s,
            step_s={(time.height, time.width): time.seconds for time in self.step_s},
        )


def plan_to_dict(record: PlanRecord) -> dict[str, object]:
    """Plain values, as plan.json holds them."""
    return asdict(record)


def plan_from_dict(values: Mapping[str, object], *, name: str) -> PlanRecord:
    """The inverse of `plan_to_dict`; RunError, which names the file `name`, for anything else."""
    return from_fields(PlanRecord, values, name=name)

"""What jobs need of the process that they come from: registered things, code of the user's own, the trust in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from thumbnet.data.source_registry import DATA_SOURCES
from thumbnet.evaluation.custom_metrics import METRICS
from thumbnet.models.registry import MODELS
from thumbnet.specs.optimizers import OPTIMIZERS
from thumbnet.specs.own_code import CodeHere, code_here, with_code
from thumbnet.specs.policies import POLICIES
from thumbnet.specs.schedules import SCHEDULES
from thumbnet.views.report.sections import REPORT_SECTIONS

REGISTRIES = (MODELS, OPTIMIZERS, SCHEDULES, POLICIES, DATA_SOURCES, METRICS, REPORT_SECTIONS)


@dataclass(frozen=True)
class Carried:
    """What was registered, by the kind of thing and its name, and the code that may be executed."""

    registered: Mapping[str, Mapping[str, object]]
    code: CodeHere


def carried_from_here() -> Carried:
    """What this process has."""
    return Carried({registry.kind: registry.added() for registry in REGISTRIES}, code_here())


@contextmanager
def carrying(carried: Carried) -> Iterator[None]:
    """Have all of it in this process while this lasts; what is registered stays."""
    for registry in REGISTRIES:
        registry.add_missing(carried.registered[registry.kind])  # type: ignore[arg-type]  # of the same kind there
    with with_code(carried.code):
        yield

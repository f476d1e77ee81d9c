"""What is planned for a set and trained without a clock, and how well it does on pictures that it was not trained on.

The budget is that of an assumed machine (two AVX2 cores), so that a busy one gives the same results: plans are made by
nominal speeds. Sets are trained on by their tune side, which is made of training pictures alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from own_pictures.folders import MadeSet
from own_pictures.sets import SETS

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.metrics import evaluate
from thumbnet.recipes import PLANNED_RECIPE, load_recipe
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.runs.planning import choose
from thumbnet.runs.planning.choose import Planned, plan_training
from thumbnet.runs.planning.constants import EVALUATION_SHARE, GIVEN, LADDER, REFERENCE_IMAGE_S
from thumbnet.runs.planning.maps import size_cost
from thumbnet.runs.planning.speed import Measures, Reference, Speed
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.specs.engine import Engine
from thumbnet.training.progress import Silent
from tuning.candidates import SETTINGS, Changes
from tuning.changed import changed

STARTED_S = 10.0  # that a command takes on a small set before it plans: imports, reading, leaks


class Nominal(Measures):
    """The machine that the rule's numbers were measured on, whatever this one is."""

    def reference(self, engine: Engine, *, seconds: float) -> Reference:
        return Reference(REFERENCE_IMAGE_S, processor_share=1.0)

    def speed(self, config: TrainConfig, dataset: Dataset, *, seconds: float) -> Speed:
        cost = next((rung.cost for rung in (*LADDER, *GIVEN) if rung.recipe == config.model), 1.0)
        full = dataset.image_shape[1], dataset.image_shape[2]
        sizes = [sides for sides, _ in config.inputs.resizing.sides_between(full, 0, 100, num_steps=100)]
        stem = str(config.model_options["stem"])
        image_s = {
            sides: REFERENCE_IMAGE_S * cost * size_cost(config.model, sides, full=full, stem=stem) for sides in sizes
        }
        images = min(config.batch_size, len(dataset.train))
        return Speed({sides: seconds * images for sides, seconds in image_s.items()}, EVALUATION_SHARE * image_s[full])


@dataclass(frozen=True)
class Key:
    """A training: of a set, within so many minutes, by a seed, by a rule with `changes`."""

    set_name: str
    minutes: float
    seed: int
    changes: Changes = field(hash=False)

    @property
    def text(self) -> str:
        return json.dumps([self.set_name, self.minutes, self.seed, self.changes], sort_keys=True)


class Trainings:
    """Those that a file has, a line each, and those that are still to be made.

    A plan is kept apart from what came of it: where two rules plan the same, it is trained once.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.plans: dict[str, dict[str, Any]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        for line in file.read_text().splitlines() if file.exists() else ():
            row = json.loads(line)
            (self.plans if "key" in row else self.results)[row["key" if "key" in row else "digest"]] = row

    def result(self, key: Key) -> dict[str, Any] | None:
        """What is known of a training; None where it was not made yet."""
        plan = self.plans.get(key.text)
        result = None if plan is None else self.results.get(plan["digest"])
        return None if plan is None or result is None else plan | result

    def made(self, key: Key, made_set: MadeSet) -> dict[str, Any]:
        """The result of a training, which is made if need be."""
        known = self.result(key)
        if known is not None:
            return known
        planned = planned_for(key, made_set)
        digest = digest_of(key, planned)
        self._keep({"key": key.text, "digest": digest, **plan_of(planned)})
        if digest not in self.results:
            self._keep({"digest": digest, **score_of(planned, made_set)})
        found = self.result(key)
        assert found is not None
        return found

    def _keep(self, row: dict[str, Any]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(f"{json.dumps(row)}\n")
        (self.plans if "key" in row else self.results)[row["key" if "key" in row else "digest"]] = row


def planned_for(key: Key, made_set: MadeSet) -> Planned:
    """What the changed rule plans."""
    settings = list(key.changes.get(SETTINGS, ())) + ([] if SETS[key.set_name].flips else ["flip=false"])
    options = {
        "data": f"folder:{made_set.side('tune')}",
        "minutes": key.minutes,
        "seed": key.seed,
        "device": "cpu",
    }
    with changed(key.changes), reading_takes_no_time():
        config = load_recipe(PLANNED_RECIPE, options=options, settings=settings)
        return plan_training(config, began_s=-STARTED_S, say=say_nothing, now=lambda: 0.0, measures=Nominal())


@contextmanager
def reading_takes_no_time() -> Iterator[None]:
    """Beside what STARTED_S has: how fast this machine reads is not to change a plan."""
    look = choose.look_at_folder
    choose.look_at_folder = lambda config: dataclasses.replace(look(config), reading_s=0.0)
    try:
        yield
    finally:
        choose.look_at_folder = look


def digest_of(key: Key, planned: Planned) -> str:
    """Of all that the training depends on, its code aside."""
    config = planned.config.replace(data="folder:.", score_every=1, report_robustness=False, refit=False)
    return hashlib.sha256(f"{key.set_name}\n{config_to_toml(config)}".encode()).hexdigest()[:16]


def plan_of(planned: Planned) -> dict[str, Any]:
    """What of a plan is worth a look."""
    return {
        "recipe": planned.record.recipe,
        "sides": list(planned.dataset.image_shape[1:]),
        "epochs": planned.record.epochs,
        "steps": planned.record.steps,
        "batch_size": planned.config.batch_size,
        "augmentation": planned.config.inputs.augmentation,
        "init": planned.config.init,
    }


def score_of(planned: Planned, made_set: MadeSet) -> dict[str, Any]:
    """Accuracy, balanced where the classes are unequal, and loss on the pictures that are held out for tuning."""
    dataset, config = load_data(planned.config, say=say_nothing, dataset=planned.dataset)
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    fit_config(config.replace(score_every=config.epochs), dataset, model, progress=Silent())
    found = evaluate(model, dataset, "test")
    accuracy = found.balanced_accuracy if made_set.is_unequal() else found.accuracy
    return {"accuracy": accuracy, "loss": found.loss, "num_images": found.num_images}


def keys_of(sets: list[str], minutes: float, seeds: list[int], changes: Changes) -> Iterator[Key]:
    """One for each set and seed."""
    for seed in seeds:
        for name in sets:
            yield Key(name, minutes, seed, changes)

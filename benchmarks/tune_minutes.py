"""The rule of minutes on validation images: accuracy of what it chooses, and of variants, for several budgets and sets.

python benchmarks/tune_minutes.py FILE --sets digits pets=folder:pets --minutes 0.5 2 10 [--variants "" image_size=64]

A variant is settings as `--set` takes them, with commas between; what it sets is not left to the plan, "" leaves all to
it. The budgets are those of an assumed machine (two AVX2 cores), so that a busy one gives the same results: plans are
made by nominal speeds, and trainings follow them without a clock. A quarter of the training images is held out; the
test images are never scored. One line of JSON a training is appended to FILE; what is there already is not trained
again, and --table prints means over the sets from it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.metrics import evaluate
from thumbnet.recipes import PLANNED_RECIPE, load_recipe
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.runs.planning.choose import plan_training
from thumbnet.runs.planning.constants import EVALUATION_SHARE, LADDER, REFERENCE_IMAGE_S
from thumbnet.runs.planning.ladder import size_cost
from thumbnet.runs.planning.speed import Measures, Speed
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.specs.engine import Engine
from thumbnet.training.progress import Silent

VAL_FRACTION = 0.25
KEY = ("set", "minutes", "variant", "seed")


class Nominal(Measures):
    """The machine that the rule's numbers were measured on, whatever this one is."""

    def reference_image_s(self, engine: Engine, *, seconds: float) -> float:
        return REFERENCE_IMAGE_S

    def speed(self, config: TrainConfig, dataset: Dataset, *, seconds: float) -> Speed:
        cost = next((rung.cost for rung in LADDER if rung.recipe == config.model), 1.0)
        full = dataset.image_shape[1], dataset.image_shape[2]
        image_s = {sides: REFERENCE_IMAGE_S * cost * size_cost(config.model, sides) for sides in _sizes(config, full)}
        step_s = {sides: seconds * config.batch_size for sides, seconds in image_s.items()}
        return Speed(step_s, EVALUATION_SHARE * image_s[full])


def _sizes(config: TrainConfig, full: tuple[int, int]) -> list[tuple[int, int]]:
    return [sides for sides, _ in config.inputs.resizing.sides_between(full, 0, 100, num_steps=100)]


def train_once(data: str, minutes: float, variant: str, seed: int) -> dict[str, Any]:
    """What is planned for the minutes, trained without a clock, and scored on validation images."""
    settings = [f"val_fraction={VAL_FRACTION}", *filter(None, variant.split(","))]
    options = {"data": data, "minutes": minutes, "seed": seed, "device": "cpu"}
    config = load_recipe(PLANNED_RECIPE, options=options, settings=settings)
    planned = plan_training(config, began_s=0.0, say=say_nothing, now=lambda: 0.0, measures=Nominal())
    dataset, config = load_data(planned.config, say=say_nothing, dataset=planned.dataset)
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    fit_config(config, dataset, model, progress=Silent())
    evaluation = evaluate(model, dataset, "val")
    return {
        "recipe": planned.record.recipe,
        "sides": dataset.image_shape[1:],
        "epochs": planned.record.epochs,
        "steps": planned.record.steps,
        "val_accuracy": evaluation.accuracy,
        "val_loss": evaluation.loss,
        "num_val": evaluation.num_images,
    }


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The trainings that a file has."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Means over sets and seeds, and the standard error of the mean's change to the budget before."""
    groups: dict[str, dict[float, dict[tuple[str, int], float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        groups[row["variant"]][row["minutes"]][row["set"], row["seed"]] = row["val_accuracy"]
    yield "| variant | minutes | n | accuracy | change | its standard error |"
    yield "|---|---|---|---|---|---|"
    for variant, by_minutes in groups.items():
        before: dict[tuple[str, int], float] = {}
        for minutes, scores in sorted(by_minutes.items()):
            changes = [scores[key] - before[key] for key in scores.keys() & before.keys()]
            error = statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else None
            change = (
                f"{statistics.mean(changes):+.2%} | {'' if error is None else f'{error:.2%}'}" if changes else " | "
            )
            name = variant or "the plan"
            yield f"| {name} | {minutes:g} | {len(scores)} | {statistics.mean(scores.values()):.2%} | {change} |"
            before = scores


def main() -> None:
    """Train what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="a line of JSON for each training")
    parser.add_argument("--sets", nargs="+", default=["digits"], metavar="NAME=SOURCE", help="data as --data takes it")
    parser.add_argument("--minutes", nargs="+", type=float, default=[0.5, 2.0, 10.0], metavar="M", help="budgets")
    parser.add_argument("--variants", nargs="+", default=[""], metavar="SETTINGS", help="instead of what is planned")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="one training each")
    parser.add_argument("--table", action="store_true", help="train nothing: print means from FILE")
    parsed = parser.parse_args()
    done = rows_of(parsed.file)
    if parsed.table:
        print("\n".join(table(done)))
        return
    known = {tuple(row[name] for name in KEY) for row in done}
    for named, *rest in itertools.product(parsed.sets, parsed.minutes, parsed.variants, parsed.seeds):
        name, _, source = named.rpartition("=")
        key = dict(zip(KEY, (name or source, *rest), strict=True))
        if tuple(key.values()) in known:
            continue
        line = json.dumps({**key, **train_once(source, *rest)})
        with parsed.file.open("a") as file:
            file.write(f"{line}\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()

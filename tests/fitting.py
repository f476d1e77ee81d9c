"""`fit` by flat names, as a recipe has them, so that what a test changes is one word."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.metrics import Evaluation, scorers
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective
from thumbnet.specs.optimizers import OPTIMIZERS, Optimizer
from thumbnet.specs.plain import field_names
from thumbnet.training.fit import fit
from thumbnet.training.length import Length
from thumbnet.training.progress import Silent
from thumbnet.training.ranks import SharedEngine
from thumbnet.training.result import FitResult


def optimizer_of(flat: Mapping[str, object]) -> Optimizer:
    """The optimizer that `flat` names by its field `optimizer`, `sgd` if it does not, with its other fields."""
    kind = OPTIMIZERS[str(flat.get("optimizer", "sgd"))]
    fields = {name: flat[name] for name in field_names(kind) if name in flat}
    return kind(**{"lr": 0.1, **fields})  # type: ignore[arg-type]


def fit_flat(model: nn.Module, dataset: Dataset, **flat: object) -> FitResult[Evaluation]:
    """`fit` with the fields of optimizer, inputs, objective, engine and length by their names, `score`: names of
    splits, and `ranks`: the processes that train together."""
    optimizer = optimizer_of(flat)
    rest = {name: value for name, value in flat.items() if name not in (*field_names(type(optimizer)), "score")}
    values: dict[str, object] = {}
    for name, kind in (("inputs", Inputs), ("objective", Objective), ("engine", Engine)):
        values[name] = kind(**{each: rest.pop(each) for each in field_names(kind) if each in rest})
    lengths = {each: rest.pop(each) for each in field_names(Length) if each in rest}
    ranks = rest.pop("ranks", None)
    if ranks is not None:
        values["engine"] = SharedEngine(values["engine"], ranks)  # type: ignore[arg-type]
    length = Length(**({"epochs": 1, **lengths} if lengths.get("pace") is None else lengths))
    rest = {"progress": Silent(), **rest, **values, "epochs": length, "optimizer": optimizer}
    scored = scorers(dataset, *flat["score"]) if "score" in flat else {}  # type: ignore[misc]
    return fit(model, dataset, scorers=scored, **rest)  # type: ignore[arg-type]

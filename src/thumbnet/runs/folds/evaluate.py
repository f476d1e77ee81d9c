"""The figures of all images out of fold, read from what a folder of folds keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.runs.folds.figures import OutOfFold
from thumbnet.runs.folds.label_figures import LabelsOutOfFold, any_out_of_fold
from thumbnet.runs.folds.pooled import PooledFigure
from thumbnet.runs.folds.runs import load_folds, read_folds
from thumbnet.runs.run import RunDir
from thumbnet.runs.seeds.evaluate import shown
from thumbnet.terminal.table import aligned


@dataclass(frozen=True)
class FoldsEvaluation:
    """All images of a folder of folds, each predicted by the model that was not trained on it: the figures of all and
    of each fold; `str(...)` is the table of `thumbnet evaluate`, `to_dict()` its JSON."""

    path: Path
    model: str
    data: str
    found: OutOfFold | LabelsOutOfFold

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that every fold was trained with."""
        return self.found.folds.seeds

    def to_dict(self) -> dict[str, object]:
        """Plain values; `evaluations` holds each seed's."""
        found = self.found
        return {
            "model": self.model,
            "data": self.data,
            "num_folds": found.folds.num_folds,
            "seeds": list(self.seeds),
            "confidence_level": CONFIDENCE_LEVEL,
            "figures": {name: asdict(figure) for name, figure in found.figures.items()},
            "over_folds": {name: {"mean": mean, "std": std} for name, (mean, std) in found.over_folds().items()},
            "by_fold": [dict(row) for row in found.by_fold],
            "evaluations": [each.to_dict() for each in found.of_seeds],
        }

    def __str__(self) -> str:
        found, over_folds = self.found, self.found.over_folds()
        images = f"{found.num_images:,} images out of fold"
        lines = [f"{self.model} on {self.data}, {found.folds.num_folds} folds, {images}", ""]
        folds = [f"fold {fold}" for fold in range(found.folds.num_folds)]
        table = [("figure", "all images", f"{CONFIDENCE_LEVEL:.0%} interval", "mean of folds", "deviation", *folds)]
        for name, figure in found.figures.items():
            mean, std = over_folds[name]
            of_folds = [_or_dash(name, row.get(name)) for row in found.by_fold]
            table.append(
                (
                    name.replace("_", " "),
                    shown(name, figure.value),
                    _span(name, figure),
                    _or_dash(name, mean),
                    _or_dash(name, std).removesuffix(" %"),
                    *of_folds,
                )
            )
        lines += [*aligned(table, num_left=1), ""]
        if len(self.seeds) > 1:
            lines += [f"Every figure above is a mean over {len(self.seeds)} seeds.", ""]
        for seed, each in zip(self.seeds, found.of_seeds, strict=True):
            lines += [f"seed {seed}"] * (len(self.seeds) > 1) + [str(each)]
        return "\n".join(lines)


def _span(name: str, figure: PooledFigure) -> str:
    """The interval, without a unit at its lower bound; a dash where a metric of the user's own has none."""
    if figure.low is None or figure.high is None:
        return "-"
    return f"{shown(name, figure.low).removesuffix(' %')} to {shown(name, figure.high).removesuffix(' %')}"


def _or_dash(name: str, value: float | None) -> str:
    return "-" if value is None else shown(name, value)


def evaluate_folds(path: str | Path, *, trust_code: bool = False) -> FoldsEvaluation:
    """The figures of a folder that `train --folds` made, from its runs' predictions; no model is run. `trust_code` as
    in `load_run`.

    Raises:
        RunError: it is no such folder, is not finished, or a file of it is damaged.
    """
    done = load_folds(path, trust_code=trust_code)
    folds, table = read_folds(RunDir(done.path))
    card = done.runs[0].card
    return FoldsEvaluation(done.path, card.model, card.data, any_out_of_fold(done.runs, folds, table))

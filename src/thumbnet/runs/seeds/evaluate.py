"""Scoring all runs of one recipe with several seeds: each figure with its mean and interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from thumbnet.evaluation.aggregate import Aggregate, aggregate_rows
from thumbnet.evaluation.class_aggregates import ClassAggregates, aggregate_classes
from thumbnet.evaluation.figure_names import is_of_per_cent
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.evaluation.pooled_robustness import mean_over_seeds, with_common_rows
from thumbnet.runs.evaluate import Scoring, TrainedEvaluation
from thumbnet.runs.own_data import DataPlace
from thumbnet.runs.seeds.runs import load_seed_runs
from thumbnet.specs.trust import takes_trust
from thumbnet.terminal.table import aligned
from thumbnet.terminal.text import counted, escaped

BASELINE = ("commonest_class", "commonest_labels", "commonest_share")  # what needs no model
NO_FIGURES = (  # of an evaluation's numbers
    "accuracy_standard_error",
    "temperature",
    "threshold",
    "unsure_below",
    "unknown_beyond",
    *BASELINE,
)


@dataclass(frozen=True)
class SeedsEvaluation:
    """What `evaluate_seeds` measured: the evaluation of each run, in the order of `seeds`, and what they give together.

    `str(...)` is the table of `thumbnet evaluate`, `to_dict()` its JSON.
    """

    path: Path
    seeds: tuple[int, ...]
    evaluations: tuple[TrainedEvaluation, ...]

    @property
    def figures(self) -> dict[str, Aggregate]:
        """Each figure that all runs have, by name."""
        return aggregate_rows([figures_of(each.to_dict()) for each in self.evaluations])

    @property
    def classes(self) -> tuple[ClassAggregates, ...]:
        """The metrics of every class, in the order of the labels."""
        return aggregate_classes([each.analysis.classes for each in self.evaluations])

    def to_dict(self) -> dict[str, object]:
        """Plain values, as JSON takes them; `evaluations` holds each run's."""
        first, values = self.evaluations[0], [each.to_dict() for each in self.evaluations]
        return {
            "n": len(self.seeds),
            "seeds": list(self.seeds),
            "model": first.trained.card.model,
            "data": first.dataset.source.name,
            "split": first.split,
            "num_images": first.num_images,
            **{name: value for name, value in values[0].items() if name in BASELINE},
            "confidence_level": CONFIDENCE_LEVEL,
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "classes": [asdict(each) for each in self.classes],
            "evaluations": values,
        }

    def __str__(self) -> str:
        first = self.evaluations[0]
        images = "all images" if first.split == "all" else f"{first.split} split"
        head = (
            f"{first.trained.card.model} ({first.trained.card.num_params:,} parameters), {len(self.seeds)} seeds, on "
            f"{first.dataset.source.name}, {images}, {first.num_images:,} images"
        )
        lines = [head, ""]
        table = [("figure", "mean", "deviation", f"{CONFIDENCE_LEVEL:.0%} interval", *map(_seed_text, self.seeds))]
        rows = [figures_of(each.to_dict()) for each in self.evaluations]
        for name, figure in self.figures.items():
            values = [shown(name, row[name]) for row in rows]
            table.append((name.replace("_", " "), *aggregate_texts(name, figure), *values))
        lines += [*aligned(table, num_left=1), f"accuracy without a model: {escaped(str(first.analysis.baseline))}", ""]
        table = [("class", "images", "precision", "recall", "F1")]
        table += [
            (
                escaped(each.class_name),
                f"{each.num_images:,}",
                *(_mean_text(figure) for figure in (each.precision, each.recall, each.f1)),
            )
            for each in self.classes
        ]
        lines += aligned(table, num_left=1)
        in_brackets = f"; in brackets: the {CONFIDENCE_LEVEL:.0%} interval" if len(self.seeds) > 1 else ""
        lines.append(f"The deviation and the interval are of other seeds, on the same images{in_brackets}.")
        if common := with_common_rows([each.robustness for each in self.evaluations if each.robustness is not None]):
            lines += ["", f"means over {counted(len(common), 'seed')}; intervals are of other images:"]
            lines.append(str(mean_over_seeds(common)))
        return "\n".join(lines)


@takes_trust
def evaluate_seeds(
    path: str | Path,
    data: str | None = None,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    split: str = "test",
    tta: bool = False,
    temperature: bool = False,
    robustness: bool = False,
    say: Callable[[str], None] = lambda text: None,
    trust_code: bool = False,
) -> SeedsEvaluation:
    """Score every run in a folder that `train --seeds` made, as `evaluate_trained` scores one.

    Args:
        path: the folder; the other arguments are those of `evaluate_trained`.
        trust_code: as in `load_run`.

    Raises:
        ThumbnetError: as `evaluate_trained`; RunError: no such folder, or a run in it is not finished.
    """
    runs = load_seed_runs(path)
    scoring = Scoring(
        DataPlace(data, data_dir, allow_unverified),
        split=split,
        tta=tta,
        temperature=temperature,
        robustness=robustness,
        say=say,
    )
    dataset, is_own = scoring.load_data(runs[0])  # the same for all, but normalised as the weights of each know them
    evaluations = tuple(scoring.score(run, run.prepared(dataset), is_own=is_own) for run in runs)
    if robustness and is_own:
        from thumbnet.runs.write_report import write_report  # takes a second, which other figures need not wait for

        say(f"robustness: {write_report(path)} shows it, too")
    return SeedsEvaluation(Path(path), tuple(run.config.seed for run in runs), evaluations)


def figures_of(values: Mapping[str, object]) -> dict[str, float]:
    """The figures among the values of an evaluation, custom metrics too."""
    custom = values.get("custom_metrics")
    everything = {**values, **(custom if isinstance(custom, Mapping) else {})}
    return {name: value for name, value in everything.items() if isinstance(value, float) and name not in NO_FIGURES}


def shown(name: str, value: float) -> str:
    """A figure's value as a table has it."""
    return f"{100 * value:.2f} %" if is_of_per_cent(name) else f"{value:.4f}"


def aggregate_texts(name: str, figure: Aggregate) -> tuple[str, str, str]:
    """A figure's mean, its deviation and its interval, as a table has them."""
    if figure.std is None:
        return shown(name, figure.mean), "-", "-"
    deviation = shown(name, figure.std).removesuffix(" %")
    if figure.low is None or figure.high is None:
        return shown(name, figure.mean), deviation, "-"
    low, high = (shown(name, bound).removesuffix(" %") for bound in (figure.low, figure.high))
    return shown(name, figure.mean), deviation, f"{low} to {high}"


def _mean_text(figure: Aggregate | None) -> str:
    if figure is None:
        return "-"
    mean = f"{100 * figure.mean:.2f} %"
    if figure.std is None:
        return mean
    bounds = (
        "" if figure.low is None or figure.high is None else f" ({100 * figure.low:.1f} to {100 * figure.high:.1f})"
    )
    return f"{mean} ± {100 * figure.std:.2f}{bounds}"


def _seed_text(seed: int) -> str:
    return f"seed {seed}"

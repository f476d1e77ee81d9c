"""Recipes compared over their seeds: the mean figures of folders that `train --seeds` made, against the first."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from thumbnet.errors import ConfigError
from thumbnet.evaluation.aggregate import Aggregate, aggregate
from thumbnet.evaluation.comparison import CONFIDENCE_LEVEL, holm_p_values
from thumbnet.evaluation.figure_names import is_of_per_cent, range_of
from thumbnet.evaluation.mean_comparison import WELCH_METHOD, MeanComparison, compare_means
from thumbnet.runs.comparison.runs import distinct_names, note_on_times
from thumbnet.runs.comparison.same_test import check_same_test
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.own_data import DataPlace
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.seeds.runs import figures_of_test, load_seed_runs
from thumbnet.specs.trust import takes_trust
from thumbnet.terminal.table import aligned
from thumbnet.views.comparison import p_text


@dataclass(frozen=True)
class SeedsComparison:
    """Recipes with several seeds each, the first being the baseline; `str(comparison)` is the table.

    `names` tell their folders apart; `runs` are each one's; `accuracies` of the test images; `comparisons` compare the
    second recipe, the third, ... with the first, and `figures` likewise in each other test figure of metrics.json that
    all of their runs have, by its name; `notes` are for the reader of the table.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    runs: tuple[tuple[Run, ...], ...]
    accuracies: tuple[Aggregate, ...]
    comparisons: tuple[MeanComparison, ...]
    notes: tuple[str, ...]
    figures: tuple[Mapping[str, MeanComparison], ...]

    @property
    def holm_p_values(self) -> list[float | None]:
        """The p value of each comparison, corrected for all that were made together; None where it has none."""
        p_values = [comparison.p_value for comparison in self.comparisons]
        corrected = iter(holm_p_values([value for value in p_values if value is not None]))
        return [None if value is None else next(corrected) for value in p_values]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        rows = zip(self.names, self.paths, self.runs, self.accuracies, strict=True)
        return {
            "baseline": self.names[0],
            "num_images": known_metrics(self.runs[0][0].metrics).num_test,
            "confidence_level": CONFIDENCE_LEVEL,
            "method": WELCH_METHOD,
            "recipes": [
                {
                    "name": name,
                    "path": str(path),
                    "seeds": [run.config.seed for run in runs],
                    "accuracies": [known_metrics(run.metrics).test_accuracy for run in runs],
                    "accuracy": asdict(accuracy),
                    "train_s": median_train_s(runs),
                }
                for name, path, runs, accuracy in rows
            ],
            "comparisons": [
                {
                    "name": name,
                    "difference": comparison.difference,
                    "interval": None if comparison.interval is None else asdict(comparison.interval),
                    "p_value": comparison.p_value,
                    "holm_p_value": self.holm_p_values[index],
                    "paired": None if comparison.paired is None else asdict(comparison.paired),
                    "figures": {name: asdict(each) for name, each in self.figures[index].items()},
                }
                for index, (name, comparison) in enumerate(zip(self.names[1:], self.comparisons, strict=True))
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        table = [("recipe", "model", "n", "test accuracy", "training")]
        for name, runs, accuracy in zip(self.names, self.runs, self.accuracies, strict=True):
            spread = "" if accuracy.std is None else f" ± {100 * accuracy.std:.2f}"
            seconds = f"{median_train_s(runs):,.0f} s"
            table.append((name, runs[0].card.model, str(accuracy.n), f"{100 * accuracy.mean:.2f} %{spread}", seconds))
        lines = aligned(table)
        has_several = len(self.comparisons) > 1
        rows = zip(self.names[1:], self.comparisons, self.holm_p_values, self.figures, strict=True)
        for name, comparison, holm, figures in rows:
            pair = _pair_lines(comparison, holm if has_several else None)
            lines += ["", f"{name} against {self.names[0]}:", *pair, *_figure_lines(figures)]
        num_images = known_metrics(self.runs[0][0].metrics).num_test
        method = f"{WELCH_METHOD}{', that of the accuracy corrected by Holm' * has_several}"
        lines += [
            "",
            f"{num_images:,} test images; ±: deviation from seed to seed; {method}.",
            "It is about the recipes: how far their means over seeds differ on these images, not about single models.",
        ]
        return "\n".join([*lines, *self.notes])


@takes_trust
def compare_seeds(
    folders: Sequence[str | Path],
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    trust_code: bool = False,
) -> SeedsComparison:
    """Compare folders that `train --seeds` made with the first of them, by the means of their test figures.

    Args:
        folders: two or more, of runs scored on the same test images.
        data, data_dir, allow_unverified: where the images are now, as in `compare_runs`.
        trust_code: as in `load_run`.

    Raises:
        ConfigError: fewer than two folders, or one given twice.
        RunError: the runs in one are not finished, or were scored on other test images.
    """
    if len(folders) < 2:
        raise ConfigError(f"{len(folders)} folder given to compare", hint="name two folders or more")
    paths = tuple(Path(folder) for folder in folders)
    names = tuple(distinct_names(paths))
    runs = tuple(load_seed_runs(path) for path in paths)
    place = DataPlace(data, data_dir, allow_unverified)
    first = runs[0][0]
    stored = RunDir(first.path).read_any_predictions()
    notes = [
        check_same_test(first, stored, other[0], RunDir(other[0].path).read_any_predictions(), name=name, place=place)
        for name, other in zip(names[1:], runs[1:], strict=True)
    ]
    accuracies = [[known_metrics(run.metrics).test_accuracy for run in each] for each in runs]
    seeds = [[run.config.seed for run in each] for each in runs]
    comparisons = tuple(
        compare_means(accuracies[0], accuracies[index], is_paired=seeds[index] == seeds[0])
        for index in range(1, len(runs))
    )
    rows = [[figures_of_test(run) for run in each] for each in runs]
    figures = tuple(
        {
            name: compare_means(
                [row[name] for row in rows[0]], [row[name] for row in rows[index]], is_paired=seeds[index] == seeds[0]
            )
            for name in rows[0][0]
            if name != "test_accuracy" and all(name in row for row in (*rows[0], *rows[index]))
        }
        for index in range(1, len(runs))
    )
    times = note_on_times(names, [each[0] for each in runs])
    shown = tuple(note for note in (*notes, times) if note)
    of_accuracy = tuple(aggregate(values).within(*range_of("accuracy")) for values in accuracies)
    return SeedsComparison(names, paths, runs, of_accuracy, comparisons, shown, figures)


def is_of_seeds(folders: Sequence[str | Path], are_seeds: Sequence[bool]) -> bool:
    """Whether all of the folders hold runs with several seeds; ConfigError where some do and others do not."""
    if any(are_seeds) and not all(are_seeds):
        mixed = {is_seeds: folder for folder, is_seeds in zip(folders, are_seeds, strict=True)}
        raise ConfigError(
            f"{mixed[True]} holds runs with several seeds, and {mixed[False]} does not",
            hint="compare runs with runs, and folders of `train --seeds` with such folders",
        )
    return all(are_seeds)


def _pair_lines(comparison: MeanComparison, holm_p_value: float | None) -> list[str]:
    difference = f"    {100 * comparison.difference:+.2f} points"
    if comparison.interval is None or comparison.p_value is None:
        lines = [f"{difference} (no interval: it needs two different accuracies of a recipe or more)"]
    else:
        low, high = comparison.interval.low, comparison.interval.high
        interval = f"{CONFIDENCE_LEVEL:.0%} interval {100 * low:+.2f} to {100 * high:+.2f}"
        corrected = "" if holm_p_value is None else f" ({p_text(holm_p_value)} corrected)"
        lines = [f"{difference} ({interval}), {p_text(comparison.p_value)}{corrected}"]
    paired = comparison.paired
    if paired is not None and paired.low is not None and paired.high is not None:
        lines.append(f"    seed by seed: {100 * paired.low:+.2f} to {100 * paired.high:+.2f}")
    return lines


def _figure_lines(figures: Mapping[str, MeanComparison]) -> list[str]:
    """How far the means of the other figures differ, a line for each, in points where it is shown per cent."""
    lines = []
    for name, found in figures.items():
        label = name.removeprefix("test_").replace("_", " ")
        line = f"    {label}: {_difference_text(name, found.difference)}"
        if found.interval is not None and found.p_value is not None:
            low, high = (_difference_text(name, bound, unit="") for bound in (found.interval.low, found.interval.high))
            line += f" ({CONFIDENCE_LEVEL:.0%} interval {low} to {high}), {p_text(found.p_value)}"
        lines.append(line)
    return lines


def _difference_text(name: str, value: float, *, unit: str = " points") -> str:
    return f"{100 * value:+.2f}{unit}" if is_of_per_cent(name) else f"{value:+.4f}"


def median_train_s(runs: Sequence[Run]) -> float:
    """The seconds of training of a recipe's runs, their median."""
    return statistics.median(known_metrics(run.metrics).train_s for run in runs)

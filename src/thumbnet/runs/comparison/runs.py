"""Finished runs on the same test images, compared from what their folders keep: no model is run again.

The first run is the baseline, and every other one is compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from thumbnet.data.class_counts import label_text
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, RunError
from thumbnet.evaluation.classes import summed_confusion
from thumbnet.evaluation.comparison import (
    BALANCED_METHOD,
    CONFIDENCE_LEVEL,
    INTERVAL_METHOD,
    TEST_METHOD,
    PairedComparison,
    RunMetrics,
    Stored,
    compare_with_baseline,
)
from thumbnet.evaluation.label_differences import METHOD, FigureDifference, label_differences
from thumbnet.evaluation.label_predictions import StoredLabels
from thumbnet.evaluation.metrics import standard_error
from thumbnet.evaluation.multi_label import label_evaluation_of
from thumbnet.evaluation.overall import balanced_accuracies
from thumbnet.evaluation.predictions import StoredPredictions
from thumbnet.runs.comparison.same_test import check_same_test
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.own_data import DataPlace
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.seeds.runs import is_seed_runs
from thumbnet.specs.trust import takes_trust
from thumbnet.views.comparison import describe_comparison


@dataclass(frozen=True)
class RunComparison:
    """Runs with their metrics, the first being the baseline; `str(comparison)` is the table.

    `predictions` and `metrics` are of the test images, in the order of the runs; `comparisons` compare the second run,
    the third, ... with the first; `notes` are for the reader of the table. Where an image may have several labels,
    `differences` are those of the metrics over all labels, of each comparison; else it is empty.
    """

    runs: tuple[Run, ...]
    predictions: tuple[Stored, ...]
    metrics: tuple[RunMetrics, ...]
    comparisons: tuple[PairedComparison, ...]
    notes: tuple[str, ...]
    differences: tuple[Mapping[str, FigureDifference], ...] = ()

    def __str__(self) -> str:
        return describe_comparison(self.metrics, self.comparisons, self.notes, self.differences)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; the images that one run alone gets right come as in `PairedComparison`."""
        differences = self.differences or (None,) * len(self.comparisons)
        others = zip(self.metrics[1:], self.comparisons, self.predictions[1:], differences, strict=True)
        return {
            "baseline": self.metrics[0].name,
            "num_images": self.metrics[0].num_images,
            "confidence_level": CONFIDENCE_LEVEL,
            "interval_method": INTERVAL_METHOD,
            "test_method": TEST_METHOD,
            "balanced_method": BALANCED_METHOD,
            **({"figures_method": METHOD} if self.differences else {}),
            "runs": [_without_none(asdict(metrics)) for metrics in self.metrics],
            "comparisons": [
                {
                    "run": metrics.name,
                    "difference": comparison.difference,
                    "low": comparison.interval.low,
                    "high": comparison.interval.high,
                    "p_value": comparison.p_value,
                    "holm_p_value": comparison.holm_p_value,
                    "num_both_right": comparison.num_both_right,
                    "num_only_baseline": len(comparison.only_baseline),
                    "num_only_run": len(comparison.only_other),
                    "num_both_wrong": comparison.num_both_wrong,
                    "only_baseline": self._images(comparison.only_baseline.tolist(), stored),
                    "only_run": self._images(comparison.only_other.tolist(), stored),
                    **({} if comparison.balanced is None else {"balanced_accuracy": asdict(comparison.balanced)}),
                    **({} if comparison.area is None else {"area": asdict(comparison.area)}),
                    **({} if figures is None else {"figures": {name: asdict(each) for name, each in figures.items()}}),
                }
                for metrics, comparison, stored, figures in others
            ],
            "notes": list(self.notes),
        }

    def _images(self, indices: Sequence[int], other: Stored) -> list[dict[str, object]]:
        baseline, class_names = self.predictions[0], self.runs[0].card.class_names
        return [
            {
                "index": index,
                "path": "" if baseline.paths is None else baseline.paths[index],
                "class_name": label_text(baseline.labels[index], class_names),
                "baseline_predicted_name": label_text(baseline.predicted[index], class_names),
                "baseline_probability": float(baseline.confidence[index]),
                "run_predicted_name": label_text(other.predicted[index], class_names),
                "run_probability": float(other.confidence[index]),
            }
            for index in indices
        ]


@takes_trust
def compare_runs(
    runs: Sequence[str | Path | Run],
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    dataset: Dataset | None = None,
    trust_code: bool = False,
) -> RunComparison:
    """Compare finished runs, or their folders, with the first of them.

    Args:
        runs: two or more, scored on the same test images.
        data, data_dir, allow_unverified: where the images are now, as in `Run.load_dataset`. They are only looked at
            where the checksums of the runs' data differ.
        dataset: the images, read before.
        trust_code: as in `load_run`.

    Raises:
        ConfigError: fewer than two runs, or one given twice.
        RunError: no finished run, a damaged one, or one on other test images; DataError: their images cannot be read.
    """
    if len(runs) < 2:
        raise ConfigError(f"{len(runs)} run given to compare", hint="name two runs or more")
    opened = tuple(run if isinstance(run, Run) else _open_run(run) for run in runs)
    names = distinct_names([run.path for run in opened])
    stored = tuple(RunDir(run.path).read_any_predictions() for run in opened)
    place = DataPlace(data, data_dir, allow_unverified, dataset)
    notes = [
        check_same_test(opened[0], stored[0], run, run_stored, name=name, place=place)
        for run, run_stored, name in zip(opened[1:], stored[1:], names[1:], strict=True)
    ]
    metrics = tuple(_metrics_of(*row) for row in zip(names, opened, stored, strict=True))
    return RunComparison(
        runs=opened,
        predictions=stored,
        metrics=metrics,
        comparisons=compare_with_baseline(stored[0], stored[1:]),
        notes=tuple(note for note in (*notes, note_on_times(names, opened)) if note),
        differences=differences_of_labels(stored, opened[0].card.class_names),
    )


def differences_of_labels(
    stored: Sequence[Stored], class_names: tuple[str, ...]
) -> tuple[Mapping[str, FigureDifference], ...]:
    """How far the metrics over all labels of each set of predictions but the first differ from its; none of images with
    one label each."""
    evaluations = [label_evaluation_of(each, class_names) for each in stored if isinstance(each, StoredLabels)]
    return tuple(label_differences(evaluations[0], each) for each in evaluations[1:])


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with as many folders above as tell them apart; ConfigError where one is given twice."""
    whole = [path.resolve() for path in paths]
    for path in whole:
        if whole.count(path) > 1:
            raise ConfigError(f"the run {path} is given twice", hint="name each run once")
    depths = [1] * len(whole)
    while True:
        names = [Path(*path.parts[-depth:]).as_posix() for path, depth in zip(whole, depths, strict=True)]
        if len(set(names)) == len(names):
            return names
        depths = [depth + (names.count(name) > 1) for depth, name in zip(depths, names, strict=True)]


def _open_run(path: str | Path) -> Run:
    if is_seed_runs(path):
        runs = " ".join(str(child) for child in sorted(Path(path).glob("seed-*")))
        raise RunError(
            f"{path} holds runs with several seeds, but it is trained models that are compared, image by image",
            hint=f"compare recipes with `compare_seeds`, or name the runs in it: {runs}",
        )
    return load_run(path)


def _metrics_of(name: str, run: Run, stored: Stored) -> RunMetrics:
    accuracy, known = float(stored.right.double().mean()), known_metrics(run.metrics)
    mean = balanced = None
    if isinstance(stored, StoredPredictions):
        confusion = summed_confusion([stored], num_classes=len(run.card.class_names))
        balanced = float(balanced_accuracies(confusion[None])[0])
    else:
        mean = label_evaluation_of(stored, run.card.class_names).mean_average_precision
    return RunMetrics(
        name=name,
        path=str(run.path),
        model=run.card.model,
        num_params=known.num_params,
        macs=known.macs,
        num_images=len(stored),
        accuracy=accuracy,
        standard_error=standard_error(accuracy, len(stored)),
        train_s=known.train_s,
        epochs=known.epochs,
        mean_average_precision=mean,
        balanced_accuracy=balanced,
    )


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def note_on_times(names: Sequence[str], runs: Sequence[Run]) -> str:
    """Says so where the times of training were not taken in the same way; else empty."""
    keys = ["device", "machine"]
    if all("processor_kind" in run.metrics for run in runs):  # earlier versions did not record it
        keys.append("processor_kind")
    places = [(_computed_by(run), *(run.metrics.get(key) for key in keys)) for run in runs]
    if len(set(places)) == 1:
        return ""
    told = ", ".join(
        f"{name} on {device} ({threads}, {', '.join(map(str, machine))})"
        for name, (threads, device, *machine) in zip(names, places, strict=True)
    )
    return f"The times of training do not compare: {told}."


def _computed_by(run: Run) -> str:
    known = known_metrics(run.metrics)
    processes = "" if known.num_ranks == 1 else f"{known.num_ranks} processes of "
    return f"{processes}{known.num_threads} threads"

"""Scoring a finished run, or a pretrained model, on its own data or on other data of the same classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.several_labels import refuse_several_labels
from thumbnet.errors import ConfigError
from thumbnet.evaluation.analysis import Analysis, analyse
from thumbnet.evaluation.calibration import MIN_TEMPERATURE_IMAGES
from thumbnet.evaluation.class_texts import number_with_interval
from thumbnet.evaluation.figure_names import is_other_number
from thumbnet.evaluation.interval_texts import with_interval
from thumbnet.evaluation.intervals import Interval, accuracy_interval
from thumbnet.evaluation.label_scoring import evaluate_labels
from thumbnet.evaluation.metrics import evaluate
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.evaluation.robustness import Robustness
from thumbnet.evaluation.tta import evaluate_labels_tta, evaluate_tta
from thumbnet.evaluation.unknown import with_unknown
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.robustness import measure_and_keep
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.scored_data import dataset_to_score
from thumbnet.specs.evaluation import EvaluationRequest
from thumbnet.terminal.text import counted
from thumbnet.trained.model import TrainedModel


@dataclass(frozen=True)
class TrainedEvaluation:
    """What `evaluate_trained` measured; `str(...)` is the table of `thumbnet evaluate`, `to_dict()` its JSON.

    `analysis` is a LabelEvaluation where pictures may have several labels; `tta_mean_average_precision` is of such ones
    alone, `tta_balanced_accuracy` of others. What was not asked for is None.
    """

    trained: TrainedModel
    dataset: Dataset
    split: str
    analysis: Analysis | LabelEvaluation
    tta_accuracy: float | None
    robustness: Robustness | None
    tta_mean_average_precision: float | None = None
    tta_mean_average_precision_interval: Interval | None = None
    tta_balanced_accuracy: float | None = None
    tta_balanced_accuracy_interval: Interval | None = None

    @property
    def tta_accuracy_interval(self) -> Interval | None:
        """Wilson's, at CONFIDENCE_LEVEL."""
        return None if self.tta_accuracy is None else accuracy_interval(self.tta_accuracy, self.num_images)

    @property
    def num_images(self) -> int:
        return len(self.dataset.split("test" if self.split == "all" else self.split))

    def to_dict(self) -> dict[str, object]:
        """Plain values, as JSON takes them."""
        values = {
            "model": self.trained.card.model,
            "num_params": self.trained.card.num_params,
            "data": self.dataset.source.name,
            "split": self.split,
            **self.analysis.to_dict(),
        }
        if self.tta_accuracy is not None:
            values |= {"tta_accuracy": self.tta_accuracy, "tta_accuracy_interval": self.tta_accuracy_interval}
        if self.tta_balanced_accuracy is not None:
            values |= {
                "tta_balanced_accuracy": self.tta_balanced_accuracy,
                "tta_balanced_accuracy_interval": self.tta_balanced_accuracy_interval,
            }
        if self.tta_mean_average_precision is not None:
            values |= {
                "tta_mean_average_precision": self.tta_mean_average_precision,
                "tta_mean_average_precision_interval": self.tta_mean_average_precision_interval,
            }
        if self.robustness is not None:
            values["robustness"] = self.robustness.to_dict()
        return values

    def __str__(self) -> str:
        card = self.trained.card
        images = "all images" if self.split == "all" else f"{self.split} split"
        head = (
            f"{card.model} ({card.num_params:,} parameters) on {self.dataset.source.name}, {images}, "
            f"{self.num_images:,} images"
        )
        lines = [head, str(self.analysis)]
        if self.tta_accuracy is not None:
            mean, bounds = self.tta_mean_average_precision, self.tta_mean_average_precision_interval
            more = "" if mean is None else f", mean average precision {number_with_interval(mean, bounds)}"
            if is_other_number(self.tta_accuracy, self.tta_balanced_accuracy):
                balanced = with_interval(self.tta_balanced_accuracy, self.tta_balanced_accuracy_interval)
                more = f", balanced accuracy {balanced}"
            accuracy = with_interval(self.tta_accuracy, self.tta_accuracy_interval)
            lines.append(f"with test-time augmentation: accuracy {accuracy}{more}")
        if self.robustness is not None:
            lines.append(str(self.robustness))
        return "\n".join(lines)


def evaluate_trained(
    trained: TrainedModel,
    data: str | None = None,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    split: str = "test",
    tta: bool = False,
    temperature: bool = False,
    robustness: bool = False,
    dataset: Dataset | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> TrainedEvaluation:
    """Score a run (`load_run`) or a pretrained model (`load_pretrained`), as `thumbnet evaluate` does.

    Args:
        data: other data of the same classes, or the run's own in another place; None: the model's own.
        data_dir, allow_unverified: as in `load_dataset`; None: as the run had them.
        split, tta, temperature, robustness: as in `EvaluationRequest`. The robustness of a run on its own data is kept
            in its folder, and its report is written again.
        dataset: the data, read before or made by `dataset_from_arrays`, in the place of `data`.
        say: gets sentences for people: what else is to be known about the images, and how far a long measurement is.

    Raises:
        ConfigError: arguments that contradict each other. RunError, DataError: the data is not there, or does not fit.
    """
    scoring = Scoring(
        DataPlace(data, data_dir, allow_unverified, dataset),
        split=split,
        tta=tta,
        temperature=temperature,
        robustness=robustness,
        say=say,
    )
    scored, is_own = scoring.load_data(trained)
    return scoring.score(trained, scored, is_own=is_own)


@dataclass(frozen=True)
class Scoring:
    """What `evaluate_trained` does with one model or several: its arguments, in two steps."""

    place: DataPlace
    _: KW_ONLY
    split: str
    tta: bool
    temperature: bool
    robustness: bool
    say: Callable[[str], None]

    def load_data(self, trained: TrainedModel) -> tuple[Dataset, bool]:
        """The data to score the model on, and whether that is surely the model's own.

        Raises:
            ConfigError: the arguments contradict each other, or do not fit this model.
        """
        EvaluationRequest(
            split=self.split,
            has_other_data=self.place.data is not None,
            has_dataset=self.place.dataset is not None,
            is_pretrained=not isinstance(trained, Run),
            tta=self.tta,
            temperature=self.temperature,
            robustness=self.robustness,
        )
        return dataset_to_score(trained, self.place, uses_all=self.split == "all", say=self.say)

    def score(self, trained: TrainedModel, dataset: Dataset, *, is_own: bool) -> TrainedEvaluation:
        """The model's evaluation on the data.

        Raises:
            ConfigError: the data's images, or their labels, are such that it would say nothing.
        """
        if self.split == "val" and is_own and trained.card.refit:  # of several seeds, one may have ended early
            raise ConfigError(
                "the model was in the end trained on its validation images, too (refit): a score on them says nothing",
                hint="val_accuracy in the run's metrics.json is of the network before",
            )
        if self.temperature:
            refuse_several_labels(dataset, "temperature is asked for", hint="leave --temperature out")
        held_out = _held_out_predictions(trained, dataset if is_own else None) if self.temperature else None
        measured = None
        if self.robustness:
            measured = measure_and_keep(trained, dataset, is_own=is_own, place=self.place, say=self.say)
        name = "test" if self.split == "all" else self.split
        if dataset.has_several_labels:
            return self._score_labels(trained, dataset, name, measured)
        decision = trained.card.decision
        evaluation = evaluate(trained.model, dataset, name, decision=decision, positive=_positive_of(trained))
        evaluation = replace(evaluation, unsure=trained.card.unsure)
        evaluation = with_unknown(evaluation, trained.model, dataset, trained.card.unknown)
        paths = dataset.split(name).paths
        analysis = analyse(evaluation, dataset.class_names, held_out=held_out, paths=paths)
        if self.temperature and analysis.temperature is None:
            self.say("no temperature is fitted: the loss on the validation images has no minimum")
        if not self.tta:
            return TrainedEvaluation(trained, dataset, self.split, analysis, None, measured)
        tta = evaluate_tta(trained.model, dataset, name, decision=decision)
        return TrainedEvaluation(
            trained,
            dataset,
            self.split,
            analysis,
            tta.accuracy,
            measured,
            tta_balanced_accuracy=tta.balanced_accuracy,
            tta_balanced_accuracy_interval=tta.overall_intervals.balanced_accuracy,
        )

    def _score_labels(
        self, trained: TrainedModel, dataset: Dataset, name: str, measured: Robustness | None
    ) -> TrainedEvaluation:
        decision = trained.card.label_decision
        evaluation = evaluate_labels(trained.model, dataset, name, decision=decision)
        if not self.tta:
            return TrainedEvaluation(trained, dataset, self.split, evaluation, None, measured)
        tta = evaluate_labels_tta(trained.model, dataset, name, decision=decision)
        return TrainedEvaluation(
            trained,
            dataset,
            self.split,
            evaluation,
            tta.accuracy,
            measured,
            tta.mean_average_precision,
            tta.intervals.get("mean_average_precision"),
        )


def _positive_of(trained: TrainedModel) -> int | None:
    """Of two classes that which the run's own figures are about, whichever is rarer in other data; None of a model that
    does not say."""
    name = trained.metrics.get("positive") if isinstance(trained, Run) else None
    names = trained.card.class_names
    return names.index(name) if isinstance(name, str) and name in names else None


def _held_out_predictions(run: TrainedModel, dataset: Dataset | None) -> Predictions:
    """Predictions for the run's own validation images; `dataset` is its data, or None to read it here."""
    assert isinstance(run, Run)
    own = load_own_dataset(run) if dataset is None else dataset
    if own.val is None:
        raise ConfigError(
            "temperature is asked for, but the run held no images out for validation, and it is fitted on those",
            hint="train with val_fraction above 0",
        )
    if len(own.val) < MIN_TEMPERATURE_IMAGES:
        raise ConfigError(
            f"temperature is asked for, but {counted(len(own.val), 'image')} were held out for validation, and it is "
            f"fitted on {MIN_TEMPERATURE_IMAGES} or more",
            hint="train with a larger val_fraction",
        )
    kept = RunDir(run.path).read_val_logits()
    return predict_split(run.model, own.val, mean=own.mean, std=own.std) if kept is None else kept

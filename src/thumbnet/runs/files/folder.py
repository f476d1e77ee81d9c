"""A run's folder: what its files hold, written and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from thumbnet.config import TrainConfig, config_to_toml, run_config_from_toml
from thumbnet.data.dataset import Source
from thumbnet.errors import CheckpointError, RunError
from thumbnet.evaluation.label_predictions import StoredLabels
from thumbnet.evaluation.label_predictions_csv import label_predictions_from_csv
from thumbnet.evaluation.predictions import Predictions, StoredPredictions
from thumbnet.evaluation.predictions_csv import predictions_from_csv
from thumbnet.evaluation.robustness import ROBUSTNESS_FORMAT, Robustness, robustness_from_dict
from thumbnet.models.card import CARD_FORMAT, ModelCard, card_from_dict, card_to_dict
from thumbnet.models.export_data import ExportData, export_data_to_bytes
from thumbnet.runs.files.checked_folder import CheckedFolder
from thumbnet.runs.files.checkpoint import Checkpoint, checkpoint_from_bytes, checkpoint_to_bytes
from thumbnet.runs.files.checksums import read_digests
from thumbnet.runs.files.contents import (
    config_text,
    files_of_code,
    files_of_data,
    files_of_init,
    files_of_plan,
    weights_to_bytes,
)
from thumbnet.runs.files.init_record import INIT_FORMAT, InitChoice, init_choice_from_dict
from thumbnet.runs.files.metrics import METRICS_FORMAT
from thumbnet.runs.files.names import (
    ASKED,
    CHECKPOINT,
    CONFIG,
    DATA_NOTE,
    EXCLUDED,
    EXPORT_DATA,
    GROUPS,
    HISTORY,
    INIT_CHOICE,
    METRICS,
    MODEL_CARD,
    PLAN,
    PREDICTIONS,
    REMARKS,
    ROBUSTNESS,
    SEEDS,
    SHARED_CONFIG,
    VAL_LOGITS,
    WEIGHTS,
)
from thumbnet.runs.files.remarks import REMARKS_FORMAT, remarks_from_dict
from thumbnet.runs.files.seed_list import SEEDS_FORMAT, seeds_from_dict
from thumbnet.runs.files.val_logits import val_logits_from_bytes, val_logits_to_bytes
from thumbnet.runs.planning.record import PLAN_FORMAT, PlanRecord, plan_from_dict
from thumbnet.specs.json_text import FORMAT, read_object, to_json
from thumbnet.specs.own_code import COPY, allow_from_run
from thumbnet.terminal.text import quoted
from thumbnet.training.history import History, history_from_csv


class RunDir(CheckedFolder):
    """The folder of one run."""

    @property
    def is_complete(self) -> bool:
        """Whether the run came to its end: metrics.json is there."""
        return (self.path / METRICS).exists()

    def begin(
        self,
        config: TrainConfig,
        *,
        asked: TrainConfig,
        source: Source,
        note: str,
        plan: PlanRecord | None = None,
        init_choice: InitChoice | None = None,
    ) -> None:
        """Write what a run knows before it trains; config.toml, which makes the folder a run, comes last.

        Args:
            config: as resolved; `asked` as it was asked for.
            note: what a reader of config.toml should know first, as comments.
            source: of the data; kept are its note, the files that were left out and the remarks on how the training
                begins, since the config tells none of these.
            plan: of the minutes that were asked for, if any were.
            init_choice: of what the training begins with, if that was `auto`.
        """
        files = {ASKED: config_to_toml(asked), **files_of_data(config, source), **files_of_code(config)}
        files |= files_of_plan(plan) | files_of_init(init_choice)
        self.write_checked({**files, CONFIG: config_text(config, note)})

    def begin_seeds(
        self,
        config: TrainConfig,
        seeds: Sequence[int],
        *,
        asked: TrainConfig,
        source: Source,
        plan: PlanRecord | None = None,
    ) -> None:
        """As `begin`, of a folder that holds a run for each of several seeds."""
        files = {ASKED: config_to_toml(asked), **files_of_data(config, source), **files_of_code(config)}
        files |= files_of_plan(plan)
        text = to_json({FORMAT: SEEDS_FORMAT, "seeds": list(seeds)}, name=SEEDS, indent=2)
        self.write_checked({**files, SHARED_CONFIG: config_to_toml(config), SEEDS: f"{text}\n"})

    def write_config(self, config: TrainConfig, *, note: str = "") -> None:
        """config.toml, with what a reader should know first as comments."""
        self.write_checked({CONFIG: config_text(config, note)})

    def read_config(self, name: str = CONFIG, *, may_be_edited: bool = False) -> TrainConfig:
        """A config of the folder; RunError where it is not as it was written, unless it `may_be_edited`."""
        return run_config_from_toml(self.read_text(name, is_checked=not may_be_edited), name=str(self.path / name))

    def read_asked(self) -> TrainConfig | None:
        """The config as it was asked for; None for runs of earlier versions."""
        is_kept = (self.path / ASKED).exists() or ASKED in read_digests(self.path)
        return self.read_config(ASKED) if is_kept else None

    def read_plan(self) -> PlanRecord | None:
        """The plan of a run that was given minutes; None for any other."""
        if not ((self.path / PLAN).exists() or PLAN in read_digests(self.path)):
            return None
        name = str(self.path / PLAN)
        return plan_from_dict(read_object(self.read_checked(PLAN), name=name, known_format=PLAN_FORMAT), name=name)

    def read_init_choice(self) -> InitChoice | None:
        """How the run chose what to begin with; None for one that did not."""
        if not ((self.path / INIT_CHOICE).exists() or INIT_CHOICE in read_digests(self.path)):
            return None
        name = str(self.path / INIT_CHOICE)
        values = read_object(self.read_checked(INIT_CHOICE), name=name, known_format=INIT_FORMAT)
        return init_choice_from_dict(values, name=name)

    def training_remarks(self) -> tuple[str, ...]:
        """What is to be said of how the run's training began; nothing of runs of earlier versions."""
        if not ((self.path / REMARKS).exists() or REMARKS in read_digests(self.path)):
            return ()
        name = str(self.path / REMARKS)
        values = read_object(self.read_checked(REMARKS), name=name, known_format=REMARKS_FORMAT)
        return remarks_from_dict(values, name=name)

    def exclusions(self, config: TrainConfig) -> str | None:
        """The file that the config excludes by: the folder's copy if there is one."""
        if config.exclude is None or not (self.path / EXCLUDED).exists():
            return config.exclude
        self.read_checked(EXCLUDED)
        return str(self.path / EXCLUDED)

    def groups(self, config: TrainConfig) -> str:
        """What the config's images are grouped by: if that is a file, the folder's copy if there is one."""
        division = config.division
        if not division.names_a_file or not (self.path / GROUPS).exists():
            return division.groups
        self.read_checked(GROUPS)
        return str(self.path / GROUPS)

    def allow_code(self, *names: object) -> None:
        """Execute the code of the user's own that these names are of, from the folder's copies, if that is trusted.

        Raises:
            RunError: it is not trusted, or a copy is damaged or missing.
        """
        for name in names:
            if isinstance(name, str):
                allow_from_run(name, lambda file: self.read_checked(f"{COPY}{file}"), run=self.path)

    def data_note(self) -> str:
        """Why the data stands in for other data; empty where it does not."""
        return self.read_text(DATA_NOTE).rstrip("\n") if (self.path / DATA_NOTE).exists() else ""

    def read_seeds(self) -> tuple[int, ...]:
        """Those of seeds.json; RunError where they are none."""
        name = str(self.path / SEEDS)
        values = read_object(self.read_checked(SEEDS), name=name, known_format=SEEDS_FORMAT)
        return seeds_from_dict(values, name=name)

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """checkpoint-last.pt, then history.csv, all of which the checkpoint holds, too."""
        self.write(CHECKPOINT, checkpoint_to_bytes(checkpoint))
        self.write(HISTORY, checkpoint.state.history.to_csv(), waits=False)

    def read_checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, or None; CheckpointError if it is damaged."""
        if not (self.path / CHECKPOINT).exists():
            return None
        content = self.read_checked(CHECKPOINT, error=CheckpointError)
        return checkpoint_from_bytes(content, name=str(self.path / CHECKPOINT))

    def write_results(
        self,
        *,
        history: History,
        weights: Mapping[str, Tensor],
        card: ModelCard,
        export_data: ExportData,
        predictions: str,
    ) -> None:
        """Write the files of a trained run, except its metrics."""
        self.write_checked(
            {
                HISTORY: history.to_csv(),
                WEIGHTS: weights_to_bytes(weights),
                MODEL_CARD: to_json(card_to_dict(card), name=MODEL_CARD, indent=2) + "\n",
                EXPORT_DATA: export_data_to_bytes(export_data),
                PREDICTIONS: predictions,
            }
        )

    def write_val_logits(self, held_out: Predictions) -> None:
        """Keep what a network that was not trained on the validation images predicts of them."""
        self.write_checked({VAL_LOGITS: val_logits_to_bytes(held_out)})

    def read_val_logits(self) -> Predictions | None:
        """What `write_val_logits` wrote; None of a run without `refit`, or of several labels; RunError where it is
        damaged or missing."""
        card = self.read_card()
        if not card.refit or card.has_several_labels:
            return None
        return val_logits_from_bytes(
            self.read_checked(VAL_LOGITS),
            name=str(self.path / VAL_LOGITS),
            num_images=card.num_val,
            num_classes=len(card.class_names),
        )

    def write_metrics(self, metrics: Mapping[str, object]) -> None:
        """metrics.json, which makes the run a finished one."""
        text = to_json({FORMAT: METRICS_FORMAT, **metrics}, name=METRICS, indent=2)
        self.write_checked({METRICS: f"{text}\n"})

    def read_predictions(self) -> StoredPredictions:
        """The stored predictions of every test image, each with one label; RunError where they are not there or
        damaged."""
        stored = self.read_any_predictions()
        if isinstance(stored, StoredLabels):
            raise RunError(f"the pictures of {self.path} may have several labels", hint="give runs with one label each")
        return stored

    def read_any_predictions(self) -> StoredPredictions | StoredLabels:
        """The stored predictions of every test image; RunError where they are not there or damaged."""
        card = self.read_card()
        name = str(self.path / PREDICTIONS)
        text = self.read_text(PREDICTIONS)
        stored: StoredPredictions | StoredLabels
        if card.has_several_labels:
            stored = label_predictions_from_csv(text, name=name, class_names=card.class_names)
        else:
            stored = predictions_from_csv(text, name=name, class_names=card.class_names)
        if len(stored) != card.num_test:
            raise RunError(
                f"{name} is damaged: it has {len(stored)} rows for {card.num_test} test images", hint="train again"
            )
        return stored

    def read_card(self) -> ModelCard:
        name = str(self.path / MODEL_CARD)
        return card_from_dict(
            read_object(self.read_checked(MODEL_CARD), name=name, known_format=CARD_FORMAT), name=name
        )

    def read_history(self) -> History:
        return history_from_csv(self.read_text(HISTORY), name=str(self.path / HISTORY))

    def read_metrics(self) -> dict[str, object]:
        """The values of metrics.json as they are, unknown ones too."""
        name = str(self.path / METRICS)
        return read_object(self.read_checked(METRICS), name=name, known_format=METRICS_FORMAT)


def read_robustness(folder: RunDir) -> Robustness | None:
    """The run's robustness, None where it was not measured; RunError where the file is damaged."""
    path = folder.path / ROBUSTNESS
    if not path.exists():
        return None
    again = f"measure again: thumbnet evaluate {quoted(folder.path)} --robustness"
    content = folder.read_checked(ROBUSTNESS)
    values = read_object(content, name=str(path), known_format=ROBUSTNESS_FORMAT, hint=again)
    return robustness_from_dict(values, name=str(path), hint=again)

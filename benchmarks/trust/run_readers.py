"""Readers of the files of a run folder, and of a folder of several runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from thumbnet.data.dataset import Split
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.label_predictions_csv import label_predictions_from_csv, label_predictions_to_csv
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness
from thumbnet.models.architecture import parse_blocks
from thumbnet.models.card import CARD_FORMAT, answer_rule
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import LabelDecision
from thumbnet.models.unknown import Unknown
from thumbnet.models.unsure import Unsure
from thumbnet.runs.files.checksums import SIGNATURE_LENGTH, read_digests, signature
from thumbnet.runs.files.folder import RunDir, read_robustness
from thumbnet.runs.files.init_record import InitChoice, StartTrial, init_choice_to_dict
from thumbnet.runs.files.metrics import check_metrics
from thumbnet.runs.files.names import CHECKPOINT, CHECKSUMS, METRICS, SWEEP
from thumbnet.runs.files.val_logits import val_logits_from_bytes, val_logits_to_bytes
from thumbnet.runs.folds.runs import read_folds
from thumbnet.runs.folds.table import FoldList, FoldRow, FoldTable
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.runs.planning.record import PlanRecord, StepTime, plan_to_dict
from thumbnet.runs.sweeps.question import Question, check_length, question_from_json, question_to_json
from thumbnet.runs.sweeps.space import parse_space
from thumbnet.specs.json_text import FORMAT
from trust.reader import Reader, read_with

LABELS = ("a", "b", "c")


def readers_of_runs(run: Path, place: Path) -> dict[str, Reader]:
    """The readers by name; `run` is a finished run of a small network, `place` a folder to work in. Files are read
    without SHA256SUMS, since one that is not that of its checksum is not read at all."""
    copy = place / "run"
    shutil.copytree(run, copy, dirs_exist_ok=True)
    digests = (copy / CHECKSUMS).read_bytes()
    (copy / CHECKSUMS).unlink()
    folder = RunDir(copy)
    _add_files(copy)
    num_epochs = len(folder.read_history())
    reads: dict[str, Callable[[], object]] = {
        "model.json": lambda: answer_rule(folder.read_card()),
        "metrics.json": lambda: check_metrics(folder.read_metrics(), name=METRICS, num_epochs=num_epochs),
        "history.csv": folder.read_history,
        "predictions.csv": folder.read_any_predictions,
        "checkpoint-last.pt": folder.read_checkpoint,
        "config.toml": folder.read_config,
        "seeds.json": folder.read_seeds,
        "folds.json": lambda: read_folds(folder),
        "folds.csv": lambda: read_folds(folder),
        "plan.json": folder.read_plan,
        "init.json": folder.read_init_choice,
        "remarks.json": folder.training_remarks,
        "data-note.txt": folder.data_note,
        "robustness.json": lambda: read_robustness(folder),
    }
    readers = {
        name: Reader(
            [(copy / name).read_bytes()], lambda content, name=name, read=read: read_with(copy / name, content, read)
        )
        for name, read in reads.items()
    }
    card = readers["model.json"]
    readers["model.json"] = Reader([*card.seeds, *_cards_with_rules(card.seeds[0])], card.read)
    checkpoint = copy / CHECKPOINT
    readers["checkpoint-signed"] = Reader(
        [checkpoint.read_bytes()], lambda content: read_with(checkpoint, _signed_anew(content), folder.read_checkpoint)
    )
    sums = copy / CHECKSUMS
    readers["SHA256SUMS"] = Reader(
        [digests], lambda content: read_with(sums, content, lambda: read_digests(copy), removed=True)
    )
    others = {"label-predictions": _label_predictions(), "val-logits": _val_logits(), "sweep.json": _sweep(folder)}
    return {**readers, **others}


def _add_files(run: Path) -> None:
    """Files that only some runs have."""
    facts = DataFacts(30, 5, 6, (15, 15), 1, (16, 16), is_resized=False)
    plan = PlanRecord(1.0, facts, "sprint", 9, 3, 9, *[0.5] * 6, (StepTime(16, 16, 0.1),), ("why",))
    trial = StartTrial("sprint", "sprint", 9, 1.0, 0.5, 0.7, 0.1)
    robust = Robustness(10, 0, 0.5, (CorruptedAccuracy("noise", 0.1, "of pixels", 0.4),))
    more: dict[str, Mapping[str, object]] = {
        "seeds.json": {"seeds": [0, 1, 2]},
        "folds.json": FoldList(2, (0,), "0" * 64).to_dict(),
        "plan.json": plan_to_dict(plan),
        "init.json": init_choice_to_dict(InitChoice(None, "why", 5, (trial,), 0.1, 0.1)),
        "remarks.json": {"remarks": ["Filters for colour were summed."]},
        "robustness.json": robust.to_dict(),
    }
    for name, values in more.items():
        (run / name).write_text(json.dumps({"format": 1, **values}))
    rows = tuple(FoldRow("", "0", "", each % 2, False) for each in range(4))
    (run / "folds.csv").write_text(FoldTable(rows).to_csv())
    (run / "data-note.txt").write_text("digits stand in for CIFAR-10\n")


def _cards_with_rules(card: bytes) -> list[bytes]:
    """The same with each rule of how it answers, as only some models have them."""
    values = json.loads(card)
    num_classes, num_features = len(values["class_names"]), parse_blocks(values["architecture"]["blocks"])[-1].channels
    unknown = Unknown(((0.5,) * num_features,) * num_classes, (1.0,) * num_features, 3.0, 0.05, 20, 1)
    rules: list[dict[str, object]] = [
        {"decision": asdict(Decision(1, 0.5, 0.0, "f1", 5, 2, {"f1": 0.5}))},
        {"unsure": asdict(Unsure(0.6, 0.4, 5, 2, 0.5)), "unknown": asdict(unknown), "refit": True},
        {"label_decision": asdict(LabelDecision((0.0,) * num_classes, "f1", 9, (0,)))},
    ]
    return [json.dumps({**values, FORMAT: CARD_FORMAT, **rule}).encode() for rule in rules]


def _label_predictions() -> Reader:
    """predictions.csv where an image may have several labels."""
    labels = torch.from_numpy(np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8))
    split = Split(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), labels, ("x.png", "y.png", "z.png"))
    table = label_predictions_to_csv(LabelPredictions(2.0 * labels - 1, labels), split, LABELS)
    return Reader(
        [table.encode()],
        lambda content: label_predictions_from_csv(content.decode(errors="replace"), name="p", class_names=LABELS),
    )


def _val_logits() -> Reader:
    """val-logits.safetensors."""
    generator = torch.Generator().manual_seed(0)
    content = val_logits_to_bytes(Predictions(torch.randn(6, 3, generator=generator), torch.arange(6) % 3))
    return Reader([content], lambda content: val_logits_from_bytes(content, name="v", num_images=6, num_classes=3))


def _sweep(folder: RunDir) -> Reader:
    """sweep.json, as far as `sweep --resume` takes it before it opens the storage and reads the data."""
    config = folder.read_config()
    search = ("lr=0.02..0.5:log", "batch_size=8,16")
    question = Question(search, 3, None, 20_000, 10**6, "val_accuracy", "sqlite:///sweep.db", "small-0", "0" * 64)

    def read(content: bytes) -> None:
        found = question_from_json(content, name=SWEEP)
        check_length(found.trials, found.minutes, grid=found.grid)
        parse_space(config, found.search)

    return Reader([question_to_json(question).encode()], read)


def _signed_anew(checkpoint: bytes) -> bytes:
    """With the checksum of what it holds now, or only that would be looked at."""
    body = checkpoint[:-SIGNATURE_LENGTH]
    return body + signature(body)

"""A report of two unequal classes with long names and long file names, made without any training."""

from __future__ import annotations

from pathlib import Path

import torch

from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.registry import create_model
from thumbnet.recipes import load_recipe
from thumbnet.runs.reports.run import build_report
from thumbnet.training.history import EpochRecord, History

CLASSES = ("good", "defective_with_a_name_that_cannot_be_broken")
NUM_IMAGES, NUM_DEFECTIVE = 300, 100
MEASURED = {
    "model": "sprint", "data": "cells", "test_accuracy": 0.5, "test_loss": 1.0, "num_test": NUM_IMAGES, "epochs": 3,
    "num_params": 200_000, "macs": 15_000_000, "train_s": 1.0, "images_per_s": 200.0, "total_s": 2.0, "device": "cpu",
    "num_threads": 2, "machine": "A processor (2 cores)",
}  # fmt: skip


def two_class_predictions() -> Predictions:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(NUM_IMAGES) < NUM_DEFECTIVE).long()
    logits = torch.randn(NUM_IMAGES, 2, generator=generator)
    logits[torch.arange(NUM_IMAGES), labels] += 1.5
    return Predictions(logits, labels)


def write_two_class_report(path: Path) -> None:
    """The report of predictions that are about five in six right, on grey noise."""
    predictions = two_class_predictions()
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (NUM_IMAGES, 1, 24, 24), generator=generator, dtype=torch.uint8)
    files = tuple(
        f"test/{CLASSES[int(label)]}/string_north_east_module_{number:05}_electroluminescence_2026-11-28.png"
        for number, label in enumerate(predictions.labels)
    )
    few = Split(images[:20], predictions.labels[:20])
    dataset = Dataset(
        train=few,
        val=None,
        test=Split(images, predictions.labels, paths=files),
        class_names=CLASSES,
        mean=(0.5,),
        std=(0.25,),
        flip_keeps_labels=True,
        source=Source("folder:cells", "noise made for tests"),
        val_fraction=0.0,
    )
    config = load_recipe("sprint")
    records = [EpochRecord(epoch, 0.1, 1 / epoch, 0.8, None, None, None, None, 1.0, 200.0) for epoch in range(1, 9)]
    text = build_report(
        config=config,
        dataset=dataset,
        model=create_model(config.model, num_classes=2, in_channels=1, seed=0),
        history=History(tuple(records)),
        evaluation=summarise_predictions(predictions, split="test"),
        metrics=MEASURED,
        title="cells",
    )
    path.write_text(text, encoding="utf-8")

"""A dataset as it was read, without what the beginning of one training made of it: for others that begin otherwise."""

from __future__ import annotations

from dataclasses import replace

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.statistics import usable_statistics


def as_read(dataset: Dataset, config: TrainConfig) -> Dataset:
    """The dataset that `load_data` gave with an unresolved config, for trainings with other initial weights, policies
    and the like: without remarks on how a training begins, and normalised by its own pixels unless the config gives
    mean and deviation."""
    dataset = without_training_remarks(dataset)
    if config.init is None or config.mean is not None:
        return dataset
    statistics, _ = usable_statistics(dataset.train.images)
    return dataset.with_statistics(statistics.mean, statistics.std)


def without_training_remarks(dataset: Dataset) -> Dataset:
    """The same dataset with the remarks alone that come of reading the images."""
    source = dataset.source
    read = tuple(remark for remark in source.remarks if remark not in source.training_remarks)
    return replace(dataset, source=replace(source, remarks=read, training_remarks=()))

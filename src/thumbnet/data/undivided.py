"""A dataset put together again: the splits that its source had before images were held out of them."""

from __future__ import annotations

from dataclasses import replace

import torch

from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ConfigError

HINT = (
    "read it with load_dataset or dataset_from_arrays, and leave exclude, num_train and folds to the config; or leave "
    "dataset out"
)


def with_division_remarks(source: Source, *remarks: str) -> Source:
    """The source with sentences on how its images were divided; one that it has stays alone."""
    new = tuple(remark for remark in remarks if remark not in source.remarks)
    return replace(source, remarks=(*source.remarks, *new), division_remarks=(*source.division_remarks, *new))


def undivided(dataset: Dataset) -> SourceSplits:
    """The splits that the dataset's source gave: what was held out of its training images is among them again, in the
    source's order. A validation or test split of the source's own stays one. What was said of the division is not said
    of them.

    Raises:
        ConfigError: images were left out of the dataset, or it is one fold of several.
    """
    if dataset.division.folds is not None:
        raise ConfigError(
            f"the dataset that was given is fold {dataset.division.fold} of {dataset.division.folds}", hint=HINT
        )
    if dataset.num_excluded or dataset.num_train is not None:
        raise ConfigError("images were left out of the dataset that was given, by exclude or num_train", hint=HINT)
    own: dict[str, Split | None] = {"val": None, "test": None}
    held_out: list[Split] = []
    for name, split in (("val", dataset.val), ("test", dataset.test)):
        if split is not None and split.positions is not None:
            held_out.append(split)
        else:
            own[name] = split
    source = dataset.source
    remarks = tuple(remark for remark in source.remarks if remark not in source.division_remarks)
    splits = SourceSplits(
        train=dataset.train,
        val=own["val"],
        test=own["test"],
        class_names=dataset.class_names,
        flip_keeps_labels=dataset.flip_keeps_labels,
        source=replace(source, remarks=remarks, division_remarks=()),
        white_levels=dataset.white_levels,
        fit=dataset.fit,
        labels_from=dataset.labels_from,
    )
    return replace(splits, train=_as_before([dataset.train, *held_out], splits)) if held_out else splits


def _as_before(parts: list[Split], splits: SourceSplits) -> Split:
    """One split of all parts, each image at its position; ConfigError where they are not all that was divided."""
    positions = torch.cat(
        [torch.full((len(part),), -1) if part.positions is None else part.positions for part in parts]
    )
    order = positions.argsort()
    if not torch.equal(positions[order], torch.arange(len(positions))):
        raise ConfigError(
            "the images held out in the dataset that was given, and its training images, are not all that was divided",
            hint=HINT,
        )
    first, *others = parts
    for other in others:
        first = replace(splits, train=first, val=other, test=None).joined()
    return replace(first.select(order), positions=None)

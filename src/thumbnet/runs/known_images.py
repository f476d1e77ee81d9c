"""Whether trained weights to begin with know images that are held out now, since they were trained on the same data."""

from __future__ import annotations

import torch

from thumbnet.data.dataset import Dataset
from thumbnet.data.groups import are_same_groups
from thumbnet.errors import RunError
from thumbnet.runs.init import load_trained
from thumbnet.runs.run import Run, RunDir
from thumbnet.specs.data import ARRAYS


def describe_known_images(init: str, dataset: Dataset) -> str:
    """A sentence for people where the weights that `init` names were trained on this data when it was divided
    otherwise, or had other images, so that some that are held out now may be known to them; else an empty one.

    Only what is drawn from the images can be held out otherwise, no split that the source defines itself. Images whose
    pixels alone are others, as in another size, are the same ones. Of arrays nothing is known.
    """
    trained = load_trained(init)
    is_same_data = trained.card.data == dataset.source.name and dataset.source.name != ARRAYS
    if not is_same_data:
        return ""
    if trained.card.data_checksum == dataset.checksum():
        return _of_refit(init) if trained.card.refit and dataset.val is not None else ""
    is_test_same = isinstance(trained, Run) and _has_same_test(trained, dataset)
    is_val_same = isinstance(trained, Run) and is_test_same and _has_same_val(trained, dataset)
    is_val_same = is_val_same and not trained.card.refit
    names = []
    for name, split, is_same in (("validation", dataset.val, is_val_same), ("test", dataset.test, is_test_same)):
        if split is not None and split.positions is not None and not is_same:
            names.append(name)
    if not names:
        return ""
    return (
        f"The weights of {init} (init) were trained on {trained.card.data}, too, which is divided otherwise now: they "
        f"may know {' and '.join(names)} images, and figures on these are then too good."
    )


def _of_refit(init: str) -> str:
    return (
        f"The weights of {init} (init) were in the end trained on these validation images, too (refit): figures on "
        "them are too good."
    )


def _has_same_test(run: Run, dataset: Dataset) -> bool:
    """Whether the test images are those of the run, as far as its folder tells."""
    folder, config, division = RunDir(run.path), run.config, dataset.division
    drawn = (config.split_seed, config.division.folds, config.division.fold)
    try:
        stored, groups = folder.read_any_predictions(), folder.groups(config)
    except RunError:  # a run of an earlier version, or a file is damaged: then nobody can tell
        return False
    return (
        drawn == (dataset.split_seed, division.folds, division.fold)
        and are_same_groups(groups, division.groups)
        and stored.paths == dataset.test.paths
        and torch.equal(stored.labels.long(), dataset.test.labels.long())
    )


def _has_same_val(run: Run, dataset: Dataset) -> bool:
    """Whether the validation images are those of the run, whose test images are the same; some may be left out now."""
    config, num_val = run.config, 0 if dataset.val is None else len(dataset.val)
    if (config.val_fraction, config.val_per_class or 0) != (dataset.val_fraction, dataset.val_per_class):
        return False
    if dataset.num_excluded or dataset.num_train is not None or config.exclude or config.num_train is not None:
        return True
    return run.card.num_train + run.card.num_val == len(dataset.train) + num_val

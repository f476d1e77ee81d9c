"""`--init` with weights that were trained on the same data: whether they may know images that are held out now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from small_runs import small_config
from thumbnet.data.dataset import Dataset, Source
from thumbnet.data.sources import load_dataset
from thumbnet.runs.known_images import describe_known_images
from thumbnet.runs.resolve import load_data
from thumbnet.specs.data import ARRAYS


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({}, None),
        ({"num_train": 8}, None),  # fewer of the same
        ({"val_fraction": 0.4}, "validation"),
        ({"val_fraction": 0.0}, None),
        ({"split_seed": 1}, "validation and test"),
        ({"folds": 4, "fold": 0}, "validation and test"),
    ],
)
def test_it_is_said_once_and_recorded_which_images_may_be_known(
    fields: dict[str, Any], known: str | None, small_run: Path
) -> None:
    config = small_config(small_run.parent / "data.npz", init=str(small_run), **fields)
    said, again = list[str](), list[str]()
    dataset, _ = load_data(config, say=said.append)
    load_data(config, say=again.append, dataset=dataset)
    sentences = [sentence for sentence in said if "too good" in sentence]
    assert len(sentences) == (known is not None)
    for elsewhere in (again, dataset.source.training_remarks):
        assert [sentence for sentence in elsewhere if "too good" in sentence] == sentences
    if known is not None:
        assert f"they may know {known} images" in sentences[0]


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        (lambda data: replace(data, test=data.test.select(range(2))), "validation and test"),  # other images by now
        (lambda data: replace(data, train=data.train.select(range(20))), "validation"),
        (lambda data: replace(data, train=_brighter(data)), None),  # other pixels, as of another size
        (lambda data: replace(data, train=_brighter(data), split_seed=1), "validation and test"),
        (lambda data: replace(data, split_seed=1, test=replace(_brighter(data), positions=None)), "validation"),
        (lambda data: replace(data, split_seed=1, train=_brighter(data), source=Source("npz:b.npz", "others")), None),
        (lambda data: replace(data, split_seed=1, train=_brighter(data), source=Source(ARRAYS, "arrays")), None),
    ],
)
def test_what_counts_is_how_the_same_images_are_divided(
    changed: Callable[[Dataset], Dataset], known: str | None, small_run: Path
) -> None:
    dataset = load_dataset(f"npz:{small_run.parent / 'data.npz'}", val_fraction=0.2)
    assert describe_known_images(str(small_run), dataset) == ""
    sentence = describe_known_images(str(small_run), changed(dataset))
    assert (f"they may know {known} images" in sentence) if known is not None else sentence == ""


def test_weights_of_the_package_know_what_is_held_out_of_their_training_images(tiny_dataset: Dataset) -> None:
    assert tiny_dataset.val is not None
    drawn = replace(tiny_dataset.val, positions=torch.arange(len(tiny_dataset.val)))
    dataset = replace(tiny_dataset, val=drawn, source=Source("cifar10", "not really"))
    assert "they may know validation images" in describe_known_images("sprint", dataset)
    assert describe_known_images("sprint", replace(dataset, val=None)) == ""
    assert describe_known_images("sprint", tiny_dataset) == ""


def _brighter(dataset: Dataset) -> Any:
    return replace(dataset.train, images=dataset.train.images + 1)

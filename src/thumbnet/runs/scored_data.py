"""The images that a trained model is scored on, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Callable

from thumbnet.data.dataset import Dataset
from thumbnet.runs.own_data import DataPlace, load_named_dataset, load_own_dataset
from thumbnet.runs.run import Run
from thumbnet.trained.data import load_test_data, load_unseen_data, prepared_for
from thumbnet.trained.model import TrainedModel


def dataset_to_score(
    trained: TrainedModel, place: DataPlace, *, uses_all: bool, say: Callable[[str], None]
) -> tuple[Dataset, bool]:
    """The data to score the model on, and whether that is surely the model's own."""
    data, allow_unverified = place.data, bool(place.allow_unverified)
    if uses_all:
        assert data is not None
        dataset = load_unseen_data(trained, data, data_dir=place.data_dir, allow_unverified=allow_unverified)
        _say_remarks(dataset, say)
        say(f"scored as if {trained.card.model} had been trained on none of these images")
        never_flipped = isinstance(trained, Run) and trained.config.inputs.flip is False
        return dataset.without_flips() if never_flipped else dataset, False
    if place.dataset is not None:
        return _given_dataset(trained, place.dataset, say=say)
    if not isinstance(trained, Run):
        dataset = load_test_data(trained, data, data_dir=place.data_dir, allow_unverified=allow_unverified)
        _say_remarks(dataset, say)
        _say_held_out(dataset, say)
        return dataset, False
    if data is None:
        return load_own_dataset(trained, place), True
    dataset, is_own = load_named_dataset(trained, data, place)
    if not is_own:
        _say_remarks(dataset, say)
        say(f"{data} differs from the run's own data: the model may have been trained on some of these images")
        _say_held_out(dataset, say)
    return dataset, is_own


def _given_dataset(trained: TrainedModel, dataset: Dataset, *, say: Callable[[str], None]) -> tuple[Dataset, bool]:
    """A dataset that was read before, and whether it is surely the model's own."""
    if not isinstance(trained, Run):
        return prepared_for(trained.card, dataset), False
    dataset = trained.prepared(dataset)
    if dataset.checksum() == trained.card.data_checksum:
        return dataset.with_note(trained.card.data_note), True
    say("the dataset differs from the run's own data: the model may have been trained on some of these images")
    return dataset, False


def _say_remarks(dataset: Dataset, say: Callable[[str], None]) -> None:
    """What to know about images other than the model's own."""
    for remark in dataset.source.remarks:
        say(remark)


def _say_held_out(dataset: Dataset, say: Callable[[str], None]) -> None:
    """Say so if the test images are a share that a training would hold out, and not all images."""
    if dataset.test.positions is not None:
        say(
            f"{dataset.source.name} has no test split: scored are the {len(dataset.test):,} images that a training "
            "would hold out; --split all scores all there are."
        )

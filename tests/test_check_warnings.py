"""`data check` warns of a class that would lose much, in what it prints; the command hands over what it is to list."""

from __future__ import annotations

import numpy as np
import pytest

from thumbnet.cli import main
from thumbnet.data.dataset import Dataset
from thumbnet.data_check import check
from thumbnet.data_check.check import DataCheck, check_data
from thumbnet.data_check.folds import OutOfFold
from thumbnet.recipes import load_recipe

NUM_BAD, NUM_GOOD, NUM_DISPUTED = 20, 40, 15


def dispute(config: object, dataset: Dataset, **options: object) -> OutOfFold:
    """Models that are sure, and call NUM_DISPUTED of the first class the second one."""
    said = dataset.train.labels.numpy().copy()
    said[np.flatnonzero(said == 0)[:NUM_DISPUTED]] = 1
    return OutOfFold(np.where(np.eye(2)[said] == 1, 0.9, 0.1), np.ones(len(said)))


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> DataCheck:
    """A check of noise, in which nothing is trained."""
    folder = tmp_path_factory.mktemp("warned")
    labels = np.repeat([0, 1], [NUM_BAD, NUM_GOOD])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 16, 16), np.uint8)
    np.savez(folder / "noise.npz", images=images, labels=labels, class_names=np.array(["bad", "good"]))
    config = load_recipe(options={"data": f"npz:{folder / 'noise.npz'}", "device": "cpu", "kernels": "pytorch"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "predict_out_of_fold", dispute)
        return check_data(config, out=folder / "check", log_style="silent", kinds=["label"], max_labels=20)


def test_a_class_that_would_lose_much_is_warned_of_in_what_is_printed(checked: DataCheck) -> None:
    excluded, suspected = checked.summary["warnings"]
    assert (excluded["file"], excluded["class_name"]) == ("exclude.csv", "bad")
    assert (suspected["file"], suspected["class_name"]) == ("suspects.csv", "bad")
    of_its_class = f"{NUM_DISPUTED} of the {checked.summary['class_sizes']['bad']} images of class 'bad' ("
    last = str(checked).splitlines()[-2:]
    assert [line.startswith(f"Warning: exclude.csv lists {of_its_class}") for line in last] == [True, False]
    assert last[1].startswith(f"Warning: suspects.csv lists {of_its_class}")


def test_the_command_hands_over_what_is_to_be_listed(checked: DataCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(check, "check_data", lambda config, **options: asked.update(options) or checked)
    lists, trained = ["--max-labels", "7", "--kinds", "label", "dark"], ["--folds", "3", "--repeats", "2"]
    assert main(["data", "check", "--data", "digits", *lists, *trained]) == 0
    assert (asked["max_labels"], asked["kinds"]) == (7, ["label", "dark"])
    assert (asked["num_folds"], asked["num_repeats"]) == (3, 2)

"""`data check` warns of a class that would lose much, in what it prints; the command hands over what it is to list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thumbnet.cli import main
from thumbnet.config import TrainConfig
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
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """Of noise."""
    file = tmp_path_factory.mktemp("noise") / "noise.npz"
    labels = np.repeat([0, 1], [NUM_BAD, NUM_GOOD])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 16, 16), np.uint8)
    np.savez(file, images=images, labels=labels, class_names=np.array(["bad", "good"]))
    return load_recipe(options={"data": f"npz:{file}", "device": "cpu", "kernels": "pytorch"})


@pytest.fixture(scope="module")
def checked(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> DataCheck:
    """A check of noise, in which nothing is trained."""
    folder = tmp_path_factory.mktemp("warned")
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


def test_the_commands_read_the_same_data_and_leave_out_what_was_left_out(
    checked: DataCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grouped = {**checked.summary, "num_groups": 1, "groups_are_parted": False}
    monkeypatch.setattr(check, "check_data", lambda config, **_: replace(checked, summary=grouped))
    before, new = tmp_path / "before.csv", checked.path / "exclude.csv"
    before.write_text("index,path,label,suggested,score,kind\n")
    arguments = ["data", "check", "--data", "folder:.", "--set", 'labels="folders"']
    assert main(arguments) == 0
    groups, exclude = capsys.readouterr().out.splitlines()[-2:]
    assert groups.endswith("""groups.csv --set 'labels="folders"'""")
    assert exclude.endswith(f"""--exclude {new} --set 'labels="folders"'""")
    assert main([*arguments, "--set", f'exclude="{before}"']) == 0
    groups, exclude = capsys.readouterr().out.splitlines()[-2:]
    assert groups.endswith(f"""groups.csv --exclude {before} --set 'labels="folders"'""")
    assert f"out, too, add the lines of {new}, without the heading, to {before}: thumbnet train " in exclude
    assert exclude.endswith(f"""--exclude {before} --set 'labels="folders"'""")
    assert exclude.count("--exclude") == 1


def test_what_says_how_much_is_held_out_for_validation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for setting in ("val_fraction=0.1", "val_per_class=5", "patience=2"):
        assert main(["data", "check", "--data", "digits", "--set", setting]) == 2
        assert f"{setting.partition('=')[0]} is set, but has no effect here" in capsys.readouterr().err


def test_that_only_some_images_of_all_splits_are_compared_is_said(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "predict_out_of_fold", dispute)
    monkeypatch.setattr(check, "num_compared", lambda images: NUM_BAD + NUM_GOOD - 1)  # more than train has
    check_data(config, out=tmp_path / "check")
    assert f"nearly equal ones among {NUM_BAD + NUM_GOOD - 1}." in capsys.readouterr().err

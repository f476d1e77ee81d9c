"""An existing folder wins over a trained model's name, in every place that takes either."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset
from thumbnet.recipes import load_recipe
from thumbnet.runs.init import begin_with_trained_weights, load_trained
from thumbnet.runs.parts import build_model
from thumbnet.runs.resolve import load_data
from thumbnet.runs.run import Run
from thumbnet.runs.shippable import load_shippable
from thumbnet.runs.which import is_pretrained_name
from thumbnet.trained.model import load_pretrained


@pytest.fixture
def named_as_a_model(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run whose folder has the name of a trained model, in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sprint"
    path.symlink_to(small_run)
    return path


def test_the_run_is_taken(named_as_a_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_pretrained_name("sprint")
    assert load_shippable("sprint").run_path == Path("sprint")
    assert isinstance(load_trained("sprint"), Run)
    assert main(["evaluate", "sprint", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_images"] == 4  # of the run's own data
    config = small_config(write_small_data(Path("data.npz")), init="sprint")
    assert load_data(config, say=lambda text: None)[1].init == str(named_as_a_model.resolve())


@pytest.mark.parametrize(("name", "of_all"), [("seed-1", "seeds.json"), ("trial-0007", "sweep.json")])
def test_one_of_several_seeds_or_trials_has_the_name_of_all_before_its_own(
    name: str, of_all: str, small_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "pets").mkdir()
    shutil.copytree(small_run, tmp_path / "pets" / name)
    (tmp_path / "pets" / of_all).touch()
    assert load_shippable(tmp_path / "pets" / name).name == f"pets-{name}"


def test_the_trained_model_is_taken_where_there_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sprint").touch()  # a file is no run
    assert is_pretrained_name("sprint")
    assert load_shippable("sprint").run_path is None
    assert not isinstance(load_trained("sprint"), Run)


def test_a_run_that_began_with_a_trained_model_keeps_to_it(tiny_dataset: Dataset, named_as_a_model: Path) -> None:
    """A folder of that name, where the run is resumed, is another thing."""
    settings = ["val_fraction=0.1", "mean=[0.5, 0.5, 0.5]", "std=[0.2, 0.2, 0.2]"]
    config = load_recipe("sprint", options={"init": "sprint"}, settings=settings)
    _, asked = load_data(config, say=print, dataset=tiny_dataset)
    assert asked.init == str(named_as_a_model.resolve())
    _, resolved = load_data(config, say=print, dataset=tiny_dataset, is_resolved=True)
    assert resolved.init == "sprint"
    model = build_model(resolved, tiny_dataset)
    begin_with_trained_weights(model, resolved, tiny_dataset)
    assert model.state_dict()["whiten.weight"].equal(load_pretrained("sprint").model.state_dict()["whiten.weight"])


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["evaluate", "sprint"], "an existing folder wins over the trained model sprint"),
        (["export", "sprint", "--format", "c"], "an existing folder wins over the trained model sprint"),
        (["train", "--data", "digits", "--init", "sprint"], "an existing folder wins over the trained model sprint"),
        (["report", "thumb-20k"], "thumb-20k is the name of a trained model of the package"),
        (["evaluate", "seeds"], "give one of the runs in it: seeds/seed-0, seeds/seed-1"),
        (["export", "seeds", "--format", "c"], "give one of the runs in it: seeds/seed-0, seeds/seed-1"),
        (["predict", "--run", "folds", "x.png"], "folds/fold-3, folds/fold-10 and so on (6 runs); for a model of all"),
        (["export", "folds", "--format", "c"], "give one of the runs in it: folds/fold-0, folds/fold-1, folds/fold-2"),
        (["train", "--data", "digits", "--init", "folds"], "give one of the runs in it: folds/fold-0, folds/fold-1"),
        (["predict", "--run", "sweep", "x.png"], "train --recipe sweep/best.toml"),
        (["export", "sweep", "--format", "c"], "train --recipe sweep/best.toml"),
        (["compare", "seeds/seed-0", "folds"], "give a folder that `train --folds` made"),
        (["train", "--resume", "my sweep"], "it is a sweep, which goes on with: thumbnet sweep --run-dir 'my sweep'"),
        (["export", "my sweep", "--format", "c"], "with: thumbnet train --recipe 'my sweep/best.toml'"),
        (["evaluate", "absent"], "give a run's folder, or one of sprint, thumb-100k"),
    ],
)
def test_what_is_no_run_is_refused_with_a_hint(
    arguments: list[str],
    hint: str,
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("sprint", "seeds", "folds", "sweep", "my sweep"):
        (tmp_path / folder).mkdir()
    sweeps = [f"{folder}/{name}" for folder in ("sweep", "my sweep") for name in ("sweep.json", "best.toml")]
    for name in ("folds/folds.json", *sweeps):
        (tmp_path / name).touch()
    for name in ("seeds/seed-0", "seeds/seed-1", *(f"folds/fold-{fold}" for fold in (0, 1, 2, 3, 10, 11))):
        (tmp_path / name).symlink_to(small_run)
    assert main(arguments) == 2
    assert hint in capsys.readouterr().err

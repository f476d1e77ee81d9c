"""The Python API scores a trained model as `thumbnet evaluate` does, and refuses what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import thumbnet
from small_runs import small_config, write_small_data
from thumbnet.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> thumbnet.Run:
    folder = tmp_path_factory.mktemp("evaluated")
    config = small_config(write_small_data(folder / "small.npz"))
    return thumbnet.train(config, run_dir=folder / "run", log_style="silent", pictures=False)


def test_the_command_prints_what_the_api_returns(run: thumbnet.Run, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = thumbnet.evaluate_trained(run, split="val", tta=True)
    assert main(["evaluate", str(run.path), "--split", "val", "--tta", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(evaluation.to_dict()))
    assert evaluation.tta_accuracy is not None
    low, high = evaluation.tta_balanced_accuracy_interval or (1.0, 0.0)
    assert 0 <= low <= (evaluation.tta_balanced_accuracy or 0.0) <= high <= 1
    bounds = (0.4, 0.6)
    unequal = replace(evaluation, tta_accuracy=0.9, tta_balanced_accuracy=0.5, tta_balanced_accuracy_interval=bounds)
    assert "\nwith test-time augmentation: accuracy 90.00% (" in str(unequal)
    assert str(unequal).endswith("), balanced accuracy 50.00% (40.0 to 60.0)")
    assert evaluation.robustness is None
    assert str(evaluation).startswith(f"sprint ({run.card.num_params:,} parameters) on npz:")


def test_other_data_is_said_to_be_no_own_data(run: thumbnet.Run, tmp_path: Path) -> None:
    said: list[str] = []
    other = f"npz:{write_small_data(tmp_path / 'other.npz', seed=1)}"
    whole = thumbnet.evaluate_trained(run, other, split="all", say=said.append)
    assert whole.analysis.evaluation.num_images == 40
    assert said == ["scored as if sprint had been trained on none of these images"]
    assert thumbnet.evaluate_trained(run, other, say=said.append).analysis.evaluation.num_images == 4
    assert any("differs from the run's own data" in sentence for sentence in said)


def test_requests_that_contradict_each_other_are_refused(run: thumbnet.Run) -> None:
    for request, words in (
        ({"split": "all"}, "all images are asked for without naming other data"),
        ({"split": "val", "temperature": True}, "temperature is asked for on the split 'val'"),
        ({"split": "train", "robustness": True}, "robustness is asked for on the split 'train'"),
        ({"split": "holdout"}, "holdout"),
    ):
        with pytest.raises(thumbnet.ThumbnetError, match=words):
            thumbnet.evaluate_trained(run, **request)

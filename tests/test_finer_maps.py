"""Plans of minutes with finer maps, and with images that grow or do not: from a command to what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fake_time import FakeTime
from thumbnet.recipes import load_recipe
from thumbnet.runs.choices.augmentation import Judgement
from thumbnet.runs.planning import choose, ladder
from thumbnet.runs.planning.record import plan_from_dict, plan_to_dict
from thumbnet.runs.train import train

NUM_IMAGES = 60


def pictures(folder: Path, *, side: int) -> str:
    """Data of noise in two classes of another brightness."""
    labels = np.arange(NUM_IMAGES) % 2
    noise = np.random.default_rng(0).integers(0, 150, (NUM_IMAGES, side, side), np.uint8)
    np.savez(folder / "data.npz", images=(noise + 100 * labels[:, None, None]).astype(np.uint8), labels=labels)
    return f"npz:{folder / 'data.npz'}"


def asked(data: str, **options: Any) -> Any:
    return load_recipe("auto", options={"data": data, "minutes": 1.0, **options}, settings=["augmentation=none"])


def test_a_plan_with_time_has_finer_maps_and_its_config_trains_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "MAX_EPOCHS", 1)
    monkeypatch.setattr(ladder, "MAX_STEPS_OF_FEW", 50)  # 50 epochs of a step
    config = asked(pictures(tmp_path, side=64))
    planned = FakeTime(step_s=0.01).plan(config)
    assert planned.config.model_options["stem"] == "w2"
    assert planned.config.inputs.scales == (1.0,)
    assert planned.config.planned is None
    record = planned.record
    assert "The time is enough for finer maps than are usual at this size (stem w2)." in record.reasons
    assert plan_from_dict(plan_to_dict(record), name="plan.json") == record
    short = planned.config.replace(steps=3)
    ours = train(short, run_dir=tmp_path / "ours", log_style="silent", pictures=False)
    assert ours.config.model_options["stem"] == "w2"
    again = train(
        load_recipe(str(ours.path / "config.toml")), run_dir=tmp_path / "again", log_style="silent", pictures=False
    )
    weights, others = ours.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize(
    "options", [{"model_options": {"stem": "w4s2"}}, {"init": "sprint"}, {"init": "sprint", "model": "sprint"}]
)
def test_what_is_given_keeps_its_maps(options: dict[str, Any], tmp_path: Path) -> None:
    planned = FakeTime(step_s=0.01).plan(asked(pictures(tmp_path, side=64), **options))
    assert planned.config.model_options.get("stem", "w4s2") == "w4s2"


def test_a_recipe_that_leaves_nothing_open_keeps_its_maps(tmp_path: Path) -> None:
    config = load_recipe("sprint", options={"data": pictures(tmp_path, side=64), "minutes": 1.0})
    assert "stem" not in FakeTime(step_s=0.01).plan(config).config.model_options


def test_maps_are_as_usual_where_the_measured_speed_leaves_too_few_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also then no recipe is taken that needs more images than there are."""
    monkeypatch.setattr(ladder, "MAX_STEPS_OF_FEW", 20_000)  # so that sprint-long may get the steps that it needs
    planned = FakeTime(step_s=8.0, image_s=1e-5).plan(asked(pictures(tmp_path, side=64)))
    assert (planned.record.recipe, planned.config.model_options.get("stem")) == ("sprint", None)
    told = [(each.recipe, each.stem, each.against.split(",")[0]) for each in planned.record.not_taken]
    assert ("sprint-long", "w2", "measured") in told
    assert told.count(("thumb-200k", "", "it needs 10")) == 1
    assert len(told) == len(set(told))


def test_whether_images_grow_is_decided_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that measuring takes brings a plan from 30 epochs of full images to fewer: that is no other plan."""
    monkeypatch.setattr(choose, "judge_policies", lambda config, dataset, **more: Judgement(why="it is made up"))
    data, found = pictures(tmp_path, side=32), set[bool]()
    for image_s in np.linspace(0.015, 0.05, 36):
        config = load_recipe("auto", options={"data": data, "minutes": 1.0})  # its augmentation is chosen, too
        planned = FakeTime(step_s=0.4, image_s=float(image_s)).plan(config)
        found.add(len(planned.config.inputs.scales) > 1)
    assert found == {False, True}


def test_images_grow_where_the_measured_speed_leaves_far_fewer_epochs(tmp_path: Path) -> None:
    config = asked(pictures(tmp_path, side=32))
    fast, slow = (FakeTime(step_s=step_s).plan(config) for step_s in (0.1, 6.0))  # reckoned alike
    assert [len(each.config.inputs.scales) for each in (fast, slow)] == [1, 3]

"""Accuracy under corruptions of several models: pooled over folds, means over seeds, and what a report says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thumbnet.evaluation.aggregate import aggregate
from thumbnet.evaluation.intervals import accuracy_interval, balanced_accuracy_interval, interval_of_mean
from thumbnet.evaluation.pooled_robustness import mean_over_seeds, pooled_over_images, with_common_rows
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness
from thumbnet.runs.folds.robustness import robustness_of_folds
from thumbnet.runs.run import RunDir
from thumbnet.specs.json_text import to_json
from thumbnet.views.report.robustness_of_seeds import robustness_section_of_seeds
from thumbnet.views.report.robustness_section import robustness_section

KINDS = (("noise", 0.1, "of 1"), ("noise", 0.2, "of 1"), ("blur", 1.0, "pixels"))


def measured(*accuracies: float, num_images: int = 100, off: float | None = 0.1) -> Robustness:
    """Accuracies of the images as they are and each of KINDS; balanced ones are `off` lower, None: there are none."""

    def balanced(accuracy: float) -> dict[str, Any]:
        if off is None:
            return {}
        value = accuracy - off
        return {"balanced_accuracy": value, "balanced_accuracy_interval": accuracy_interval(value, num_images)}

    clean, *others = accuracies
    rows = [CorruptedAccuracy(*kind, share, **balanced(share)) for kind, share in zip(KINDS, others, strict=False)]
    mean = float(np.mean(others))
    return Robustness(
        num_images,
        0,
        clean,
        tuple(rows),
        mean_interval=accuracy_interval(mean, 2 * num_images),
        **balanced(clean),
        mean_balanced_interval=None if off is None else accuracy_interval(mean - off, 2 * num_images),
    )


FIRST, SECOND = measured(0.9, 0.8, 0.6, 0.7), measured(0.8, 0.5, 0.4, 0.3, num_images=300)


def keep(folder: Path, robustness: Robustness | None) -> Path:
    """A run's folder, with what it measured."""
    folder.mkdir()
    if robustness is not None:
        RunDir(folder).write_checked({"robustness.json": to_json(robustness.to_dict(), name="it")})
    return folder


def test_folds_count_by_their_images() -> None:
    pooled = pooled_over_images([FIRST, SECOND])
    assert (pooled.num_images, pooled.seed) == (400, 0)
    assert pooled.accuracy == pytest.approx((90 + 240) / 400)
    assert [row.accuracy for row in pooled.rows] == pytest.approx([0.575, 0.45, 0.4])
    assert [row.balanced_accuracy for row in pooled.rows] == pytest.approx([0.475, 0.35, 0.3])
    assert pooled.balanced_accuracy == pytest.approx(0.725)
    assert [(row.corruption, row.strength, row.unit) for row in pooled.rows] == list(KINDS)
    assert pooled.interval_of(pooled.accuracy) == accuracy_interval(pooled.accuracy, 400)
    assert pooled.mean_interval is not None
    low, high = pooled.mean_interval
    arms = [(0.7 - accuracy_interval(0.7, 200)[0]) / 4, 3 * (0.4 - accuracy_interval(0.4, 600)[0]) / 4]
    assert low == pytest.approx(pooled.mean_accuracy - np.hypot(*arms))
    assert high - low < 0.1
    for without in (replace(FIRST, mean_interval=None), measured(0.9, 0.8, 0.6, 0.7, off=None)):
        assert (pooled_over_images([without, SECOND]).mean_interval is None) == (without.mean_interval is None)
    assert pooled_over_images([measured(0.9, 0.8, 0.6, 0.7, off=None), SECOND]).mean_balanced_accuracy is None


def test_the_mean_over_seeds_is_no_surer_of_other_images() -> None:
    mean = mean_over_seeds([FIRST, measured(0.8, 0.5, 0.4, 0.3)])
    assert mean.num_images == 100
    assert mean.accuracy == pytest.approx(0.85)
    assert [row.accuracy for row in mean.rows] == pytest.approx([0.65, 0.5, 0.5])
    assert mean.mean_balanced_accuracy == pytest.approx(0.45)
    assert mean.mean_interval == pytest.approx(
        np.mean([accuracy_interval(0.7, 200), accuracy_interval(0.4, 200)], axis=0)
    )


def test_only_what_all_measured_is_kept() -> None:
    fewer = replace(SECOND, rows=SECOND.rows[:0:-1])  # the last two, the other way round
    first, second = with_common_rows([FIRST, fewer])
    assert first.rows == FIRST.rows[1:]
    assert second.rows == SECOND.rows[1:]
    assert first.mean_interval is first.mean_balanced_interval is None
    assert second.mean_interval == SECOND.mean_interval
    assert with_common_rows([FIRST, SECOND]) == (FIRST, SECOND)
    other = replace(SECOND, rows=tuple(replace(row, strength=9.0) for row in SECOND.rows))
    assert with_common_rows([FIRST, other]) == with_common_rows([]) == ()


def test_the_interval_of_a_mean_is_that_of_a_balanced_accuracy() -> None:
    shares, intervals = [0.8, 0.5], [accuracy_interval(0.8, 50), accuracy_interval(0.5, 10)]
    assert interval_of_mean(shares, intervals) == balanced_accuracy_interval([(40, 50), (5, 10)])
    assert interval_of_mean(shares, intervals, [2.0, 2.0]) == pytest.approx(interval_of_mean(shares, intervals))
    assert interval_of_mean(shares, intervals, [1.0, 0.0]) == pytest.approx(intervals[0])


def test_folds_that_measured_it_are_pooled_and_named(tmp_path: Path) -> None:
    first, second = keep(tmp_path / "0", FIRST), keep(tmp_path / "1", SECOND)
    without = keep(tmp_path / "2", None)
    pooled, note = robustness_of_folds([first, second], num_seeds=1)
    assert pooled == pooled_over_images([FIRST, SECOND])
    assert note.startswith("Pooled over 2 folds: each model on test images of its own, weighted by their number. Bal")
    pooled, note = robustness_of_folds([first, without, second], num_seeds=1)
    assert pooled == pooled_over_images([FIRST, SECOND])
    assert "Pooled over 2 of 3 folds, those that measured it:" in note
    fewer = keep(tmp_path / "3", replace(SECOND, rows=SECOND.rows[:2]))
    pooled, note = robustness_of_folds([first, fewer], num_seeds=1)
    assert pooled is not None
    assert [row.accuracy for row in pooled.rows] == pytest.approx([0.575, 0.45])
    assert note.endswith("Only corruptions and strengths that all of these measured are shown.")
    assert robustness_of_folds([without, without], num_seeds=1) == (None, "")
    section = robustness_section(pooled, num_test=400, out_of_fold=True, note=note)
    assert section is not None
    assert "Accuracy on all 400 images out of fold: 82.5 %" in section.text
    fewer_than_all = robustness_section(pooled, num_test=1000, out_of_fold=True)
    assert fewer_than_all is not None
    assert "on a fixed sample of 400 images out of fold: 82.5 %" in fewer_than_all.text
    assert section.text.endswith(note)


def test_seeds_of_a_fold_count_as_one(tmp_path: Path) -> None:
    other = measured(0.7, 0.6, 0.4, 0.5)
    runs = [keep(tmp_path / str(place), each) for place, each in enumerate((FIRST, other, SECOND, SECOND))]
    pooled, note = robustness_of_folds(runs, num_seeds=2)
    assert pooled == pooled_over_images([mean_over_seeds([FIRST, other]), mean_over_seeds([SECOND, SECOND])])
    assert pooled is not None
    assert pooled.num_images == 400
    assert "weighted by their number; means over 2 seeds." in note
    runs[1] = keep(tmp_path / "none", None)
    pooled, note = robustness_of_folds(runs, num_seeds=2)
    assert pooled is not None
    assert pooled.accuracy == pytest.approx(SECOND.accuracy)
    assert "1 of 2 folds" in note


def test_the_section_of_seeds_has_means_and_how_far_they_differ() -> None:
    seeds = [FIRST, measured(0.7, 0.4, 0.4, 0.5)]
    section = robustness_section_of_seeds(seeds, num_seeds=2, num_test=100)
    assert section is not None
    accuracies = "80.0 % \u00b1 14.1 as they are, 56.7 % \u00b1 18.9 on average"
    assert f"on all 100 test images: {accuracies}" in section.text
    assert "mean recall of the classes: 70.0 % \u00b1 14.1 as they are, 46.7 % \u00b1 18.9 on average." in section.text
    assert "Means over 2 seeds, \u00b1 their deviation from seed to seed" in section.text
    noise, blur = section.charts
    assert (noise.title, blur.title) == ("noise", "blur")
    spread = aggregate([0.6, 0.4]).within(0, 1)
    assert spread.high is not None
    assert blur.stops[0].values == (f"50.0 % (0.0 to {100 * spread.high:.1f})", "70.0 %")
    assert [row.accuracy for row in section.rows] == ["60.0 % \u00b1 28.3", "50.0 % \u00b1 14.1", "60.0 % \u00b1 14.1"]
    others = [replace(each, num_images=500) for each in seeds[:1]] + seeds[1:]
    alike = robustness_section_of_seeds(others, num_seeds=3, num_test=500)
    assert alike is not None
    assert "on a fixed sample of 100 to 500 test images" in alike.text
    assert "Means over 2 of 3 seeds, those that measured it," in alike.text
    single = robustness_section_of_seeds([measured(0.9, 0.8, 0.6, 0.7, off=None)], num_seeds=2, num_test=100)
    assert single is not None
    assert single.text.endswith("Of one of 2 seeds, the only one that measured it.")
    assert single.rows == []
    assert single.charts[1].stops[0].values == ("70.0 %", "90.0 %")
    assert robustness_section_of_seeds([], num_seeds=2, num_test=100) is None


def test_one_number_is_shown_once() -> None:
    section = robustness_section(measured(0.9, 0.8, 0.6, 0.7, off=0.01), num_test=100)
    assert section is not None
    assert "Balanced accuracy, the mean recall of the classes: 89.0 %" in section.text
    assert "The charts show this one." not in section.text
    assert (section.rows, section.charts[1].stops[0].values[1]) == ([], "90.0 %")

"""The learning-rate finder's curve: what `find_lr` returns, how it is drawn, and what `find-lr --out` writes."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thumbnet
from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import config_to_toml
from thumbnet.training.lr_finder import LrTrial

RATES = tuple(np.geomspace(1e-4, 10, 60).tolist())
TRIAL = LrTrial(
    rates=RATES,
    losses=tuple(2.3 - 1.2 / (1 + (0.05 / rate) ** 2) + 0.1 * (-1) ** step for step, rate in enumerate(RATES)),
    smoothed_losses=tuple(2.3 - 1.2 / (1 + (0.05 / rate) ** 2) for rate in RATES),
    suggestion=RATES[30],
)


def test_the_public_function_gives_rates_losses_and_the_suggestion(tiny_dataset: thumbnet.Dataset) -> None:
    model = thumbnet.create_model("sprint", num_classes=3, blocks="c8p", seed=0)
    trial = thumbnet.find_lr(model, tiny_dataset, num_steps=30, batch_size=16, device="cpu")
    assert isinstance(trial, thumbnet.LrTrial)
    assert trial.suggestion in trial.rates
    assert len(trial.rates) == len(trial.losses) == len(trial.smoothed_losses)
    ratios = np.diff(np.log(trial.rates))
    np.testing.assert_allclose(ratios, ratios[0])
    assert trial.method == "where the smoothed loss falls fastest against the logarithm of the rate"


def test_the_curve_has_a_logarithmic_axis_and_marks_the_suggestion() -> None:
    (axes,) = thumbnet.draw_lr_trial(TRIAL).axes
    assert axes.get_xscale() == "log"
    points, curve, line, mark = axes.get_lines()
    np.testing.assert_allclose(points.get_data(), [TRIAL.rates, TRIAL.losses])
    np.testing.assert_allclose(curve.get_data(), [TRIAL.rates, TRIAL.smoothed_losses])
    assert set(line.get_xdata()) == {TRIAL.suggestion}
    np.testing.assert_allclose(mark.get_data(), [[TRIAL.suggestion], [TRIAL.smoothed_losses[30]]])
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert any("where the smoothed loss falls fastest" in " ".join(text.split()) for text in texts)
    assert f"{TRIAL.suggestion:.3g}" in axes.get_title(loc="left")


def test_the_scale_leaves_out_what_diverges_and_shows_what_falls() -> None:
    diverging = LrTrial(RATES, (*TRIAL.losses[:-1], 1e6), (*TRIAL.smoothed_losses[:-1], 40.0), RATES[30])
    (axes,) = thumbnet.draw_lr_trial(diverging).axes
    low, high = axes.get_ylim()
    assert low <= min(TRIAL.losses)
    assert max(TRIAL.smoothed_losses[:-1]) < high < 5


def test_the_files_hold_the_curve(tmp_path: Path) -> None:
    for name in ("lr.csv", "lr.png", "lr.svg", "again.svg"):
        thumbnet.save_lr_trial(TRIAL, tmp_path / name)
    rows = list(csv.DictReader((tmp_path / "lr.csv").read_text().splitlines()))
    assert [float(row["rate"]) for row in rows] == list(TRIAL.rates)
    assert [float(row["loss"]) for row in rows] == list(TRIAL.losses)
    assert [float(row["smoothed_loss"]) for row in rows] == list(TRIAL.smoothed_losses)
    assert [index for index, row in enumerate(rows) if row["is_suggestion"] == "1"] == [30]
    with Image.open(tmp_path / "lr.png") as picture:
        assert picture.size >= (800, 500)
    root = ElementTree.parse(tmp_path / "lr.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (tmp_path / "lr.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    with pytest.raises(thumbnet.ThumbnetError, match=r"lr\.bmp"):
        thumbnet.save_lr_trial(TRIAL, tmp_path / "lr.bmp")


def test_the_command_says_how_the_rate_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, recipe = tmp_path / "lr.csv", tmp_path / "small.toml"
    recipe.write_text(config_to_toml(small_config(write_small_data(tmp_path / "small.npz"))))
    command = ["find-lr", "--recipe", str(recipe), "--out", str(out)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = list(csv.DictReader(out.read_text().splitlines()))
    (suggestion,) = [float(row["rate"]) for row in rows if row["is_suggestion"] == "1"]
    assert lines[0] == f"lr {suggestion:.3g}"
    assert "where the smoothed loss falls fastest against the logarithm of the rate" in lines[1]
    assert lines[2] == str(out)
    assert main([*command, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["lr"] == suggestion
    assert values["method"] in lines[1]


@pytest.mark.parametrize("name", ["lr.bmp", "lr", "absent/lr.png"])
def test_a_name_that_cannot_be_written_is_refused_before_the_trial(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find-lr", "--data", f"folder:{tmp_path / 'no data'}", "--out", str(tmp_path / name)]) == 2
    told = capsys.readouterr().err
    assert name in told
    assert "no data" not in told

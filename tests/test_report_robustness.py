"""The report of a training on a folder shows accuracy under corruptions, on few images; other data's on demand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from small_runs import small_config, write_small_data
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.packs.pack import pack_data
from thumbnet.evaluation import robustness_scoring as measuring
from thumbnet.evaluation.corruptions import CORRUPTIONS
from thumbnet.evaluation.robustness_scoring import measure_robustness
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.runs.robustness import measure_for_report
from thumbnet.runs.run import RunDir, read_robustness
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report

KINDS = CORRUPTIONS[1:3]


@pytest.fixture(autouse=True)
def few_corruptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "CORRUPTIONS", KINDS)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty dark and twenty bright pictures."""
    random = np.random.default_rng(0)
    for name, level in {"dark": 0, "bright": 120}.items():
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(level, level + 100, (16, 16), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


def test_a_run_on_a_folder_measures_it_for_its_report(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(Path("unused"), image_size=16).replace(data=f"folder:{pictures}")
    assert config.report_robustness == "auto"
    run = train(config, run_dir=tmp_path / "run")
    assert run.config.report_robustness is True
    found = read_robustness(RunDir(run.path))
    assert found is not None
    assert list(found.by_corruption()) == [kind.name for kind in KINDS]
    assert found == measure_robustness(run.model, run.load_dataset(), num_images=500)
    assert '<section id="robustness"' in (run.path / "report.html").read_text()
    assert (run.path / "robustness.png").exists()
    assert "robustness.json" in (run.path / "SHA256SUMS").read_text()
    assert "Measuring accuracy under corruptions on 4 test images" in capsys.readouterr().err
    write_report(run.path, tmp_path / "again.html")
    assert '<section id="robustness"' in (tmp_path / "again.html").read_text()


def test_it_is_measured_on_500_images_at_most(tiny_dataset: Dataset) -> None:
    many = replace(tiny_dataset, test=tiny_dataset.test.select([*range(45)] * 12))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(many.train.images[0].numel(), 3))
    said: list[str] = []
    assert measure_for_report(model, many, say=said.append).num_images == 500
    assert said == ["Measuring accuracy under corruptions on 500 test images ..."]


def test_auto_is_for_pictures_and_what_is_asked_for_is_done(pictures: Path, tmp_path: Path) -> None:
    npz = small_config(write_small_data(tmp_path / "data.npz"))
    folder = npz.replace(data=f"folder:{pictures}", image_size=16)

    def resolved(config: TrainConfig) -> object:
        return load_data(config, say=say_nothing)[1].report_robustness

    pack_data(f"folder:{pictures}", tmp_path / "pack", image_size=16, show_progress=False)
    packed = npz.replace(data=f"packed:{tmp_path / 'pack'}", image_size=16)
    assert [resolved(config) for config in (npz, folder, packed)] == [False, True, True]
    assert [resolved(config.replace(report_robustness=True)) for config in (npz, folder)] == [True, True]
    assert [resolved(config.replace(report_robustness=False)) for config in (npz, folder)] == [False, False]


def test_without_pictures_there_is_no_report_to_measure_it_for(pictures: Path, tmp_path: Path) -> None:
    config = small_config(Path("unused"), image_size=16).replace(data=f"folder:{pictures}")
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert read_robustness(RunDir(run.path)) is None

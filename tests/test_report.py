"""The report: one page without any reference to another file, its pictures exact, its numbers the run's own."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import thumbnet
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset, Split
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.registry import create_model
from thumbnet.runs.report import build_report
from thumbnet.training.history import EpochRecord, History
from thumbnet.views.numbers import per_cent
from thumbnet.views.report.charts import HEIGHT, LEFT, RIGHT, WIDTH, Line, draw_lines
from thumbnet.views.report.gallery_images import (
    MAX_GALLERY_IMAGES,
    MAX_PER_CELL,
    MAX_SPRITE_BYTES,
    MAX_TILE_PX,
    SpriteSheet,
    choose_gallery_images,
    make_image_sprites,
    make_overlay_sprites,
)

SECTIONS = ("overview", "curves", "confusion", "classes", "gallery", "calibration", "architecture", "reproduce")
METRICS = {
    "model": "sprint", "data": "tiny", "test_accuracy": 0.5, "test_loss": 1.0, "num_test": 45, "epochs": 3,
    "num_params": 1, "macs": 1, "train_s": 100.0, "images_per_s": 10.0, "device": "cpu", "num_threads": 1,
    "machine": "A processor (2 cores)",
}  # fmt: skip


def history(num_epochs: int = 3) -> History:
    return History(
        tuple(
            EpochRecord(epoch, 0.1, 2 / epoch, 1 - 0.5 / epoch, 1 / epoch, 0.5, None, None, 10.0, 100.0)
            for epoch in range(1, num_epochs + 1)
        )
    )


def random_predictions(labels: torch.Tensor, num_classes: int) -> Predictions:
    return Predictions(torch.randn(len(labels), num_classes, generator=torch.Generator().manual_seed(0)), labels)


def report_of(dataset: Dataset, predictions: Predictions) -> str:
    model = create_model("sprint", num_classes=dataset.num_classes, seed=0)
    config = thumbnet.load_recipe("sprint").replace(mean=dataset.mean, std=dataset.std, flip=True)
    evaluation = summarise_predictions(predictions, split="test")
    return build_report(
        config=config, dataset=dataset, model=model, history=history(), evaluation=evaluation, metrics=METRICS,
        title="a run",
    )  # fmt: skip


def values_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="gallery-values">(.*?)</script>', page)
    assert found is not None
    values: dict[str, object] = json.loads(found[1])
    return values


def tiles(sheet: SpriteSheet, mode: str) -> list[np.ndarray]:
    pixels = np.asarray(Image.open(io.BytesIO(sheet.content)).convert(mode))
    return [
        pixels[row * sheet.tile_height :, column * sheet.tile_width :][: sheet.tile_height, : sheet.tile_width]
        for row, column in (divmod(number, sheet.num_columns) for number in range(sheet.num_tiles))
    ]


def test_a_page_has_every_section_and_refers_to_nothing_else(tiny_dataset: Dataset) -> None:
    page = report_of(tiny_dataset, random_predictions(tiny_dataset.test.labels, 3))
    assert [name for name in SECTIONS if f'<section id="{name}"' not in page] == []
    assert 'id="robustness"' not in page
    references = re.findall(r"""(?:\bsrc|\bhref)="([^"]*)"|url\(([^)]*)\)|@import (.*)|https?:([^"'\s]*)""", page)
    assert references
    outside = [each for each in map("".join, references) if not each.startswith(("#", "data:"))]
    assert outside == [each for each in outside if each.startswith("//www.w3.org/")]  # names of SVG's, never fetched
    assert len(page) < 1_000_000


def test_the_matrix_and_the_gallery_hold_the_predictions(tiny_dataset: Dataset) -> None:
    predictions = random_predictions(tiny_dataset.test.labels, 3)
    page = report_of(tiny_dataset, predictions)
    evaluation = summarise_predictions(predictions, split="test")
    cells = re.findall(
        r'<button type="button" data-truth="(\d)" data-prediction="(\d)"[^>]*aria-label[^>]*>(\d+)<', page
    )
    for truth, prediction, count in cells:
        assert evaluation.confusion[int(truth), int(prediction)] == int(count)
    assert len(cells) == np.count_nonzero(evaluation.confusion - np.diag(evaluation.confusion.diagonal()))
    gallery = values_of(page)["gallery"]
    assert isinstance(gallery, list)
    assert [row[0] for row in gallery] == thumbnet.misclassified(predictions).tolist()
    for index, truth, prediction, confidence, _ in gallery:
        assert (truth, prediction) == (int(predictions.labels[index]), int(predictions.predicted[index]))
        assert confidence == pytest.approx(float(predictions.confidence[index]), abs=1e-4)


def test_class_names_cannot_break_the_page(tiny_dataset: Dataset) -> None:
    names = ("</script><b>", '"red" & co', "blue")
    page = report_of(replace(tiny_dataset, class_names=names), random_predictions(tiny_dataset.test.labels, 3))
    assert "</script><b>" not in page
    assert html.escape(names[0]) in page
    assert values_of(page)["classes"] == list(names)


def test_nothing_misclassified_is_a_page_too(tiny_dataset: Dataset) -> None:
    labels = tiny_dataset.test.labels
    page = report_of(tiny_dataset, Predictions(10 * torch.eye(3)[labels], labels))
    assert "No image is misclassified." in page
    assert values_of(page)["images"] is None


def test_many_classes_are_a_picture_and_a_list(tiny_dataset: Dataset) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(500) % 25
    images = torch.randint(0, 256, (500, 3, 12, 12), generator=generator, dtype=torch.uint8)
    dataset = replace(
        tiny_dataset, train=Split(images, labels), val=None, test=Split(images, labels),
        class_names=tuple(f"class {number}" for number in range(25)),
    )  # fmt: skip
    page = report_of(dataset, random_predictions(labels, 25))
    assert 'id="confusion-map"' in page
    assert 'class="matrix"' not in page
    assert "held no images out" in page


def test_a_sprite_sheet_keeps_every_pixel(tiny_dataset: Dataset) -> None:
    images = tiny_dataset.test.images
    sheet = make_image_sprites(images)
    for tile, image in zip(tiles(sheet, "RGB"), images, strict=True):
        np.testing.assert_array_equal(tile, image.permute(1, 2, 0))
    grey = make_image_sprites(images[:2, :1])
    np.testing.assert_array_equal(tiles(grey, "RGB")[1][..., 2], images[1, 0])


def test_large_images_are_reduced_and_the_sheet_stays_light() -> None:
    noise = torch.randint(0, 256, (400, 3, 60, 120), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sheet = make_image_sprites(noise)
    assert (sheet.tile_width, sheet.tile_height) == (MAX_TILE_PX, MAX_TILE_PX // 2)
    assert len(sheet.content) <= MAX_SPRITE_BYTES


def test_an_overlay_darkens_what_is_not_salient() -> None:
    maps = torch.zeros(1, 4, 4)
    maps[0, 1, 2] = 1
    (overlay,) = tiles(make_overlay_sprites(maps), "RGBA")
    assert overlay[1, 2, 3] == 0
    assert overlay[0, 0].tolist() == [0, 0, 0, 204]


def test_the_gallery_is_limited_by_cell_and_in_all() -> None:
    labels = torch.zeros(MAX_PER_CELL + 20, dtype=torch.int64)
    logits = torch.zeros(len(labels), 3)
    logits[:, 1] = torch.linspace(1, 5, len(labels))
    logits[-5:, 2] = 9.0
    chosen = choose_gallery_images(Predictions(logits, labels))
    assert set(chosen[:5]) == {45, 46, 47, 48, 49}
    assert chosen[5:] == list(range(44, 44 - MAX_PER_CELL, -1))
    many = random_predictions(torch.arange(20_000) % 100, 100)
    assert len(choose_gallery_images(many)) == MAX_GALLERY_IMAGES


def test_a_chart_places_its_points_and_tells_their_values() -> None:
    lines = [Line("a", [1, 2, 3], [0.5, None, 1.0]), Line("b", [1, 3], [0.25, 0.75], 1)]
    chart = draw_lines("t", lines, x_label="epoch", y_format=per_cent, x_range=(1, 3), y_range=(0, 1))
    assert [stop.position for stop in chart.stops] == [LEFT, WIDTH - RIGHT]
    assert [stop.values for stop in chart.stops] == [("50.0 %", "25.0 %"), ("100.0 %", "75.0 %")]
    points = re.search(r'points="([^"]*)"', str(chart.svg))
    assert points is not None
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points[1].split())
    assert (x1, x2) == (LEFT, WIDTH - RIGHT)
    assert 0 < y2 < y1 < HEIGHT  # more is higher up


def test_a_flat_line_has_room_around_it() -> None:
    chart = draw_lines("t", [Line("a", [1], [0.0])], x_label="epoch")
    assert "nan" not in str(chart.svg)


def test_an_axis_keeps_to_what_its_values_can_be() -> None:
    def ticks(ys: list[float | None], **limits: tuple[float, float]) -> list[str]:
        chart = draw_lines("t", [Line("a", [1, 2], ys)], x_label="epoch", y_format=per_cent, **limits)
        return re.findall(r'class="tick end"[^>]*>([^<]*)', str(chart.svg))

    assert ticks([1.0, 1.0], y_limits=(0, 1))[-1] == "100 %"
    assert ticks([0.0, 0.0], y_limits=(0, 1))[0] == "0 %"
    assert ticks([1.0, 1.0])[-1] != "100 %"


def test_train_and_report_write_the_same_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    options = ["--data", "digits", "--epochs", "1", "--set", "model_options.blocks=c8s", "--log-style", "silent"]
    assert main(["train", *options, "--run-dir", str(run)]) == 0
    assert main(["report", str(run), "--out", str(tmp_path / "again.html")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "again.html")
    page = (run / "report.html").read_text()
    assert (tmp_path / "again.html").read_text() == page
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"<dd>{metrics['test_accuracy']:.2%}<small>" in page
    assert "thumbnet train --recipe sprint --data digits --epochs 1" in page
    images = values_of(page)["images"]
    assert isinstance(images, dict)
    Image.open(io.BytesIO(base64.b64decode(images["url"].partition(",")[2]))).verify()


def test_a_report_of_no_run_or_to_no_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err

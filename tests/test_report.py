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
from thumbnet.evaluation.classes import metrics_by_class
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.registry import create_model
from thumbnet.runs.reports.run import build_report
from thumbnet.training.history import EpochRecord, History
from thumbnet.views.numbers import per_cent
from thumbnet.views.report.charts import HEIGHT, LEFT, RIGHT, WIDTH, Chart, Line, draw_lines
from thumbnet.views.report.gallery_images import (
    MAX_GALLERY_IMAGES,
    MAX_SPRITE_BYTES,
    MAX_TILE_PX,
    SpriteSheet,
    choose_gallery_images,
    make_image_sprites,
    make_overlay_sprites,
)
from thumbnet.views.report.page import template
from thumbnet.views.report.section_charts import draw_curves
from thumbnet.views.report.spread_charts import draw_spread

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
    channels = dataset.num_channels
    model = create_model("sprint", num_classes=dataset.num_classes, in_channels=channels, seed=0)
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


def test_each_figure_of_a_class_has_its_interval_below(tiny_dataset: Dataset) -> None:
    predictions = random_predictions(tiny_dataset.test.labels, 3)
    page = report_of(tiny_dataset, predictions)
    table = page.partition('<table id="class-table">')[2].partition("</table>")[0]
    shown = [tuple(map(float, found)) for found in re.findall(r"<small>([\d.]+) to ([\d.]+)</small></td>", table)]
    expected = [
        tuple(round(100 * bound, 1) for bound in bounds)
        for metrics in metrics_by_class(predictions, tiny_dataset.class_names)
        for bounds in (metrics.intervals.precision, metrics.intervals.recall, metrics.intervals.f1)
        if bounds is not None
    ]
    assert shown == expected
    assert len(shown) == 9
    assert "Below each its 95 % interval, of what other images would give." in page
    coverage = page.partition("<caption>If it may abstain")[2].partition("</table>")[0]
    assert len(re.findall(r"[\d.]+ %<small>[\d.]+ to [\d.]+</small></td>", coverage)) == 6
    assert "td > small { display: block; }" in page


def test_headlines_of_the_test_images_have_intervals(tiny_dataset: Dataset) -> None:
    predictions = random_predictions(tiny_dataset.test.labels, 3)
    evaluation = summarise_predictions(predictions, split="test")
    page = report_of(tiny_dataset, predictions)
    shown = dict(re.findall(r"<div><dt>([^<]+)</dt><dd>[^<]+<small>([^<]+)</small>", page))
    low, high = evaluation.accuracy_interval
    assert f"95\u00a0% interval {100 * low:.2f} to {100 * high:.2f}, 45 images" in shown["test accuracy"]
    for name in ("balanced accuracy", "macro F1", "Matthews\u2019 coefficient", "test loss", "right or second"):
        assert re.search(r"[-\d.]+ to [\d.]+", shown[name]), name
    assert html.unescape(shown["balanced accuracy"]).endswith("; always 'red': 33.33\u00a0% accuracy")


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


def wrong_predictions(*counts: int) -> Predictions:
    """Of class 0, so many images as each other class, the later ones with the higher loss."""
    wrong = torch.arange(1, len(counts) + 1).repeat_interleave(torch.tensor(counts))
    logits = torch.zeros(len(wrong), len(counts) + 1)
    logits[torch.arange(len(wrong)), wrong] = torch.linspace(1, 5, len(wrong))
    return Predictions(logits, torch.zeros_like(wrong))


def test_few_misclassified_images_are_all_in_the_gallery() -> None:
    assert choose_gallery_images(wrong_predictions(84)) == list(range(83, -1, -1))
    assert len(choose_gallery_images(wrong_predictions(MAX_GALLERY_IMAGES - 1, 1))) == MAX_GALLERY_IMAGES


def test_of_many_misclassified_images_each_cell_shows_as_many_as_fit() -> None:
    predictions = wrong_predictions(10, 2000, 5000)
    chosen = choose_gallery_images(predictions)
    most = (MAX_GALLERY_IMAGES - 10) // 2
    assert torch.bincount(predictions.predicted[chosen]).tolist() == [0, 10, most, most]
    assert chosen[:most] == list(range(7009, 7009 - most, -1))  # the highest losses of the cell
    many = random_predictions(torch.arange(20_000) % 100, 100)
    assert len(choose_gallery_images(many)) == MAX_GALLERY_IMAGES


def test_right_or_second_is_no_figure_of_two_classes(tiny_dataset: Dataset) -> None:
    labels = tiny_dataset.test.labels.clamp(max=1)
    two = replace(
        tiny_dataset, val=None, test=replace(tiny_dataset.test, labels=labels),
        train=replace(tiny_dataset.train, labels=tiny_dataset.train.labels.clamp(max=1)), class_names=("red", "green"),
    )  # fmt: skip
    assert "right or second" not in report_of(two, random_predictions(labels, 2))
    assert "right or second" in report_of(tiny_dataset, random_predictions(tiny_dataset.test.labels, 3))


def x_ticks(chart: Chart) -> list[str]:
    return re.findall(r'class="tick below"[^>]*>([^<]*)', str(chart.svg))


def y_ticks(chart: Chart) -> list[str]:
    return re.findall(r'class="tick end"[^>]*>([^<]*)', str(chart.svg))


def test_epochs_are_whole_numbers_on_an_axis() -> None:
    assert [x_ticks(chart) for chart in draw_curves(history(1))] == [["1"]] * 3
    assert x_ticks(draw_curves(history(3))[0]) == ["1", "2", "3"]


def test_balanced_accuracy_has_a_chart_where_it_is_another_number() -> None:
    def titles(**balanced: float) -> tuple[list[str], list[str]]:
        found = History(tuple(replace(record, **balanced) for record in history(3)))
        return [chart.title for chart in draw_curves(found)], [chart.title for chart in draw_spread([found, found])]

    usual = titles()
    assert usual[0] == ["Accuracy", "Loss", "Learning rate"]
    assert titles(val_balanced_accuracy=0.515) == usual  # 50 % is the accuracy
    alone, spread = titles(val_balanced_accuracy=0.53)
    assert alone == ["Accuracy", "Balanced accuracy, validation", "Loss", "Learning rate"]
    assert spread == [*usual[1][:3], "Validation balanced accuracy", "Validation loss"]
    both, spread = titles(val_balanced_accuracy=0.5, train_balanced_accuracy=0.25)
    assert both[1] == "Balanced accuracy"
    assert spread[:2] == ["Training accuracy", "Training balanced accuracy"]
    weighted = History(tuple(replace(record, train_balanced_accuracy=0.25) for record in history(3)))
    drawn = draw_curves(weighted)[1]
    assert (drawn.labels, {stop.values for stop in drawn.stops}) == (("training",), {("25.0 %",)})


def test_the_numbers_of_an_axis_have_as_many_decimals() -> None:
    chart = draw_lines("t", [Line("a", [0, 1], [0.6, 0.62])], x_label="x", y_format=per_cent)
    assert y_ticks(chart) == ["60.0 %", "60.5 %", "61.0 %", "61.5 %", "62.0 %"]
    assert y_ticks(draw_lines("t", [Line("a", [0, 1], [0.0, 1.0])], x_label="x"))[:3] == ["0.0", "0.2", "0.4"]


def test_one_outlier_does_not_flatten_a_curve() -> None:
    losses = [1.0, 0.9, 14.2, 0.8, 0.7, 0.65, 0.6]
    line = Line("training", list(range(1, 8)), losses)
    chart = draw_lines("Loss", [line], x_label="epoch", x_integer=True, leaves_out_outliers=True)
    assert max(map(float, y_ticks(chart))) <= 1.1
    assert chart.note == "1 value lies above the axis: 14.2 (training, epoch 3)"
    assert chart.stops[2].values == ("14.20",)  # as it is, in the table and under the pointer
    assert len(re.findall(r"<path class=\"dot", str(chart.svg))) == 1
    assert chart.note in render_chart(chart)
    steep = Line("training", list(range(1, 13)), [2.3 / epoch for epoch in range(1, 13)])
    whole = draw_lines("Loss", [steep], x_label="epoch", leaves_out_outliers=True)
    assert (whole.note, max(map(float, y_ticks(whole)))) == ("", 2.0)


def render_chart(chart: Chart) -> str:
    return str(template("macros.html.jinja").module.chart(chart))  # type: ignore[attr-defined]  # a macro of the file


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
    assert f"<dd>{100 * metrics['test_accuracy']:.2f} %<small>" in page
    assert "thumbnet train --recipe sprint --data digits --epochs 1" in page
    images = values_of(page)["images"]
    assert isinstance(images, dict)
    Image.open(io.BytesIO(base64.b64decode(images["url"].partition(",")[2]))).verify()


def test_a_report_of_no_run_or_to_no_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_curves_of_trainings_that_end_at_other_epochs_say_from_where_on_some_are_missing() -> None:
    accuracy = draw_spread([history(3), history(5)])[0]
    assert accuracy.note.startswith(
        "From epoch 4 on, not all 2 trainings have a value: mean, highest and lowest are of "
    )
    assert [chart.note for chart in draw_spread([history(3), history(3)])] == [""] * 4

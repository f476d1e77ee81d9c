"""views: what is drawn is what was given; pictures are whole files with equal bytes for equal figures."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.lr_finder import LrTrial
from thumbnet.views.confusion import draw_confusion
from thumbnet.views.curves import Curves, curves_of, draw_curves
from thumbnet.views.figure import (
    BLUE,
    DEEP_VERMILION,
    MUTED,
    STYLE,
    display_images,
    new_figure,
    only_saved,
    png_bytes,
    save_figure,
    text_width_px,
    wrap_text,
)
from thumbnet.views.fonts import installed_fonts
from thumbnet.views.gallery import draw_gallery
from thumbnet.views.lr_trial import draw_lr_trial
from thumbnet.views.outliers import highest_shown
from thumbnet.views.overlay import colour_scale, overlay_saliency
from thumbnet.views.preview import draw_batch, draw_preview

LONG_NAMES = (
    "a class with a really long name, a species in Latin such as Ornithorhynchus anatinus",
    "n02123045_tabby_or_tiger_cat_without_any_space_in_it_at_all",
    "US$ and CAN$",
    "_hidden",
)


def texts_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")))


def assert_readable(figure: Figure) -> None:
    """Every text lies whole inside the picture, and none covers another."""
    hidden = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not axes.axison or not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    } | {axis.label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if not axes.axison}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    shown = [text for text in texts if text not in hidden]
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown]
    assert boxes
    for told, box in boxes:
        assert box.x0 >= 0, told
        assert box.y0 >= 0, told
        assert box.x1 <= figure.bbox.width, told
        assert box.y1 <= figure.bbox.height, told
    # The box of a text at 45 degrees is larger than the text, and covers its neighbour's.
    straight = [pair for pair, text in zip(boxes, shown, strict=True) if text.get_rotation() in (0, 90)]
    for (told, box), (other_told, other) in combinations(straight, 2):
        width = min(box.x1, other.x1) - max(box.x0, other.x0)
        height = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert min(width, height) < 2, f"{told!r} covers {other_told!r}"


def contrast(colour: str | tuple[float, ...], background: str | tuple[float, ...]) -> float:
    """By WCAG 2.2's definition: from 1 (none) to 21 (black on white)."""
    luminances = []
    for shade in (colour, background):
        channels = np.array(to_rgb(shade))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        luminances.append(float(linear @ (0.2126, 0.7152, 0.0722)))
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def history(*, val: bool = False, test: bool = False, num_epochs: int = 3) -> History:
    return History(
        tuple(
            EpochRecord(
                epoch, 0.1, 3.0 / epoch, 0.1 * epoch, 2.0 if val else None, 0.2 if val else None,
                1.0 if test else None, 0.3 if test else None, 1.0, 10.0,
            )
            for epoch in range(1, num_epochs + 1)
        )
    )  # fmt: skip


def test_curves_take_the_test_set_then_validation_then_nothing() -> None:
    assert curves_of(history(val=True, test=True), label="a").eval_split == "test"
    validation = curves_of(history(val=True), label="a")
    assert (validation.eval_split, list(validation.eval_accuracy)) == ("val", [0.2] * 3)
    assert set(curves_of(history(), label="a").eval_loss) == {None}


def test_curves_draw_the_values_given() -> None:
    figure = draw_curves([curves_of(history(test=True), label="ours")])
    assert len(figure.axes) == 4
    assert list(figure.axes[0].lines[0].get_ydata()) == [3.0, 1.5, 1.0]
    assert list(figure.axes[1].lines[0].get_ydata()) == pytest.approx([10.0, 20.0, 30.0])
    assert "Test accuracy" in texts_of(figure)


def test_balanced_accuracy_is_drawn_where_it_is_another_number() -> None:
    def balanced(value: float) -> Figure:
        records = history(val=True, num_epochs=90)
        scored = (replace(record, train_accuracy=0.9, val_balanced_accuracy=value) for record in records)
        return draw_curves([curves_of(History(tuple(scored)), label="ours")])

    figure = balanced(0.35)
    accuracy, thin = figure.axes[3].lines
    assert list(accuracy.get_ydata()) == pytest.approx([20.0] * 90)
    assert list(thin.get_ydata()) == pytest.approx([35.0] * 90)
    assert thin.get_color() == accuracy.get_color()
    assert "\nbalanced accuracy" in texts_of(figure)  # of the legend
    assert_readable(figure)
    same = balanced(0.21)
    assert len(same.axes[3].lines) == 1
    assert "balanced accuracy" not in texts_of(same)


def test_curves_of_different_lengths_share_an_axis_that_holds_both() -> None:
    figure = draw_curves([curves_of(history(num_epochs=1), label="short"), curves_of(history(num_epochs=9), label="b")])
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert low < 1
        assert high > 9


def test_the_lr_trial_shows_its_answer() -> None:
    lrs = tuple(np.geomspace(1e-4, 1, 30).tolist())
    losses, smoothed = (tuple(np.linspace(start, 1, 30).tolist()) for start in (2.5, 2))
    figure = draw_lr_trial(LrTrial(lrs, losses, smoothed, suggestion=lrs[20]))
    assert figure.axes[0].get_title(loc="left") == "Learning rate finder: 0.0574"
    raw, smooth, chosen, _ = figure.axes[0].lines
    assert (tuple(raw.get_ydata()), tuple(smooth.get_ydata())) == (losses, smoothed)
    assert list(chosen.get_xdata()) == [lrs[20]] * 2
    assert_readable(figure)


def test_confusion_writes_counts_for_few_classes_only() -> None:
    figure = draw_confusion(np.array([[90, 10], [7, 93]]), ["cat", "dog"])
    for count in ("90", "10", "7", "93", "cat", "dog"):
        assert count in texts_of(figure)
    many = draw_confusion(np.eye(100, dtype=int) * 77, [f"class {index}" for index in range(100)])
    assert "77" not in [text.get_text() for text in many.axes[0].texts]


def test_gallery_captions_truth_prediction_and_probability() -> None:
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    figure = draw_gallery(images, [0, 1, 0], [1, 0, 1], [0.931, 0.5, 1.0], ["cat", "dog"])
    told = texts_of(figure)
    assert "truth: cat" in told
    assert "prediction: dog (93 %)" in told
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 3
    assert np.array_equal(np.asarray(shown[1]), images[1].permute(1, 2, 0).numpy())
    nothing = draw_gallery(images[:0], [], [], [], ["cat", "dog"])
    assert "No image is misclassified" in texts_of(nothing)


def test_a_batch_stands_above_its_augmented_self(tiny_dataset: Dataset) -> None:
    figures = [draw_batch(tiny_dataset, (), seed=seed) for seed in (0, 0, 1)]
    first, again, other = ([np.asarray(axes.images[0].get_array()) for axes in figure.axes] for figure in figures)
    assert len(first) == 32
    assert all(np.array_equal(first[index], first[index + 1]) for index in range(0, 32, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    for axes, shown in zip(figures[0].axes[::2], first[::2], strict=True):  # the brightest channel names the class
        assert axes.get_title(loc="left") == ("red", "green", "blue")[int(shown.sum(axis=(0, 1)).argmax())]


def test_equal_figures_are_equal_files_and_other_formats_are_refused(tmp_path: Path) -> None:
    figure = draw_confusion(np.eye(3, dtype=int), ["a", "b", "c"])
    assert png_bytes(figure) == png_bytes(draw_confusion(np.eye(3, dtype=int), ["a", "b", "c"]))
    save_figure(figure, tmp_path / "it.png")
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="cannot save a picture"):
        save_figure(figure, tmp_path / "it.bmp")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_figure(figure, tmp_path / "absent" / "it.png")


def test_several_histories_differ_in_dash_and_colour_under_one_legend() -> None:
    ours, other = curves_of(history(test=True), label="ours"), curves_of(history(test=True), label="_published")
    figure = draw_curves([ours, other])
    first, second = figure.axes[3].lines
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    assert first.get_color() != second.get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "_published"]
    assert_readable(figure)


def test_histories_scored_on_different_splits_say_so() -> None:
    figure = draw_curves([curves_of(history(test=True), label="a"), curves_of(history(val=True), label="b")])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Training loss", "Training accuracy", "Test and validation loss", "Test and validation accuracy"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a (test)", "b (validation)"]


def test_long_labels_and_panels_without_scores_are_readable() -> None:
    curves = curves_of(history(num_epochs=1), label=LONG_NAMES[0])
    figure = draw_curves([replace(curves, label=name) for name in LONG_NAMES])
    assert_readable(figure)
    for axes in figure.axes[2:]:
        assert [text.get_text() for text in axes.texts] == ["not scored"]
        assert not axes.axison
    for axes in figure.axes[:2]:
        assert list(axes.texts) == []


@settings(max_examples=8, deadline=None)
@example([(0.0, 0.0), (None, None), (0.5, 1.0)])
@given(st.lists(st.tuples(st.none() | st.floats(0, 10), st.none() | st.floats(0, 1)), min_size=1, max_size=60))
def test_curves_go_through_the_scored_epochs_only(scores: list[tuple[float | None, float | None]]) -> None:
    losses, accuracies = [loss for loss, _ in scores], [accuracy for _, accuracy in scores]
    epochs = list(range(1, len(scores) + 1))
    figure = draw_curves([Curves("ours", epochs, losses, accuracies, losses, accuracies, "val")])
    top = highest_shown([loss for loss in losses + losses if loss is not None]) or 10
    for panel, values, factor in ((0, losses, 1), (1, accuracies, 100), (2, losses, 1), (3, accuracies, 100)):
        (line,) = figure.axes[panel].lines
        scored = [(epoch, value * factor) for epoch, value in zip(epochs, values, strict=True) if value is not None]
        scored = [(epoch, min(value, top)) for epoch, value in scored] if factor == 1 else scored
        assert list(zip(*line.get_data(), strict=True)) == scored
        assert not line.get_clip_on()  # the dot at 100 % is whole
    low, high = figure.axes[1].get_ylim()
    assert 0 <= low < high <= 100


def test_one_outlier_does_not_flatten_the_loss_curves() -> None:
    losses = [1.0, 0.9, 14.2, 0.8, 0.7, 0.65, 0.6]
    shares = [0.5] * 7
    figure = draw_curves([Curves("ours", list(range(1, 8)), losses, shares, [1.0] * 7, shares, "val")])
    assert figure.axes[0].get_ylim()[1] < 1.2
    assert "1 value lies above the axis: 14.2 (ours, epoch 3)" in texts_of(figure).replace("\n", " ")
    (marks,) = figure.axes[0].collections
    assert marks.get_offsets().tolist() == [[3, 1.0]]
    assert not figure.axes[2].collections
    assert_readable(figure)


def test_the_numbers_of_an_axis_have_as_many_decimals() -> None:
    losses = [1.0, 0.9]
    figure = draw_curves([Curves("ours", [1, 2], losses, [0.845, 0.86], losses, [0.85, 0.86], "val")])
    figure.canvas.draw()
    shown = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert "84.5 %" in shown
    assert "85.0 %" in shown


def test_a_gallery_names_its_files() -> None:
    images = torch.zeros((2, 1, 8, 8), dtype=torch.uint8)
    figure = draw_gallery(images, [0, 1], [1, 0], [0.9, 0.8], ["cat", "dog"], paths=["cat/a.png", "dog/b.png"])
    told = texts_of(figure)
    assert "cat/a.png\ntruth: cat" in told
    assert "dog/b.png\ntruth: dog" in told
    assert_readable(figure)


def test_one_epoch_is_a_visible_dot_at_a_whole_epoch() -> None:
    figure = draw_curves([curves_of(history(num_epochs=1, test=True), label="ours")])
    for axes in figure.axes:
        assert axes.lines[0].get_marker() == "o"
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    pixels = np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"))
    blue = np.array([round(255 * channel) for channel in to_rgb(BLUE)])
    x, y = figure.axes[3].transData.transform((1, 30))
    assert np.array_equal(pixels[round(figure.bbox.height - y), round(x)], blue)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 20, 33)])
def test_the_saved_gallery_shows_each_pixel_as_a_square(shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    figure = draw_gallery(images, [0, 1, 0], [1, 0, 1], [0.9, 0.5, 1.0], ["cat", "dog"])
    pixels = np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"))
    scale = 160 // max(shape[1:])
    for axes, image in zip(figure.axes, images, strict=True):
        left, top = round(axes.bbox.x0), round(figure.bbox.height - axes.bbox.y1)
        height, width = shape[1] * scale, shape[2] * scale
        expected = image.expand(3, -1, -1).permute(1, 2, 0).numpy().repeat(scale, axis=0).repeat(scale, axis=1)
        assert np.array_equal(pixels[top : top + height, left : left + width], expected)


def test_gallery_takes_numpy_and_tensors_alike() -> None:
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    tensors = (images, torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([0.93, 0.5]))
    arrays = tuple(tensor.numpy() for tensor in tensors)
    assert png_bytes(draw_gallery(*tensors, ["cat", "dog"])) == png_bytes(draw_gallery(*arrays, ["cat", "dog"]))


def test_gallery_stands_in_the_columns_asked_for_and_marks_what_is_right() -> None:
    images = torch.zeros((5, 3, 8, 8), dtype=torch.uint8)
    for columns in (1, 2, 3):
        figure = draw_gallery(images, [0] * 5, [1, 0, 1, 1, 1], [0.5] * 5, ["cat", "dog"], columns=columns)
        assert len({round(axes.bbox.x0) for axes in figure.axes}) == columns
        assert len({round(axes.bbox.y0) for axes in figure.axes}) == -(-5 // columns)
    colours = [axes.texts[1].get_color() for axes in figure.axes]
    assert colours == [DEEP_VERMILION, BLUE, DEEP_VERMILION, DEEP_VERMILION, DEEP_VERMILION]


def test_long_class_names_are_wrapped_and_never_cut() -> None:
    images = torch.zeros((4, 3, 32, 32), dtype=torch.uint8)
    gallery = draw_gallery(images, [0, 1, 2, 3], [1, 0, 3, 2], [0.5] * 4, LONG_NAMES)
    assert_readable(gallery)
    for axes, name in zip(gallery.axes, LONG_NAMES, strict=True):
        assert axes.texts[0].get_text().replace("\n", "").replace(" ", "") == f"truth:{name}".replace(" ", "")
        assert not any(text.get_parse_math() for text in axes.texts)
    assert_readable(draw_gallery(images[:, :, :4], [0, 1, 2, 3], [1, 0, 3, 2], [0.5] * 4, LONG_NAMES))
    previews = [draw_preview(batch, batch, LONG_NAMES) for batch in (images, images[:, :, :, :4])]
    captions = [[axes.get_title(loc="left") for axes in preview.axes] for preview in previews]
    assert captions[0] == captions[1]  # narrow images have as much room for text
    for preview in previews:
        assert_readable(preview)
    assert_readable(draw_confusion(np.eye(4, dtype=int), LONG_NAMES))


@given(st.text(st.sampled_from("abW i_"), max_size=40), st.floats(20, 200))
def test_wrapped_lines_fit_and_lose_no_letter(text: str, width_px: float) -> None:
    wrapped = wrap_text(text, width_px=width_px, size_pt=9.5)
    assert wrapped.replace("\n", "").replace(" ", "") == text.replace(" ", "")
    assert all(text_width_px(line, 9.5) <= width_px for line in wrapped.split("\n"))


@given(st.floats(1, 2000), st.floats(1, 2000))
def test_a_figure_has_whole_pixels(width_px: float, height_px: float) -> None:
    figure = new_figure(width_px, height_px)
    width, height = figure.bbox.size
    assert (int(width), int(height)) == (width, height)  # matplotlib cuts a fraction off
    assert width_px <= width < width_px + 15
    assert height_px <= height < height_px + 15


def test_large_images_are_reduced_to_fit() -> None:
    images = torch.zeros((1, 3, 300, 400), dtype=torch.uint8)
    (axes,) = draw_gallery(images, [0], [1], [0.5], ["cat", "dog"]).axes
    assert (round(axes.bbox.width), round(axes.bbox.height)) == (160, 120)


def luminance(pixels: np.ndarray) -> np.ndarray:
    return np.array([contrast(tuple(pixel / 255), "black") for pixel in pixels.reshape(-1, 3)])


def test_an_overlay_is_half_the_grey_image_and_half_the_colour() -> None:
    image = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [10, 20, 30]]], dtype=np.uint8)
    overlay = overlay_saliency(image, np.array([[0.0, 1.0, 1.0, 0.0]], dtype=np.float32))
    nothing, most = (68, 1, 84), (253, 231, 37)  # the ends of viridis
    greys = (255, 0, 0.299 * 255, 0.299 * 10 + 0.587 * 20 + 0.114 * 30)
    expected = [np.add(grey, colour) / 2 for grey, colour in zip(greys, (nothing, most, most, nothing), strict=True)]
    assert np.abs(overlay[0] - np.array(expected)).max() <= 0.75


def test_more_salient_places_and_brighter_ones_are_brighter_in_an_overlay() -> None:
    """So a map is read without its colours, and the image under it at any saliency."""
    scale = colour_scale(90)
    assert scale.shape == (1, 90, 3)
    assert (np.diff(luminance(scale)[::10]) > 0).all()
    steps = np.repeat(np.arange(0, 256, 15, dtype=np.uint8), 3).reshape(1, -1, 3)
    for value in (0.0, 0.3, 0.7, 1.0):
        seen = luminance(overlay_saliency(steps, np.full((1, 18), value)))
        assert (np.diff(seen) > 0).all()
        assert seen[-1] / seen[0] > 2.5


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 20, 33)])
def test_the_gallery_shows_each_image_beside_itself_under_its_saliency(shape: tuple[int, int, int]) -> None:
    images, saliency = torch.randint(0, 256, (3, *shape), dtype=torch.uint8), torch.rand(3, *shape[1:])
    figure = draw_gallery(images, [0, 1, 0], [1, 0, 1], [0.9, 0.5, 1.0], ["cat", "dog"], saliency=saliency)
    pixels = np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"))
    scale = 160 // max(shape[1:])
    height, width = shape[1] * scale, shape[2] * scale
    _key, *galleried = figure.axes
    for axes, image, values in zip(galleried, display_images(images), saliency.numpy(), strict=True):
        left, top, right = round(axes.bbox.x0), round(figure.bbox.height - axes.bbox.y1), round(axes.bbox.x1)
        seen = pixels[top : top + height, left:right]
        large = [picture.repeat(scale, 0).repeat(scale, 1) for picture in (image, overlay_saliency(image, values))]
        assert np.array_equal(seen[:, :width], large[0])
        assert np.array_equal(seen[:, -width:], large[1])
        between = seen[:, width:-width]
        assert between.shape[1] == scale * max(1, round(5 / scale))
        assert (between == 255).all()
        assert min(text.get_window_extent().x0 for text in axes.texts) > axes.bbox.x1


def test_a_gallery_with_saliency_explains_its_colours_and_is_readable() -> None:
    images, names = torch.zeros((4, 3, 32, 32), dtype=torch.uint8), LONG_NAMES
    saliency = np.zeros((4, 32, 32), dtype=np.float32)
    for columns, count in ((1, 1), (2, 4), (3, 4)):
        figure = draw_gallery(
            images[:count], [0, 1, 2, 3][:count], [1, 0, 3, 2][:count], [0.5] * count, names,
            columns=columns, saliency=saliency[:count],
        )  # fmt: skip
        assert_readable(figure)
        first, last = figure.texts
        assert (first.get_text(), last.get_text()) == ("Speaks for the prediction: not at all", "most")
        scale, *galleried = figure.axes
        assert np.array_equal(np.asarray(scale.images[0].get_array())[0], colour_scale(90)[0])
        assert first.get_window_extent().x1 < scale.bbox.x0 < scale.bbox.x1 < last.get_window_extent().x0
        assert max(scale.bbox.y1, first.get_window_extent().y1) < min(axes.bbox.y0 for axes in galleried)
    narrow = draw_gallery(images[:1, :, :, :4], [0], [1], [0.5], ["a", "b"], saliency=saliency[:1, :, :4])
    assert_readable(narrow)
    assert "No image is misclassified" in texts_of(draw_gallery(images[:0], [], [], [], names, saliency=saliency[:0]))


def test_large_images_with_saliency_are_reduced_to_fit() -> None:
    images, saliency = torch.zeros((1, 3, 300, 400), dtype=torch.uint8), torch.zeros(1, 300, 400)
    _key, axes = draw_gallery(images, [0], [1], [0.5], ["cat", "dog"], saliency=saliency).axes
    assert (round(axes.bbox.width), round(axes.bbox.height)) == (160 + 5 + 160, 120)


def test_preview_pairs_each_image_with_its_augmented_self() -> None:
    before = torch.randint(0, 256, (10, 1, 8, 8), dtype=torch.uint8)
    after = 255 - before
    captions = [f"class {number}" for number in range(10)]
    figure = draw_preview(before, after, captions)
    arrays = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    pairs = zip(display_images(before), display_images(after), strict=True)
    assert all(np.array_equal(shown, given) for shown, given in zip(arrays, (i for p in pairs for i in p), strict=True))
    assert [axes.get_title(loc="left") for axes in figure.axes[::2]] == captions
    upper, lower = figure.axes[:2]
    assert upper.bbox.x0 == lower.bbox.x0
    assert upper.bbox.y0 > lower.bbox.y1
    assert_readable(figure)
    assert "No image to show" in texts_of(draw_preview(before[:0], after[:0], []))


def test_confusion_is_coloured_by_the_fraction_of_its_row() -> None:
    counts = np.array([[30, 10, 0], [0, 0, 0], [1, 1, 2]])
    figure = draw_confusion(counts, ["cat", "dog", "emu"])
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert np.allclose(shown, [[0.75, 0.25, 0], [0, 0, 0], [0.25, 0.25, 0.5]])
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts if text.get_text().isdigit()}
    assert cells == {(0, 0): "30", (1, 0): "10", (0, 2): "1", (1, 2): "1", (2, 2): "2"}
    assert figure.axes[0].get_title(loc="left") == "44 images, 72.73 % right"
    assert "0 images, none right" in texts_of(draw_confusion(np.zeros((2, 2), dtype=int), ["cat", "dog"]))
    assert_readable(figure)


@pytest.mark.parametrize("num_classes", [2, 10, 20, 21, 100])
def test_any_number_of_classes_is_readable(num_classes: int) -> None:
    rng = np.random.default_rng(num_classes)
    counts = rng.integers(0, 99_999, (num_classes, num_classes))
    figure = draw_confusion(counts, [f"superclass {index}" for index in range(num_classes)])
    assert max(figure.bbox.size) < 1500
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"superclass {index}" for index in range(0, num_classes, 2 if num_classes == 100 else 1)]
    assert_readable(figure)


def test_text_stands_out_from_its_background() -> None:
    for colour in (BLUE, DEEP_VERMILION, MUTED):
        assert contrast(colour, "white") >= 4.5
    for right in (0, 10, 45, 50, 51, 55, 100):
        figure = draw_confusion(np.array([[right, 100 - right], [0, 1]]), ["cat", "dog"])
        (image,) = figure.axes[0].images
        for text in figure.axes[0].texts:
            if text.get_text().isdigit():
                column, row = (int(place) for place in text.get_position())
                shade = image.cmap(image.norm(image.get_array()[row, column]))[:3]
                assert contrast(text.get_color(), shade) >= 4.5


@pytest.mark.parametrize(
    ("draw", "arguments"),
    [
        (draw_confusion, (np.array([[3, 1], [0, 5]]), ["cat", "a long name of a class"])),
        (draw_gallery, (torch.arange(2 * 3 * 64).reshape(2, 3, 8, 8).byte(), [0, 1], [1, 0], [0.5, 0.75], ["a", "b"])),
        (draw_curves, ([curves_of(history(test=True), label="ours")],)),
    ],
)
def test_what_is_only_saved_is_drawn_once_less_and_the_same(
    draw: Any, arguments: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = png_bytes(draw(*arguments))
    monkeypatch.setattr(Figure, "draw_without_rendering", None)  # which is not called
    with only_saved():
        assert png_bytes(draw(*arguments)) == expected


def test_the_users_matplotlib_settings_neither_count_nor_change() -> None:
    plain = png_bytes(draw_curves([curves_of(history(test=True), label="ours")]))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 40, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert png_bytes(draw_curves([curves_of(history(test=True), label="ours")])) == plain
        assert dict(matplotlib.rcParams) == before


def test_a_figure_is_the_same_saved_twice_in_a_notebook_and_by_its_own_method(tmp_path: Path) -> None:
    figure = draw_curves([curves_of(history(test=True), label=name) for name in LONG_NAMES])
    save_figure(figure, tmp_path / "first.png")
    save_figure(figure, str(tmp_path / "second.png"))
    own = io.BytesIO()
    figure.savefig(own, dpi=120, metadata={"Software": None})
    content = (tmp_path / "first.png").read_bytes()
    assert (tmp_path / "second.png").read_bytes() == figure._repr_png_() == own.getvalue() == content


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "it.png"
    path.write_bytes(b"the old picture")

    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ConfigError, match="No space left"):
        save_figure(draw_confusion(np.eye(2, dtype=int), ["a", "b"]), path)
    assert [found.name for found in tmp_path.iterdir()] == ["it.png"]
    assert path.read_bytes() == b"the old picture"


def test_letters_that_the_font_lacks_are_drawn_in_an_installed_one() -> None:
    assert installed_fonts(("No Such Font", "STIXGeneral")) == ["DejaVu Sans", "STIXGeneral"]  # comes with matplotlib
    assert STYLE["font.family"][: len(installed_fonts())] == installed_fonts()

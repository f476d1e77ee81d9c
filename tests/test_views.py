"""views: what is drawn is what was given; pictures are whole files with equal bytes for equal figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.lr_finder import LrTrial
from thumbnet.views.confusion import draw_confusion
from thumbnet.views.curves import curves_of, draw_curves, draw_lr_trial
from thumbnet.views.figure import png_bytes, save_figure
from thumbnet.views.gallery import draw_gallery
from thumbnet.views.preview import draw_batch


def texts_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")))


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
    assert "not scored" in texts_of(draw_curves([curves_of(history(), label="ours")]))
    draw_curves([curves_of(history(num_epochs=1), label="one epoch"), curves_of(history(test=True), label="other")])


def test_the_lr_trial_shows_its_answer() -> None:
    lrs = tuple(np.geomspace(1e-4, 1, 30).tolist())
    losses = tuple(np.linspace(2, 1, 30).tolist())
    figure = draw_lr_trial(LrTrial(lrs[20], lrs, losses, losses))
    assert f"{lrs[20]:.2g}" in texts_of(figure)


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
    figure = draw_batch(tiny_dataset, (), seed=0)
    arrays = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    assert len(arrays) == 32
    assert all(np.array_equal(arrays[index], arrays[index + 1]) for index in range(0, 32, 2))


def test_saving_is_whole_repeatable_and_refuses_other_formats(tmp_path: Path) -> None:
    figure = draw_confusion(np.eye(3, dtype=int), ["a", "b", "c"])
    assert png_bytes(figure) == png_bytes(draw_confusion(np.eye(3, dtype=int), ["a", "b", "c"]))
    save_figure(figure, tmp_path / "it.png")
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["it.png"]
    with pytest.raises(ConfigError, match="cannot save a picture"):
        save_figure(figure, tmp_path / "it.bmp")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_figure(figure, tmp_path / "absent" / "it.png")

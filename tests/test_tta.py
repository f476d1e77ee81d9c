"""Test-time augmentation: which views, with which weights, and whether they are flipped."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.tta import evaluate_tta, predict_tta


class FirstPixels(nn.Module):
    """Its logits are the first row's first three grey levels of the first channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, :3] * self.weight


def test_views_are_weighted_as_stated() -> None:
    images = torch.randint(0, 256, (5, 1, 6, 6), dtype=torch.uint8)
    logits = predict_tta(FirstPixels(), images, mean=(0.0,), std=(1.0,), flip=False)
    x = images[:, 0].float() / 255
    up_left, down_right = x[:, 1, [1, 0, 1]], x[:, 1, 1:4]  # reflected at the border
    torch.testing.assert_close(logits, x[:, 0, :3] / 2 + (up_left + down_right) / 4)


def test_with_flips_a_view_is_the_mean_of_both() -> None:
    images = torch.randint(0, 256, (5, 1, 6, 6), dtype=torch.uint8)
    pair = [
        predict_tta(FirstPixels(), views, mean=(0.0,), std=(1.0,), flip=False) for views in (images, images.flip(3))
    ]
    logits = predict_tta(FirstPixels(), images, mean=(0.0,), std=(1.0,), flip=True)
    assert not torch.allclose(pair[0], pair[1])
    # the shift to the upper left of a flipped image is another than the flip of that shift
    x = images[:, 0].float() / 255
    views = [x, torch.stack([x[:, 1, [1, 0, 1]], x[:, 1, 1:4]]).mean(0)]
    back = x.flip(2)
    shifts = [x[:, 1][:, [1, 0, 1, 2, 3, 4]], x[:, 1, 1:][:, [0, 1, 2, 3, 4, 3]]]
    expected = (views[0][:, 0, :3] + back[:, 0, :3]) / 4
    expected += sum((row[:, :3] + row.flip(1)[:, :3]) / 2 for row in shifts) / 4
    torch.testing.assert_close(logits, expected)


def test_a_dataset_that_may_not_be_flipped_is_not(tiny_dataset: Dataset) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3))
    flipped = evaluate_tta(model, tiny_dataset)
    plain = evaluate_tta(model, replace(tiny_dataset, flip_keeps_labels=False))
    assert flipped.num_images == plain.num_images == 45
    assert not torch.allclose(flipped.predictions.logits, plain.predictions.logits)

"""mixup: blends of two images, the loss of both targets, shares as Beta has them."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from thumbnet.training.mixup import Targets, mix

IMAGES = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
LABELS = torch.tensor([0, 1, 2, 0])
TARGETS = Targets(LABELS, torch.arange(12.0).view(4, 3))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_the_blended_labels(label_smoothing: float) -> None:
    torch.manual_seed(0)
    mixed = mix(IMAGES, TARGETS, alpha=1.0)
    assert 0 < mixed.lam < 1
    torch.testing.assert_close(mixed.images, mixed.lam * IMAGES + (1 - mixed.lam) * IMAGES.flip(0))
    one_hot = F.one_hot(LABELS, 3).float()
    blended = mixed.lam * one_hot + (1 - mixed.lam) * one_hot.flip(0)
    logits = torch.randn(4, 3)
    expected = F.cross_entropy(logits, blended, label_smoothing=label_smoothing)
    loss = mixed.loss(lambda targets: F.cross_entropy(logits, targets.labels, label_smoothing=label_smoothing))
    torch.testing.assert_close(loss, expected)


def test_what_a_teacher_says_is_blended_as_the_labels_are() -> None:
    torch.manual_seed(0)
    mixed = mix(IMAGES, TARGETS, alpha=1.0)

    def mean_of_first(targets: Targets) -> Float[Tensor, ""]:
        assert targets.teacher_logits is not None
        return targets.teacher_logits[0].mean()  # 1 of the first image, 10 of the last

    assert float(mixed.loss(mean_of_first)) == pytest.approx(mixed.lam * 1 + (1 - mixed.lam) * 10)


def test_an_image_counts_as_right_by_the_label_of_its_larger_share() -> None:
    torch.manual_seed(0)
    kinds = set()
    for _ in range(20):
        mixed = mix(IMAGES, TARGETS, alpha=1.0)
        larger = LABELS if mixed.lam >= 0.5 else LABELS.flip(0)
        assert mixed.num_correct(F.one_hot(larger, 3).float()) == 4
        kinds.add(mixed.lam >= 0.5)
    assert kinds == {True, False}


def test_without_alpha_nothing_is_mixed() -> None:
    mixed = mix(IMAGES, TARGETS, alpha=0.0)
    assert mixed.images is IMAGES
    asked = []
    mixed.loss(lambda targets: asked.append(targets) or torch.zeros(()))  # type: ignore[func-returns-value]
    assert asked == [TARGETS]


def test_shares_are_distributed_as_beta() -> None:
    torch.manual_seed(0)
    shares = [mix(IMAGES, TARGETS, alpha=0.3).lam for _ in range(500)]
    assert stats.kstest(shares, stats.beta(0.3, 0.3).cdf).pvalue > 1e-3

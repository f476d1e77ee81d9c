"""'unknown' against confidence on real pictures: run by .ci/run with `pytest -m acceptance` and THUMBNET_DATA set."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from thumbnet.data.dataset import Split
from thumbnet.data.digits import read_digits
from thumbnet.data.sources import load_dataset
from thumbnet.evaluation.features import predict_features
from thumbnet.evaluation.unknown import measure_unknown
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.unknown import distances_by, unknown_answers
from thumbnet.trained.model import load_pretrained

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif("THUMBNET_DATA" not in os.environ, reason="THUMBNET_DATA names no folder with CIFAR-10"),
]
SHARE = 0.05
LEAST_GAIN = 1.5  # times as many foreign pictures as by confidence
NUM_FOREIGN = 500


def foreign_pictures() -> dict[str, torch.Tensor]:
    """Pictures of 32 pixels a side that are of no class of CIFAR-10."""
    generator = np.random.default_rng(0)
    digits = read_digits().train.images[:NUM_FOREIGN].expand(-1, 3, -1, -1).contiguous()
    noise = generator.integers(0, 256, (NUM_FOREIGN, 3, 32, 32))
    colours = np.broadcast_to(generator.integers(0, 256, (NUM_FOREIGN, 3, 1, 1)), (NUM_FOREIGN, 3, 32, 32))
    stripes = colours * (np.arange(32) // 4 % 2)
    made = {"noise": noise, "single colours": colours, "stripes": stripes}
    return {
        "digits": digits,
        **{name: torch.from_numpy(pixels.astype(np.uint8)) for name, pixels in made.items()},
    }


def test_it_refuses_more_foreign_pictures_than_confidence() -> None:
    trained = load_pretrained("sprint")
    assert isinstance(trained.model, BlockNet)
    model, card = trained.model, trained.card
    whole = load_dataset("cifar10", allow_unverified=True, mean=card.mean, std=card.std)

    def part(positions: slice) -> Split:
        return Split(whole.test.images[positions], whole.test.labels[positions])

    held_out, own = part(slice(0, 5000)), part(slice(5000, None))  # the weights know the training images
    unknown = measure_unknown(model, replace(whole, val=held_out, test=own), SHARE)
    assert unknown is not None

    def refused(images: torch.Tensor, least_confidence: float) -> tuple[float, float]:
        """The shares that are unknown, and of less confidence."""
        found = predict_features(model, images, mean=card.mean, std=card.std)
        confidence = found.logits.double().softmax(dim=1).max(dim=1).values
        is_unknown = unknown_answers(unknown, distances_by(unknown, found.features.numpy()))
        return float(is_unknown.mean()), float((confidence < least_confidence).double().mean())

    logits = predict_features(model, held_out.images, mean=card.mean, std=card.std).logits
    limit = float(logits.double().softmax(dim=1).max(dim=1).values.quantile(SHARE))
    shares = {name: refused(images, limit) for name, images in foreign_pictures().items()}
    assert refused(own.images, limit)[0] == pytest.approx(SHARE, abs=0.012)  # three standard errors of both halves
    by_distance, by_confidence = np.mean(list(shares.values()), axis=0)
    assert by_distance >= LEAST_GAIN * by_confidence, shares

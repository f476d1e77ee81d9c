"""evaluation: figures against scikit-learn and a plain re-computation; modes restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from torch import nn

from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, ModelError
from thumbnet.evaluation.metrics import evaluate, misclassified, summarise_predictions
from thumbnet.evaluation.predictions import Predictions, evaluating, predict_logits
from thumbnet.models.registry import create_model


def random_predictions(num_images: int, num_classes: int, seed: int) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    return Predictions(
        torch.randn(num_images, num_classes, generator=generator),
        torch.randint(num_classes, (num_images,), generator=generator),
    )


@settings(deadline=None)
@given(num_images=st.integers(2, 60), num_classes=st.integers(2, 7), seed=st.integers(0, 999))
def test_figures_equal_a_plain_recomputation(num_images: int, num_classes: int, seed: int) -> None:
    predictions = random_predictions(num_images, num_classes, seed)
    evaluation = summarise_predictions(predictions, split="test")
    pairs = list(zip(predictions.labels.tolist(), predictions.logits.numpy().argmax(1).tolist(), strict=True))
    assert evaluation.accuracy == pytest.approx(sum(truth == guess for truth, guess in pairs) / num_images)
    counts = np.zeros((num_classes, num_classes), dtype=int)
    for truth, guess in pairs:
        counts[truth, guess] += 1
    assert (evaluation.confusion == counts).all()
    probabilities = predictions.probabilities.double().numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected_loss = log_loss(predictions.labels.numpy(), probabilities, labels=range(num_classes))
    assert evaluation.loss == pytest.approx(expected_loss, rel=1e-4)
    wrong = misclassified(predictions)
    assert sorted(wrong.tolist()) == [index for index, (truth, guess) in enumerate(pairs) if truth != guess]
    losses = predictions.losses[wrong].tolist()
    assert losses == sorted(losses, reverse=True)


def test_logits_do_not_depend_on_the_batch_size_or_the_mode(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0).train()
    statistics = {"mean": tiny_dataset.mean, "std": tiny_dataset.std}
    whole = predict_logits(model, tiny_dataset.test.images, **statistics)
    assert model.training
    parts = predict_logits(model, tiny_dataset.test.images, batch_size=7, **statistics)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        plain = model.eval()(normalise(tiny_dataset.test.images, **statistics))
    torch.testing.assert_close(whole, plain, rtol=1e-4, atol=1e-5)
    assert not whole.is_inference()


def test_evaluating_restores_the_mode_even_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval()).train()
    model[1].eval()  # frozen

    def fail_in_evaluation() -> None:
        with evaluating(model):
            assert not model.training
            assert torch.is_inference_mode_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_evaluation()
    assert [module.training for module in (model, model[0], model[1])] == [True, True, False]


def test_evaluate_names_its_split_and_refuses_what_does_not_fit(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    evaluation = evaluate(model, tiny_dataset, "val")
    assert (evaluation.split, evaluation.num_images) == ("val", 30)
    assert evaluation.confusion.sum() == 30
    with pytest.raises(ConfigError, match="unknown split 'tset'"):
        evaluate(model, tiny_dataset, "tset")
    with pytest.raises(ModelError, match="has 4 classes"):
        evaluate(create_model("resnet8", num_classes=4, image_size=12), tiny_dataset)

"""The learning rate that the finder suggests for a recipe."""

from __future__ import annotations

from thumbnet.config import TrainConfig
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.parts import (
    build_model,
)
from thumbnet.runs.resolve import load_data, speaker
from thumbnet.training.lr_finder import LrTrial, find_lr
from thumbnet.training.progress import LogStyle
from thumbnet.training.threads import obeys_threads


@obeys_threads
def find_recipe_lr(config: TrainConfig, *, log_style: LogStyle = "auto") -> LrTrial:
    """The learning rate that the LR finder gives for a recipe's model, data, batch size and optimizer."""
    dataset, config = load_data(config, say=speaker(log_style))
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    return find_lr(
        model,
        dataset,
        batch_size=config.batch_size,
        optimizer=config.optimizer,
        inputs=config.inputs,
        objective=config.objective,
        init_from_data=config.init is None,
        seed=config.seed,
        device=config.engine.device,
    )

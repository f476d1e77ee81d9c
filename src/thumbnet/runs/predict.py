"""Pictures predicted by a run, by a trained model of the package, or by whatever else classifies images. PyTorch is
imported only for networks that are no networks of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from thumbnet.data.unreadable import OnUnreadable
from thumbnet.evaluation.images import BATCH_SIZE, NUM_TOP, ImagePrediction
from thumbnet.runs.shippable import load_shippable
from thumbnet.specs.extras import require_extra
from thumbnet.trained.predictor import HasModelAndCard, Predictor, program_predictor
from thumbnet.trained.shippable import Shippable

Source: TypeAlias = str | Path | HasModelAndCard | Predictor


def predict(
    source: Source,
    paths: Sequence[str | Path],
    *,
    num_top: int = NUM_TOP,
    batch_size: int = BATCH_SIZE,
    on_unreadable: OnUnreadable | None = None,
) -> list[ImagePrediction]:
    """Predict pictures of any size.

    Args:
        source: a run's folder, a trained model's name, a run or model that was loaded, or an exported model
            (`load_exported`).
        num_top: how many classes to give for each picture; all, if there are fewer.
        batch_size: how many pictures are read and predicted at a time.
        on_unreadable: called for each file that cannot be read, with its path and the error; it then has no prediction.

    Raises:
        ImageError: files cannot be read, all of which it names, and there is no `on_unreadable`.
        RunError: there is no such run or model.
        ConfigError: `num_top` or `batch_size` is below 1.
    """
    predictor = load_predictor(source)
    return predictor.predict(paths, num_top=num_top, batch_size=batch_size, on_unreadable=on_unreadable)


def load_predictor(source: Source) -> Predictor:
    """What predicts for a source of `predict`."""
    if isinstance(source, Predictor):
        return source
    if isinstance(source, str | Path):
        return shippable_predictor(load_shippable(source))
    from thumbnet.trained.model import TrainedModel, torch_predictor

    return torch_predictor(TrainedModel(source.model, source.card))


def shippable_predictor(shippable: Shippable) -> Predictor:
    """A network of blocks on NumPy, any other on PyTorch; ExtraMissingError where that is not installed."""
    if shippable.program is not None:
        return program_predictor(shippable.card, shippable.program)
    require_extra("train", f"the model {shippable.card.model}, which is no network of blocks,")
    from thumbnet.runs.run import load_run
    from thumbnet.trained.model import torch_predictor

    assert shippable.run_path is not None
    return torch_predictor(load_run(shippable.run_path))

"""Pictures predicted by a run, by a trained model of the package, or by whatever else classifies images. PyTorch is
imported only for networks that are no networks of blocks."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from thumbnet.data.unreadable import OnUnreadable
from thumbnet.evaluation.image_answers import ImagePrediction
from thumbnet.evaluation.images import BATCH_SIZE, NUM_TOP, Pictures
from thumbnet.runs.shippable import load_shippable
from thumbnet.specs.extras import require_extra
from thumbnet.specs.trust import takes_trust
from thumbnet.trained.predictor import HasModelAndCard, Predictor, program_predictor
from thumbnet.trained.shippable import Shippable

Source: TypeAlias = str | Path | HasModelAndCard | Predictor


@takes_trust
def predict(
    source: Source,
    pictures: Pictures,
    *,
    num_top: int = NUM_TOP,
    batch_size: int = BATCH_SIZE,
    on_unreadable: OnUnreadable | None = None,
    trust_code: bool = False,
) -> list[ImagePrediction]:
    """Predict pictures of any size.

    Args:
        source: a run's folder, a trained model's name, a run or model that was loaded, or an exported model
            (`load_exported`).
        pictures: files, Pillow images, and arrays or tensors of single pictures ([H,W], [H,W,1 or 3] or [1 or 3,H,W],
            uint8 or floats from 0 to 1), in a list or whatever gives them one by one, as `Path.glob` does; or an array
            of several, [N,H,W,C] or [N,C,H,W].
        num_top: how many classes to give for each picture; all, if there are fewer.
        batch_size: how many pictures are read and predicted at a time.
        on_unreadable: called for each picture that cannot be read, with its path ("image 2" for the third, if it is in
            memory) and the error; it then has no prediction.
        trust_code: as in `load_run`.

    Raises:
        ImageError: pictures cannot be read, all of which it names, and there is no `on_unreadable`.
        RunError: there is no such run or model.
        ConfigError: `num_top` or `batch_size` is below 1, or a single picture is given.
    """
    predictor = load_predictor(source)
    return predictor.predict(pictures, num_top=num_top, batch_size=batch_size, on_unreadable=on_unreadable)


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

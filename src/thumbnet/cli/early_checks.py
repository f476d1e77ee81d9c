"""What is wrong with a command and can be seen at once, before PyTorch is imported, which takes seconds."""

from __future__ import annotations

from pathlib import Path

from thumbnet.config import TrainConfig
from thumbnet.errors import DatasetNotFoundError, RunError
from thumbnet.models.pretrained import list_pretrained
from thumbnet.specs.checks import did_you_mean
from thumbnet.specs.known_names import check_data_name, check_model_name, is_torch_there


def check_data(data: str | None) -> None:
    """Refuse data that is not there, as `check_names` does."""
    if data is not None and not is_torch_there():
        check_data_name(data)


def check_names(config: TrainConfig) -> None:
    """Refuse a config that names a model, data, weights, a teacher or a list that are not there.

    Raises:
        ThumbnetError: as training itself would, a little later.
    """
    if is_torch_there():
        return
    check_model_name(config.model)
    check_data_name(config.data)
    if config.init not in (None, "auto", *list_pretrained()) and not Path(str(config.init)).is_dir():
        names = list_pretrained()
        guess = did_you_mean(str(config.init), names)
        raise RunError(
            f"{config.init} is neither a run folder nor a trained model",
            hint=f"{guess}give a run's folder, or one of {', '.join(names)}",
        )
    if isinstance(config.objective.teacher, str) and not Path(config.objective.teacher).is_dir():
        raise RunError(f"there is no run {config.objective.teacher}", hint="give the folder of a finished run")
    if config.exclude is not None and not Path(config.exclude).is_file():
        raise DatasetNotFoundError(f"there is no file {config.exclude}", hint="`thumbnet data check` writes one")

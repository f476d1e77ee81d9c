"""What is wrong with a command and can be seen at once, before PyTorch is imported, which takes seconds."""

from __future__ import annotations

from pathlib import Path

from thumbnet.config import AUTO_INIT, TrainConfig
from thumbnet.errors import DatasetNotFoundError, RunError
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
    if config.init == AUTO_INIT and "model" not in (config.planned or ()):
        _check_auto_init(config.model)
    elif config.init not in (None, AUTO_INIT):
        _check_init(str(config.init))
    if isinstance(config.objective.teacher, str) and not Path(config.objective.teacher).is_dir():
        raise RunError(f"there is no run {config.objective.teacher}", hint="give the folder of a finished run")
    if config.exclude is not None and not Path(config.exclude).is_file():
        raise DatasetNotFoundError(f"there is no file {config.exclude}", hint="`thumbnet data check` writes one")


def _check_auto_init(model: str) -> None:
    from thumbnet.runs.which import check_weights_for

    check_weights_for(model)


def _check_init(init: str) -> None:
    from thumbnet.models.pretrained import list_pretrained

    names = list_pretrained()
    if init not in names and not Path(init).is_dir():
        raise RunError(
            f"{init} is neither a run folder nor a trained model",
            hint=f"{did_you_mean(init, names)}give a run's folder, or one of {', '.join(names)}",
        )

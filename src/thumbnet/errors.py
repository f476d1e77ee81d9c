"""Every error that thumbnet raises for a user's mistake or a broken input.

    ThumbnetError            root; a ValueError with a `hint`
    ├── ConfigError          a recipe, an option or an argument is wrong
    ├── DataError            a dataset cannot be used
    │   ├── DatasetNotFoundError   it is not where it was looked for
    │   ├── ChecksumError          a file is not the official one
    │   ├── DownloadError          no source could be reached, or all failed
    │   └── ImageError             an image file cannot be read
    ├── ModelError           a model cannot be built or cannot take this input
    │   └── NonFiniteLogitsError   it gives NaN or infinity
    ├── ExportError          a trained model cannot be exported, or the export does not do what the model does
    ├── ExtraMissingError    a package of an extra is not installed; an ImportError, too
    ├── TrainingError        training cannot go on
    │   ├── NonFiniteLossError     the loss became NaN or infinite
    │   └── RankLostError          another process of the same training has ended
    ├── JobsFailedError      of several jobs some failed; what the others did is there
    └── RunError             a run folder cannot be read, written or resumed
        └── CheckpointError        weights do not fit the model or are damaged

`except ThumbnetError` catches them all; anything else is a bug of ours.
"""

from __future__ import annotations


class ThumbnetError(ValueError):
    """A user's error: `message` says what happened and what was expected, `hint` how to fix it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ConfigError(ThumbnetError):
    """A recipe, an option or an argument is wrong."""


class DataError(ThumbnetError):
    """A dataset cannot be used."""


class DatasetNotFoundError(DataError):
    """A dataset is not where it was looked for."""


class ChecksumError(DataError):
    """A file is not the official one."""


class DownloadError(DataError):
    """No source could be reached, or all of them failed."""


class ImageError(DataError):
    """An image file cannot be read."""


class ModelError(ThumbnetError):
    """A model cannot be built, or cannot take this input."""


class NonFiniteLogitsError(ModelError):
    """A model gives logits that are NaN or infinite."""


class TrainingError(ThumbnetError):
    """Training cannot go on."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class RankLostError(TrainingError):
    """Another process of the same training has ended or cannot be reached."""


class JobsFailedError(ThumbnetError):
    """Of several jobs at once some failed, or their processes were killed; what the others did is there."""


class RunError(ThumbnetError):
    """A run folder cannot be read, written or resumed."""


class CheckpointError(RunError):
    """Weights are damaged or do not fit the model."""


class ExportError(ThumbnetError):
    """A trained model cannot be exported, or what was written does not do what the model does."""


class ExtraMissingError(ThumbnetError, ImportError):
    """A package that comes with an extra of thumbnet is not installed."""

"""An exported C folder read back, to predict with by its integer reference. Without PyTorch and without a compiler."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int32, UInt8

from thumbnet.errors import ModelError
from thumbnet.evaluation.image_answers import LogitsAndDistances
from thumbnet.evaluation.images import LogitsOf, WithDistances
from thumbnet.export.c.far import distances_of
from thumbnet.export.c.fixed_point import FixedProgram
from thumbnet.export.c.reference import look_fixed, run_fixed
from thumbnet.export.c.stored import SUFFIX, Stored, stored_from_bytes
from thumbnet.models.card import ModelCard

TRIED_SIDE = 256  # pixels
HINT = "give a folder that `thumbnet export --format c` wrote"


def load_c_folder(path: str | Path) -> tuple[ModelCard, LogitsOf, WithDistances | None]:
    """The model's card, a function from uint8 images [N,C,H,W] to logits float32 [N,K], those of the C program, and one
    that gives the distances, too, where its answer may be unknown.

    Raises:
        ModelError: it is no such folder, or a file is missing, damaged or was changed since the export.
    """
    stored = read_stored(Path(path))
    _try(stored, path)
    for name, checksum in stored.checksums.items():
        try:
            if not (Path(path) / name).is_file():
                raise ModelError(f"{Path(path) / name} cannot be read: there is no such file", hint=HINT)
            content = (Path(path) / name).read_bytes()
        except OSError as error:
            raise ModelError(f"{Path(path) / name} cannot be read: {error.strerror}", hint=HINT) from error
        if hashlib.sha256(content).hexdigest() != checksum:
            raise ModelError(
                f"{Path(path) / name} was changed since the export, so that its reference no longer stands for it",
                hint="export the model again",
            )
    program = stored.program

    def classify(images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n k"]:
        logits: Float[np.ndarray, "n k"] = (run_fixed(program, images) / 2.0**program.logit_bits).astype(np.float32)
        return logits

    def with_distances(images: UInt8[np.ndarray, "n c h w"]) -> LogitsAndDistances:
        whole, squares = look_fixed(program, images)
        logits = (whole / 2.0**program.logit_bits).astype(np.float32)
        return LogitsAndDistances(logits, distances_of(program, squares))

    return stored.card, classify, None if program.far is None else with_distances


def _try(stored: Stored, path: str | Path) -> None:
    """ModelError where the parts of the network do not fit together: answer a black picture, of sides as far as that
    takes no time."""
    channels, height, width = stored.card.image_shape
    picture = np.zeros((1, channels, min(height, TRIED_SIDE), min(width, TRIED_SIDE)), np.uint8)
    try:
        logits = run_fixed(stored.program, picture) if stored.program.far is None else _look(stored.program, picture)
        if logits.shape != (1, len(stored.card.class_names)):
            raise ValueError(f"its answers are {list(logits.shape)}")
    except Exception as error:  # whatever numbers that contradict each other lead to
        raise ModelError(f"{path} is damaged: {error}", hint="export the model again") from error


def _look(program: FixedProgram, picture: UInt8[np.ndarray, "n c h w"]) -> Int32[np.ndarray, "n k"]:
    logits, squares = look_fixed(program, picture)
    distances_of(program, squares)
    return logits


def find_stored(path: Path) -> Path | None:
    """The file by which a folder is known as an export to C; None where there is none, or more than one."""
    found = sorted(path.glob(f"*{SUFFIX}"))
    return found[0] if len(found) == 1 else None


def read_stored(path: Path) -> Stored:
    """What an exported folder keeps for its reference."""
    file = find_stored(path)
    if file is None:
        raise ModelError(f"{path} is no exported C folder: it has not one file *{SUFFIX}", hint=HINT)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}", hint=HINT) from error
    return stored_from_bytes(content, name=str(file))

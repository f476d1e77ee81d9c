"""A finished run as the teacher of another: its logits for the training images, computed once, kept in its folder."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float16, UInt8
from torch import Tensor, nn

from thumbnet.augment import RandomCrop
from thumbnet.data.batches import memory_order
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import flipped, predict_logits
from thumbnet.runs.files.checksums import is_as_signed, signature
from thumbnet.runs.run import Run, RunDir, check_writable, load_run
from thumbnet.training.device import pick_device, pick_precision
from thumbnet.training.distillation import PLACES, TeacherLogits


def load_teacher(path: str, dataset: Dataset) -> Run:
    """The finished run at `path`, which must have been trained on the very images of `dataset`, split alike.

    Raises:
        RunError: no such run; ConfigError: it was trained on others, perhaps on some that are held out here.
    """
    run = load_run(path)
    if run.card.data_checksum != dataset.checksum():
        raise ConfigError(
            f"the teacher {path} was trained on {run.card.data} with other training, validation or test images",
            hint="train both on the same data with the same val_fraction, split_seed, groups, num_train, image_size, "
            "fit and exclude",
        )
    if run.card.refit and dataset.val is not None:
        raise ConfigError(
            f"the teacher {path} was in the end trained on its validation images, too (refit), which are held out here",
            hint="give a teacher that was trained without refit",
        )
    return run


def load_teacher_logits(
    teacher: Run,
    dataset: Dataset,
    crop: RandomCrop,
    *,
    flips: bool,
    device: str,
    precision: str,
    say: Callable[[str], None],
) -> TeacherLogits:
    """The teacher's logits for the training images: read from its folder, or computed now and kept there.

    `flips`: whether the student's images are flipped, too.
    """
    folder = RunDir(teacher.path)
    to_device = pick_device(device)
    number_format = "float32" if pick_precision(precision, to_device) == torch.float32 else "bfloat16"
    name = f"lessons-{crop.border}-{crop.padding}{'-flip' if flips else ''}-{number_format}.npy"
    shape = len(dataset.train), PLACES, PLACES, dataset.num_classes
    logits = _read_logits(folder, name, shape, say=say)
    if logits is None:
        crops = f"{PLACES**2} crops{' and their flips' if flips else ''}"
        say(f"Asking the teacher {folder.path} of {shape[0]:,} images in {crops}, once ...")
        check_writable(folder.path)  # now, rather than after all the work
        begin_s = time.perf_counter()
        logits = compute_teacher_logits(
            teacher.model.to(to_device, memory_format=memory_order(to_device)),  # type: ignore[call-overload]
            dataset.train.images,
            crop,
            flips=flips,
            mean=teacher.card.mean,
            std=teacher.card.std,
            precision=number_format,
            say=say,
        )
        content = io.BytesIO()
        np.save(content, logits.numpy())
        folder.write(name, content.getvalue() + signature(content.getvalue()))
        say(f"... done in {time.perf_counter() - begin_s:.0f} s; its answers are kept in {folder.path / name}")
    return TeacherLogits(crop, logits)


def _read_logits(
    folder: RunDir, name: str, shape: tuple[int, ...], *, say: Callable[[str], None]
) -> Float16[Tensor, "n 3 3 k"] | None:
    """What was kept; None where nothing was, or the file is damaged."""
    if not (folder.path / name).exists():
        return None
    try:
        content = folder.read_checked(name)
        kept = None if is_as_signed(content) is False else np.load(io.BytesIO(content))
    except Exception:  # noqa: BLE001  # damaged bytes lead its reader to errors of every kind
        kept = None
    if isinstance(kept, np.ndarray) and kept.shape == shape and kept.dtype == np.float16 and np.isfinite(kept).all():
        return torch.from_numpy(kept)
    say(f"{folder.path / name} is damaged, or of other data.")
    return None


def compute_teacher_logits(
    teacher: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    crop: RandomCrop,
    *,
    flips: bool,
    mean: Sequence[float],
    std: Sequence[float],
    precision: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Float16[Tensor, "n 3 3 k"]:
    """The teacher's logits for every image, cropped at each of PLACES x PLACES places.

    With `flips`, the mean of its logits for a crop and for the flipped crop, which is right more often than either; it
    then serves for both.
    """
    device = next(teacher.parameters()).device
    number_format = pick_precision(precision, device)
    pieces = []
    with torch.autocast(device.type, number_format, enabled=number_format != torch.float32):
        for row, column in itertools.product(range(PLACES), repeat=2):
            cropped = partial(_cropped, crop=crop, row=row, column=column)
            logits = predict_logits(teacher, images, mean=mean, std=std, change=partial(cropped, flips=False))
            if flips:
                mirrored = predict_logits(teacher, images, mean=mean, std=std, change=partial(cropped, flips=True))
                logits = (logits + mirrored) / 2
            pieces.append(logits.half())
            say(f"... {len(pieces)} of {PLACES**2} crops")
    logits_at_places: Tensor = torch.stack(pieces, dim=1).unflatten(1, (PLACES, PLACES))
    return logits_at_places


def _cropped(
    images: UInt8[Tensor, "n c h w"], *, crop: RandomCrop, row: int, column: int, flips: bool
) -> UInt8[Tensor, "n c h w"]:
    """At one of the places of a crop, in units of its padding, and perhaps flipped."""
    corner = {"top": torch.full((len(images),), row), "left": torch.full((len(images),), column)}
    crops = crop.apply(images, {name: place * crop.padding for name, place in corner.items()})
    return flipped(crops) if flips else crops

"""What the first of several processes sends to the others before they train together, and what these do with it.

They need no data, recipe or code of their own: tensors and texts come from the first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from thumbnet.augment import RandomCrop
from thumbnet.config import TrainConfig, config_to_toml, run_config_from_toml
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.packs.manifest import read_manifest
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.row_reader import RowReader
from thumbnet.data.packs.store import check_images
from thumbnet.data.streamed import StreamedImages
from thumbnet.errors import DataError
from thumbnet.runs.files.checkpoint import Checkpoint, checkpoint_from_bytes, checkpoint_to_bytes
from thumbnet.runs.known_data import KnownData
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.specs.json_text import read_object, to_json
from thumbnet.specs.own_code import file_of, receive
from thumbnet.specs.processors import num_processors
from thumbnet.specs.typed import from_fields
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.progress import Silent
from thumbnet.training.ranks import Ranks
from thumbnet.training.state import TrainingState

NAME = "what the first process sent"
CODE = "code "  # what the name of a file's content begins with
_COPY = "copy the pack from the first process's machine to the same path on this one"


@dataclass(frozen=True)
class _Rows:
    """A file of images in a pack on the disk, and the pack's signature."""

    path: str
    signature: str


@dataclass(frozen=True)
class _Facts:
    """Of the training, what is no tensor."""

    config: str
    image_shape: tuple[int, ...]  # [N,C,H,W]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip_keeps_labels: bool
    source: str
    num_threads: int
    files: tuple[_Rows, ...] = ()  # of images that stay on the disk
    in_colour: bool = False
    crop_padding: int = 0  # of a teacher's logits
    crop_border: Literal["zero", "reflect"] = "zero"


def send_training(
    ranks: Ranks, config: TrainConfig, dataset: Dataset, *, teacher: TeacherLogits | None, state: TrainingState | None
) -> None:
    """Called by the first process, before it trains with this resolved config."""
    images = dataset.train.images
    files = images.reader.files if isinstance(images, StreamedImages) else ()
    facts = _Facts(
        config=config_to_toml(config),
        image_shape=tuple(images.shape),
        class_names=dataset.class_names,
        mean=dataset.mean,
        std=dataset.std,
        flip_keeps_labels=dataset.flip_keeps_labels,
        source=dataset.source.name,
        num_threads=torch.get_num_threads(),
        files=tuple(_rows_of(file.path) for file in files),
        in_colour=isinstance(images, StreamedImages) and images.in_colour,
        crop_padding=0 if teacher is None else teacher.crop.padding,
        crop_border="zero" if teacher is None else teacher.crop.border,
    )
    tensors = {"facts": _to_bytes(to_json(asdict(facts), name=NAME).encode()), "labels": dataset.train.labels}
    for name in (config.model, str(config.inputs.augmentation)):
        file = file_of(name)
        if file is not None:
            tensors[f"{CODE}{name}"] = _to_bytes(file.content)
    if teacher is not None:
        tensors["teacher"] = teacher.logits
    if state is not None:
        tensors["checkpoint"] = _to_bytes(checkpoint_to_bytes(Checkpoint(state, KnownData("", ()), 0.0)))
    if isinstance(images, StreamedImages):
        tensors["rows"] = torch.from_numpy(images.rows)
    ranks.share(tensors)
    if not isinstance(images, StreamedImages):
        ranks.take_from_first(images.contiguous())


def help_training(ranks: Ranks) -> None:
    """Called by the others: train together, and leave nothing."""
    sent = ranks.share(None)
    facts = from_fields(_Facts, read_object(_from_bytes(sent["facts"]), name=NAME, known_format=1), name=NAME)
    for name, content in sent.items():
        if name.startswith(CODE):
            receive(name.removeprefix(CODE), _from_bytes(content))
    config = run_config_from_toml(facts.config, name=NAME)
    images = _images(ranks, facts, sent)
    dataset = _dataset(facts, images, sent["labels"])
    torch.set_num_threads(min(facts.num_threads, num_processors()))
    fit_config(
        config,
        dataset,
        build_model(config, dataset),
        teacher=_teacher(facts, sent),
        progress=Silent(),
        resume_from=_state(sent),
        ranks=ranks,
    )


def _images(ranks: Ranks, facts: _Facts, sent: Mapping[str, Tensor]) -> Tensor:
    """The training images: sent, or on the disk, where each process must find the same packs."""
    if facts.files:
        reader = RowReader([_found(file) for file in facts.files])
        return StreamedImages(reader, sent["rows"].numpy(), facts.in_colour)
    images = torch.empty(facts.image_shape, dtype=torch.uint8)
    ranks.take_from_first(images)
    return images


def _rows_of(path: Path) -> _Rows:
    folder = path.parent.resolve()
    return _Rows(str(folder / path.name), read_manifest(folder).signature())


def _found(rows: _Rows) -> RowFile:
    """The file as this process finds it; DataError where its images are not those of the first process."""
    path = Path(rows.path)
    try:
        manifest = read_manifest(path.parent)
        if manifest.signature() == rows.signature:
            files = check_images(path.parent, manifest, show_progress=False)
            return next(file for file in files.values() if file.path.name == path.name)
    except DataError as error:
        raise DataError(error.message, hint=_COPY) from error
    raise DataError(f"the pack {path.parent} has other images here than where the first process is", hint=_COPY)


def _dataset(facts: _Facts, images: Tensor, labels: Tensor) -> Dataset:
    """The training images; those for test are a placeholder, since the first process alone scores."""
    return Dataset(
        train=Split(images, labels),
        val=None,
        test=Split(images[:1], labels[:1]),
        class_names=facts.class_names,
        mean=facts.mean,
        std=facts.std,
        flip_keeps_labels=facts.flip_keeps_labels,
        source=Source(facts.source, ""),
    )


def _teacher(facts: _Facts, sent: Mapping[str, Tensor]) -> TeacherLogits | None:
    if "teacher" not in sent:
        return None
    return TeacherLogits(RandomCrop(facts.crop_padding, border=facts.crop_border), sent["teacher"])


def _state(sent: Mapping[str, Tensor]) -> TrainingState | None:
    if "checkpoint" not in sent:
        return None
    return checkpoint_from_bytes(_from_bytes(sent["checkpoint"]), name=NAME).state


def _to_bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _from_bytes(content: Tensor) -> bytes:
    return content.numpy().tobytes()

"""A network in whole numbers as a safetensors file, which an exported folder keeps for its reference.

Its metadata has the model's card, the folder's own files, and checksums: of the source and the header, so that the
reference never stands for a source that was changed, and of the file's own content.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from thumbnet.errors import ModelError, ThumbnetError
from thumbnet.export.c.fixed_point import FixedBlock, FixedFar, FixedPointwise, FixedProgram, FixedStem, Scaling
from thumbnet.models.card import ModelCard, card_from_dict, card_to_dict
from thumbnet.specs.checks import shown
from thumbnet.specs.json_text import FORMAT, check_format

STORED_FORMAT = 2
FORMAT_BEFORE = 1  # of networks that never answer "unknown": earlier versions read these, too
SUFFIX = ".thumbnet.safetensors"
OF_FEW_BITS = ("padding", "stride", "dilation", "shift", "sum_shift", "logit_bits", "bits")
MOST_BITS = 64
KEY, CONTENT, CHECKSUM = "thumbnet_c", "content", "sha256"


@dataclass(frozen=True)
class Stored:
    """What the file has; `checksums` are SHA-256 by file name, `files` are all that were written to the folder."""

    program: FixedProgram
    card: ModelCard
    checksums: Mapping[str, str]
    files: tuple[str, ...]


def stored_to_bytes(stored: Stored) -> bytes:
    """A safetensors file: the same content gives the same bytes."""
    tensors: dict[str, np.ndarray] = {}
    content = {
        FORMAT: FORMAT_BEFORE if stored.program.far is None else STORED_FORMAT,
        "program": _plain(stored.program, "", tensors),
        "card": card_to_dict(stored.card),
        "checksums": dict(stored.checksums),
        "files": list(stored.files),
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    both = {CHECKSUM: _checksum(text, tensors), CONTENT: text}
    return safetensors.numpy.save(
        tensors, metadata={KEY: json.dumps(both)}
    )  # safetensors orders several keys at random


def stored_from_bytes(content: bytes, *, name: str) -> Stored:
    """What `stored_to_bytes` wrote; ModelError where it is damaged."""
    try:
        header_size = int.from_bytes(content[:8], "little")
        metadata = json.loads(json.loads(content[8 : 8 + header_size])["__metadata__"][KEY])
        tensors = safetensors.numpy.load(content)
        if _checksum(metadata[CONTENT], tensors) != metadata[CHECKSUM]:
            raise ValueError("its content does not have its checksum")
        values = json.loads(metadata[CONTENT])
        check_format(values.get(FORMAT, 1), name=name, known_format=STORED_FORMAT)
        return Stored(
            program=_read_program(values["program"], tensors),
            card=card_from_dict(values["card"], name=name),
            checksums=_checksums(values["checksums"]),
            files=_names(values["files"]),
        )
    except ThumbnetError as error:
        raise ModelError(f"{name} is damaged: {error.message}", hint=error.hint) from error
    except (safetensors.SafetensorError, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{name} is damaged: {error}", hint="export the model again") from error


def _checksums(values: object) -> dict[str, str]:
    """SHA-256 by the names of files that lie in the folder itself; ValueError where they are no such."""
    if not isinstance(values, dict) or not all(isinstance(digest, str) for digest in values.values()):
        raise ValueError("its checksums are none")
    for name in values:
        if Path(name).name != name or "\0" in name:  # as ../a or /dev/zero
            raise ValueError(f"it has a checksum of {shown(name)}, which is no file in the folder")
    return values


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise ValueError("its list of files is none")
    return tuple(values)


def _checksum(text: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _plain(value: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    """A value for JSON; arrays go to `tensors`, and their names stand for them."""
    if isinstance(value, np.ndarray):
        tensors[name] = np.ascontiguousarray(value)
        return name
    if isinstance(value, tuple):
        return [_plain(one, f"{name}.{index}", tensors) for index, one in enumerate(value)]
    if dataclasses.is_dataclass(value):
        fields = [
            field.name for field in dataclasses.fields(value) if not _is_default(field, getattr(value, field.name))
        ]
        return {field: _plain(getattr(value, field), f"{name}.{field}".strip("."), tensors) for field in fields}
    return value


def _is_default(field: dataclasses.Field[Any], value: object) -> bool:
    """Whether a dataclass's field may be left out."""
    return field.default is not dataclasses.MISSING and value == field.default


def _read_program(values: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> FixedProgram:
    given = _read_fields(values, tensors)
    stem = FixedStem(**_read_fields(values["stem"], tensors))
    blocks: list[FixedBlock] = []
    for block in values["blocks"]:
        fields = _read_fields(block, tensors)
        if fields["pointwise"] is not None:
            fields["pointwise"] = FixedPointwise(**_read_fields(block["pointwise"], tensors))
        blocks.append(FixedBlock(**fields))
    far = FixedFar(**_read_fields(values["far"], tensors)) if "far" in values else None
    return FixedProgram(**{**given, "stem": stem, "blocks": tuple(blocks), "far": far})


def _read_fields(values: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A dataclass's fields: arrays by their names, scalings, shapes as tuples; others as they are."""
    fields: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and set(value) == {"multipliers", "shift"}:
            fields[key] = Scaling(**_read_fields(value, tensors))
        elif isinstance(value, str) and key != "name":
            fields[key] = tensors[value]
        elif key in OF_FEW_BITS and not (type(value) is int and 0 <= value < MOST_BITS):
            raise ValueError(f"{key} is {shown(value)}")
        else:
            fields[key] = tuple(value) if isinstance(value, list) else value
    return fields

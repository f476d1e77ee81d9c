"""What an export needs to know of the data, kept with a run and with each pretrained model, so that it needs no data:
the ranges of a network's maps on training images, for quantisation, and sample pictures of the test split. Without
PyTorch.

The images that ranges are measured on are the first `num_images` of `calibration_order(num_train)`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float, Int64, UInt8

from thumbnet.models.program import Program
from thumbnet.specs.json_text import FORMAT, check_format, damaged

EXPORT_DATA_FORMAT = 1
NUM_CALIBRATION_IMAGES = 1000
NUM_SAMPLES = 20
ORDER_SEED = 0
DETAILS = "export_data"  # the metadata's key
LOW, HIGH = "ranges.low.", "ranges.high."
SAMPLES, SAMPLE_LABELS, SAMPLE_POSITIONS = "samples.images", "samples.labels", "samples.positions"

STEM = "stem"  # after its ReLU
POINTWISE = ".pointwise"  # of a separable block, not equalised
BEFORE = ".before"  # what a block's SiLU is given
AFTER = ".after"  # a block's output, with the shortcut


@dataclass(frozen=True)
class Range:
    """The lowest and highest value of each channel of a map."""

    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]

    @property
    def largest(self) -> Float[np.ndarray, " k"]:
        """The largest absolute value of each channel."""
        largest: Float[np.ndarray, " k"] = np.maximum(np.abs(self.low), np.abs(self.high))
        return largest


@dataclass(frozen=True)
class Samples:
    """Pictures of the test split, as the network sees them, with their labels and their positions in the split."""

    images: UInt8[np.ndarray, "n c h w"]
    labels: Int64[np.ndarray, " n"] | UInt8[np.ndarray, "n k"]
    positions: Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class ExportData:
    """Ranges by map name (`stem`, `blocks.3.pointwise`, `blocks.3.before`, `blocks.3.after`), None for networks that
    are no networks of blocks; measured on `num_images` training images; and samples."""

    ranges: Mapping[str, Range] | None
    num_images: int
    samples: Samples

    @property
    def pointwise_ranges(self) -> dict[str, Float[np.ndarray, " k"]]:
        """By block name, what `equalised` takes."""
        ranges = self.ranges or {}
        return {name.removesuffix(POINTWISE): ranges[name].largest for name in ranges if name.endswith(POINTWISE)}


def map_channels(program: Program) -> dict[str, int]:
    """The maps of a program whose ranges are measured, with their numbers of channels."""
    channels = {STEM: program.stem.out_shape[0]}
    for block in program.blocks:
        channels |= {f"{block.name}{kind}": block.out_shape[0] for kind in (BEFORE, AFTER)}
        if block.is_separable:
            channels[f"{block.name}{POINTWISE}"] = block.out_shape[0]
    return channels


def calibration_order(num_train: int) -> Int64[np.ndarray, " n"]:
    """All training images' positions in the order in which they are taken for calibration."""
    return np.random.default_rng(ORDER_SEED).permutation(num_train)


def sample_positions(
    labels: Int64[np.ndarray, " n"] | UInt8[np.ndarray, "n k"], *, num_samples: int = NUM_SAMPLES
) -> Int64[np.ndarray, " m"]:
    """Positions of sample pictures in a test split: of each class in turn the first, then the second, and so on; a
    picture with several labels, or none, counts as one of the rarest of them, or of a class of its own."""
    if labels.ndim == 2:
        sizes = labels.sum(axis=0, dtype=np.int64)
        by_size = np.where(labels == 1, sizes, len(labels) + 1)
        labels = np.where(labels.any(axis=1), by_size.argmin(axis=1), labels.shape[1]).astype(np.int64)
    order = np.argsort(labels, kind="stable")
    ranked = labels[order]
    rank = np.arange(len(labels)) - np.searchsorted(ranked, ranked)  # within its class
    return order[np.lexsort((ranked, rank))][:num_samples].astype(np.int64)


def export_data_to_bytes(data: ExportData) -> bytes:
    """A safetensors file: equal data is equal bytes."""
    samples = data.samples
    tensors: dict[str, np.ndarray] = {
        SAMPLES: np.ascontiguousarray(samples.images),
        SAMPLE_LABELS: samples.labels,
        SAMPLE_POSITIONS: samples.positions,
    }
    for name, found in (data.ranges or {}).items():
        tensors[LOW + name] = np.ascontiguousarray(found.low, np.float32)
        tensors[HIGH + name] = np.ascontiguousarray(found.high, np.float32)
    details = {
        FORMAT: EXPORT_DATA_FORMAT,
        "num_images": data.num_images,
        "has_ranges": data.ranges is not None,
    }
    return safetensors.numpy.save(tensors, metadata={DETAILS: json.dumps(details)})


def export_data_from_bytes(content: bytes, *, name: str) -> ExportData:
    """What `export_data_to_bytes` wrote; RunError where it is damaged."""
    try:
        header_size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + header_size])["__metadata__"]
        details = json.loads(metadata[DETAILS])
        check_format(details.get(FORMAT, 1), name=name, known_format=EXPORT_DATA_FORMAT)
        tensors = safetensors.numpy.load(content)
        names = [key.removeprefix(LOW) for key in tensors if key.startswith(LOW)]
        ranges = {key: Range(tensors[LOW + key], tensors[HIGH + key]) for key in sorted(names)}
        samples = Samples(tensors[SAMPLES], tensors[SAMPLE_LABELS], tensors[SAMPLE_POSITIONS])
        return ExportData(ranges if details["has_ranges"] else None, int(details["num_images"]), samples)
    except (
        *(safetensors.SafetensorError, LookupError, ValueError, TypeError, AttributeError, RecursionError),
        OverflowError,
    ) as error:
        raise damaged(name, f"it is no export data: {error}") from error

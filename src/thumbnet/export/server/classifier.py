"""From a picture's file to its classes: the file is checked before any pixel is decoded."""

from __future__ import annotations

import threading
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from thumbnet.data.images import DRAFT_SCALE, PictureHeader, read_header, read_image_array
from thumbnet.errors import ExportError, ImageError
from thumbnet.evaluation.image_answers import ClassProbability
from thumbnet.export.request import softmax
from thumbnet.export.server.budget import Budget
from thumbnet.export.server.limits import BYTES_PER_PIXEL, BYTES_PER_REDUCED_PIXEL, FORMATS, Limits
from thumbnet.export.server.refusals import RefusedError
from thumbnet.export.server.threads import DaemonThreads
from thumbnet.models.decision import ranked_classes
from thumbnet.models.label_decision import chosen_labels, label_probabilities
from thumbnet.models.program_numpy import ProgramRunner
from thumbnet.models.unknown import distances_by, unknown_answers
from thumbnet.specs.processors import num_processors
from thumbnet.trained.shippable import Shippable

# By these first bytes a file is damaged rather than of another type. Formats that hold pictures of others (ICO, ICNS),
# or tiles of any size (TIFF, AVIF), are not served: their headers do not say how much memory their pixels take.
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
SMALL = 4_000_000  # bytes: decoders that take no more wait for nobody
MOST_WORKERS = 4
MOST_PNG_TEXT = 2_000_000  # characters of a PNG file's comments, which Pillow unpacks: 64 million take 256 MB
JPEG_KINDS = ("JPEG", "MPO")
START_OF_SCAN = b"\xff\xda"
MOST_SCANS = 200  # of a JPEG file: cameras write 1 or 10; each goes over all pixels again, in a few bytes


class Classified(NamedTuple):
    """A picture's class, then the others, most probable first; its labels, where it may have several, or none; and
    whether it is too far from all that the model was trained on."""

    top: tuple[ClassProbability, ...]
    labels: tuple[str, ...] | None
    is_unknown: bool = False


class Classifier:
    """A trained network of blocks; pictures are decoded in a few threads, so that the event loop stays free.

    The network computes one picture at a time: NumPy's many short calls in two threads hinder each other, so that 175
    requests a second were answered instead of 250. Pillow's bound of the text in PNG files is lowered, for all of the
    process.

    `engine` is the name of what computes; `class_names` are those of the model.
    """

    def __init__(self, shippable: Shippable, limits: Limits) -> None:
        program = shippable.program
        if program is None:
            raise ExportError(
                f"{shippable.card.model} cannot be served, which takes networks of blocks (thumb-*, sprint, ...)",
                hint="export it to onnx, which takes any model, and serve that with ONNX Runtime",
            )
        self.card = shippable.card
        self.engine = "numpy"
        self._runner = ProgramRunner(program, num_threads=1)  # `_threads` has several
        self._limits = limits
        self._running = threading.Lock()
        self._decoding = Budget(limits.decoding_bytes)
        self._threads = DaemonThreads(min(MOST_WORKERS, num_processors()))
        PngImagePlugin.MAX_TEXT_MEMORY = MOST_PNG_TEXT

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.card.class_names

    async def classify(self, content: BytesIO, *, num_top: int) -> Classified:
        """The answer to a picture.

        Raises:
            RefusedError: 413 where it has too many pixels, 415 where it is no picture of a known type, 422 where it is
                empty or damaged.
        """
        found = await self._threads.run(partial(self._classify_small, content, num_top))
        if not isinstance(found, PictureHeader):
            return found
        async with self._decoding.reserved(self._decoding_bytes(found)):
            return await self._threads.run(partial(self._classify, content, num_top))

    def _classify_small(self, content: BytesIO, num_top: int) -> Classified | PictureHeader:
        """The classes, or the header of a picture that takes much memory."""
        header = self._check(content)
        return self._classify(content, num_top) if self._decoding_bytes(header) <= SMALL else header

    def _check(self, content: BytesIO) -> PictureHeader:
        content.seek(0)
        beginning = content.read(12)
        if not beginning:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the picture is empty (0 bytes)", hint="send another")
        if not beginning.startswith(SIGNATURES):
            raise RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "the file is no picture of a type that is served",
                hint="send JPEG, PNG, WebP, GIF or BMP",
            )
        try:
            header = read_header(content, formats=FORMATS)
        except ImageError as error:
            if isinstance(error.__cause__, Image.DecompressionBombError | Image.DecompressionBombWarning):
                raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.message, hint="scale it down") from error
            raise _damaged(error) from error
        most = self._limits.pixels_of(is_reduced=self._is_reduced(header))
        if header.width * header.height > most:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the picture has {header.width} x {header.height} pixels, and {most:,} are the most that is accepted",
                hint="scale it down, or start the server with a larger --max-pixels",
            )
        if header.format in JPEG_KINDS and _num_scans(content) > MOST_SCANS:
            raise RefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the JPEG file has more than {MOST_SCANS} scans, which take long to decode",
                hint="save it again",
            )
        return header

    def _classify(self, content: BytesIO, num_top: int) -> Classified:
        num_channels, height, width = self.card.image_shape
        try:
            image = read_image_array(
                content,
                image_size=(height, width),
                num_channels=num_channels,
                white_levels=self.card.white_levels,
                formats=FORMATS,
                fit=self.card.fit,
            )
        except ImageError as error:
            raise _damaged(error) from error
        with self._running:
            found = self._runner.run(image[None])
        logits, unknown = found.logits, self.card.unknown
        distances = None if unknown is None else distances_by(unknown, found.features)
        if not np.isfinite(logits).all() or (distances is not None and not np.isfinite(distances).all()):
            raise RefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "the model's numbers for this picture are not finite",
                hint="send another; if it is so with all, train the model anew",
            )
        labels = None
        if self.card.label_decision is None:
            probabilities = softmax(logits)[0]
            best = ranked_classes(self.card.decision, logits, probabilities[None])[0, :num_top]
        else:
            probabilities = label_probabilities(logits)[0]
            best = np.argsort(-logits[0], kind="stable").astype(np.int64)[:num_top]
            marks = chosen_labels(self.card.label_decision, logits)[0]
            labels = tuple(name for name, mark in zip(self.class_names, marks, strict=True) if mark)
        top = tuple(ClassProbability(self.class_names[index], float(probabilities[index])) for index in best)
        is_unknown = distances is not None and bool(unknown_answers(unknown, distances)[0])
        return Classified(top, labels, is_unknown)

    def _is_reduced(self, header: PictureHeader) -> bool:
        """Whether `read_picture` decodes it at a fraction of its size."""
        side = 2 * DRAFT_SCALE * max(self.card.image_shape[1:])
        return header.format in JPEG_KINDS and min(header.width, header.height) >= side

    def _decoding_bytes(self, header: PictureHeader) -> int:
        each = BYTES_PER_REDUCED_PIXEL if self._is_reduced(header) else BYTES_PER_PIXEL[header.format]
        return header.width * header.height * each


def _num_scans(content: BytesIO) -> int:
    """Of a JPEG file, at most: other bytes than scans may look so, though not within a scan."""
    return content.getvalue().count(START_OF_SCAN)  # which copies nothing


def _damaged(error: ImageError) -> RefusedError:
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, error.message, hint=error.hint)

"""Predictions for pictures of any size and mode, prepared as the folder source prepares them: files, Pillow images and
arrays. Without PyTorch.

Pictures are read by several threads, a batch ahead of the one that is computed: memory holds two batches, however many
pictures there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from thumbnet.data.arrays import HasArray, as_array, picture_from_array
from thumbnet.data.images import read_image_array
from thumbnet.data.picture_files import ADDRESS
from thumbnet.data.standardise import fitted, standardised
from thumbnet.data.unreadable import OnUnreadable, unreadable_error
from thumbnet.errors import ConfigError, DataError, ImageError
from thumbnet.evaluation.image_answers import ImagePrediction, LogitsAndDistances, answers_of
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import LabelDecision
from thumbnet.models.unknown import Unknown
from thumbnet.models.unsure import Unsure
from thumbnet.specs.data import WhiteLevels
from thumbnet.specs.processors import num_processors
from thumbnet.specs.sizes import Fit

if TYPE_CHECKING:
    from concurrent.futures import Future

LogitsOf: TypeAlias = Callable[[UInt8[np.ndarray, "n c h w"]], Float[np.ndarray, "n k"]]
WithDistances: TypeAlias = Callable[[UInt8[np.ndarray, "n c h w"]], LogitsAndDistances]
_Outputs: TypeAlias = tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " n"] | None]
PictureLike: TypeAlias = str | Path | Image.Image | HasArray
Pictures: TypeAlias = Iterable[PictureLike] | PictureLike  # an array of several; any other single one is refused

BATCH_SIZE = 64
NUM_TOP = 3


@dataclass(frozen=True)
class PictureForm:
    """What a model's pictures are brought to: channels, height and width, and the levels by which its own pictures with
    more than 8 bits were scaled; and the names of its classes, how its logits become an answer, and when that is unsure
    or unknown."""

    image_shape: tuple[int, int, int]
    class_names: Sequence[str]
    white_levels: WhiteLevels | None = None
    decision: Decision | None = None
    fit: Fit = "crop"
    unsure: Unsure | None = None
    label_decision: LabelDecision | None = None
    unknown: Unknown | None = None

    def read(self, picture: PictureLike, *, name: str = "the picture") -> UInt8[np.ndarray, "c h w"]:
        """A picture as the network sees it: turned upright, resized so that it fits, centre-cropped or with
        grey around it.

        Args:
            picture: a file's path, a Pillow image, or an array as `picture_from_array` takes it.
            name: what errors call a picture in memory.

        Raises:
            ImageError: it cannot be read.
        """
        if isinstance(picture, str | Path):
            return self._read_file(picture)
        num_channels, height, width = self.image_shape
        try:
            image = picture if isinstance(picture, Image.Image) else _image_of(picture)
            return fitted(standardised(image, self.white_levels).image, (height, width), num_channels, self.fit)
        except DataError as error:
            raise ImageError(f"{name} cannot be used: {error.message}", hint=error.hint) from error
        except Exception as error:  # on damaged files that are read only now, Pillow raises whatever it runs into
            raise ImageError(f"{name} is damaged: {error}", hint="give an intact picture") from error

    def _read_file(self, path: str | Path) -> UInt8[np.ndarray, "c h w"]:
        if ADDRESS.match(str(path)):
            raise ImageError(f"{path} is an address, and no pictures are fetched", hint="download it first")
        num_channels, height, width = self.image_shape
        return read_image_array(
            Path(path),
            image_size=(height, width),
            num_channels=num_channels,
            white_levels=self.white_levels,
            fit=self.fit,
        )


def _image_of(picture: object) -> Image.Image:
    channels = picture_from_array(as_array(picture, name="the array"), name="the array")
    return Image.fromarray(channels[0] if len(channels) == 1 else np.ascontiguousarray(channels.transpose(1, 2, 0)))


def stream_predictions(
    logits_of: LogitsOf,
    pictures: Pictures,
    *,
    form: PictureForm,
    num_top: int = NUM_TOP,
    batch_size: int = BATCH_SIZE,
    on_unreadable: OnUnreadable,
    with_distances: WithDistances | None = None,
) -> Iterator[ImagePrediction]:
    """Predictions of pictures in their order, as they are computed.

    Args:
        logits_of: from images uint8 to logits.
        pictures: files, Pillow images and arrays, in a list or one by one, or one array of several pictures.
        num_top: how many classes to give for each picture; all, if there are fewer.
        batch_size: how many pictures are read and predicted at a time.
        on_unreadable: called for each file that cannot be read, with its path and the error; it then has no prediction.
        with_distances: the same with the images' distances, taken instead where the answer may be unknown.

    Raises:
        ConfigError: `num_top` or `batch_size` is below 1, a single picture is given, or the answer may be unknown and
            there is no `with_distances`.
        NonFiniteLogitsError: the model gives NaN or infinity.
    """
    for name, value in (("num_top", num_top), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(f"{name} is {value}", hint="give 1 or more")
    if form.unknown is not None and with_distances is None:
        raise ConfigError(
            "the model's answer may be unknown, but nothing gives the distances of pictures", hint="give with_distances"
        )

    def outputs_of(images: UInt8[np.ndarray, "n c h w"]) -> _Outputs:
        if form.unknown is None or with_distances is None:
            return logits_of(images), None
        return with_distances(images)

    return _stream(outputs_of, _several(pictures), form, num_top, batch_size, on_unreadable)


def _several(pictures: Pictures) -> Sequence[PictureLike]:
    """The pictures one by one; ConfigError where a single one is given, whose rows would be taken for pictures."""
    single = "one picture is given, where several are expected"
    if isinstance(pictures, str | Path | Image.Image):
        raise ConfigError(single, hint="give a list: [picture]")
    if isinstance(pictures, HasArray):
        array = as_array(pictures, name="pictures")
        if array.ndim != 4:
            raise ConfigError(
                f"{single}, or an array without channels: {list(array.shape)}", hint="give a list: [picture]"
            )
        return list(array)
    return pictures if isinstance(pictures, Sequence) else list(pictures)


def predict_pictures(
    logits_of: LogitsOf,
    pictures: Pictures,
    *,
    form: PictureForm,
    num_top: int = NUM_TOP,
    batch_size: int = BATCH_SIZE,
    on_unreadable: OnUnreadable | None = None,
    with_distances: WithDistances | None = None,
) -> list[ImagePrediction]:
    """All predictions of `stream_predictions`.

    Raises:
        ImageError: files cannot be read, all of which it names, and there is no `on_unreadable`.
    """
    errors: list[ImageError] = []
    several = _several(pictures)
    found = stream_predictions(
        logits_of,
        several,
        form=form,
        num_top=num_top,
        batch_size=batch_size,
        on_unreadable=on_unreadable or (lambda path, error: errors.append(error)),
        with_distances=with_distances,
    )
    predictions = list(found)
    if errors:
        raise unreadable_error(errors, len(several), hint="replace them, or take them out")
    return predictions


def _stream(
    outputs_of: Callable[[UInt8[np.ndarray, "n c h w"]], _Outputs],
    pictures: Sequence[PictureLike],
    form: PictureForm,
    num_top: int,
    batch_size: int,
    on_unreadable: OnUnreadable,
) -> Iterator[ImagePrediction]:
    for batch in _read_batches(pictures, form, batch_size):
        read: list[tuple[str, UInt8[np.ndarray, "c h w"]]] = []
        for path, picture in batch:
            if isinstance(picture, ImageError):
                on_unreadable(path, picture)
            else:
                read.append((path, picture))
        if read:
            logits, distances = outputs_of(np.stack([picture for _, picture in read]))
            yield from answers_of([path for path, _ in read], logits, form, num_top=num_top, distances=distances)


def _read_batches(
    pictures: Sequence[PictureLike], form: PictureForm, batch_size: int
) -> Iterator[list[tuple[str, UInt8[np.ndarray, "c h w"] | ImageError]]]:
    if len(pictures) == 1:  # no threads for it: their import takes a hundredth of a second
        yield [(_name_of(0, pictures[0]), _read(form, 0, pictures[0]))]
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(num_processors())  # Pillow decodes without Python's lock
    remaining = iter(enumerate(pictures))

    def begin() -> list[tuple[str, Future[UInt8[np.ndarray, "c h w"] | ImageError]]]:
        chosen = list(islice(remaining, batch_size))
        return [(_name_of(*each), pool.submit(_read, form, *each)) for each in chosen]

    try:
        ahead = begin()
        while ahead:
            batch, ahead = ahead, begin()
            yield [(path, future.result()) for path, future in batch]
    finally:
        pool.shutdown(cancel_futures=True)


def _name_of(index: int, picture: PictureLike) -> str:
    return str(picture) if isinstance(picture, str | Path) else f"image {index}"


def _read(form: PictureForm, index: int, picture: PictureLike) -> UInt8[np.ndarray, "c h w"] | ImageError:
    try:
        if isinstance(picture, str | Path):
            return form.read(picture)
        return form.read(picture, name=_name_of(index, picture))
    except ImageError as error:
        return error

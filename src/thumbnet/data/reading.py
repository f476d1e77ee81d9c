"""What reads the pictures of a folder: as a rule by way of the cache; for a while, another reader of the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from thumbnet.data.picture_request import ReadPictures

_READER: ContextVar[ReadPictures | None] = ContextVar("reader of pictures", default=None)


@contextmanager
def reading_pictures_by(read: ReadPictures) -> Iterator[None]:
    """While this lasts, the pictures of folders are read by `read`, and not by way of the cache."""
    token = _READER.set(read)
    try:
        yield
    finally:
        _READER.reset(token)


def chosen_reader() -> ReadPictures | None:
    """The reader that was chosen; None for the cache."""
    return _READER.get()

"""What the server accepts, and how much memory it may use for it."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from thumbnet.errors import ConfigError
from thumbnet.export.server.defaults import MAX_BYTES, MAX_PIXELS

MOST_BYTES = 1_000_000_000  # what `max_bytes` may be at most
SMALL_REQUEST = 250_000  # bytes of a body: large ones, which may arrive slowly, do not hold up those that are smaller
SMALL_UPLOADS = 10_000_000  # bytes that all small requests' bodies take at a time
FORM_OVERHEAD = 100_000  # bytes of a form's boundaries and headers

# Memory that a decoder, its picture and the copies that are made of it take at most, measured; MPO is a kind of JPEG.
BYTES_PER_PIXEL = {"JPEG": 18, "MPO": 18, "WEBP": 18, "PNG": 14, "GIF": 14, "BMP": 14}
BYTES_PER_REDUCED_PIXEL = 9  # of a JPEG file that is decoded at a fraction of its size
FORMATS = tuple(BYTES_PER_PIXEL)


@dataclass(frozen=True)
class Limits:
    """Limits of a picture, and of a request.

    Args:
        max_bytes: of a picture's file.
        max_pixels: of a picture; twice as many of a JPEG file so large that it is decoded at a fraction of its size.
        max_pictures: of a request.
        idle_s, body_s: how long a client may send nothing, and how long it may take to send a request's body, seconds.
        max_requests: that are under way or wait at a time.
    """

    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    max_pictures: int = 32
    idle_s: float = 10
    body_s: float = 60
    max_requests: int = 512

    def __post_init__(self) -> None:
        if not 1 <= self.max_bytes <= MOST_BYTES:
            raise ConfigError(f"max_bytes is {self.max_bytes}", hint=f"give a number from 1 to {MOST_BYTES}")
        most = Image.MAX_IMAGE_PIXELS or self.max_pixels
        if not 1 <= self.max_pixels <= most:
            raise ConfigError(f"max_pixels is {self.max_pixels}", hint=f"give a number from 1 to {most}")

    @property
    def request_bytes(self) -> int:
        """The most that a request's body may have."""
        return 2 * self.max_bytes + FORM_OVERHEAD

    @property
    def upload_bytes(self) -> int:
        """The most that all large requests' bodies take at a time: other large requests wait."""
        return 2 * self.request_bytes

    @property
    def decoding_bytes(self) -> int:
        """The most that decoders and their pictures take at a time: other pictures wait."""
        return max(BYTES_PER_PIXEL.values()) * self.max_pixels

    def pixels_of(self, *, is_reduced: bool) -> int:
        """The most pixels of a picture, which may be decoded at a fraction of its size."""
        most = Image.MAX_IMAGE_PIXELS or 2 * self.max_pixels
        return min(2 * self.max_pixels, most) if is_reduced else self.max_pixels

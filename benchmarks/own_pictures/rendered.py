"""Pictures that are drawn: gauges whose needle is read, and textures of twelve families. The seeds are fixed.

Gauges are few classes that differ by a small part of the picture, unequal ones; textures have no shape at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from own_pictures.pictures import Drawn, file_of

GAUGE_SIDE = 224
GAUGE_COUNTS = {"low": 300, "normal": 1500, "high": 200}
GAUGE_RANGES = {"low": (0.02, 0.23), "normal": (0.27, 0.73), "high": (0.77, 0.98)}  # of the scale; marked on the dial
TEXTURE_SIDE = 96
TEXTURES_EACH = 150

Field = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def gauges(counts: dict[str, int] = GAUGE_COUNTS) -> Iterator[Drawn]:
    """Photographs, as it were, of a pressure gauge that stands low, normal or high."""
    random = np.random.default_rng(0)
    for name, count in counts.items():
        for index in range(count):
            image = _gauge(random, float(random.uniform(*GAUGE_RANGES[name])))
            yield Drawn(name, f"{index:04}.jpg", file_of(image, "JPEG", quality=int(random.integers(60, 96))))


def textures(each: int = TEXTURES_EACH) -> Iterator[Drawn]:
    """Twelve families, each in colours, scales and directions of its own."""
    random = np.random.default_rng(1)
    for name, field in FAMILIES.items():
        for index in range(each):
            yield Drawn(name, f"{index:04}.png", file_of(_texture(random, field)))


def _gauge(random: np.random.Generator, value: float) -> Image.Image:
    """A dial of random make, drawn at twice its size: tilted, lit from one side, with glare, noise and blur."""
    side = 2 * GAUGE_SIDE
    ground = random.integers(40, 220, 3)
    image = Image.new("RGB", (side, side), tuple(int(level) for level in ground))
    draw = ImageDraw.Draw(image)
    middle = side / 2 + random.uniform(-0.06, 0.06, 2) * side
    radius = side * random.uniform(0.32, 0.44)
    face = tuple(
        int(level) for level in (random.integers(205, 256, 3) if random.random() < 0.7 else random.integers(15, 60, 3))
    )
    ink = (20, 20, 20) if sum(face) > 300 else (235, 235, 235)
    rim = tuple(int(level) for level in random.integers(60, 160, 3))
    _disc(draw, middle, radius * 1.1, rim)
    _disc(draw, middle, radius, face)
    zero, span = math.radians(random.uniform(125, 145)), math.radians(random.uniform(255, 285))
    num_marks = int(random.integers(8, 13))
    for mark in range(num_marks + 1):
        angle = zero + span * mark / num_marks
        inner = 0.80 if mark % 2 else 0.74
        draw.line([*_at(middle, angle, radius * inner), *_at(middle, angle, radius * 0.9)], fill=ink, width=5)
    for begin, end in ((0.0, 0.25), (0.75, 1.0)):  # the zones of low and high
        box = [*(middle - radius * 0.95), *(middle + radius * 0.95)]
        zone = (200, 40, 30) if begin else (230, 170, 30)
        draw.arc(box, math.degrees(zero + span * begin), math.degrees(zero + span * end), fill=zone, width=8)
    angle = zero + span * value
    needle = ink if random.random() < 0.5 else (190, 30, 30)
    length = radius * random.uniform(0.62, 0.82)
    draw.line(
        [*_at(middle, angle + math.pi, radius * 0.15), *_at(middle, angle, length)],
        fill=needle,
        width=int(random.integers(6, 12)),
    )
    _disc(draw, middle, radius * 0.07, needle)
    tilted = image.rotate(
        random.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=tuple(int(level) for level in ground)
    )
    small = tilted.resize((GAUGE_SIDE, GAUGE_SIDE), Image.Resampling.LANCZOS)
    blurred = small.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.6)))
    rows, columns = np.mgrid[0:GAUGE_SIDE, 0:GAUGE_SIDE] / GAUGE_SIDE
    direction = random.uniform(0, 2 * math.pi)
    light = 1 + random.uniform(0, 0.45) * (np.cos(direction) * (columns - 0.5) + np.sin(direction) * (rows - 0.5))
    spot = random.uniform(0.25, 0.75, 2)
    glare = random.uniform(0, 120) * np.exp(
        -((rows - spot[0]) ** 2 + (columns - spot[1]) ** 2) / random.uniform(0.004, 0.02)
    )
    pixels = np.asarray(blurred, np.float64) * light[..., None] * random.uniform(0.6, 1.15) + glare[..., None]
    pixels += random.normal(0, random.uniform(1, 10), pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _disc(draw: ImageDraw.ImageDraw, middle: np.ndarray, radius: float, fill: tuple[int, ...]) -> None:
    draw.ellipse([*(middle - radius), *(middle + radius)], fill=fill)


def _at(middle: np.ndarray, angle: float, distance: float) -> tuple[float, float]:
    return float(middle[0] + distance * math.cos(angle)), float(middle[1] + distance * math.sin(angle))


def _texture(random: np.random.Generator, field: Field) -> Image.Image:
    """A field of values between two random colours, turned and scaled at random, with light and noise."""
    rows, columns = np.mgrid[0:TEXTURE_SIDE, 0:TEXTURE_SIDE] / TEXTURE_SIDE - 0.5
    angle, scale = random.uniform(0, 2 * math.pi), random.uniform(5, 11)
    x = scale * (np.cos(angle) * columns - np.sin(angle) * rows) + random.uniform(0, 50)
    y = scale * (np.sin(angle) * columns + np.cos(angle) * rows) + random.uniform(0, 50)
    values = np.clip(field(random, x, y), 0, 1)
    values = values + random.normal(0, 0.06, values.shape) + random.uniform(-0.4, 0.4) * rows
    dark, bright = np.sort(random.uniform(0, 255, (2, 3)), axis=0)
    bright = np.maximum(bright, dark + 40)
    if random.random() < 0.5:
        dark, bright = bright, dark
    pixels = dark + np.clip(values, 0, 1)[..., None] * (bright - dark)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _smooth_noise(random: np.random.Generator, x: np.ndarray, y: np.ndarray, num_waves: int = 12) -> np.ndarray:
    """A sum of waves in random directions, from about -1 to 1."""
    total = np.zeros_like(x)
    for _ in range(num_waves):
        direction, frequency, phase = (
            random.uniform(0, 2 * math.pi),
            random.uniform(0.3, 2.2),
            random.uniform(0, 2 * math.pi),
        )
        total += np.sin(frequency * (np.cos(direction) * x + np.sin(direction) * y) + phase)
    return total / math.sqrt(num_waves)


def _cells(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest and second nearest of random points, about one a unit square."""
    low = np.array([x.min(), y.min()]) - 1
    size = np.array([x.max(), y.max()]) + 1 - low
    points = low + random.uniform(0, 1, (int(size.prod()), 2)) * size
    squared = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
    nearest = np.sqrt(np.partition(squared, 1, axis=-1)[..., :2])
    return nearest[..., 0], nearest[..., 1]


def _stripes(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(4 * np.sin(2.5 * x + 0.3 * _smooth_noise(random, x, y)))


def _checker(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((np.floor(x) + np.floor(y)) % 2) * random.uniform(0.7, 1)


def _voronoi(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _cells(random, x, y)[0] * 1.3


def _cracks(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    first, second = _cells(random, 0.7 * x, 0.7 * y)
    return np.clip((second - first) * 6, 0, 1)


def _clouds(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.5 + 0.3 * (_smooth_noise(random, 0.5 * x, 0.5 * y) + 0.5 * _smooth_noise(random, 1.5 * x, 1.5 * y))


def _bricks(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    row = np.floor(1.6 * y)
    across, up = (0.8 * x + 0.5 * (row % 2)) % 1, (1.6 * y) % 1
    mortar = np.minimum(np.minimum(across, 1 - across) * 2, np.minimum(up, 1 - up)) < random.uniform(0.07, 0.13)
    return np.where(mortar, 0.1, 0.7 + 0.2 * np.sin(7.3 * row + 3.1 * np.floor(0.8 * x + 0.5 * (row % 2))))


def _weave(_random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    over = (np.floor(x) + np.floor(y)) % 2 == 0
    return np.where(over, np.sin(math.pi * (x % 1)), np.sin(math.pi * (y % 1))) * np.where(over, 1.0, 0.75)


def _dots(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    distance = np.hypot(x % 1 - 0.5, y % 1 - 0.5)
    return np.clip((random.uniform(0.22, 0.38) - distance) * 12, 0, 1)


def _marble(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 - np.abs(np.sin(0.8 * x + 1.8 * _smooth_noise(random, x, y))) ** 0.5


def _wood(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    along = 0.25 * x
    return 0.5 + 0.5 * np.sin(5 * (y + 0.5 * _smooth_noise(random, along, 0.6 * y)) + 0.2 * np.sin(9 * y))


def _scales(_random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    row = np.floor(2 * y)
    across = (x + 0.5 * (row % 2)) % 1 - 0.5
    return np.clip(1.4 * np.hypot(across, 0.5 * ((2 * y) % 1)), 0, 1)


def _rings(random: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    middle = np.array([x.mean(), y.mean()]) + random.uniform(-2, 2, 2)
    return 0.5 + 0.5 * np.sin(random.uniform(4, 7) * np.hypot(x - middle[0], y - middle[1]))


FAMILIES: dict[str, Field] = {
    "bricks": _bricks, "checker": _checker, "clouds": _clouds, "cracks": _cracks, "dots": _dots, "marble": _marble,
    "rings": _rings, "scales": _scales, "stripes": _stripes, "voronoi": _voronoi, "weave": _weave, "wood": _wood,
}  # fmt: skip

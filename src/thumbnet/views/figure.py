"""What the pictures share: one style, images shown pixel by pixel, text that fits, a PNG written whole or not at all.

Lengths are pixels of the saved file (`_px`) at DPI; text sizes are points. pyplot and its global list of figures are
never used, and the user's matplotlib settings neither change a picture nor are changed by one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeAlias

import matplotlib.style
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from torch import Tensor

from thumbnet.atomic import write_atomically
from thumbnet.errors import ConfigError
from thumbnet.views.fonts import FONTS, drawable

DPI = 120
EXACT_PX = 15  # 1/8 inch at 120 dpi: such sizes are exact in binary, so no pixel is lost to rounding
TEXT_PT = 9.5
INK, MUTED, FRAME, GRID = "#222222", "#666666", "#c8c8c8", "#e6e6e6"
# Okabe and Ito's palette, told apart by colour-blind readers (jfly.uni-koeln.de/color), less its black and its yellow.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
DEEP_VERMILION = "#b34f00"  # for text, with a contrast above 4.5 on white


STYLE: dict[str, str | float | bool | list[str]] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": FONTS,
    "font.size": TEXT_PT,
    "text.color": INK,
    "text.parse_math": False,  # a class name may hold dollar signs
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": FRAME,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FRAME,
    "ytick.color": FRAME,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}

_is_only_saved: ContextVar[bool] = ContextVar("a figure is only saved", default=False)

Arguments = ParamSpec("Arguments")
Images: TypeAlias = UInt8[Tensor, "n c h w"] | UInt8[np.ndarray, "n c h w"]


class View(Figure):
    """A matplotlib Figure in our style that a notebook shows as it is saved."""

    def _repr_png_(self) -> bytes:
        return png_bytes(self)


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Decorate a drawing function: it runs in our style, and its figure looks the same however it is shown later.

    Its texts, and the names in its arguments, are made `drawable` first. It is drawn once for that, unless it is
    `only_saved`.
    """

    @wraps(draw)
    def draw_styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.style.context(STYLE, after_reset=True):
            figure = draw(*map(_drawable_names, args), **{name: _drawable_names(kwargs[name]) for name in kwargs})  # type: ignore[arg-type]
            for text in figure.findobj(Text):
                text.set_text(drawable(text.get_text()))
            if not _is_only_saved.get():
                figure.draw_without_rendering()  # ticks take their style when first drawn
        return figure

    return draw_styled


def _drawable_names(argument: object) -> object:
    if isinstance(argument, str):
        return drawable(argument)
    if isinstance(argument, list | tuple) and argument and all(isinstance(item, str) for item in argument):
        return [drawable(item) for item in argument]
    return argument


def new_figure(width_px: float, height_px: float) -> Figure:
    """An empty figure of at least this size, rounded up to whole multiples of EXACT_PX."""
    width, height = (math.ceil(size / EXACT_PX) * EXACT_PX / DPI for size in (width_px, height_px))
    figure = View(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def message_figure(message: str) -> Figure:
    """A small figure that says why there is nothing to draw."""
    figure = new_figure(text_width_px(message, TEXT_PT) + 120, 120)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, fontsize=TEXT_PT)
    return figure


def display_images(images: Images) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Images [N,C,H,W], grey or coloured, as N arrays [H,W,3]: matplotlib shows these values unchanged."""
    array = images.cpu().numpy() if isinstance(images, Tensor) else images
    assert array.shape[1] in (1, 3)
    return [np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0) for image in array]


def image_scale(images: Images, max_side_px: int) -> float:
    """The largest whole magnification at which images fit a square of `max_side_px`; below 1 for larger images."""
    side = max(images.shape[2:])
    return float(max_side_px // side) if side <= max_side_px else max_side_px / side


def place_image(
    figure: Figure, image: UInt8[np.ndarray, "h w 3"], *, left_px: float, top_px: float, scale: float
) -> Axes:
    """Show an image magnified `scale` times, without ticks, its upper left corner at this place from the upper left."""
    canvas_width, canvas_height = figure.bbox.width, figure.bbox.height
    width, height = image.shape[1] * scale, image.shape[0] * scale
    box = (left_px / canvas_width, 1 - (top_px + height) / canvas_height, width / canvas_width, height / canvas_height)
    axes = figure.add_axes(box, xticks=[], yticks=[])
    # Enlarged pixels stay squares; a reduced image is smoothed, or it would lose whole rows.
    interpolation = "nearest" if scale >= 1 else "hanning"
    axes.imshow(image, interpolation=interpolation, aspect="auto")
    axes.spines[:].set(visible=False)
    return axes


def text_width_px(text: str, size_pt: float) -> float:
    """Width of one line of text in pixels of the saved file."""
    return _width_px(drawable(text), size_pt, tuple(FONTS))


@lru_cache(maxsize=10_000)
def _width_px(text: str, size_pt: float, fonts: tuple[str, ...]) -> float:
    font = FontProperties(family=list(fonts), size=size_pt)
    return float(RendererAgg(1, 1, DPI).get_text_width_height_descent(text, font, ismath=False)[0])


def line_height_px(size_pt: float) -> float:
    """Height of one line of text in pixels of the saved file, its spacing included."""
    return 1.25 * size_pt * DPI / 72  # 72 points an inch


def wrap_text(text: str, *, width_px: float, size_pt: float) -> str:
    """`text` broken into lines of at most `width_px`: between words where possible, within a word that is too long."""
    lines = [""]
    for word in drawable(text).split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width_px(joined, size_pt) <= width_px:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and text_width_px(lines[-1] + letter, size_pt) > width_px:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines)


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with matplotlib.style.context(STYLE, after_reset=True):
        # No Software entry: it names matplotlib's version, which would change the bytes of an equal picture.
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def only_saved() -> Iterator[None]:
    """While this lasts, styled functions draw figures that are saved and not shown otherwise: they are drawn once less,
    and as they are saved in our style, they look the same."""
    token = _is_only_saved.set(True)
    try:
        yield
    finally:
        _is_only_saved.reset(token)


def svg_text(figure: Figure) -> str:
    """The figure as an SVG file, letters as outlines; equal figures give equal texts."""
    buffer = io.StringIO()
    with matplotlib.style.context([STYLE, {"svg.hashsalt": "thumbnet"}], after_reset=True):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Figure], bytes | str]] = {".png": png_bytes, ".svg": svg_text}


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write the figure as a PNG or SVG file; an existing one is replaced by a whole one or stays as it was.

    Raises:
        ConfigError: the path ends in neither .png nor .svg, or cannot be written.
    """
    path = Path(path)
    as_format = FORMATS.get(path.suffix.lower())
    if as_format is None:
        raise ConfigError(f"cannot save a picture as {path.name!r}", hint=f"end the name in {' or '.join(FORMATS)}")
    content = as_format(figure)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in a folder that you may write"
        ) from error

"""HEIC and AVIF: pictures of phones and of the web, for which Pillow may need a plug-in. Without PyTorch.

Pillow never reads HEIC by itself: `pillow-heif` does (the extra `heic`). It reads AVIF since version 11.3 as a rule,
and `pillow-avif-plugin` does in others. A plug-in is imported only when a file of its kind is met.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.util import find_spec
from io import BufferedReader, BytesIO
from typing import TypeAlias

from PIL import Image

from thumbnet.errors import ImageError

PLUGIN_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".avif"})  # which no Pillow may have registered
FIRST_BYTES = 64  # the `ftyp` box, in which a file names the brands that it obeys
BRAND_BYTES = 4

Content: TypeAlias = BufferedReader | BytesIO  # of a file


@dataclass(frozen=True)
class Plugin:
    """What reads a kind of pictures: `module`, from the distribution `package`, which gives Pillow the format `format`.

    `brands` are those of the kind's files (ISO/IEC 23008-12 and AV1 Image File Format).
    """

    kind: str
    format: str
    brands: frozenset[bytes]
    module: str
    package: str
    register: Callable[[], None]
    hint: str

    def is_installed(self) -> bool:
        return find_spec(self.module) is not None


def _register_heif() -> None:
    importlib.import_module("pillow_heif").register_heif_opener()


def _register_avif() -> None:
    importlib.import_module("pillow_avif")  # which registers itself


# AVIF first: its files may name the general brands of HEIC, too.
PLUGINS = (
    Plugin(
        kind="an AVIF",
        format="AVIF",
        brands=frozenset({b"avif", b"avis"}),
        module="pillow_avif",
        package="pillow-avif-plugin",
        register=_register_avif,
        hint="pip install --upgrade pillow, or pip install pillow-avif-plugin",
    ),
    Plugin(
        kind="a HEIC",
        format="HEIF",
        brands=frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}),
        module="pillow_heif",
        package="pillow-heif",
        register=_register_heif,
        hint="pip install 'thumbnet[heic]'",
    ),
)


def plugin_for(start: bytes) -> Plugin | None:
    """The plug-in for a file that begins with these bytes; None where it is of another kind."""
    if start[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(start[:4], "big"), len(start))
    brands = {start[place : place + BRAND_BYTES] for place in (8, *range(16, end, BRAND_BYTES))}
    return next((plugin for plugin in PLUGINS if brands & plugin.brands), None)


def add_plugin_for(content: Content, formats: Collection[str]) -> bool:
    """Give Pillow the plug-in that a file needs which it could not open; whether it is now worth another try.

    Not to be called by two threads at once. A plug-in that is registered already stays as it is, and none is added for
    a format that is not among `formats`.

    Raises:
        ImageError: the plug-in is not installed, or cannot be imported.
    """
    content.seek(0)
    plugin = plugin_for(content.read(FIRST_BYTES))
    if plugin is None or plugin.format not in formats or _is_in_use(plugin):
        return False
    if not plugin.is_installed():
        raise ImageError(
            f"it is {plugin.kind} picture, and the package that reads these, {plugin.package}, is not installed",
            hint=plugin.hint,
        )
    try:
        plugin.register()
    except (ImportError, OSError) as error:
        raise ImageError(
            f"it is {plugin.kind} picture, and {plugin.package}, which reads these, cannot be imported: {error}",
            hint=f"pip install --force-reinstall {plugin.package}",
        ) from error
    return True


def _is_in_use(plugin: Plugin) -> bool:
    """Whether Pillow reads the format already. It registers AVIF even where it was built without it."""
    return plugin.format in Image.OPEN and (plugin.format != "AVIF" or find_spec("PIL._avif") is not None)

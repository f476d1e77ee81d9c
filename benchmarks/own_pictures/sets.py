"""The sets by name: how each is made, whether its pictures may be mirrored, and whether rules may be tuned on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from own_pictures import cifar_subsets, icons, letters, rendered, shipped
from own_pictures.folders import MadeSet, make_set
from own_pictures.packages import Packages
from own_pictures.pictures import Drawn


@dataclass(frozen=True)
class Place:
    """Where sets are made: `keep` has packages/ and sets/; `cifar` is the folder of CIFAR-10's files, if it is here."""

    keep: Path
    cifar: str | None

    @property
    def packages(self) -> Packages:
        return Packages(self.keep / "packages")


@dataclass(frozen=True)
class PictureSet:
    """A set. `flips`: a mirrored picture is still of its class. `held_out`: never for tuning, scored once."""

    title: str
    make: Callable[[Place], Iterator[Drawn]]
    flips: bool
    held_out: bool = False


def _cifar(each: int) -> Callable[[Place], Iterator[Drawn]]:
    def make(place: Place) -> Iterator[Drawn]:
        assert place.cifar is not None
        return cifar_subsets.cifar(place.cifar, each)

    return make


CIFAR_SIZES = {"cifar-50": 50, "cifar-500": 500, "cifar-5000": 5000}
SETS: dict[str, PictureSet] = {
    "solar": PictureSet("solar cells, defective or not", lambda place: shipped.solar(place.packages), flips=True),
    "digits": PictureSet("handwritten digits, 8x8", lambda place: shipped.digits(), flips=False),
    "handwritten": PictureSet(
        "handwritten digits, 28x28", lambda place: shipped.handwritten(place.packages), flips=False
    ),
    "emoji": PictureSet("emoji by category", lambda place: shipped.emoji(place.packages), flips=False),
    "gauges": PictureSet("gauges: low, normal, high", lambda place: rendered.gauges(), flips=False),
    "textures": PictureSet("textures of twelve families", lambda place: rendered.textures(), flips=True),
    **{
        name: PictureSet(f"CIFAR-10, {each:,} pictures a class", _cifar(each), flips=True)
        for name, each in CIFAR_SIZES.items()
    },
    "icons": PictureSet(
        "icons by the family they are drawn in",
        lambda place: icons.icons(place.packages, place.keep / "scratch"),
        flips=False,  # was held out until its ten minutes of 2026-11-30 showed what the rule lacked
    ),
    "letters": PictureSet(
        "printed letters, test fonts unseen", lambda place: letters.letters(place.packages), flips=False, held_out=True
    ),
    "stamps": PictureSet(
        "drawings and photographs by theme", lambda place: shipped.stamps(place.packages), flips=True, held_out=True
    ),
    "clipart": PictureSet(
        "clip art by theme", lambda place: shipped.clipart(place.packages), flips=True, held_out=True
    ),
}


def made(name: str, place: Place) -> MadeSet:
    """The set, made if it is not there yet."""
    return make_set(place.keep / "sets" / name, SETS[name].make(place))

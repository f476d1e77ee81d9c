"""How many images of each class are suspected, or would be left out: a class that loses much may lose what is looked
for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from scipy.stats import binomtest

from thumbnet.data_check.suspects import Suspect, SuspectKind
from thumbnet.terminal.text import counted

TIMES_SHARE = 2  # a class that loses more than so many times the share of the other images is warned of
MAX_CHANCE = 0.01  # probability of losing so many, or more, if all classes lost the same share

KindCounts = Mapping[str, Mapping[str, int]]  # by class, then by kind


@dataclass(frozen=True)
class Loss:
    """Images of a class that a file lists, each counted once, beside those of all classes and of all others."""

    file: str
    class_name: str
    num_listed: int
    num_images: int
    share_of_all: float
    share_of_others: float

    @property
    def share(self) -> float:
        return self.num_listed / self.num_images

    def __str__(self) -> str:
        return (
            f"{self.file} lists {self.num_listed:,} of the {counted(self.num_images, 'image')} of class "
            f"{self.class_name!r} ({self.share:.1%}), but {self.share_of_others:.1%} of the other images: what is "
            "unusual may be what you look for"
        )

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return {**asdict(self), "share": self.share, "warning": str(self)}


def count_kinds(suspects: Sequence[Suspect], class_names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The number of suspects by class and kind; an image that is suspected of two kinds counts for both."""
    counts = Counter((suspect.label, suspect.kind) for suspect in suspects)
    return {name: {kind: counts[name, kind] for kind in get_args(SuspectKind)} for name in class_names}


def large_losses(suspects: Sequence[Suspect], class_sizes: Mapping[str, int], *, file: str) -> tuple[Loss, ...]:
    """The classes of which `file`, with these suspects, lists more than TIMES_SHARE times the share of the other
    images, and more than chance would: the largest share first. (Of all images, no class with half of them could.)"""
    listed = Counter(label for _, label in {(suspect.index, suspect.label) for suspect in suspects})
    num_listed, num_images = listed.total(), sum(class_sizes.values())
    share = num_listed / num_images
    losses = []
    for name, number in listed.items():
        size = class_sizes[name]
        others = (num_listed - number) / max(1, num_images - size)
        by_chance = binomtest(number, size, share, alternative="greater").pvalue
        if number / size > TIMES_SHARE * others and by_chance < MAX_CHANCE:
            losses.append(Loss(file, name, number, size, share, others))
    return tuple(sorted(losses, key=lambda loss: -loss.share))

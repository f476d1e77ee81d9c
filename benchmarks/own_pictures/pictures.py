"""What a set is made of: pictures with their class, and which of them belong on one side of a split."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

TEST_SHARE = 0.25


@dataclass(frozen=True)
class Drawn:
    """One picture: the bytes of its file, and where it goes.

    Pictures of one `group` (of the same object, or in the same hand) are never on two sides of a split; without a group
    a picture stands alone. `split` is "train" or "test" where the set has a test split of its own.
    """

    class_name: str
    name: str
    content: bytes
    group: str = ""
    split: str = ""

    @property
    def path(self) -> str:
        """Below the folder of a split."""
        return f"{self.class_name}/{self.name}"


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture's file."""
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def in_test(labels: Sequence[str], groups: Sequence[str], *, share: float = TEST_SHARE, salt: str = "") -> list[bool]:
    """Which pictures are for test: whole groups, of each class as near to `share` as they allow.

    Groups are taken in an order that hangs on their names and `salt` alone; each goes to test if that brings its
    classes nearer to their shares. Independent of thumbnet's own code: a set stays as it is when that changes.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    totals = Counter(labels)
    taken: Counter[str] = Counter()
    is_test = [False] * len(labels)

    def order(group: str) -> str:
        return hashlib.sha256(f"{salt}:{group}".encode()).hexdigest()

    for group in sorted(members, key=order):
        counts = Counter(labels[index] for index in members[group])
        gain = sum(
            (taken[name] / totals[name] - share) ** 2 - ((taken[name] + number) / totals[name] - share) ** 2
            for name, number in counts.items()
        )
        if gain > 0:
            taken.update(counts)
            for index in members[group]:
                is_test[index] = True
    return is_test


def divided(pictures: Iterable[Drawn], *, share: float = TEST_SHARE, salt: str = "") -> dict[str, list[Drawn]]:
    """The pictures of `train` and of `test`; SystemExit where a class has none on one side."""
    everything = sorted(pictures, key=lambda drawn: drawn.path)
    known = [drawn.split for drawn in everything if drawn.split]
    if known:
        assert len(known) == len(everything)
        is_test = [drawn.split == "test" for drawn in everything]
    else:
        groups = [drawn.group or f"/{drawn.path}" for drawn in everything]
        is_test = in_test([drawn.class_name for drawn in everything], groups, share=share, salt=salt)
    parts = {
        name: [drawn for drawn, test in zip(everything, is_test, strict=True) if test == (name == "test")]
        for name in ("train", "test")
    }
    classes = {drawn.class_name for drawn in everything}
    for name, part in parts.items():
        missing = sorted(classes - {drawn.class_name for drawn in part})
        if missing:
            raise SystemExit(f"class {missing[0]} has no picture for {name}: it has too few groups")
    return parts

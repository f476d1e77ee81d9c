"""Things known by name: thumbnet's own, what `register` adds, and what installed packages bring as entry points."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from thumbnet.errors import ConfigError, ThumbnetError
from thumbnet.specs.checks import did_you_mean

T = TypeVar("T")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Registry(Mapping[str, T], Generic[T]):
    """Things of one kind by name: thumbnet's own first, then the registered ones, then those of installed packages.

    A package is imported only when its thing is looked up, so one that is broken hinders nothing else.

    Args:
        kind: what they are, for messages: "model".
        group: the group of entry points in which packages name theirs: "thumbnet.models".
        own: thumbnet's own.
        error: what is raised for an unknown name.
    """

    def __init__(
        self, kind: str, group: str, own: Mapping[str, T], *, error: type[ThumbnetError] = ConfigError
    ) -> None:
        self.kind, self.group = kind, group
        self._own, self._error = dict(own), error
        self._added: dict[str, T] = {}

    def register(self, name: str, thing: T, *, replace: bool = False) -> None:
        """Add a thing of the user's.

        Args:
            name: lower-case letters, digits, `-`, `_` and `.`.
            replace: take the place of one that was registered before.

        Raises:
            ConfigError: the name is no such word, is taken, or is that of one of thumbnet's own.
        """
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for a {self.kind}", hint="use lower-case letters, digits, '-', '_' and '.'"
            )
        if name in self._own:
            raise ConfigError(f"the {self.kind} {name!r} is one of thumbnet's own", hint="choose another name")
        if name in self and not replace:
            raise ConfigError(
                f"a {self.kind} {name!r} is there already", hint="choose another name, or give replace=True"
            )
        self._added[name] = thing

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Forget at the end what was registered inside, for tests."""
        before = dict(self._added)
        try:
            yield
        finally:
            self._added = before

    def __getitem__(self, name: str) -> T:
        """The thing called `name`; the registry's error if there is none, or if its package cannot be loaded."""
        for things in (self._own, self._added):
            if name in things:
                return things[name]
        found = self._installed().get(name)
        if found is None:
            guess = did_you_mean(name, self)
            raise self._error(f"unknown {self.kind} {name!r}", hint=f"{guess}choose one of {', '.join(self)}")
        try:
            thing = cast("T", found.load())
        except Exception as error:  # whatever another package's import raises
            raise self._error(
                f"the {self.kind} {name!r} of the package {found.package} cannot be loaded: {error}",
                hint="mend or uninstall that package",
            ) from error
        return thing

    def added(self) -> dict[str, T]:
        """What was registered in this process."""
        return dict(self._added)

    def add_missing(self, things: Mapping[str, T]) -> None:
        """Register what another process registered, unless it is registered here."""
        self._added = {**things, **self._added}

    def without_packages(self) -> dict[str, T]:
        """Thumbnet's own things and the registered ones: those that no package must be imported for."""
        return {**self._own, **self._added}

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._added or name in self._installed()

    def __iter__(self) -> Iterator[str]:
        installed = self._installed()
        for name in self._own:
            if name in installed:
                raise self._error(
                    f"the package {installed[name].package} also has a {self.kind} {name!r}, as thumbnet has",
                    hint="mend or uninstall that package",
                )
        yield from dict.fromkeys([*self._own, *self._added, *installed])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _installed(self) -> dict[str, _Installed]:
        return _entry_points(self.group, tuple(sys.path))


@dataclass(frozen=True)
class _Installed:
    """What an entry point says: where the thing is, in which package, and how to get it."""

    value: str
    package: str
    load: Callable[[], object]


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> dict[str, _Installed]:
    """The entry points of a group, by name; `path` is sys.path, on which packages are looked for.

    They are of one of two classes: once anything imports importlib_metadata, as Dask does, of that package's.
    """
    points: dict[str, _Installed] = {}
    for point in entry_points(group=group):
        package = point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"
        found = _Installed(point.value, package, point.load)
        other = points.setdefault(point.name, found)
        if other.value != found.value:
            raise ConfigError(
                f"two packages bring {point.name!r} for {group}: {other.package} and {found.package}",
                hint="uninstall one of them",
            )
    return points

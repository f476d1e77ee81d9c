"""Code of the user's own, by reference (code_reference.py): executed, looked up, given in Python. Imports no torch.

A file is executed once in a process, as a module of its own; it may import what is installed, nothing that lies beside
it. That of a run is executed only where this was allowed (`trust_code`), or where the very same file ran before.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from thumbnet.errors import ConfigError, RunError
from thumbnet.specs.code_reference import GIVE_AGAIN, GIVEN, NUM_DIGITS, Reference, reference_of
from thumbnet.specs.data import expanded
from thumbnet.specs.trust import TRUST_HINT, is_trusted, trusting
from thumbnet.terminal.streams import tell

COPY = "code-"  # what the name of a file's copy in a run begins with


@dataclass(frozen=True)
class OwnFile:
    """A file that was executed here."""

    name: str
    content: bytes
    sha256: str
    module: ModuleType


_executed: dict[tuple[str, str], OwnFile] = {}  # by name and SHA-256
_given: dict[str, object] = {}  # by name


def resolved_reference(text: str) -> str:
    """A reference with the name of its file and the digits of its content, which is read and executed now.

    Anything else, and a reference that is resolved already, stays as it is.

    Raises:
        ConfigError: there is no such file, it cannot be executed, or has no such name.
    """
    reference = reference_of(text)
    if reference is None or reference.digits:
        return text
    path = expanded(reference.file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the file of {text} cannot be read: {error.strerror}", hint="check the path") from error
    file = _execute(path.name, content, place=path)
    resolved = Reference(file.name, reference.name, file.sha256[:NUM_DIGITS])
    _attribute(file, reference.name)
    return str(resolved)


def thing_of(text: str, *, again: str = GIVE_AGAIN) -> object:
    """What a reference names: a class, a function, whatever the file calls so; `again` is the hint where it was given
    in another process.

    Raises:
        ConfigError: there is no such file or name; RunError: it was not executed or given in this process.
    """
    if text.startswith(GIVEN):
        if text not in _given:
            name = text.removeprefix(GIVEN)
            raise RunError(f"{name} was given in Python, and is in no file", hint=again.format(name))
        return _given[text]
    reference = reference_of(resolved_reference(text))
    assert reference is not None
    return _attribute(_file_of(reference), reference.name)


def file_of(text: str) -> OwnFile | None:
    """The executed file that a resolved reference is into; None where it is none into a file."""
    reference = reference_of(text)
    return None if reference is None or not reference.digits else _file_of(reference)


def allow_from_run(text: str, content: Callable[[str], bytes], *, run: Path) -> None:
    """Execute the file that a run keeps for a resolved reference, if that is allowed; if it ran before, do nothing.

    Args:
        content: gives what the run keeps by the file's name.
        run: the run's folder, for errors.

    Raises:
        RunError: it is not allowed, is not the file that the run was trained with, or none that a run keeps;
            ConfigError: it cannot be executed.
    """
    reference = reference_of(text)
    if reference is None:
        return
    if not reference.digits:  # as no run is written: it would be a file of this machine
        raise RunError(f"{run} names code that it does not keep: {text}", hint="restore it from a copy, or train again")
    kept = content(reference.file)
    digest = hashlib.sha256(kept).hexdigest()
    if not digest.startswith(reference.digits):
        raise RunError(
            f"{reference.file} of the run {run} is not the file that it was trained with: its SHA-256 is {digest}",
            hint="restore it from a copy, or train again",
        )
    if (reference.file, digest) in _executed:
        return
    what = f"{run} was trained with code of its own, {reference.file} (SHA-256 {digest[:NUM_DIGITS]}...)"
    if not is_trusted():
        raise RunError(f"{what}, which would be executed", hint=TRUST_HINT)
    tell(f"{what}: it is executed.")
    _execute(reference.file, kept, place=run / reference.file)


def receive(text: str, content: bytes) -> None:
    """Execute the file of a resolved reference, which another process of the same command has executed and sent."""
    reference = reference_of(text)
    if reference is not None:
        _execute(reference.file, content, place=Path(reference.file))


def give(thing: object) -> str:
    """The name by which a config has a class, a function or an object of the user's.

    One of a file that is a module by itself is a reference to that file; any other is kept for this process.
    """
    name = getattr(thing, "__name__", type(thing).__name__)
    path = _own_module(thing)
    if path is not None:
        return str(Reference(str(path), name))
    _given[f"{GIVEN}{name}"] = thing
    return f"{GIVEN}{name}"


def give_again(name: str, thing: object) -> None:
    """Give what a config has by this name once more, in another process; None: nothing is given.

    Raises:
        ConfigError: the config has another name.
    """
    if thing is None:
        return
    called = f"{GIVEN}{getattr(thing, '__name__', type(thing).__name__)}"
    if called != name:
        raise ConfigError(f"model is {called.removeprefix(GIVEN)}, but the run's is {name}", hint="leave model out")
    _given[called] = thing


@dataclass(frozen=True)
class CodeHere:
    """What a process may execute, has executed (name, content and place of each file) and was given, for another one
    that does a part of its work."""

    is_trusted: bool
    files: tuple[tuple[str, bytes, str], ...]
    given: Mapping[str, object]


def code_here() -> CodeHere:
    """That of this process."""
    files = tuple((file.name, file.content, str(file.module.__file__)) for file in _executed.values())
    return CodeHere(is_trusted(), files, dict(_given))


@contextmanager
def with_code(code: CodeHere) -> Iterator[None]:
    """Execute the files, and allow and have what the other process did, while this lasts."""
    for name, content, place in code.files:
        _execute(name, content, place=Path(place))
    _given.update(code.given)
    with trusting(code.is_trusted):
        yield


def _file_of(reference: Reference) -> OwnFile:
    for (name, digest), file in _executed.items():
        if name == reference.file and digest.startswith(reference.digits):
            return file
    raise RunError(f"{reference} is code of a run's, which is not executed here", hint=TRUST_HINT)


def _attribute(file: OwnFile, name: str) -> object:
    if not hasattr(file.module, name):
        own = [
            each
            for each, value in vars(file.module).items()
            if getattr(value, "__module__", "") == file.module.__name__
        ]
        raise ConfigError(
            f"{file.name} has no {name!r}", hint=f"it has {', '.join(own)}" if own else "it defines nothing"
        )
    return getattr(file.module, name)


def _execute(name: str, content: bytes, *, place: Path) -> OwnFile:
    """Execute a file's content, once; ConfigError with its line where that fails."""
    digest = hashlib.sha256(content).hexdigest()
    if (name, digest) in _executed:
        return _executed[name, digest]
    module = ModuleType(f"thumbnet_own_code_{digest[:NUM_DIGITS]}")
    module.__file__ = str(place)
    before = {*sys.modules, module.__name__}
    sys.modules[module.__name__] = module  # where dataclasses look for the module of a class
    try:
        exec(compile(content, str(place), "exec"), vars(module))  # noqa: S102  # what this module is for
    except (Exception, SystemExit) as error:  # whatever code of others raises
        del sys.modules[module.__name__]
        raise ConfigError(
            f"{place} cannot be executed: {_line_of(error, place)}{type(error).__name__}: {error}",
            hint="see that `python` runs it",
        ) from error
    beside = [each for each in set(sys.modules) - before if _lies_in(each, place.resolve().parent)]
    if beside:
        raise ConfigError(
            f"{place} imports {min(beside)}, which lies beside it and which no run would keep",
            hint="put all of it into one file, or install the other as a package",
        )
    _executed[name, digest] = OwnFile(name, content, digest, module)
    return _executed[name, digest]


def _line_of(error: BaseException, place: Path) -> str:
    if isinstance(error, SyntaxError):
        return "" if error.lineno is None else f"line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(place)]
    return f"line {lines[-1]}: " if lines else ""


def _lies_in(name: str, folder: Path) -> bool:
    """Whether a module was found right in the folder, by itself or as a package."""
    outermost = sys.modules.get(name.partition(".")[0])
    file = getattr(outermost, "__file__", None)
    if file is None:
        return False
    place = Path(file).resolve().parent
    return (place.parent if hasattr(outermost, "__path__") else place) == folder


def _own_module(thing: object) -> Path | None:
    """The file of a class or function that can be found in it by its name again: a module by itself, no script."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    if not (inspect.isclass(thing) or inspect.isfunction(thing)) or module is None or module.__name__ == "__main__":
        return None
    file = getattr(module, "__file__", None)
    is_alone = not module.__name__.count(".") and not hasattr(module, "__path__")
    if file is None or not file.endswith(".py") or not is_alone or _is_installed(Path(file)):
        return None
    return Path(file) if getattr(module, thing.__name__, None) is thing else None


def _is_installed(file: Path) -> bool:
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return any(file.resolve().is_relative_to(Path(place).resolve()) for place in places)

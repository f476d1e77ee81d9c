"""A job's folder for a worker that cannot see it: the files that the job reads, and back those that it wrote."""

from __future__ import annotations

import html
import json
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from thumbnet.atomic import write_atomically
from thumbnet.errors import RunError
from thumbnet.runs.files.checked_folder import CheckedFolder
from thumbnet.runs.files.names import CHECKSUMS, CONFIG, LOCK, METRICS, REPORT, is_temporary
from thumbnet.runs.files.on_disk import told

WRITTEN_LAST = (CONFIG, METRICS)  # whose presence says that what they stand for is there
# How a path stands in the files that may name one of the folder: within a text of TOML, and in a command of a page.
AS_WRITTEN: Mapping[str, Callable[[str], str]] = {
    CONFIG: lambda path: json.dumps(path, ensure_ascii=False)[1:-1],
    REPORT: lambda path: html.escape(shlex.quote(path)),
}


@dataclass(frozen=True)
class Sent:
    """What a worker is told of a folder: its path, a file with a secret in it, by which the worker knows that it sees
    the same one, and the contents of the job's files, by their paths in it."""

    folder: Path
    token: str
    secret: str
    files: Mapping[str, bytes]


def make_token(folder: Path) -> Path:
    """A new file in the folder with a secret in it; where it is left over, it counts as a temporary one."""
    token = folder / f".{CHECKSUMS}.{secrets.token_hex(4)}.tmp"
    with told(token):
        token.write_text(secrets.token_hex(16))
    return token


def sent_of(folder: Path, name: str, token: Path) -> Sent:
    """The files that lie in the folder itself, and all in its folder `name`."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and _is_kept(path)}
    return Sent(folder.resolve(), token.name, token.read_text(), {**files, **_files_in(folder, name)})


@contextmanager
def folder_of(sent: Sent) -> Iterator[tuple[Path, bool]]:
    """The folder, and whether it is the caller's own: else a copy that is removed at the end."""
    try:
        sees = (sent.folder / sent.token).read_text() == sent.secret
    except OSError:
        sees = False
    if sees:
        yield sent.folder, True
        return
    with TemporaryDirectory(prefix="thumbnet-") as made:
        _write(Path(made), sent.files)
        yield Path(made).resolve(), False


def files_to_send_back(folder: Path, name: str, sent: Sent) -> dict[str, bytes]:
    """The files in the folder `name` of a copy; where they name a file of the copy, which will be gone, they name that
    of the caller's folder then."""
    run = CheckedFolder(folder / name)
    for file, as_written in AS_WRITTEN.items():
        if (run.path / file).exists():
            text = run.read_text(file)
            named = text.replace(f"{folder}/", f"{as_written(str(sent.folder))}/")
            if named != text:
                run.write(file, named)
    return _files_in(folder, name)


def write_back(folder: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Put what a job wrote elsewhere into the caller's folder; metrics.json, which says that a run is complete, last.

    Raises:
        RunError: a file cannot be written, or would lie outside the folder `name`.
    """
    for path in files:
        parts = PurePosixPath(path).parts
        if parts[:1] != (name,) or ".." in parts:
            raise RunError(f"a worker gave back {path!r}, which is not in {name}", hint="look at what runs there")
    _write(folder, files)


def _files_in(folder: Path, name: str) -> dict[str, bytes]:
    paths = [path for path in sorted((folder / name).rglob("*")) if path.is_file() and _is_kept(path)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _is_kept(path: Path) -> bool:
    return path.name != LOCK and not is_temporary(path.name)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    last = [name for final in WRITTEN_LAST for name in files if PurePosixPath(name).name == final]
    for name in [*(name for name in files if name not in last), *last]:
        path = folder / name
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, files[name])

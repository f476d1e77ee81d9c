"""A folder whose files are written whole and with their checksums, by one process at a time, and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from thumbnet.atomic import write_atomically
from thumbnet.errors import RunError
from thumbnet.runs.files.checksums import check_content, read_digests, write_with_digests
from thumbnet.runs.files.lock import lock_folder
from thumbnet.runs.files.names import is_temporary
from thumbnet.runs.files.on_disk import names_in, remove, told
from thumbnet.specs.json_text import to_json


@dataclass(frozen=True)
class CheckedFolder:
    """A folder with a file of the checksums of others."""

    path: Path

    @contextmanager
    def locked(self, *, waits: bool = False) -> Iterator[None]:
        """While this lasts, no other process may write to the folder; what killed ones left half written is removed.

        Raises:
            RunError: another process is writing to it, unless this one `waits` until that is done.
        """
        with lock_folder(self.path, waits=waits):
            remove(self.path, [name for name in names_in(self.path) if is_temporary(name)])
            yield

    def write(self, name: str, content: bytes | str, *, waits: bool = True) -> None:
        """Write one file of the folder, atomically; if it has a checksum, with its new one. `waits`: as of
        `write_atomically`, for one without a checksum."""
        if name in read_digests(self.path):
            self.write_checked({name: content})
            return
        with told(self.path / name):
            write_atomically(self.path / name, content, waits=waits)

    def write_checked(self, contents: Mapping[str, bytes | str]) -> None:
        """Write files with their checksums, which `read_checked` compares."""
        with told(self.path / next(iter(contents))):
            encoded = {name: text.encode() if isinstance(text, str) else text for name, text in contents.items()}
            write_with_digests(self.path, encoded)

    def read_checked(self, name: str, *, error: type[RunError] = RunError) -> bytes:
        """A file's content, which is that of its checksum if it has one; else the `error`, as where it is not there."""
        path = self.path / name
        try:
            content = path.read_bytes()
        except OSError as reason:
            raise error(f"{path} cannot be read: {reason}", hint="is this a run folder?") from reason
        check_content(self.path, name, content, read_digests(self.path), error=error)
        return content

    def add_checksum(self, name: str) -> None:
        """Give a file that has no checksum the one of its content, as of a run that an earlier version began."""
        if name not in read_digests(self.path):
            self.write_checked({name: self.read_checked(name)})

    def is_as_written(self, name: str) -> bool:
        """Whether the file is that of its checksum, or has none."""
        try:
            self.read_checked(name)
        except RunError:
            return False
        return True

    def write_json(self, name: str, values: Mapping[str, object]) -> None:
        self.write(name, to_json(values, name=name, indent=2) + "\n")

    def read_text(self, name: str, *, is_checked: bool = True) -> str:
        """A file's text; RunError where it is none, or is not that of its checksum, if that is to be looked at."""
        path = self.path / name
        try:
            content = self.read_checked(name) if is_checked else path.read_bytes()
            return content.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{path} cannot be read: {error}", hint="is this a run folder?") from error

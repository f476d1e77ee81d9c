"""SHA256SUMS of a run folder: a line for every file that is read back, as the common tool `sha256sum` writes it.

It is written before the files are. A file that is written anew has two lines for that moment, of its old and its new
content, so that it fits one of them whenever the process is killed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from thumbnet.atomic import write_atomically
from thumbnet.errors import RunError
from thumbnet.runs.files.names import CHECKSUMS
from thumbnet.specs.json_text import damaged

LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")

SIGNATURE = re.compile(rb"sha256:([0-9a-f]{64})")
SIGNATURE_LENGTH = len("sha256:") + 64

Digests = dict[str, set[str]]  # by file name: those of the contents that it may have


def sha256(content: bytes) -> str:
    """As hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def signature(content: bytes) -> bytes:
    """What may follow content in a file, so that the file tells by itself whether it is whole."""
    return f"sha256:{sha256(content)}".encode()


def is_as_signed(content: bytes) -> bool | None:
    """Whether the content is that of the signature at its end; None if it has none, as of earlier versions."""
    match = SIGNATURE.fullmatch(content[-SIGNATURE_LENGTH:])
    return None if match is None else sha256(content[:-SIGNATURE_LENGTH]) == match[1].decode()


def read_digests(folder: Path) -> Digests:
    """The digests kept in the folder; none where it has no SHA256SUMS, as of earlier versions."""
    path = folder / CHECKSUMS
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(str(path), error) from error
    digests: Digests = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            raise damaged(str(path), f"the line {line[:80]!r} is none of a checksum and a name")
        digests.setdefault(match[2], set()).add(match[1])
    return digests


def write_with_digests(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name so that at no time one of them differs from its checksum."""
    digests = read_digests(folder)
    new = {name: {sha256(content)} for name, content in contents.items()}
    both = {name: digests.get(name, set()) | new.get(name, set()) for name in {*digests, *new}}
    if both != digests:
        _write(folder, both)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    if both != digests | new:
        _write(folder, digests | new)


def check_content(folder: Path, name: str, content: bytes, digests: Digests, *, error: type[RunError]) -> None:
    """The `error`, naming the file, where its content is not that of its checksum; a file without one is taken."""
    known = digests.get(name)
    if known is not None and sha256(content) not in known:
        raise error(
            f"{folder / name} was damaged or changed since it was written: its checksum is not that in {CHECKSUMS}",
            hint=f"restore it from a copy, or train again; if you changed it on purpose, put what `sha256sum {name}` "
            f"prints in its place in {CHECKSUMS}",
        )


def _write(folder: Path, digests: Digests) -> None:
    lines = sorted((name, digest) for name, several in digests.items() for digest in several)
    write_atomically(folder / CHECKSUMS, "".join(f"{digest}  {name}\n" for name, digest in lines))

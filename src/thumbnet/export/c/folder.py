"""A folder of files put in place as a whole: another never sees half of it, and nothing of the user's is lost."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from thumbnet.errors import ExportError, ModelError
from thumbnet.export.c.reading import find_stored, read_stored
from thumbnet.export.c.stored import SUFFIX


def check_replaceable(path: Path) -> None:
    """ExportError unless the folder is not there, empty, or an earlier export."""
    if path.is_dir() and any(path.iterdir()) and find_stored(path) is None:
        raise ExportError(
            f"{path} is there and holds something else than an export to C",
            hint="name another folder with --out, or empty it",
        )


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files (by their paths in the folder), in place of an earlier export's.

    What else lies in an earlier export's folder, such as programs made there, stays.

    Raises:
        ExportError: the folder holds something else. OSError: it cannot be written; it then is as it was.
    """
    check_replaceable(path)
    target = Path(os.path.realpath(path))
    new = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    old = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)
        if target.exists():
            _keep_others(target, new)
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _keep_others(path: Path, new: Path) -> None:
    """Copy to `new` what is in the folder of an earlier export, was not written by it, and is not written now."""
    try:
        written = set(read_stored(path).files)
    except ModelError:  # damaged: what it wrote is not known
        written = {file.name for file in path.glob(f"*{SUFFIX}")}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if not file.is_dir() and str(name) not in written and not os.path.lexists(new / name):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, new / name, follow_symlinks=False)

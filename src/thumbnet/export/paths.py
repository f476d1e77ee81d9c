"""Where an export goes: a place that is free, or has an earlier export."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thumbnet.errors import ConfigError, ExportError
from thumbnet.runs.files.names import MAKE_A_RUN, check_no_part_of_a_run

EXPORTS = "exports"  # the folder of exports that are given no path


def choose_path(out: str | Path | None, *, name: str, suffix: str, is_folder: bool) -> Path:
    """The file or folder to write; None: exports/<name>/<name><suffix>. For a file, `out` may be the folder it goes to.

    Raises:
        ConfigError: it is stdout, part of a run, or a file where a folder is written.
    """
    if out is None:
        path = Path(EXPORTS) / name / f"{name}{suffix}"
    elif str(out) == "-":
        raise ConfigError("an export cannot go to stdout", hint="name a file or a folder with --out")
    else:
        path = Path(out)
        if not is_folder and (path.is_dir() or str(out).endswith(("/", os.sep))):
            path /= f"{name}{suffix}"
    check_no_part_of_a_run(path)
    if is_folder:
        _check_folder(path)
    elif path.is_dir():
        raise ConfigError(f"{path} is a folder, but a file is to be written", hint="name another file with --out")
    return path


def _check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file, but a folder is to be written", hint="name a folder with --out")
    if any((path / name).exists() for name in MAKE_A_RUN):
        raise ConfigError(f"{path} is a run: an export does not go among its files", hint="name a folder with --out")


@contextmanager
def made_parent(path: Path) -> Iterator[None]:
    """The folder that `path` goes to is made; if nothing then is written to it, it is removed again.

    Raises:
        ExportError: the system refuses to write.
    """
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error}", hint="name a place that you may write to with --out"
        ) from error
    finally:
        with suppress(OSError):  # one that holds something stays
            for folder in missing:
                folder.rmdir()

"""New folders for runs: one for each, never inside the images, never over what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thumbnet.data.source_registry import source_name, source_of
from thumbnet.errors import ConfigError, RunError
from thumbnet.runs.files.folder import RunDir
from thumbnet.runs.files.lock import lock_folder, was_locked
from thumbnet.runs.files.names import BEFORE_TRAINING, CODE, LOCK, MAKE_A_RUN, SWEEP, is_temporary
from thumbnet.runs.files.on_disk import names_in, remove
from thumbnet.specs.data import DataSpec
from thumbnet.terminal.text import quoted

RUN_DIR_OPTION = "--run-dir"


@contextmanager
def create_run_dir(
    recipe: str,
    path: str | Path | None = None,
    *,
    parent: str | Path = "runs",
    option: str = RUN_DIR_OPTION,
    data: str = "",
) -> Iterator[RunDir]:
    """A new folder for a run, locked while this lasts.

    It is `path`, which must be new, empty, or of a start that was killed before anything was trained; or
    `parent/<recipe>-<n>` with the next free n.

    Args:
        option: the command's option that gives `path`, for the hints of errors.
        data: the source of the training images, in whose folder no run may lie: it would be read as pictures.

    Raises:
        RunError: the folder cannot be made, is not empty, or another process has it; ConfigError: it lies in the data.
    """
    _check_outside(Path(parent) if path is None else Path(path), data, option)
    try:
        chosen = _next_free(Path(parent), recipe) if path is None else Path(path)
        chosen.mkdir(parents=True, exist_ok=True)
        was_started = was_locked(chosen)
        if not _is_free(chosen, was_started):
            raise _not_empty(chosen, option)
    except OSError as error:
        raise RunError(
            f"the folder {error.filename} cannot be created: {error}",
            hint=f"name one that you may write, with {option}",
        ) from error
    with lock_folder(chosen):
        if not _is_free(chosen, was_started):
            raise _not_empty(chosen, option)
        remove(chosen, [name for name in names_in(chosen) if name != LOCK])
        try:
            yield RunDir(chosen)
        except BaseException:
            _clear_if_no_run(chosen)
            raise


def _clear_if_no_run(folder: Path) -> None:
    """Remove what a start wrote that failed before the folder became a run, so that it can be started again."""
    with suppress(OSError, RunError):
        names = names_in(folder)
        if not MAKE_A_RUN & set(names):
            remove(folder, [name for name in names if name in BEFORE_TRAINING or CODE.fullmatch(name)])


def _next_free(parent: Path, recipe: str) -> Path:
    """A new folder, made here, since making one tells whether another process was quicker."""
    number = 1
    while True:
        chosen = parent / f"{recipe}-{number}"
        try:
            chosen.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return chosen


def _is_free(folder: Path, was_started: bool) -> bool:
    """Whether nothing is in it but what a start of ours left that was killed before the folder became a run."""
    names = [name for name in names_in(folder) if name != LOCK]
    begun = [name for name in names if name in BEFORE_TRAINING or CODE.fullmatch(name)] if was_started else []
    return all(is_temporary(name) or name in begun for name in names)


def _not_empty(folder: Path, option: str) -> RunError:
    or_else = ""
    if option == RUN_DIR_OPTION and (folder / SWEEP).exists():
        or_else = f", or go on with its sweep: thumbnet sweep --run-dir {quoted(folder)} --resume"
    elif option == RUN_DIR_OPTION and any((folder / name).exists() for name in MAKE_A_RUN):
        or_else = f", or go on with what it holds: thumbnet train --resume {quoted(folder)}"
    return RunError(f"the folder {folder} is not empty", hint=f"name a new one with {option}{or_else}")


def _check_outside(path: Path, data: str, option: str) -> None:
    spec = DataSpec(source_name(data))
    if not spec.place or not source_of(data).is_path or not spec.path.is_dir():
        return
    images = spec.path.resolve()
    if path.resolve().is_relative_to(images):
        raise ConfigError(
            f"the run's folder {path} would lie inside the data {images}, and be read as pictures of a class",
            hint=f"name a folder elsewhere with {option}, or start thumbnet in another folder",
        )

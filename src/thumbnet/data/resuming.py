"""One file from the network, gone on with where the connection broke off."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import ReadTimeoutError

from thumbnet.terminal.streams import steady_stderr

MAX_STALLED = 3  # attempts in a row that brought no new byte
RETRY_WAIT_S = 0.5
READ_TIMEOUT_S = 20.0
CHUNK_BYTES = 1 << 13  # so that a slow source is noticed between two of them
LOG_INTERVAL_S = 10.0  # between progress lines where nobody watches a terminal


class SlowSourceError(requests.RequestException):
    """A source sends more slowly than it may."""


@dataclass(frozen=True)
class SlowLimit:
    """A source that stays below `min_bytes_per_s` for `slow_after_s` seconds is too slow."""

    min_bytes_per_s: float
    slow_after_s: float


@dataclass(frozen=True)
class ResumingDownloader:
    """A downloader for pooch: keeps what arrived in `partial_path` and asks for the rest after a broken connection.

    With a `limit`, a slow source is given up.
    """

    partial_path: Path
    show_progress: bool
    limit: SlowLimit | None = None

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Download `url` to `output_file`, which gets its content whole.

        Raises:
            SlowSourceError: the source is slower than the limit.
            requests.RequestException: the server refused, or MAX_STALLED attempts in a row brought nothing new.
        """
        num_bytes = _size(self.partial_path)
        num_stalled = 0
        while True:
            try:
                self._receive(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                if self.limit is not None and _is_timeout(error):
                    raise SlowSourceError("nothing came for a while") from error
                num_stalled = 0 if _size(self.partial_path) > num_bytes else num_stalled + 1
                num_bytes = max(num_bytes, _size(self.partial_path))
                if num_stalled == MAX_STALLED:
                    raise
                time.sleep(num_stalled * RETRY_WAIT_S)
        self.partial_path.replace(output_file)

    def _receive(self, url: str) -> None:
        offset = _size(self.partial_path)
        # Other encodings than `identity` count their ranges in compressed bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        patience_s = READ_TIMEOUT_S if self.limit is None else (self.limit.slow_after_s or READ_TIMEOUT_S)
        with requests.get(url, headers=headers, stream=True, timeout=patience_s) as response:
            if offset and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # there is nothing after what we have: the checksum tells whether it is right
            response.raise_for_status()
            # Some servers label a .tar.gz with its own compression, and requests would then undo it.
            response.raw.headers.pop("Content-Encoding", None)
            if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                offset = 0
            length = response.headers.get("Content-Length")
            stderr = steady_stderr()
            with (
                self.partial_path.open("ab" if offset else "wb") as file,
                tqdm(
                    desc=f"{urlsplit(url).path.rpartition('/')[2]} from {urlsplit(url).hostname}",
                    total=None if length is None else offset + int(length),
                    initial=offset,
                    unit="B",
                    unit_scale=True,
                    mininterval=0.1 if stderr.isatty() else LOG_INTERVAL_S,
                    file=stderr,
                    disable=not self.show_progress,
                ) as progress,
            ):
                begin_s, num_bytes = time.monotonic(), 0  # of a window of time
                for chunk in response.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    progress.update(len(chunk))
                    num_bytes += len(chunk)
                    lasted_s = time.monotonic() - begin_s
                    if self.limit is not None and lasted_s >= self.limit.slow_after_s:
                        if num_bytes < self.limit.min_bytes_per_s * lasted_s:
                            raise SlowSourceError(f"{num_bytes / 1e3 / lasted_s:,.0f} kB/s")
                        begin_s, num_bytes = time.monotonic(), 0


def _is_timeout(error: requests.RequestException) -> bool:
    """Whether nothing came in time; requests calls that a broken connection where it happens within the content."""
    return isinstance(error, requests.Timeout) or any(isinstance(cause, ReadTimeoutError) for cause in error.args)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

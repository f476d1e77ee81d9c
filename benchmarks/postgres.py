"""A PostgreSQL server on a socket in a folder of its own, with a password, as tests and benchmarks start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql")  # where Debian has them, off the PATH
PASSWORD = "a-secret"  # noqa: S105  # of a server that is gone in minutes


def server_programs() -> Path | None:
    """The folder of the newest server's programs; None where none is installed."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def postgres_server() -> Iterator[str]:
    """A running server; the address of its database, with the password in it."""
    programs = server_programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="thumbnet-postgres-", dir="/tmp"))  # a socket's path is short
    try:
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:  # which the server refuses
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        data, log = folder / "data", folder / "log"
        _run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", folder / "password"]
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        _run([programs / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start"])
        try:
            yield f"postgresql://postgres:{PASSWORD}@/postgres?host={folder}"
        finally:
            _run([programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
    finally:
        shutil.rmtree(folder)


def _run(command: Sequence[str | Path]) -> None:
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *map(str, command)], check=True, stdout=subprocess.DEVNULL, cwd="/")

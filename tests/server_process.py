"""`thumbnet serve` as a process."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RAW = {"content-type": "application/octet-stream"}


@dataclass
class Server:
    """A server's process and where it listens."""

    process: subprocess.Popen[str]
    port: int

    def ask(self, method: str = "GET", path: str = "/health", **options: object) -> tuple[int, dict[str, object]]:
        """The status and the JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, **options)  # type: ignore[arg-type]
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def predict(self, content: bytes) -> int:
        return self.ask("POST", "/predict", body=content, headers=RAW)[0]

    def most_kb(self) -> int:
        """The most memory that it has had."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1])


# A file that grows beyond 0 bytes fails there.
WITHOUT_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from thumbnet.__main__ import main
sys.exit(main())
"""


@contextmanager
def running_server(name: str, script: str = WITHOUT_FILES) -> Iterator[Server]:
    """A server of a trained model at a free port, which can write no file, or as another script runs it."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")
    }  # it writes one
    process = subprocess.Popen(
        [sys.executable, "-c", script, "serve", name, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "TMPDIR": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.fullmatch(rf"{name} is served at http://127\.0\.0\.1:(\d+) .*\n", line)
        assert found is not None, line + process.stderr.read()
        yield Server(process, int(found[1]))
    finally:
        process.kill()
        process.communicate()

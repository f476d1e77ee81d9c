"""The server's defaults, which the command's help names, too."""

from __future__ import annotations

HOST = "127.0.0.1"
PORT = 8000
MAX_BYTES = 10_000_000  # of a picture's file
MAX_PIXELS = 12_500_000  # of a picture

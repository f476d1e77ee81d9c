"""Compile the pages' WebAssembly engine anew: src/thumbnet/export/html/engine.c to engine.wasm beside it.

Needs clang with its WebAssembly target, and lld's wasm-ld (Debian: clang and lld). `python tools/build_engine.py`
writes engine.wasm; with a path, it writes there instead.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "src" / "thumbnet" / "export" / "html"
COMPILE = (
    "clang",
    "--target=wasm32",
    "-O3",
    "-msimd128",
    "-ffreestanding",
    "-nostdlib",
    "-std=c11",
    "-Wall",
    "-Wextra",
)
# Linked by itself: clang would call wasm-opt where it finds one, and older ones fail on SIMD.
LINK = ("wasm-ld", "--no-entry", "--strip-all", "--export=__heap_base", "-z", "stack-size=16384")


def build_engine(target: Path) -> None:
    """Compile engine.c to the file `target`; CalledProcessError where a tool fails."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "engine.o"
        subprocess.run([*COMPILE, "-c", "engine.c", "-o", str(compiled)], cwd=FOLDER, check=True)
        subprocess.run([*LINK, str(compiled), "-o", str(target)], check=True)


if __name__ == "__main__":
    build_engine(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER / "engine.wasm")

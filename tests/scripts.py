"""Scripts outside the package, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent


def load_script(name: str) -> ModuleType:
    """The module of a script, say `tools/build_cli`, which may import others of its folder.

    One that was imported by that name stays what others have: else a test would change another than they call.
    """
    path = ROOT / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    imported = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses look for it there
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
        if imported is not None:
            sys.modules[path.stem] = imported
    return module

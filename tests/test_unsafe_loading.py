"""Nothing of ours reads a file in a way that can execute it: in the package, the tools and the benchmarks.

ruff's rules S102, S301, S302, S307 and S506 find calls of `pickle`, `marshal`, `eval` and `yaml.load`; they know
neither `torch.load` nor `allow_pickle` nor classes derived from an unpickler. So all of it is looked for here.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tools", "benchmarks")
MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve",
    "cloudpickle_wrapper", "numpy_pickle", "reduction",  # within joblib, distributed and multiprocessing
}  # fmt: skip
NAMES = {
    "joblib.load", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load",
    "yaml.unsafe_load_all", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter",
    "torch.serialization.add_safe_globals", "torch.serialization.safe_globals", "pandas.read_pickle", "eval",
    "exec", "builtins.eval", "builtins.exec",
    "multiprocessing.connection.Client", "multiprocessing.connection.Listener",
}  # fmt: skip
# Where one is used all the same, and why that is safe.
ALLOWED = {
    (
        "src/thumbnet/data/cifar_pickle.py",
        "pickle",
    ): "CIFAR's files are pickles; its own unpickler looks up no foreign name",
    (
        "src/thumbnet/specs/own_code.py",
        "exec",
    ): "a user's own network, which --trust-code or the user's recipe asks for",
    (
        "src/thumbnet/runs/jobs/execute.py",
        "cloudpickle_wrapper",
    ): "jobs on their way to processes that the command began, or a cluster that SECURITY.md trusts, and back",
}
# Where `allow_pickle` stands among the arguments of what reads arrays, so that it may be given without its name.
PICKLE_PLACES = {"numpy.load": 2, "numpy.lib.format.read_array": 1, "numpy.lib.npyio.NpzFile": 2}
IMPORTS = {"importlib.import_module", "__import__", "builtins.__import__"}
RULES = ("S102", "S301", "S302", "S307", "S506")


def unsafe_uses(source: str) -> Iterator[str]:
    """What a module uses of all that may execute what it reads, each by its full name."""
    tree = ast.parse(source)
    full_names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                full_names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield from MODULES.intersection(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                full_names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield from MODULES.intersection(full_names[alias.asname or alias.name].split("."))
    checked = [
        node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_keyword(node, "weights_only", True)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if _may_allow_pickle(node, full_names):
                yield "allow_pickle"
            if _full_name(node.func, full_names) in IMPORTS:
                yield from (name for each in node.args[:1] for name in MODULES.intersection(_parts_of_text(each)))
            if any(each.arg == "Loader" for each in node.keywords):
                yield "yaml.load"
        if isinstance(node, ast.Name | ast.Attribute):
            name = _full_name(node, full_names)
            if name in NAMES or (name in ("torch.load", "torch.serialization.load") and node not in checked):
                yield name


def _may_allow_pickle(call: ast.Call, full_names: Mapping[str, str]) -> bool:
    """By its name, by its place, or within arguments that are not spelled out."""
    if any(each.arg == "allow_pickle" for each in call.keywords):
        return not _is_keyword(call, "allow_pickle", False)
    place = PICKLE_PLACES.get(_full_name(call.func, full_names))
    if place is None:
        return False
    is_hidden = any(isinstance(each, ast.Starred) for each in call.args) or any(not each.arg for each in call.keywords)
    return is_hidden or len(call.args) > place


def _parts_of_text(node: ast.expr) -> list[str]:
    return node.value.split(".") if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _is_keyword(call: ast.Call, name: str, value: bool) -> bool:
    return any(
        each.arg == name and isinstance(each.value, ast.Constant) and each.value.value is value
        for each in call.keywords
    )


def _full_name(node: ast.expr, full_names: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return full_names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = _full_name(node.value, full_names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def test_nothing_loads_unsafely() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), use)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for use in unsafe_uses(path.read_text())
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("import pickle", "pickle"),
        ("import pickle as p", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import marshal", "marshal"),
        ("from shelve import open", "shelve"),
        ("import cloudpickle", "cloudpickle"),
        ("from joblib.externals import cloudpickle as c", "cloudpickle"),
        ("import joblib.externals.cloudpickle", "cloudpickle"),
        ("from joblib.externals.loky.cloudpickle_wrapper import loads", "cloudpickle_wrapper"),
        ("from joblib.externals.loky.backend.reduction import loads", "reduction"),
        ("from distributed.protocol import pickle", "pickle"),
        ("import torch\ntorch.load(path)", "torch.load"),
        ("import torch\ntorch.load(path, weights_only=False)", "torch.load"),
        ("import torch as t\nt.load(path, weights_only=safe)", "torch.load"),
        ("from torch import load\nload(path)", "torch.load"),
        ("import torch\nread = torch.load", "torch.load"),
        ("import torch.serialization\ntorch.serialization.load(path)", "torch.serialization.load"),
        ("import torch\ntorch.jit.load(path)", "torch.jit.load"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "allow_pickle"),
        ("import numpy as np\nnp.load(path, allow_pickle=trusted)", "allow_pickle"),
        ("import numpy as np\nnp.load(path, None, True)", "allow_pickle"),
        ("import numpy as np\nnp.load(path, **options)", "allow_pickle"),
        ("from numpy.lib.format import read_array\nread_array(file, True)", "allow_pickle"),
        ("from importlib import import_module\nimport_module('pickle')", "pickle"),
        ("__import__('joblib.externals.cloudpickle')", "cloudpickle"),
        ("import yaml\nyaml.load(text)", "yaml.load"),
        ("from joblib import load as read\nread(path)", "joblib.load"),
        ("eval(text)", "eval"),
        ("import builtins\nbuiltins.exec(text)", "builtins.exec"),
    ],
)
def test_unsafe_uses_are_found(source: str, use: str) -> None:
    assert use in set(unsafe_uses(source))


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path)\nnp.load(path, allow_pickle=False)",
        "import numpy as np\nnp.load(path, 'r')\nnp.load(path, 'r', allow_pickle=False)",
        "from importlib import import_module\nimport_module('json')\nimport_module(name)",
        "model.eval()",
        "import joblib\njoblib.Parallel(2)",
        "from joblib.externals.loky import ProcessPoolExecutor",
        "from thumbnet.data.cifar_pickle import read_batch",
        "import safetensors.torch\nsafetensors.torch.load(content)",
        "import json\njson.load(file)",
    ],
)
def test_safe_uses_are_let_through(source: str) -> None:
    assert not list(unsafe_uses(source))


def test_ruff_looks_for_them_too() -> None:
    """The rules are on, and no file of ours is left out of them but by a comment in its line."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    for codes in (
        [*lint["ignore"]],
        *(codes for files, codes in lint["per-file-ignores"].items() if files != "tests/**"),
    ):
        assert not [code for code in codes if any(rule.startswith(code) for rule in RULES)]

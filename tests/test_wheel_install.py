"""The wheels, and training by the kernels that they bring in an environment without a compiler. Needs a package index;
run by `.ci/run`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from installs import ROOT, install_wheel, make_environment, run
from thumbnet.kernels.compiler import sources
from thumbnet.kernels.cpu import can_run
from thumbnet.kernels.precompiled import TARGETS, fitting_target

pytestmark = pytest.mark.install
MOST_GLIBC = (2, 28)  # that PyTorch's wheels need
TORCH = "torch==2.13.0"  # that of the Makefile


@pytest.fixture(scope="module")
def commands(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with all that training needs."""
    commands = make_environment(tmp_path_factory.mktemp("train"))
    run(commands / "python", ROOT / "tools" / "install_torch.py", TORCH)
    install_wheel(commands, wheels, "[train]")
    return commands


@pytest.fixture
def bare(commands: Path, tmp_path: Path) -> dict[str, str]:
    """An environment without a compiler, and with an empty cache."""
    assert shutil.which("g++", path=str(commands)) is None
    return {"PATH": str(commands), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_each_wheel_has_the_source_and_its_machines_libraries(wheels: Path) -> None:
    found = {wheel.stem.split("-")[-1]: names_in(wheel) for wheel in wheels.glob("*.whl")}
    assert len(found) == 3
    for platform, names in found.items():
        assert names >= {f"thumbnet/kernels/{name}" for name in sources()}
        folder = "thumbnet/kernels/compiled/"
        compiled = {name.removeprefix(folder) for name in names if name.startswith(folder)} - {""}
        files = {target.file for target in TARGETS if platform.endswith(target.machine)}
        assert compiled == (files | {"manifest.json"} if files else set()), platform
        assert platform == "any" or files


def test_auditwheel_finds_no_newer_glibc_than_pytorch_needs(wheels: Path) -> None:
    for wheel in wheels.glob("*manylinux*.whl"):
        shown = subprocess.run(
            [sys.executable, "-m", "auditwheel", "show", wheel], capture_output=True, text=True, check=True
        ).stdout
        tag = wheel.stem.split("-")[-1]
        assert f'"{tag}"' in shown.replace("\n", " ")
        assert tuple(map(int, tag.split("_")[1:3])) <= MOST_GLIBC


def test_it_trains_by_its_own_kernels_without_a_compiler(commands: Path, bare: dict[str, str], tmp_path: Path) -> None:
    target = fitting_target()
    assert target is not None
    run(commands / "thumbnet", "train", "--data", "digits", "--epochs", "1", "--run-dir", "run", cwd=tmp_path, env=bare)
    kernels = json.loads((tmp_path / "run" / "metrics.json").read_text())["kernels"]
    assert kernels.startswith(f"native (wheel for {target.march}, g++ ")
    assert not list((tmp_path / "cache").rglob("*.so"))
    assert "recipes" in json.loads(run(commands / "thumbnet", "recipes", "--json", cwd=tmp_path, env=bare))
    run(
        commands / "thumbnet", "predict", ROOT / "docs" / "speed.png", cwd=tmp_path, env=bare
    )  # by weights in the wheel


THREADS = """
import sklearn.metrics  # it brings an OpenMP of its own
import thumbnet
import torch
from thumbnet.kernels.library import load_kernels
from thumbnet.models.blocknet import BlockNet

def teams(): return {line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line or "libomp" in line}
before = teams()
torch.manual_seed(0)
blocks = BlockNet(blocks="c16 b32p c48").blocks[1:].to(memory_format=torch.channels_last).train()
kernels = load_kernels()
for block in blocks:
    block.kernels = kernels
maps = torch.randn(20, 16, 32, 32).to(memory_format=torch.channels_last)
results = []
for threads in 1, 2, 3:
    torch.set_num_threads(threads)
    blocks.zero_grad()
    y = blocks(maps)
    y.square().sum().backward()
    results.append([y, *(parameter.grad.clone() for parameter in blocks.parameters())])
assert kernels.target is not None
assert teams() == before, teams()
assert all(map(torch.equal, results[0], results[1])) and all(map(torch.equal, results[0], results[2]))
print(kernels.origin)
"""


@pytest.mark.parametrize("form", ["native", "avx2"])
def test_its_kernels_share_pytorchs_threads_and_do_not_depend_on_them(
    form: str, commands: Path, bare: dict[str, str]
) -> None:
    if not can_run(form):
        pytest.skip("this processor has no AVX2")
    origin = run(commands / "python", "-c", THREADS, env={**bare, "THUMBNET_CPU": form})
    assert form != "avx2" or origin.startswith("wheel for x86-64-v3")


def test_where_the_wheel_has_none_pytorch_trains(commands: Path, bare: dict[str, str], tmp_path: Path) -> None:
    if not can_run("x86-64"):
        pytest.skip("a form of x86-64")
    code = """
import thumbnet, torch
from thumbnet.kernels.choice import describe_kernels, pick_kernels
from thumbnet.models.registry import create_model
print(describe_kernels(pick_kernels("auto", create_model("sprint"), torch.device("cpu"))))
"""
    assert run(commands / "python", "-c", code, env={**bare, "THUMBNET_CPU": "x86-64"}).strip() == "pytorch"


def test_the_plain_wheel_trains_by_pytorchs_layers_as_on_windows(
    commands: Path, wheels: Path, bare: dict[str, str], tmp_path: Path
) -> None:
    (plain,) = wheels.glob("*-any.whl")
    with zipfile.ZipFile(plain) as archive:
        archive.extractall(tmp_path / "package")
    run(commands / "python", Path(__file__).with_name("as_on_windows.py"), "package", "run", cwd=tmp_path, env=bare)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["kernels"], metrics["peak_memory_bytes"]) == ("pytorch", 123 << 20)

"""tools/install_torch.py: the CPU build where pip would bring a CUDA build without use, else pip's own."""

from __future__ import annotations

import functools
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import ROOT, load_script

REQUIREMENT = "torch==2.13.0"
FAKE_PIP = """
import json, os, sys
from pathlib import Path
words, plan = sys.argv[1:], json.loads(os.environ["PLAN"])
with Path(os.environ["PIP_LOG"]).open("a") as file:
    file.write(json.dumps(words) + "\\n")
if words[0] == "config":
    print(plan["config"])
kind = "offline" if "--no-index" in words else "cpu" if "--index-url" in words else "default"
sys.exit(words[0] != "config" and f"{words[0]} {kind}" not in plan["works"])
"""


class FakePip:
    """A program in place of pip: it answers as planned, and keeps its arguments."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "pip.py").write_text(FAKE_PIP)
        self.command = [sys.executable, "-S", str(folder / "pip.py")]
        self.log, self.monkeypatch = folder / "log", monkeypatch

    def plan(self, *works: str, config: str = "") -> None:
        self.log.write_text("")
        self.monkeypatch.setenv("PIP_LOG", str(self.log))
        self.monkeypatch.setenv("PLAN", json.dumps({"works": works, "config": config}))

    def installs(self) -> list[str]:
        calls = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [" ".join(words) for words in calls if words[0] == "install" and "--dry-run" not in words]


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePip:
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing here: no nvidia-smi
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    fake = FakePip(tmp_path, monkeypatch)
    fake.plan("index cpu", "install cpu")
    return fake


def install(pip: FakePip) -> int:
    return load_script("tools/install_torch").main([REQUIREMENT], pip=pip.command)


def is_from_cpu_index(command: str) -> bool:
    return "--index-url https://download.pytorch.org/whl/cpu" in command and command.endswith(REQUIREMENT)


def test_without_a_gpu_the_cpu_build_is_taken(pip: FakePip, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(pip) == 0
    (command,) = pip.installs()
    assert is_from_cpu_index(command)
    told = capsys.readouterr().err
    assert "CPU build" in told
    assert "200 MB" in told


@pytest.mark.parametrize(
    "line",
    [
        "global.index-url='https://mine'",
        "install.no-index='1'",
        "site.constraint='c.txt'",
        ":env:.find-links='/wheels'",
        ":env:.extra-index-url='https://more'",
    ],
)
def test_pip_with_places_of_its_own_is_left_alone(pip: FakePip, line: str) -> None:
    pip.plan("install default", "index cpu", "install cpu", config=line)
    assert install(pip) == 0
    assert pip.installs() == [f"install --quiet {REQUIREMENT}"]


def test_settings_that_name_no_place_do_not_count(pip: FakePip) -> None:
    pip.plan("index cpu", "install cpu", config="global.timeout='60'\n:env:.find-links=''\nglobal.cert='index-url.pem'")
    assert install(pip) == 0
    assert is_from_cpu_index(pip.installs()[0])


def test_a_gpu_gets_what_pip_brings(pip: FakePip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    pip.plan("install default", "index cpu", "install cpu")
    assert install(pip) == 0
    assert pip.installs() == [f"install --quiet {REQUIREMENT}"]
    assert "several GB" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "ppc64le")])
def test_other_systems_get_what_pip_brings(
    pip: FakePip, monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    pip.plan("install default", "index cpu", "install cpu")
    assert install(pip) == 0
    assert pip.installs() == [f"install --quiet {REQUIREMENT}"]


def test_an_installed_pytorch_is_not_asked_for_again(pip: FakePip) -> None:
    pip.plan("install offline", "install default", "index cpu")
    assert install(pip) == 0
    assert pip.installs() == [f"install --quiet {REQUIREMENT}"]  # which has nothing to do


@pytest.mark.parametrize("works", [(), ("index cpu",)], ids=["no index", "index without the build"])
def test_where_the_index_fails_pip_s_default_follows(
    pip: FakePip, capsys: pytest.CaptureFixture[str], works: tuple[str, ...]
) -> None:
    pip.plan("install default", *works)
    assert install(pip) == 0
    assert pip.installs()[-1] == f"install --quiet {REQUIREMENT}"
    told = capsys.readouterr().err
    assert "several GB" in told
    assert "make setup TORCH=" in told


def test_where_all_fails_so_does_the_script(pip: FakePip) -> None:
    pip.plan()
    assert install(pip) != 0


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index of packages on this machine, with a tiny wheel by the name of torch."""
    folder = tmp_path / "index" / "torch"
    folder.mkdir(parents=True)
    wheel = folder / "torch-2.13.0+cpu-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny_torch.py", "")
        name = "torch-2.13.0+cpu.dist-info"
        file.writestr(f"{name}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n")
        file.writestr(
            f"{name}/WHEEL", "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{name}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without what this machine says of it."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.mark.usefixtures("_unconfigured")
def test_real_pip_takes_it_from_the_index(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "installed"))  # which makes pip overlook what is there
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert load_script("tools/install_torch").main([REQUIREMENT, "--cpu-index", index]) == 0, capfd.readouterr()
    assert (tmp_path / "installed" / "tiny_torch.py").is_file()


@pytest.mark.usefixtures("_unconfigured")
def test_a_dead_index_is_given_up_at_once() -> None:
    script = load_script("tools/install_torch")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls and says nothing
        assert not script.answers(script.PIP, f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)


def test_make_installs_the_pytorch_that_is_asked_for() -> None:
    def recipe(*words: str) -> str:
        return subprocess.run(["make", "-n", "setup", *words], cwd=ROOT, capture_output=True, text=True).stdout

    assert f"tools/install_torch.py {REQUIREMENT}\n" in recipe()
    other = "torch==2.12.0+cpu --index-url https://mine"
    assert f"install --quiet {other}\n" in recipe(f"TORCH={other}")
    assert "install_torch" not in recipe(f"TORCH={other}")

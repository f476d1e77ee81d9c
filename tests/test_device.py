"""device: what is here is picked, what is not is refused; the memory figure is a memory figure."""

from __future__ import annotations

import platform

import pytest
import torch

from thumbnet.errors import ConfigError
from thumbnet.kernels.cpu import cpu_form
from thumbnet.kernels.memory import keep_freed_memory
from thumbnet.training import device
from thumbnet.training.device import peak_memory_bytes, pick_device, pick_precision, seeded


def test_auto_picks_the_best_device_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert pick_device("auto").type == expected


def test_absent_and_unknown_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="'cuda' is not available"):
        pick_device("cuda")
    with pytest.raises(ConfigError, match="device is 'tpu'"):
        pick_device("tpu")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def be_process(number: int, of: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun says it where it starts two on each machine."""
    variables = {"RANK": number, "LOCAL_RANK": number % 2, "WORLD_SIZE": of, "MASTER_ADDR": "there", "MASTER_PORT": 1}
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(pick_device("auto")) == "cuda"
    for name in ("cuda", "cuda:0", "cuda:1"):
        assert str(pick_device(name)) == name
    with pytest.raises(ConfigError, match="'cuda:2' is not here: this machine has 2 GPUs"):
        pick_device("cuda:2")
    be_process(0, 1, monkeypatch)  # torchrun may start one alone, too
    assert str(pick_device("cuda:1")) == "cuda:1"


@pytest.mark.usefixtures("two_gpus")
def test_each_of_several_processes_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        be_process(number, 4, monkeypatch)
        assert {str(pick_device(name)) for name in ("auto", "cuda")} == {f"cuda:{number % 2}"}
        assert pick_device("cpu").type == "cpu"
        with pytest.raises(ConfigError, match="device is 'cuda:1', but 4 processes train together"):
            pick_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="'cuda:1' is not here: this machine has 1 GPU\n"):
        pick_device("auto")


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_memory_bytes(torch.device("cpu"))
    held = torch.ones(before // 4 + 25_000_000)  # four bytes each: as much again, and 100 MB
    assert peak_memory_bytes(torch.device("cpu")) > before + 50_000_000
    assert held.sum() > 0
    assert 50_000_000 < before < 100_000_000_000


def test_memory_is_kept_on_glibc_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()


def test_bfloat16_is_native_where_any_pytorch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    native = torch.bfloat16 if cpu_form() == "native" else torch.float32  # a limited processor has none
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert pick_precision("auto", torch.device("cpu")) == native
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older PyTorch
    for tells, precision in ((True, native), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda tells=tells: tells, raising=False)
        assert pick_precision("auto", torch.device("cpu")) == precision
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert pick_precision("auto", torch.device("cpu")) == torch.float32


@pytest.mark.parametrize("has_kernel", [True, False])
def test_maps_are_kept_in_bfloat16_where_pytorch_has_a_kernel_for_it(
    monkeypatch: pytest.MonkeyPatch, has_kernel: bool
) -> None:
    monkeypatch.setattr(device, "has_native_bfloat16", lambda device: False)
    monkeypatch.setattr(device, "has_bfloat16_convolutions", lambda: has_kernel)
    precision = pick_precision("auto", torch.device("cpu"), fully_fused=True)
    assert precision == (torch.bfloat16 if has_kernel else torch.float32)


def test_randomness_is_seeded_for_a_while() -> None:
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded(3, torch.device("cpu")):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.get_rng_state(), before)

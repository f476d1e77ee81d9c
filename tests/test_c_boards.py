"""Networks in C for small boards: compiled for a Cortex-M4 and for RV32, and run in QEMU; MicroPython's glue."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from c_builds import STRICT, fixed_program, needs, write_sources
from thumbnet.export.c.measure import measure_board, stack_bound
from thumbnet.export.c.plan import best_plan
from thumbnet.export.c.reference import run_fixed
from thumbnet.export.c.surroundings import surroundings
from thumbnet.trained.shippable import load_pretrained_shippable

BOARDS = Path(__file__).parent / "boards"
CORTEX_M4 = ("arm-none-eabi-gcc", "-Os", "-mcpu=cortex-m4", "-mthumb")
RV32 = ("riscv64-unknown-elf-gcc", "-Os", "-march=rv32imac", "-mabi=ilp32", "-ffreestanding")


@pytest.fixture(scope="module")
def thumb_20k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.c and net.h, and nothing else."""
    folder = tmp_path_factory.mktemp("net")
    shippable = load_pretrained_shippable("thumb-20k")
    write_sources(fixed_program(shippable), folder, "net", shippable.card.class_names)
    return folder


@pytest.mark.parametrize(
    "command", [pytest.param(CORTEX_M4, marks=needs(CORTEX_M4[0])), pytest.param(RV32, marks=needs(RV32[0]))]
)
def test_it_compiles_for_boards_and_calls_nothing(command: tuple[str, ...], thumb_20k: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.o"
    done = subprocess.run(
        [*command, *STRICT, "-c", "-o", output, "net.c"], cwd=thumb_20k, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = subprocess.run([command[0].replace("gcc", "nm"), output], capture_output=True, text=True).stdout
    undefined = set(re.findall(r"^\s+U (\w+)$", names, re.MULTILINE))
    assert {name for name in undefined if not name.startswith("__")} <= {"memcpy", "memset"}  # which compilers call
    defined = set(re.findall(r"^\w+ [A-Z] (\w+)$", names, re.MULTILINE)) - undefined
    public = set(re.findall(r"^\w+ [TDBRC] (\w+)$", names, re.MULTILINE))
    assert public == {"net_classify", "net_probabilities", "net_class_names"} <= defined


@needs(CORTEX_M4[0])
def test_it_fits_in_32_kilobytes_each(thumb_20k: Path, tmp_path: Path) -> None:
    program = fixed_program(load_pretrained_shippable("thumb-20k"))
    sources = {path.name: path.read_bytes() for path in thumb_20k.iterdir()}
    sizes = measure_board(sources, tmp_path, program, best_plan(program.blocks), name="net")
    assert sizes.flash <= 32_000
    assert sizes.ram < 32_768


@needs(CORTEX_M4[0], "qemu-system-arm")
def test_a_cortex_m4_in_qemu_gives_the_references_numbers(thumb_20k: Path, tmp_path: Path) -> None:
    shippable = load_pretrained_shippable("thumb-20k")
    assert shippable.export_data is not None
    images = shippable.export_data.samples.images
    program = fixed_program(shippable)
    pictures = [", ".join(map(str, image.transpose(1, 2, 0).ravel().tolist())) for image in images]
    (tmp_path / "pictures.h").write_text(
        f"#define NUM_PICTURES {len(images)}\nstatic const uint8_t pictures[NUM_PICTURES][{images[0].size}] = {{\n"
        + "\n".join(f"{{{one}}}," for one in pictures)
        + "\n};\n"
    )
    command = [*CORTEX_M4, "-std=gnu99", "-Wall", "-nostartfiles", "-T", str(BOARDS / "mps2.ld"), "-fstack-usage"]
    done = subprocess.run(
        [*command, f"-I{thumb_20k}", "-I.", "-o", "board.elf", str(BOARDS / "board.c"), str(thumb_20k / "net.c")],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    ran = subprocess.run(
        ["qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none",
         "-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out",
         "-kernel", str(tmp_path / "board.elf")],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *lines, stack = ran.stdout.splitlines()
    rows = np.array([[int(number) for number in line.split()] for line in lines])
    expected = run_fixed(program, images)
    assert len(rows) == 20
    np.testing.assert_array_equal(rows[:, 1::2], expected)
    np.testing.assert_array_equal(rows[:, 0], expected.argmax(axis=1))
    assert 100 < int(stack) <= stack_bound(next(tmp_path.glob("*net.su")).read_text(), name="net")


@needs("gcc")
def test_micropythons_glue_compiles_against_stub_headers(thumb_20k: Path, tmp_path: Path) -> None:
    program = fixed_program(load_pretrained_shippable("thumb-20k"))
    for path, content in surroundings(program, "net").items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    shutil.copy(thumb_20k / "net.h", tmp_path)
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{BOARDS}", "modthumbnet.c"]
    done = subprocess.run(command, cwd=tmp_path / "micropython", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    make = (tmp_path / "micropython" / "micropython.mk").read_text()
    assert "SRC_USERMOD_C += $(THUMBNET_DIR)/modthumbnet.c $(THUMBNET_DIR)/../net.c" in make
    cmake = (tmp_path / "micropython" / "micropython.cmake").read_text()
    assert "${CMAKE_CURRENT_LIST_DIR}/../net.c" in cmake
    assert cmake.count("(") == cmake.count(")")

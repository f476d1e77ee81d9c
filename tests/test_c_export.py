"""Exports to C: the folder that is written, what it holds, what is refused, and reading it back."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c_builds import STRICT, fixed_program, needs, write_sources
from random_exports import random_request, without_data
from thumbnet.errors import ExportError, ModelError
from thumbnet.export.c import folder as folders
from thumbnet.export.c import measure
from thumbnet.export.c import write as writing
from thumbnet.export.c.plan import best_plan
from thumbnet.export.c.reading import load_c_folder
from thumbnet.export.c.write import write
from thumbnet.export.request import ExportRequest

FILES = (
    "Makefile", "README.md", "example.c", "library.json", "library.properties", "micropython/micropython.cmake",
    "micropython/micropython.mk", "micropython/modthumbnet.c", "random.c", "random.h", "random.thumbnet.safetensors",
    "random_camera.h",
)  # fmt: skip


@pytest.fixture(scope="module")
def request_once(tmp_path_factory: pytest.TempPathFactory) -> ExportRequest:
    return random_request("separable", tmp_path_factory.mktemp("request") / "c")


@pytest.fixture
def request_here(request_once: ExportRequest, tmp_path: Path) -> ExportRequest:
    """A request to write to a folder of the test's own."""
    return replace(request_once, out=tmp_path / "c")


@pytest.fixture(scope="module")
def exported(request_once: ExportRequest) -> Path:
    return write(request_once).path


@pytest.fixture
def no_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.shutil, "which", lambda name: None)


def test_the_folder(request_here: ExportRequest, no_compilers: None) -> None:
    said: list[str] = []
    result = write(replace(request_here, say=said.append))
    assert sorted(str(path.relative_to(result.path)) for path in result.files) == sorted(FILES)
    assert sorted(path for path in result.path.rglob("*") if path.is_file()) == sorted(result.files)
    assert result.files[0] == result.path / "random.c"
    assert result.num_bytes == sum(path.stat().st_size for path in result.files)
    assert [check.num_images for check in result.checks] == [40, 40]
    assert min(check.agreement for check in result.checks) >= 0.9
    assert any("no C compiler" in text for text in said)
    assert result.details["compiled_with"] is None
    assert "an estimate" in str(result.details["sizes"])
    text = (result.path / "README.md").read_text()
    assert "There was no C compiler" in text
    assert "an estimate" in text


@needs("cc", "arm-none-eabi-gcc")
def test_the_edge_card_has_the_figures_of_the_compiled_program(exported: Path, request_once: ExportRequest) -> None:
    text = (exported / "README.md").read_text()
    program = request_once.shippable.program
    assert program is not None
    assert f"| multiply-accumulates for a picture | {program.macs:,} |" in text
    assert "compiled with arm-none-eabi-gcc" in text
    assert "gave the same bytes as thumbnet's integer reference" in text
    assert "of 40 test images |" in text


@needs("arm-none-eabi-gcc")
def test_estimated_sizes_are_near_the_compiled_ones(
    request_once: ExportRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fixed_program(request_once.shippable)
    write_sources(program, tmp_path, "net", request_once.shippable.card.class_names)
    sources = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    plan = best_plan(program.blocks)
    compiled = measure.measure_board(sources, tmp_path, program, plan, name="net")
    monkeypatch.setattr(measure, "BOARD_COMPILER", "no such compiler")
    estimated = measure.measure_board(sources, tmp_path, program, plan, name="net")
    assert estimated.flash == pytest.approx(compiled.flash, abs=300)
    assert estimated.ram == pytest.approx(compiled.ram, abs=100)


@needs("cc", "make")
def test_the_example_prints_the_first_class_first(exported: Path, request_once: ExportRequest, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    done = subprocess.run(["make", "CFLAGS=-O1 -Werror"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    card, classify, _ = load_c_folder(folder)
    for image, logits in zip(request_once.test.images[:3], classify(request_once.test.images[:3]), strict=True):
        (folder / "picture.rgb").write_bytes(image.transpose(1, 2, 0).tobytes())
        done = subprocess.run(["./example", "picture.rgb"], cwd=folder, capture_output=True, text=True)
        powers = np.exp(logits - logits.max())
        order = np.argsort(-logits, kind="stable")
        lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
        assert [name for name, _ in lines] == [card.class_names[index] for index in order]
        assert [float(value) for _, value in lines] == pytest.approx((powers / powers.sum())[order], abs=0.001)
    (folder / "picture.rgb").write_bytes(b"short")
    done = subprocess.run(["./example", "picture.rgb"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not the 768 bytes of a picture of 16 x 16 pixels" in done.stderr
    assert subprocess.run(["./example", "absent"], cwd=folder, capture_output=True).returncode == 1
    assert subprocess.run(["./example"], cwd=folder, capture_output=True).returncode == 2


@pytest.mark.parametrize("kind", ["one channel", "100 classes"])
def test_a_folder_is_read_back(kind: str, tmp_path: Path, no_compilers: None) -> None:
    request = random_request(kind, tmp_path / "c")
    result = write(request)
    card, classify, _ = load_c_folder(result.path)
    assert card == request.shippable.card
    found = classify(request.test.images)
    assert found.dtype == np.float32
    assert float((found.argmax(axis=1) == request.test.logits.argmax(axis=1)).mean()) == result.checks[1].agreement


@pytest.mark.parametrize("name", ["random.c", "random.h"])
def test_a_changed_source_is_not_read(name: str, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
    with pytest.raises(ModelError, match=r"was changed since the export"):
        load_c_folder(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=r"cannot be read"):
        load_c_folder(folder)


def test_a_damaged_file_is_not_read(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    file = folder / "random.thumbnet.safetensors"
    content = file.read_bytes()
    for place in [0, 8, 20, len(content) // 2, len(content) - 1, *range(30, len(content), 997)]:
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"is damaged"):
            load_c_folder(folder)
    file.write_bytes(content[:-1])
    with pytest.raises(ModelError, match=r"is damaged"):
        load_c_folder(folder)
    file.unlink()
    with pytest.raises(ModelError, match=r"is no exported C folder"):
        load_c_folder(folder)


def test_no_folder_of_the_machine_is_in_it(request_here: ExportRequest, no_compilers: None) -> None:
    shippable = request_here.shippable
    card = replace(shippable.card, data="folder:/home/me/secret/pets", data_description="/home/me/secret/pets")
    result = write(replace(request_here, shippable=replace(shippable, card=card)))
    assert not [path for path in result.files if b"secret" in path.read_bytes()]
    assert "| trained on | folder:pets |" in (result.path / "README.md").read_text()
    assert load_c_folder(result.path)[0].data == "folder:pets"


def test_the_same_model_gives_the_same_program(exported: Path, request_here: ExportRequest, no_compilers: None) -> None:
    write(request_here)
    for name in set(FILES) - {"README.md"}:
        assert (exported / name).read_bytes() == (request_here.out / name).read_bytes(), name


def test_a_drop_is_refused_with_the_blocks_that_cost_most(request_here: ExportRequest, no_compilers: None) -> None:
    held_out = request_here.held_out
    assert held_out is not None
    request = replace(request_here, max_drop=0.0, held_out=replace(held_out, labels=held_out.logits.argmax(axis=1)))
    shippable = request.shippable
    assert shippable.export_data is not None
    assert shippable.export_data.ranges is not None
    ranges = dict(shippable.export_data.ranges)
    ranges["blocks.2.after"] = replace(ranges["blocks.2.after"], high=ranges["blocks.2.after"].high * 100)
    worse = replace(shippable, export_data=replace(shippable.export_data, ranges=ranges))
    with pytest.raises(ExportError, match=r"cost \d+\.\d\d points .* on 40 held-out .*: blocks\.[234] \(error"):
        write(replace(request, shippable=worse))
    assert not request.out.exists()
    samples = without_data(request)
    with pytest.raises(ExportError, match=r"only \d+% of 20 samples get the same class"):
        write(replace(samples, shippable=worse))
    assert not request.out.exists()
    write(replace(request, shippable=worse, max_drop=1.0))


@needs("cc")
def test_a_compiled_program_with_other_numbers_is_refused(
    request_here: ExportRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = writing.run_fixed
    monkeypatch.setattr(writing, "run_fixed", lambda program, images: true(program, images) + 1)
    with pytest.raises(ExportError, match="does not give the numbers of its integer reference"):
        write(request_here)
    assert not request_here.out.exists()


def test_an_earlier_export_is_replaced_and_other_files_stay(request_here: ExportRequest, no_compilers: None) -> None:
    request_here.out.mkdir()
    write(request_here)
    (request_here.out / "example").write_text("a program")
    (request_here.out / "mine").mkdir()
    (request_here.out / "mine" / "notes.txt").write_text("notes")
    (request_here.out / "README.md").write_text("changed")
    write(replace(request_here, shippable=replace(request_here.shippable, name="other")))
    names = {str(path.relative_to(request_here.out)) for path in request_here.out.rglob("*") if path.is_file()}
    assert names == {name.replace("random", "other") for name in FILES} | {"example", "mine/notes.txt"}
    assert "# other" in (request_here.out / "README.md").read_text()
    assert [path.name for path in request_here.out.parent.iterdir()] == ["c"]


def test_a_folder_with_other_things_is_left_alone(request_here: ExportRequest) -> None:
    request_here.out.mkdir()
    (request_here.out / "README.md").write_text("mine")
    with pytest.raises(ExportError, match="holds something else"):
        write(request_here)
    assert [path.name for path in request_here.out.iterdir()] == ["README.md"]


def test_a_failed_exchange_leaves_the_earlier_export(
    request_here: ExportRequest, no_compilers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(request_here)
    before = {path: path.read_bytes() for path in request_here.out.rglob("*") if path.is_file()}
    rename = Path.rename

    def fail_for_the_new_one(self: Path, target: Path) -> Path:
        if target == request_here.out and not target.exists() and (self / "other.c").exists():
            raise OSError("no space left")
        return rename(self, target)

    monkeypatch.setattr(folders.Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="no space left"):
        write(replace(request_here, shippable=replace(request_here.shippable, name="other")))
    assert {path: path.read_bytes() for path in request_here.out.rglob("*") if path.is_file()} == before
    assert [path.name for path in request_here.out.parent.iterdir()] == ["c"]


def test_what_arduino_and_platformio_read(exported: Path) -> None:
    lines = (exported / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    assert {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    } <= set(properties)
    assert (properties["name"], properties["includes"]) == ("random", "random.h")
    assert properties["category"] in ("Data Processing", "Other", "Uncategorized")
    library = json.loads((exported / "library.json").read_text())
    assert library["headers"] == "random.h"
    assert library["build"]["srcFilter"] == ["-<*>", "+<random.c>"]
    assert library["version"] == properties["version"]
    source = (exported / "example.c").read_text()
    assert source.index("#ifndef ARDUINO") < source.index("int main")  # Arduino compiles every .c of a flat library


@needs("gcc")
def test_an_arduino_build_has_no_second_main(exported: Path) -> None:
    command = ["gcc", *STRICT, "-DARDUINO=10819", "-fsyntax-only", "example.c"]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

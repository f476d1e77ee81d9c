"""Hostile names in exports to C are harmless, and a camera's picture is shrunk."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c_builds import STRICT, needs
from random_exports import random_request
from thumbnet.export.c import measure
from thumbnet.export.c.names import c_identifier, c_string, markdown_text
from thumbnet.export.c.reading import load_c_folder
from thumbnet.export.c.source import fill
from thumbnet.export.c.write import write

HOSTILE = (
    "*/ int x; /*", "// \\", "\"'\\", '"; system("x"); "', "??/", "%s%n", "one\ntwo", "\r", "\u202egnp", "</script>",
    "Zoë", "$name", "${NAME}", "\x1b[2J", "\\", "a" * 300, "| --- |", "[x](http://x)", "1. one", "\udce9",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("thumb-20k", "thumb_20k"),
        ("Sprint", "sprint"),
        ("2 cats", "model_2_cats"),
        ("__reserved", "reserved"),
        ("int", "model_int"),
        ("uint8", "model_uint8"),
        ("stdint", "model_stdint"),
        ("string", "model_string"),
        ("strings", "strings"),
        ("example", "model_example"),
        ("size_t", "model_size_t"),
        ("modell", "modell"),
        ("last", "model_last"),
        ("Stem", "model_stem"),
        ("most", "model_most"),
        ("thumbnet", "model_thumbnet"),
        ("at-last", "at_last"),
        ("Zoë", "zo"),
        ("猫", "model"),
        ("", "model"),
        ("*/\n", "model"),
        ("a" * 100, "a" * 40),
    ],
)
def test_identifiers(name: str, expected: str) -> None:
    assert c_identifier(name) == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_a_string_literal_is_plain_ascii_that_means_the_text(text: str) -> None:
    literal = c_string(text)
    assert re.fullmatch(r'"([A-Za-z0-9 \-_.,:+=()]|\\[0-7]{3})*"', literal)
    content = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), literal[1:-1].encode())
    assert content == text.encode("utf-8", "replace")


def test_markdown_shows_a_name_as_it_is() -> None:
    assert markdown_text("CIFAR-10, (binary) 1.5") == "CIFAR-10, (binary) 1.5"
    assert markdown_text("<b>&amp; [x](http://y) `c` *i* | _j_") == (
        r"&lt;b\>&amp;amp; \[x\](http\://y) \`c\` \*i\* \| \_j\_"
    )
    assert [markdown_text(text) for text in ("# a", "- a", "1. a", "12) a")] == [r"\# a", r"\- a", r"1\. a", r"12\) a"]
    assert markdown_text("one\ntwo \u202egnp\x1b") == "one\ufffdtwo \ufffdgnp\ufffd"


@needs("gcc")
def test_names_of_all_kinds_compile_and_come_out_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BOARD_COMPILER", "no such compiler")
    request = random_request("100 classes", tmp_path / "c")
    card = replace(request.shippable.card, class_names=HOSTILE + request.shippable.card.class_names[len(HOSTILE) :])
    monkeypatch.setattr(measure, "COMPILERS", ())
    result = write(replace(request, shippable=replace(request.shippable, name="*/ ??/\n\u202e\"'\\ $x", card=card)))
    assert load_c_folder(result.path)[0] == card
    for path in result.files:
        if path.suffix in (".c", ".h", ".mk", ".cmake", ".json", ".properties") or path.name == "Makefile":
            assert path.read_bytes().isascii(), path
            assert not re.search(r"\?\?/|\$(name|\{NAME)", path.read_text()), path
    readme = (result.path / "README.md").read_text()
    assert not set(readme) & set("\u202e\x1b\r")
    assert "<script" not in readme
    main = '#include <stdio.h>\n#include "x.h"\nint main(void) { for (int i = 0; i < X_CLASSES; i++) '
    (result.path / "main.c").write_text(main + 'printf("%s%c", x_class_names[i], 0); return 0; }\n')
    command = ["gcc", *STRICT, "-O0", "-o", "main", "main.c", "x.c"]
    done = subprocess.run(command, cwd=result.path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run([result.path / "main"], capture_output=True).stdout.split(b"\0")[:-1]
    assert shown == [name.encode("utf-8", "replace") for name in card.class_names]
    done = subprocess.run(
        ["gcc", *STRICT, "-fsyntax-only", "example.c"], cwd=result.path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


CAMERA = """
#include <stdio.h>
#include "net_camera.h"
static uint8_t camera[4 * 4096];
static uint8_t pixels[NET_HEIGHT * NET_WIDTH * NET_CHANNELS];
int main(int argc, char **argv)
{
    unsigned sizes[3] = {0, 0, 0};
    if (argc != 4 || sscanf(argv[1], "%u", sizes) != 1 || sscanf(argv[2], "%u", sizes + 1) != 1)
        return 2;
    if (sscanf(argv[3], "%u", sizes + 2) != 1 || fread(camera, 1, sizeof camera, stdin) == 0)
        return 2;
    net_from_camera(camera, sizes[0], sizes[1], (enum net_format)sizes[2], pixels);
    fwrite(pixels, 1, sizeof pixels, stdout);
    return 0;
}
"""


def camera_program(folder: Path, *, width: int, height: int, channels: int) -> Path:
    values: Mapping[str, str | int] = {"name": "net", "NAME": "NET", "width": width, "height": height}
    (folder / "net_camera.h").write_text(fill("camera.h", **values))
    header = fill(
        "network.h", **values, channels=channels, num_classes=2, logit_bits=16, pixel_layout="", probability_error=0,
        unsure_macro="", one_more="", and_unsure="", or_unsure="",
    )  # fmt: skip
    (folder / "net.h").write_text(header)
    (folder / "main.c").write_text(CAMERA)
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    command = ["gcc", *STRICT, *sanitize, "-o", "main", "main.c"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "main"


def shrunk(program: Path, frame: bytes, width: int, height: int, form: int) -> list[int]:
    done = subprocess.run([program, str(width), str(height), str(form)], input=frame, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    return list(done.stdout)


@needs("gcc", "g++")
def test_a_cameras_picture(tmp_path: Path) -> None:
    program = camera_program(tmp_path, width=4, height=3, channels=3)
    frame = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    assert shrunk(program, frame.tobytes(), 4, 3, 0) == frame.ravel().tolist()
    large = np.random.default_rng(1).integers(0, 256, (6, 12, 3), np.uint8)  # the middle 8 columns are taken
    middle = large[:, 2:10].reshape(3, 2, 4, 2, 3).astype(int).sum(axis=(1, 3))
    assert shrunk(program, large.tobytes(), 12, 6, 0) == ((middle + 2) // 4).ravel().tolist()
    assert len(shrunk(program, large.tobytes(), 2, 1, 0)) == 36  # smaller than the model's picture
    words = np.array([0xF800, 0x07E0, 0x001F, 0xFFFF, 0x0000, 0x8410] * 2, np.uint16)
    red, green, blue = words >> 11, words >> 5 & 63, words & 31
    expected = np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=1).ravel().tolist()
    assert shrunk(program, words.astype(">u2").tobytes(), 4, 3, 1) == expected
    assert shrunk(program, words.astype("<u2").tobytes(), 4, 3, 2) == expected
    done = subprocess.run(
        ["g++", *STRICT[1:], "-x", "c++", "-fsyntax-only", "net_camera.h"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "error" not in done.stderr


@needs("gcc")
def test_a_cameras_picture_for_a_grey_model(tmp_path: Path) -> None:
    program = camera_program(tmp_path, width=4, height=4, channels=1)
    frame = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    weights = np.array([19595, 38470, 7471])  # Pillow's
    assert shrunk(program, frame.tobytes(), 4, 4, 0) == ((frame @ weights + 32768) >> 16).ravel().tolist()

"""Exports to C of a model whose answer may be "unknown": the program says so where its reference does, to the bit, and
both where the model does, up to the rounding of the distances."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from c_builds import STRICT, Built, compile_all, fixed_program, needs, pixels_of, rows_of, write_main, write_sources
from random_exports import request_of
from test_decision_exports import run_example
from thumbnet.errors import ExportError, ModelError
from thumbnet.export.c import far, measure, stored
from thumbnet.export.c import write as writing
from thumbnet.export.c.far import distances_of, far_error, with_far
from thumbnet.export.c.fixed_point import MOST_FAR, FixedProgram
from thumbnet.export.c.plan import best_plan
from thumbnet.export.c.quantise import map_scale
from thumbnet.export.c.reading import find_stored, load_c_folder, read_stored
from thumbnet.export.c.reference import look_fixed, run_block, run_fixed, run_stem, sums_of
from thumbnet.export.c.surroundings import surroundings
from thumbnet.export.c.write import write
from thumbnet.export.exported import load_exported
from thumbnet.export.request import ExportRequest, softmax
from thumbnet.models.decision import chosen_classes
from thumbnet.models.export_data import AFTER, Range
from thumbnet.models.unknown import Unknown, distances_by, unknown_answers
from thumbnet.models.unsure import unsure_answers
from unknown_networks import KINDS, unknown_of, unknown_request, with_rule, with_unknown

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
BOARDS = Path(__file__).parent / "boards"


@dataclass(frozen=True)
class Case:
    """A network in whole numbers with the rule, and pictures, the last two of one colour each."""

    program: FixedProgram
    unknown: Unknown
    last: Range
    images: np.ndarray


def last_range(request: ExportRequest) -> Range:
    program, export_data = request.shippable.program, request.shippable.export_data
    assert program is not None
    assert export_data is not None
    assert export_data.ranges is not None
    return export_data.ranges[program.blocks[-1].name + AFTER]


def case_of(request: ExportRequest, unknown: Unknown | None = None, *, num_images: int = 10) -> Case:
    unknown = unknown_of(request) if unknown is None else unknown
    program = with_far(fixed_program(request.shippable), unknown, last_range(request))
    images = request.test.images[:num_images]
    extremes = np.stack([np.zeros_like(images[0]), np.full_like(images[0], 255)])
    return Case(program, unknown, last_range(request), np.concatenate([images, extremes]))


def exact_features(case: Case) -> np.ndarray:
    """Of the same int8 maps, in double precision."""
    maps = run_stem(case.program.stem, case.images)
    for block in case.program.blocks:
        maps = run_block(block, maps, case.program.silu_table)
    means: np.ndarray = (maps.astype(np.float64) - case.program.blocks[-1].zero).mean(axis=(1, 2))
    return means * map_scale(case.last).step


def near_one_picture(request: ExportRequest) -> Case:
    """With deviations so small that all pictures are out of an int16's reach but the first one, whose features are the
    classes' means."""
    case = case_of(request)
    features = exact_features(case)
    deviations = 1e-4 * np.maximum(features.std(axis=0), 1e-3 * features.std(axis=0).max())
    means = np.repeat(features[:1], case.program.num_classes, axis=0)
    rule = Unknown(tuple(map(tuple, means.tolist())), tuple(deviations.tolist()), 40.0, 0.05, 200, 10)
    return case_of(request, rule)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("cases")
    usual = unknown_request(folder / "usual")
    return {
        "usual": case_of(usual),
        "out of reach": near_one_picture(usual),
        "100 classes": case_of(with_unknown(request_of("c8p b16p b16", False, (3, 12, 12), 100, folder / "100"))),
        "shifted sums": case_of(with_unknown(request_of("b8 b16", False, (1, 64, 64), 4, folder / "64")), num_images=4),
    }


@pytest.fixture(scope="module")
def compiled(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One program of all networks, under sanitizers and without a warning."""
    folder = tmp_path_factory.mktemp("compiled")
    built = [Built(index, f"net{index}", case.program) for index, case in enumerate(cases.values())]
    for one in built:
        write_sources(one.program, folder, one.name, [f"class {index}" for index in range(one.program.num_classes)])
    write_main(built, folder)
    compile_all(folder, "gcc", "-O0", *STRICT, *SANITIZE, "-o", "main")
    return folder


CASES = pytest.mark.parametrize("name", ["usual", "out of reach", "100 classes", "shifted sums"])


@needs("gcc")
@CASES
def test_the_program_answers_as_its_reference(name: str, cases: dict[str, Case], compiled: Path) -> None:
    case = cases[name]
    done = subprocess.run(
        [compiled / "main", str(list(cases).index(name))], input=pixels_of(case.images), capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    rows = rows_of(done.stdout, case.program.num_classes)
    logits, squares = look_fixed(case.program, case.images)
    np.testing.assert_array_equal(rows["logits"], logits)
    np.testing.assert_array_equal(logits, run_fixed(case.program, case.images))
    distances = distances_of(case.program, squares)
    is_unknown = unknown_answers(case.unknown, distances)
    expected = np.where(is_unknown, case.program.num_classes + 1, logits.argmax(axis=1))
    np.testing.assert_array_equal(rows["first"], expected)
    assert 0 < is_unknown.sum() < len(is_unknown)


@CASES
def test_distances_of_whole_numbers_are_those_of_their_maps(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    assert case.program.far is not None
    assert (case.program.sum_shift > 0) == (name == "shifted sums")
    expected = distances_by(case.unknown, exact_features(case))
    found = distances_of(case.program, look_fixed(case.program, case.images)[1])
    reached = expected < MOST_FAR / 2.0**case.program.far.bits
    error = far_error(case.program)
    assert np.abs(found - expected)[reached].max() <= error
    assert error < 0.05 * case.unknown.limit
    is_clear = np.abs(expected - case.unknown.limit) > error
    assert is_clear.sum() >= len(is_clear) - 1
    np.testing.assert_array_equal((found > case.unknown.limit)[is_clear], (expected > case.unknown.limit)[is_clear])


def test_no_clamp_changes_an_answer(cases: dict[str, Case]) -> None:
    case = cases["out of reach"]
    fixed = case.program.far
    assert fixed is not None
    sums = sums_of(case.program, case.images).astype(object)  # whole numbers of any length
    half = 1 << (fixed.scaling.shift - 1)
    features = (sums * fixed.scaling.multipliers.astype(object) + half) // (1 << fixed.scaling.shift) - fixed.centres
    assert np.abs(features).max() > 10 * MOST_FAR
    assert np.abs(features).max() < 2**31
    unclamped = np.min([((features - mean) ** 2).sum(axis=1) for mean in fixed.means.astype(object)], axis=0)
    found = look_fixed(case.program, case.images)[1]
    assert (unclamped > fixed.limit).tolist() == (found > fixed.limit).tolist() == [False] + [True] * 11
    assert (unclamped != found).sum() == 11


def test_numbers_use_their_widths_and_no_more(cases: dict[str, Case]) -> None:
    for case in cases.values():
        fixed = case.program.far
        assert fixed is not None
        assert fixed.distance == pytest.approx(case.unknown.limit, rel=0.01)
        assert np.abs(fixed.means.astype(int)).max() + fixed.distance * 2**fixed.bits < MOST_FAR
        assert (
            fixed.bits == far.MOST_BITS or np.abs(fixed.means.astype(int)).max() + fixed.distance * 2**fixed.bits > 4000
        )


@pytest.mark.parametrize("limit", [0.3, 1.0, 1.25, 12.345678, 7.0000000001])
def test_the_limit_in_whole_numbers_is_that_of_the_card(limit: float) -> None:
    for bits in (0, 5, 10):
        square = far._largest_square(limit, bits)
        below, above = np.sqrt(np.array([square, square + 1])) / 2.0**bits
        assert below <= limit < above


@pytest.mark.parametrize(("limit", "deviation"), [(1e5, 1.0), (1e9, 1.0), (5.0, 1e-9)])
def test_distances_beyond_the_widths_are_refused(limit: float, deviation: float, tmp_path: Path) -> None:
    request = unknown_request(tmp_path / "c")
    usual = unknown_of(request)
    rule = replace(usual, limit=limit, deviations=tuple(deviation * value for value in usual.deviations))
    with pytest.raises(ExportError, match="too large for whole numbers of 16 bits") as caught:
        write(with_rule(request, rule))
    assert "onnx or html" in caught.value.hint
    assert not request.out.exists()


@needs("cc", "make")
@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_says_it(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BOARD_COMPILER", "no such compiler")
    request = unknown_request(tmp_path / "c", kind)
    result = write(replace(request, max_drop=1.0))
    card, classify, with_distances = load_c_folder(result.path)
    assert card == request.shippable.card
    assert with_distances is not None
    logits, distances = with_distances(request.test.images)
    np.testing.assert_array_equal(logits, classify(request.test.images))
    is_unknown = unknown_answers(card.unknown, distances)
    same = (is_unknown == unknown_answers(card.unknown, request.test.distances)).mean()
    assert same >= 0.9
    is_unsure = unsure_answers(card.unsure, softmax(logits))
    names = [
        "unknown" if unknown else "unsure" if unsure else card.class_names[chosen]
        for unknown, unsure, chosen in zip(is_unknown, is_unsure, chosen_classes(card.decision, logits), strict=True)
    ]
    found = run_example(result.path, request.test.images[:14])
    shown = [name or None for name in found]  # a line of an answer that is no class has no probability
    assert shown == [None if name in ("unknown", "unsure") else name for name in names[:14]]
    assert {"unknown"} < set(names[:14])
    header, readme = (result.path / "random.h").read_text(), (result.path / "README.md").read_text()
    assert "#define RANDOM_UNKNOWN (RANDOM_CLASSES + 1)" in header
    assert ("#define RANDOM_UNSURE RANDOM_CLASSES\n" in header) == (kind == "unsure")
    assert "random_class_names[RANDOM_CLASSES + 2]" in header
    assert '    "unsure",\n    "unknown",\n};' in (result.path / "random.c").read_text()
    assert "`class_index` is `RANDOM_UNKNOWN`" in readme
    assert f"| {100 * same:.2f}% of 40 test images, of which" in readme
    assert "'unknown' where a picture is further than" in readme
    assert result.details["same_unknown"] == f"{100 * same:.2f}% of 40 test images"
    assert (result.checks[-1].unknown, result.checks[-1].original_unknown) == (is_unknown.mean(), 0.5)
    answers = [each.answer for each in load_exported(result.path).predict(request.test.images.transpose(0, 2, 3, 1))]
    assert answers == names


def test_it_is_the_same_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = unknown_request(tmp_path / "c")
    with monkeypatch.context() as patched:
        patched.setattr(measure.shutil, "which", lambda name: None)
        result = write(replace(request, max_drop=1.0))
    _, _, with_distances = load_c_folder(result.path)
    assert with_distances is not None
    unknown = unknown_of(request)
    share = unknown_answers(unknown, with_distances(request.test.images).distances).mean()
    assert f"of which {100 * share:.2f}% are unknown (float: 50.00%)" in (result.path / "README.md").read_text()


def test_without_the_rule_nothing_of_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "COMPILERS", ())
    request = with_rule(unknown_request(tmp_path / "c", "unsure"), None)
    result = write(replace(request, max_drop=1.0))
    for path in result.files:
        content = path.read_bytes().lower()
        assert not any(word in content for word in (b"unknown", b"is_far", b"far_", b'"far"')), path
    found = find_stored(result.path)
    assert found is not None
    content = found.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(json.loads(header["__metadata__"][stored.KEY])[stored.CONTENT])["format"] == 1
    assert load_c_folder(result.path)[2] is None
    assert "same_unknown" not in result.details


def test_a_folder_is_read_back_and_an_earlier_version_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = unknown_request(tmp_path / "c")
    monkeypatch.setattr(measure, "COMPILERS", ())
    result = write(replace(request, max_drop=1.0))
    found, expected = read_stored(result.path).program.far, case_of(request).program.far
    assert found is not None
    assert expected is not None
    for one, other in ((found.means, expected.means), (found.centres, expected.centres)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.scaling.multipliers, expected.scaling.multipliers)
    assert (found.scaling.shift, found.bits, found.limit) == (expected.scaling.shift, expected.bits, expected.limit)
    monkeypatch.setattr(stored, "STORED_FORMAT", 1)
    with pytest.raises(ModelError, match="is damaged"):
        load_c_folder(result.path)


def test_a_program_to_which_other_pictures_are_unknown_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = unknown_request(tmp_path / "c")
    held_out = request.held_out
    assert held_out is not None
    assert held_out.distances is not None
    monkeypatch.setattr(measure, "COMPILERS", ())
    moved = replace(request, held_out=replace(held_out, distances=0.5 * held_out.distances))
    with pytest.raises(ExportError, match=r"only \d+% of 40 held-out images are 'unknown', or not, as"):
        write(moved)
    assert not request.out.exists()
    write(replace(moved, max_drop=1.0))
    assert request.out.exists()


@needs("cc")
def test_a_compiled_program_with_other_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = unknown_request(tmp_path / "c")
    true = writing.look_fixed

    def mistaken(program: FixedProgram, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, squares = true(program, images)
        assert program.far is not None
        return logits, 2 * program.far.limit - squares

    monkeypatch.setattr(writing, "look_fixed", mistaken)
    with pytest.raises(ExportError, match="does not answer by the model's rule"):
        write(request)


@needs("gcc")
def test_micropythons_glue_names_the_answer(cases: dict[str, Case], tmp_path: Path) -> None:
    """Its call is compiled with the network, in the place of a firmware: the name is that of the index."""
    case = cases["usual"]
    write_sources(case.program, tmp_path, "net", [f"class {index}" for index in range(4)])
    for path, content in surroundings(case.program, "net").items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    glue = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{BOARDS}", "modthumbnet.c"]
    done = subprocess.run(glue, cwd=tmp_path / "micropython", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    named = "net_class_names[net_classify((const uint8_t *)buffer.buf, logits)]"
    assert named in (tmp_path / "micropython" / "modthumbnet.c").read_text()
    (tmp_path / "names.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void) { puts(net_class_names[NET_UNKNOWN]); return 0; }\n'
    )
    subprocess.run(["gcc", *STRICT, "-O0", "-o", "names", "names.c", "net.c"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "names"], capture_output=True).stdout == b"unknown\n"


@needs("arm-none-eabi-gcc")
def test_estimated_sizes_are_near_the_compiled_ones(cases: dict[str, Case], tmp_path: Path) -> None:
    for name in ("usual", "100 classes"):
        program = cases[name].program
        folder = tmp_path / name.replace(" ", "")
        folder.mkdir()
        write_sources(program, folder, "net", [f"class {index}" for index in range(program.num_classes)])
        sources = {path.name: path.read_bytes() for path in folder.iterdir()}
        compiled = measure.measure_board(sources, folder, program, best_plan(program.blocks), name="net")
        estimated = measure._estimate(program, best_plan(program.blocks), may_be_unsure=False)
        names = sum(4 + len(f"class {index}") + 1 for index in range(program.num_classes))  # which it leaves out
        assert estimated.flash == pytest.approx(compiled.flash - names, abs=300)
        assert estimated.ram == pytest.approx(compiled.ram, abs=100)

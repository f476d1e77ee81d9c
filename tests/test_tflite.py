"""Exports to TensorFlow Lite: what LiteRT and the microcontrollers' interpreter give, metadata, folders, refusals."""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tflite_reading
from random_exports import KINDS, random_request, without_data
from thumbnet.cli import main
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ExportError, ExtraMissingError
from thumbnet.export.check_images import images_of
from thumbnet.export.export import export_model, export_shippable
from thumbnet.export.request import ExportRequest, softmax
from thumbnet.export.tflite import checking, targets
from thumbnet.export.tflite.contents import file_bytes
from thumbnet.export.tflite.enlarged import repeated, smooth
from thumbnet.export.tflite.interpreters import MicroRun, has_micro, read_maps, run_litert, run_micro
from thumbnet.export.tflite.labels import label_lines
from thumbnet.export.tflite.quantisation import MapScale, map_scale, quantise_filters
from thumbnet.export.tflite.rounding import moments_of_maps, round_filters
from thumbnet.export.tflite.write import write
from thumbnet.models.card import card_from_dict
from thumbnet.specs import extras
from thumbnet.trained.shippable import load_pretrained_shippable

HOSTILE = ("*/ //", "\"'\\", "</script>", "one\ntwo", "\u202egnp", "??/", "\x00", "Zoë", "a\r\nb\u2028c")
needs_micro = pytest.mark.skipif(not has_micro(), reason="needs tflite-micro, which has builds for some systems only")
KINDS_AND_SIGN = (*KINDS, "negative scales before a pool")


@pytest.fixture(autouse=True)
def more_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "negative scales before a pool", ("c8p c8p b12p", False, (3, 17, 19), 3))


@pytest.mark.parametrize("kind", KINDS_AND_SIGN)
def test_the_operators_are_the_network(kind: str, tmp_path: Path) -> None:
    """Run with real numbers, which round and clip nothing, a file differs by its filters' rounding only."""
    request = random_request(kind, tmp_path / "model.tflite")
    images = request.test.images[:8]
    found = tflite_reading.run_exactly(file_bytes(request.shippable), checking.channels_last(images))
    expected = softmax(request.test.logits[:8])
    assert np.abs(found - expected).max() < 0.08
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995


def test_some_of_them_have_signs(tmp_path: Path) -> None:
    program = random_request(KINDS_AND_SIGN[-1], tmp_path / "model.tflite").shippable.program
    assert program is not None
    assert any(block.sign is not None for block in program.blocks)


@pytest.mark.parametrize("kind", KINDS_AND_SIGN)
def test_a_file_gives_nearly_what_the_network_gives(kind: str, tmp_path: Path) -> None:
    request = random_request(kind, tmp_path / "model.tflite")
    result = write(request)
    content = request.out.read_bytes()
    assert result.num_bytes == len(content)
    assert [check.num_images for check in result.checks] == [40, 40]
    assert min(check.agreement for check in result.checks) >= 0.8
    channels, height, width = request.shippable.card.image_shape
    assert result.details["input"] == f"uint8 [1,{height},{width},{channels}], pixels 0 to 255"
    found = run_litert(content, checking.channels_last(request.test.images))
    assert np.abs(found - softmax(request.test.logits)).mean() < 0.05


@needs_micro
@pytest.mark.parametrize("kind", KINDS_AND_SIGN)
def test_the_microcontrollers_interpreter_gives_the_same(kind: str, tmp_path: Path) -> None:
    request = random_request(kind, tmp_path / "model.tflite")
    content = file_bytes(request.shippable)
    pictures = checking.channels_last(request.test.images[:4])
    micro = run_micro(content, pictures)
    assert np.abs(micro.probabilities - run_litert(content, pictures, by_reference=True)).max() <= 1 / 256
    details = checking.check_micro(content, request.test)
    assert details["arena_bytes"] == micro.arena_bytes > pictures[0].size
    assert "gives what LiteRT's reference kernels give, for 4 pictures" in str(details["microcontrollers"])


def test_only_built_in_operators_and_a_byte_a_weight(tmp_path: Path) -> None:
    shippable = load_pretrained_shippable("thumb-50k")
    content = file_bytes(shippable)
    assert tflite_reading.operators(content) == {
        "QUANTIZE", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "LOGISTIC", "MUL", "ADD", "MEAN",
        "FULLY_CONNECTED", "SOFTMAX",
    }  # fmt: skip
    assert len(content) <= 110_000


@pytest.mark.parametrize("name", ["sprint", "thumb-20k"])
def test_models_of_the_package(name: str, tmp_path: Path) -> None:
    result = export_shippable(load_pretrained_shippable(name), "tflite", out=tmp_path / "model.tflite")
    assert [(check.num_images, check.on_samples) for check in result.checks] == [(20, True)]
    assert result.checks[0].agreement >= 0.95
    assert result.checks[0].max_difference < 0.15


def test_the_same_model_gives_the_same_bytes() -> None:
    one, other = (load_pretrained_shippable("thumb-20k") for _ in range(2))
    assert file_bytes(one) == file_bytes(other)
    assert file_bytes(one, camera=(224, 224)) == file_bytes(other, camera=(224, 224))


def hostile_request(out: Path) -> ExportRequest:
    request = random_request("100 classes", out, name="run */ \udce9 \n</script>.a.b")
    class_names = HOSTILE + request.shippable.card.class_names[len(HOSTILE) :]
    return replace(
        request, shippable=replace(request.shippable, card=replace(request.shippable.card, class_names=class_names))
    )


def test_metadata_and_labels(tmp_path: Path) -> None:
    request = hostile_request(tmp_path / "model.tflite")
    write(request)
    content = request.out.read_bytes()
    buffers = tflite_reading.metadata(content)
    card = request.shippable.card
    assert card_from_dict(json.loads(buffers["thumbnet"]), name="card") == card
    found = tflite_reading.read_model_metadata(buffers["TFLITE_METADATA"])
    assert found == {
        "name": "run */ \\xe9 \\n</script>.a.b",
        "description": found["description"],
        "license": "not stated",
        "input": "image",
        "colour": 1,
        "output": "probability",
        "labels": "labels.txt",
        "labels_type": 2,
    }
    assert "100 classes" in str(found["description"])
    assert "accuracy before quantisation 25.00%" in str(found["description"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt"]
        lines = archive.read("labels.txt").decode().splitlines()
    assert len(lines) == 100
    assert lines[:9] == [
        "*/ //", "\"'\\", "</script>", "one\\ntwo", "\\u202egnp", "??/", "\\x00", "Zoë", "a\\r\\nb\\u2028c"
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "divides"), [("separable", True), ("one channel", True), ("48x40", False)])
def test_a_folder_for_frigate(kind: str, divides: bool, tmp_path: Path) -> None:
    request = random_request(kind, tmp_path / "it")
    test = request.test
    few = replace(test, images=test.images[:8], labels=test.labels[:8], logits=test.logits[:8])
    request = replace(request, target="frigate", test=few)
    result = write(request)
    assert {path.name for path in result.files} == {"model.tflite", "labelmap.txt", "README.md"}
    assert result.files[0] == request.out / "model.tflite"
    assert (request.out / "labelmap.txt").read_text() == label_lines(request.shippable.card.class_names)
    readme = " ".join((request.out / "README.md").read_text().split())
    assert "not run on" in readme
    assert ("Objects are cut out square, so the model sees them distorted" in readme) == (kind == "48x40")
    pictures = checking.channels_last(request.test.images)
    content = (request.out / "model.tflite").read_bytes()
    exact = repeated(pictures, (224, 224))
    assert (exact is not None) == divides
    if exact is not None:
        np.testing.assert_array_equal(run_litert(content, exact), run_litert(file_bytes(request.shippable), pictures))
    assert "of 8, enlarged to 224x224 pixels" in str(result.details["enlarged_pictures"])


@pytest.mark.parametrize("kind", ["separable", "one channel", "48x40"])
def test_a_camera_s_picture_is_shrunk_in_its_place(kind: str, tmp_path: Path) -> None:
    """A slope of brightness, of which every pixel's neighbours average to it."""
    shippable = random_request(kind, tmp_path / "it").shippable
    channels, height, width = shippable.card.image_shape
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    picture = np.rint(40 + 150 * rows / height + 40 * columns / width).astype(np.uint8)
    picture = np.repeat(picture[..., None], channels, axis=2)
    maps = read_maps(file_bytes(shippable, camera=(224, 224)), smooth(picture[None], (224, 224))[0])
    shrunk = maps["grey" if channels == 1 else "shrunk"][0]
    assert shrunk.shape == picture.shape
    assert np.abs(shrunk - picture)[1:-1, 1:-1].max() <= 1.5
    assert np.abs(shrunk - picture).max() <= 4


def test_a_folder_for_openmv(tmp_path: Path) -> None:
    request = replace(hostile_request(tmp_path / "it"), target="openmv")
    result = write(request)
    names = ["run_script_a_b.tflite", "run_script_a_b.txt", "README.md"]
    assert sorted(path.name for path in result.files) == sorted(path.name for path in request.out.iterdir())
    assert [path.name for path in result.files] == names
    assert len((request.out / names[1]).read_text().splitlines()) == 100
    readme = (request.out / "README.md").read_text()
    assert 'ml.Model("/run_script_a_b.tflite")' in readme
    compile(readme.split("```python")[1].split("```")[0].replace("\n   ", "\n"), "README.md", "exec")


@pytest.mark.parametrize(
    ("name", "expected"), [("thumb-20k", "thumb-20k"), ("v1.2 \n", "v1_2"), ("../..", "model"), ("Zoë", "Zo")]
)
def test_a_name_becomes_plain(name: str, expected: str) -> None:
    assert targets.plain_name(name) == expected


def test_a_loss_of_accuracy_is_refused_with_the_layers_that_cost_most(tmp_path: Path) -> None:
    request = random_request("separable", tmp_path / "model.tflite")
    program = request.shippable.program
    assert program is not None
    first, second, *others = program.blocks
    filters = second.filters.copy()
    filters[:, 0, 0, 0] *= 1000
    damaged = replace(program, blocks=(first, replace(second, filters=filters), *others))
    request = replace(request, max_drop=0.01, shippable=replace(request.shippable, program=damaged))
    refusal = r"loses .*% of accuracy on 40 held-out images, more than the 1.00% allowed; most of it arises in blocks\."
    with pytest.raises(ExportError, match=refusal) as caught:
        write(request)
    assert "--max-drop" in caught.value.hint
    assert not request.out.exists()
    write(replace(request, max_drop=1.0))
    assert request.out.exists()


@pytest.mark.parametrize("arguments", [[], ["--for", "frigate"], ["--for", "openmv"]])
def test_a_run_on_own_pictures(
    arguments: list[str], small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Grey pictures of 16x16 pixels, checked on its own data."""
    out = tmp_path / "it" / ("run.tflite" if not arguments else "folder")
    assert main(["export", str(small_run), "--format", "tflite", "--out", str(out), "--json", *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [check["description"] for check in result["checks"]] == ["8 validation images", "4 test images"]
    camera = "224,224,3" if "frigate" in arguments else "16,16,1"
    assert result["details"]["input"] == f"uint8 [1,{camera}], pixels 0 to 255"
    assert all(str(small_run.parent).encode() not in Path(file).read_bytes() for file in result["files"])


def test_without_data_other_classes_of_samples_are_refused(tmp_path: Path) -> None:
    request = without_data(random_request("separable", tmp_path / "model.tflite"))
    program = request.shippable.program
    assert program is not None
    turned = replace(program, head=np.roll(program.head, 1, axis=0))
    with pytest.raises(ExportError, match=r"class to \d+% of 20 samples, fewer than 90%"):
        write(replace(request, shippable=replace(request.shippable, program=turned)))
    assert not request.out.exists()


def test_the_costliest_layer_is_found() -> None:
    shippable = load_pretrained_shippable("thumb-20k")
    assert shippable.program is not None
    assert shippable.export_data is not None
    assert shippable.export_data.ranges is not None
    before = shippable.export_data.ranges["blocks.3.before"]
    ranges = {**shippable.export_data.ranges, "blocks.3.before": replace(before, high=before.high * 30)}
    coarse = replace(shippable, export_data=replace(shippable.export_data, ranges=ranges))
    images = shippable.export_data.samples.images[:3]
    fine, found = (checking.layer_costs(file_bytes(one), shippable.program, images) for one in (shippable, coarse))
    assert all(0 <= cost < 0.3 for cost in fine.values())
    assert max(found, key=lambda name: found[name] / (fine[name] + 0.01)) == "blocks.3"
    assert [found[name] for name in ("blocks.0", "blocks.1", "blocks.2")] == [fine[f"blocks.{at}"] for at in range(3)]


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ai_edge_litert" else object())
    with pytest.raises(ExtraMissingError, match="ai_edge_litert") as caught:
        write(random_request("separable", tmp_path / "model.tflite"))
    assert "thumbnet[tflite]" in caught.value.hint


def test_without_the_interpreter_for_microcontrollers_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "has_micro", lambda: False)
    result = write(random_request("separable", tmp_path / "model.tflite"))
    assert str(result.details["microcontrollers"]).startswith("not run: tflite-micro is not installed")
    assert "arena_bytes" not in result.details


@needs_micro
def test_another_answer_of_the_microcontrollers_interpreter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = random_request("separable", tmp_path / "model.tflite")

    def run_otherwise(content: bytes, pictures: np.ndarray) -> MicroRun:
        found = run_micro(content, pictures)
        return replace(found, probabilities=found.probabilities[:, ::-1])

    monkeypatch.setattr(checking, "run_micro", run_otherwise)
    with pytest.raises(ExportError, match="microcontrollers gives other probabilities"):
        write(request)
    assert not request.out.exists()


def test_another_answer_for_enlarged_pictures_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = random_request("separable", tmp_path / "model.tflite")
    monkeypatch.setattr(checking, "repeated", lambda pictures, sides: repeated(pictures[:, ::-1], sides))
    with pytest.raises(ExportError, match="other probabilities for enlarged pictures"):
        write(replace(request, target="frigate"))
    assert not request.out.exists()


def test_a_file_that_no_interpreter_takes_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    pictures = np.zeros((1, 32, 32, 3), np.uint8)
    content = file_bytes(load_pretrained_shippable("thumb-20k"))
    with pytest.raises(ExportError, match="LiteRT does not run the file"):
        run_litert(content.replace(b"TFL3", b"TFL2"), pictures)
    assert capfd.readouterr() == ("", "")


@needs_micro
def test_the_microcontrollers_interpreter_refuses_other_pictures(capfd: pytest.CaptureFixture[str]) -> None:
    content = file_bytes(load_pretrained_shippable("thumb-20k"))
    with pytest.raises(ExportError, match="microcontrollers does not run the file"):
        run_micro(content, np.zeros((1, 30, 32, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_scales_have_an_exact_zero() -> None:
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0), (-1e-3, 1e3)):
        scale = map_scale(low, high)
        assert -128 <= scale.zero_point <= 127
        ends = np.clip(np.rint(np.array([low, high]) / scale.scale) + scale.zero_point, -128, 127)
        assert np.abs(scale.scale * (ends - scale.zero_point) - (low, high)).max() <= scale.scale


def test_silent_channels_keep_their_bias() -> None:
    filters, bias = np.zeros((3, 2, 1, 1), np.float32), np.array([0, 5, -1e6], np.float32)
    found = quantise_filters(filters, bias, moments=np.eye(2), before=MapScale(0.1, 3), after=MapScale(0.2, 0))
    assert not found.values.any()
    np.testing.assert_allclose(found.bias * (0.1 * found.scales), bias, rtol=1e-3)


def test_filters_are_rounded_together() -> None:
    """The errors of a filter that sees inputs alike cancel: their sum is below half a step."""
    values = np.random.default_rng(0).uniform(-100, 100, (50, 9))
    alike = moments_of_maps(np.ones(1), 3, 1, mean_share=1, spread_share=0.01)
    nearest = np.rint(values)
    together = round_filters(values, alike, most=127)
    assert (np.abs(together - values) < 1).all()
    assert (np.abs((together - values).sum(axis=1)) <= 0.5).all()
    assert (np.abs((nearest - values).sum(axis=1)) > 0.5).any()
    np.testing.assert_array_equal(round_filters(values, np.eye(9), most=127), nearest)
    np.testing.assert_array_equal(round_filters(nearest, alike, most=127), nearest)


@needs_micro
@pytest.mark.acceptance
@pytest.mark.parametrize("name", ["thumb-20k", "sprint"])  # benchmarks/bench_export.py measures all
def test_on_all_test_images(name: str, tmp_path: Path) -> None:
    """Within 0.3 points of the original; under 3 s without data; the microcontrollers' classes on 200 pictures."""
    path = tmp_path / "model.tflite"
    start = time.process_time()
    export_shippable(load_pretrained_shippable(name), "tflite", out=path)
    assert time.process_time() - start < 3
    result = export_model(name, "tflite", out=path, data="cifar10", allow_unverified=True)
    assert [check.num_images for check in result.checks] == [1000, 10_000]
    assert result.checks[1].drop <= 0.003
    assert result.checks[1].agreement >= 0.98
    test = images_of(load_pretrained_shippable(name), load_dataset("cifar10", allow_unverified=True).test, "test")
    pictures = checking.channels_last(test.images[:200])
    content = path.read_bytes()
    micro, reference = run_micro(content, pictures).probabilities, run_litert(content, pictures, by_reference=True)
    np.testing.assert_array_equal(micro.argmax(axis=1), reference.argmax(axis=1))
    assert np.abs(micro - reference).max() <= 1 / 256

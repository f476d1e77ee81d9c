"""`thumbnet predict`: which files names mean, results one by one, exported models, pictures sorted into folders."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thumbnet
from thumbnet.cli import main, predict_verb
from thumbnet.cli.output import put_utf8
from thumbnet.cli.predicting_model import PredictingModel, newest_run
from thumbnet.cli.prediction_output import writer_for
from thumbnet.data.picture_files import find_pictures
from thumbnet.errors import ConfigError, DataError, ImageError, ModelError, NonFiniteLogitsError
from thumbnet.evaluation import sorted_pictures
from thumbnet.evaluation.image_answers import ClassProbability, ImagePrediction
from thumbnet.evaluation.images import PictureForm, stream_predictions
from thumbnet.evaluation.sorted_pictures import PictureSorter, folder_names
from thumbnet.export.exported import load_exported
from thumbnet.export.onnx.float_graph import float_graph
from thumbnet.export.onnx.graph import to_bytes
from thumbnet.export.onnx.names import CARD
from thumbnet.export.onnx.quick import runtime_predictor
from thumbnet.models.card import card_to_dict
from thumbnet.runs.predict import shippable_predictor
from thumbnet.runs.run import load_run
from thumbnet.runs.shippable import load_shippable
from thumbnet.specs import extras
from thumbnet.trained.model import load_pretrained
from thumbnet.trained.shippable import load_pretrained_shippable

MODEL = "thumb-20k"
HOSTILE = (
    "a/b",
    "a\\b",
    "a_b",
    "A_B",
    "../../etc",
    "..",
    "",
    "nul",
    "COM1.txt",
    "x\ny",
    "\u202egnp",
    'q"*?<>|:',
    "é" * 300,
)
FORM = PictureForm((1, 8, 8), ("dark", "light"))


def draw(path: Path, level: int = 90) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (level, 20, 255 - level)).save(path)
    return str(path)


def brightness(images: np.ndarray) -> np.ndarray:
    """Logits of two classes, by which a picture's mean level is known again."""
    level = images.reshape(len(images), -1).mean(axis=1)
    return np.stack([128 - level, level - 128], axis=1).astype(np.float32) / 64


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures and other things, in which the test then is."""
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(("b.png", "a.png", "deep/er/c.PNG", "deep/d.png", "odd [1]/e.png", ".hidden/f.png")):
        draw(tmp_path / "pets" / name, 40 * place)
    (tmp_path / "pets/notes.txt").write_text("no picture")
    (tmp_path / "pets/desktop.ini").write_text("no picture")
    return tmp_path / "pets"


def test_a_folder_means_all_pictures_in_it(pets: Path) -> None:
    expected = ["pets/a.png", "pets/b.png", "pets/deep/d.png", "pets/deep/er/c.PNG", "pets/odd [1]/e.png"]
    assert find_pictures(["pets"]) == expected
    assert find_pictures([str(pets / "deep"), "pets/a.png"]) == [
        *(str(pets / "deep" / name) for name in ("d.png", "er/c.PNG")),
        "pets/a.png",
    ]
    (pets / "back").symlink_to(pets)  # not followed for ever
    assert find_pictures(["pets"]) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("pets/*.png", ["pets/a.png", "pets/b.png"]),
        ("pets/[ab].png", ["pets/a.png", "pets/b.png"]),
        ("pets/**/*.png", ["pets/a.png", "pets/b.png", "pets/deep/d.png", "pets/odd [1]/e.png"]),
        ("pets/?.png", ["pets/a.png", "pets/b.png"]),
        ("pets/odd [1]/*.png", ["pets/odd [1]/e.png"]),
        ("pets/de*", ["pets/deep/d.png", "pets/deep/er/c.PNG", "pets/desktop.ini"]),  # as a shell would give them
    ],
)
def test_a_pattern_means_what_fits_it(pets: Path, pattern: str, expected: list[str]) -> None:
    assert find_pictures([pattern]) == expected
    assert find_pictures([str(pets.parent / pattern)]) == [str(pets.parent / name) for name in expected]


def test_patterns_of_any_depth_end_where_links_lead_back(pets: Path) -> None:
    for name in ("back", "deep/back", "deep/again", "deep/er/back"):  # glob's own search is exponential in these
        (pets / name).symlink_to(pets)
    expected = ["pets/a.png", "pets/b.png", "pets/deep/d.png", "pets/odd [1]/e.png"]
    assert find_pictures(["pets/**/*.png"]) == expected
    assert find_pictures(["**/**/*.png"]) == expected
    assert find_pictures(["./pets/**/er/**/*.PNG"]) == ["./pets/deep/er/c.PNG"]
    assert find_pictures([f"{pets}/**/.hidden/*"]) == [str(pets / ".hidden/f.png")]
    for pattern in ("pets/**", "pets/**/", "**", "p*/**/**", "./**"):  # the folder, without what is no picture
        assert find_pictures([pattern]) == find_pictures(["pets"])
    found = find_pictures(["pets", "pets/**/*", "pets/deep/back", "pets/deep/back/a.png"])
    assert found == [*find_pictures(["pets"]), "pets/desktop.ini", "pets/notes.txt"]  # as a shell would give them


def test_what_exists_under_a_name_wins_over_a_pattern(pets: Path) -> None:
    names = [draw(pets / name) for name in ("[ab].png", "what?.png", "*.png")]
    assert find_pictures(names) == names
    assert find_pictures([str(pets / "odd [1]")]) == [str(pets / "odd [1]" / "e.png")]
    kept = ["absent.png", "https://example.org/a*.png?b=[1]"]
    assert find_pictures(kept) == kept


@pytest.mark.parametrize(
    ("name", "said"), [("empty", "the folder empty has no pictures"), ("pets/*.gif", "fits no pic")]
)
def test_a_folder_or_pattern_without_pictures_is_refused(
    pets: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (pets.parent / "empty").mkdir()
    (pets.parent / "empty/notes.txt").write_text("no picture")
    with pytest.raises(DataError, match=said):
        find_pictures([name])
    assert main(["predict", name]) == 2
    shown = capsys.readouterr()
    assert (shown.out, said in shown.err) == ("", True)
    assert main(["predict", name, "absent/*", "--json"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, said in shown.err, "2 of 2" in shown.err) == ("", True, True)

    assert main(["predict", name, "pets/a.png", "--pretrained", MODEL, "--json"]) == 1  # the others are predicted
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert [one["path"] for one in result["predictions"]] == ["pets/a.png"]
    assert [one["path"] for one in result["unreadable"]] == [name]
    assert ("1 of 2" in shown.err, said in shown.err) == (True, True)


def test_nothing_waits_for_a_pipe_that_was_not_named(pets: Path) -> None:
    os.mkfifo(pets / "deep" / "pipe.png")
    reported: list[str] = []
    for name in ("pets", "pets/deep/*.png"):
        found = find_pictures([name], on_unreadable=lambda name, error: reported.append(error.message))
        assert "pets/deep/d.png" in found
        assert "pets/deep/pipe.png" not in found
    assert reported == ["pets/deep/pipe.png is not a regular file"] * 2
    assert find_pictures(["pets/deep/pipe.png"]) == ["pets/deep/pipe.png"]  # as of a shell's <(...)


def test_a_picture_that_several_names_mean_is_given_once(pets: Path) -> None:
    expected = find_pictures(["pets"])
    for again in ("./pets/**", str(pets), "pets/deep", "pets/../pets/a.png", "./pets/*.png"):
        assert find_pictures(["pets", again]) == expected
    shell = ["pets/a.png", "pets/b.png", "pets/deep", "pets/odd [1]"]  # pets/* pets/**/*
    shell += ["pets/deep/d.png", "pets/deep/er", "pets/odd [1]/e.png", "pets/deep/er/c.PNG"]
    assert sorted(find_pictures(shell)) == expected
    assert find_pictures(["./pets/a.png", "pets"]) == ["./pets/a.png", *expected[1:]]
    assert find_pictures(["pets/a.png", "pets/a.png"]) == ["pets/a.png"] * 2  # as they were asked for
    draw(pets / "deep/a.png")
    (pets / "link").symlink_to(pets / "deep/er")
    assert "pets/link/../a.png" in find_pictures(["pets/a.png", "pets/*.png", "pets/link/../*.png"])


def test_one_bad_name_or_folder_does_not_stop_the_others(
    pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scandir = os.scandir

    def refused(folder: str | Path) -> object:
        if Path(folder).name == "er":  # permissions do not hold for root, by whom tests may be run
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refused)
    foreign = draw(Path("pets/deep/ol\udce9.png"))
    reported: list[str] = []
    found = find_pictures(["pets", "pets/deep"], on_unreadable=lambda name, error: reported.append(name))
    assert found == ["pets/a.png", "pets/b.png", "pets/deep/d.png", foreign, "pets/odd [1]/e.png"]
    assert reported == ["pets/deep/er"]
    assert main(["predict", "pets/deep", "--pretrained", MODEL, "--json"]) == 1
    shown = capsys.readouterr()
    assert [one["path"] for one in json.loads(shown.out)["predictions"]] == ["pets/deep/d.png", foreign]
    assert "1 of 3 files" in shown.err
    assert "the folder pets/deep/er cannot be listed: Permission denied" in shown.err
    with pytest.raises(DataError, match="cannot be listed") as caught:
        find_pictures(["pets/deep/er"], on_unreadable=lambda name, error: None)
    assert "no pictures" not in caught.value.message


def test_predictions_come_in_order_and_few_pictures_are_read_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    batches: list[int] = []

    def logits_of(images: np.ndarray) -> np.ndarray:
        batches.append(len(images))
        return brightness(images)

    def counted(form: PictureForm, path: str) -> np.ndarray:
        read.append(path)
        return np.full((1, 8, 8), int(path), np.uint8)

    monkeypatch.setattr(PictureForm, "read", counted)
    paths = [str(level) for level in range(0, 250, 10)]
    found = stream_predictions(logits_of, paths, form=FORM, batch_size=4, on_unreadable=print)
    first = next(found)
    assert len(batches) == 1
    assert len(read) <= 8
    assert [first.path, *(prediction.path for prediction in found)] == paths
    assert batches == [4] * 6 + [1]


def test_a_stream_that_is_left_reads_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(form: PictureForm, path: str) -> np.ndarray:
        read.append(path)
        return np.zeros((1, 8, 8), np.uint8)

    monkeypatch.setattr(PictureForm, "read", counted)
    found = stream_predictions(brightness, ["x"] * 50, form=FORM, batch_size=2, on_unreadable=print)
    assert isinstance(found, Iterator)
    next(found)
    found.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(read) <= 4


def test_probabilities_are_those_of_the_logits(tmp_path: Path) -> None:
    (light,) = thumbnet.predict(MODEL, [draw(tmp_path / "a.png")], num_top=2)
    assert len(light.top) == 2
    assert light.top[0].probability >= light.top[1].probability
    (all_classes,) = thumbnet.predict(MODEL, [tmp_path / "a.png"], num_top=99)
    assert len(all_classes.top) == 10
    assert sum(guess.probability for guess in all_classes.top) == pytest.approx(1)
    for options in ({"num_top": 0}, {"batch_size": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(options))} is 0"):
            thumbnet.predict(MODEL, [tmp_path / "a.png"], **options)

    def undefined(images: np.ndarray) -> np.ndarray:
        return np.full((len(images), 2), np.nan, np.float32)

    with pytest.raises(NonFiniteLogitsError):
        list(stream_predictions(undefined, [tmp_path / "a.png"], form=FORM, on_unreadable=print))


def test_every_source_in_python_predicts_alike(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{level}.png", level) for level in (0, 80, 160)]
    expected = thumbnet.predict(load_pretrained(MODEL), paths, batch_size=2)
    shippable = load_pretrained_shippable(MODEL)
    assert shippable.program is not None
    for source in (MODEL, runtime_predictor(shippable.card, shippable.program)):
        for one, other in zip(thumbnet.predict(source, paths, batch_size=2), expected, strict=True):
            assert (one.path, one.class_name) == (other.path, other.class_name)
            assert one.probability == pytest.approx(other.probability, abs=1e-5)


def test_a_network_that_is_none_of_blocks_is_predicted_by_pytorch(small_run: Path, tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png")
    shippable = load_shippable(small_run)
    by_pytorch = shippable_predictor(replace(shippable, program=None))
    assert by_pytorch.predict([picture]) == thumbnet.predict(load_run(small_run), [picture])
    (found,), (by_numpy,) = by_pytorch.predict([picture]), thumbnet.predict(small_run, [picture])
    assert found.probability == pytest.approx(by_numpy.probability, abs=1e-5)


def test_options_are_obeyed(pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[int, int]] = []
    stream = thumbnet.trained.predictor.Predictor.stream

    def seen(predictor, paths, **options):  # type: ignore[no-untyped-def]
        asked.append((options["num_top"], options["batch_size"]))
        return stream(predictor, paths, **options)

    monkeypatch.setattr("thumbnet.trained.predictor.Predictor.stream", seen)
    assert main(["predict", "pets/a.png", "pets/deep", "--pretrained", MODEL, "--top", "2", "--batch-size", "2"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["pets/a.png", "pets/deep/d.png", "pets/deep/er/c.PNG"]
    assert all(line.count("%") == 2 for line in lines)
    assert asked == [(2, 2)]
    for options in (["--top", "0"], ["--batch-size", "-1"], ["--link"], ["--copy"]):
        assert main(["predict", "pets/a.png", *options]) == 2
        assert options[0] in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["predict", "pets/a.png", "--json", "--csv"])


def test_the_model_is_named_first(small_run: Path, pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "pets/a.png", "--pretrained", MODEL]) == 0
    first, _ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"model: {MODEL} (comes with thumbnet; trained on cifar10; 10 classes: airplane, ")
    assert first.endswith("; 88.9% on its test images)")
    assert main(["predict", "pets/a.png", "--run", str(small_run)]) == 0
    first, _ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"model: {small_run} (trained on npz:")
    assert "2 classes: 0, 1; " in first
    assert main(["predict", "pets/a.png", "--run", str(small_run), "--json"]) == 0
    card = load_shippable(small_run).card
    assert card.metrics is not None
    assert list(values := json.loads(capsys.readouterr().out)) == ["model", "predictions", "unreadable"]
    assert values["model"] == {
        "name": str(small_run), "data": card.data, "num_classes": 2, "test_accuracy": card.metrics["test_accuracy"],
        "test_balanced_accuracy": card.metrics["test_balanced_accuracy"],
    }  # fmt: skip
    unequal = replace(card, metrics={"test_accuracy": 0.95, "test_balanced_accuracy": 0.5})
    assert str(PredictingModel("parts", unequal)).endswith("; 95.0% on its test images, balanced accuracy 50.0%)")
    assert main(["predict", "pets/a.png", "--pretrained", MODEL, "--csv"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("path,class,probability")
    assert shown.err.startswith(f"model: {MODEL} (")


def test_models_of_ones_own_nearby_are_named(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newest_run() is None
    for place, name in enumerate(("old", "seeds/seed-1", "seeds/seed-0", "stopped")):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "config.toml").touch()
        if name != "stopped":
            Path("runs", name, "metrics.json").touch()
            os.utime(Path("runs", name, "metrics.json"), (place, place + 1000 * (name == "seeds/seed-1")))
    Path("runs/seeds/metrics.json").touch()  # that of all seeds, which is no run
    assert main(["predict", "pets/a.png", "--json"]) == 0
    assert f"--run {Path('runs/seeds/seed-1')}\n" in capsys.readouterr().err
    assert main(["predict", "pets/a.png", "--json", "--pretrained", MODEL]) == 0
    assert "--run" not in capsys.readouterr().err


def test_csv_is_that_of_rfc_4180(pets: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (pets / "bad.png").write_bytes(b"no picture")
    assert main(["predict", "pets/*.png", "--pretrained", MODEL, "--csv", "--top", "2"]) == 1
    lines = capfdbinary.readouterr().out.split(b"\r\n")
    assert lines[0] == b"path,class,probability,class_2,probability_2"
    assert lines[-1] == b""
    rows = list(csv.reader(line.decode() for line in lines[1:-1]))
    assert [row[0] for row in rows] == ["pets/a.png", "pets/b.png"]
    (expected, _) = thumbnet.predict(MODEL, ["pets/a.png", "pets/b.png"], num_top=2)
    assert rows[0][1::2] == [guess.class_name for guess in expected.top]
    assert [float(text) for text in rows[0][2::2]] == pytest.approx(
        [guess.probability for guess in expected.top], abs=1e-6
    )


def test_csv_on_a_terminal_shows_foreign_names_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (io.TextIOWrapper(io.BytesIO()), io.StringIO()):
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdout", terminal)
        put_utf8("a\x1b[2J,\udcff\r\n")
        terminal.seek(0)
        assert terminal.read() == "a\\x1b[2J,\\xff\n"


@pytest.mark.parametrize("form", ["json", "csv"])
def test_hostile_names_come_back_as_they_are(form: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    writer = writer_for(Namespace(json=form == "json", csv=form == "csv"), 1)
    writer.begin(PredictingModel(MODEL, load_pretrained_shippable(MODEL).card))
    for name in HOSTILE:
        writer.put(ImagePrediction("hidden", name, 0.5, (ClassProbability(name, 0.5),)), f"{name}\udcff.png")
    writer.end([])
    text = capfdbinary.readouterr().out.decode("utf-8", "surrogateescape")
    if form == "json":
        found = [(one["path"], one["class_name"]) for one in json.loads(text)["predictions"]]
    else:
        found = [(row[0], row[1]) for row in csv.reader(io.StringIO(text, newline=""))][1:]
    assert found == [(f"{name}\udcff.png", name) for name in HOSTILE]


def test_many_pictures_are_predicted_by_onnx_runtime(
    pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", "pets", "--pretrained", MODEL, "--json"]
    assert main(arguments) == 0
    by_numpy = json.loads(capsys.readouterr().out)["predictions"]
    used: list[int] = []

    def seen(card, program):  # type: ignore[no-untyped-def]
        used.append(1)
        return runtime_predictor(card, program)

    monkeypatch.setattr("thumbnet.export.onnx.quick.runtime_predictor", seen)
    monkeypatch.setattr(predict_verb, "RUNTIME_FROM", 5)
    assert main(arguments) == 0
    assert used == [1]
    for one, other in zip(json.loads(capsys.readouterr().out)["predictions"], by_numpy, strict=True):
        assert one["class_name"] == other["class_name"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_exported_models_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")  # no compiler, by which the C would be timed
    picture = draw(tmp_path / "a.png")
    thumbnet.export_model(MODEL, "onnx", out=tmp_path / "model.onnx")
    thumbnet.export_model(MODEL, "c", out=tmp_path / "c")
    (expected,) = thumbnet.predict(MODEL, [picture])
    for name, tolerance in (("model.onnx", 1e-5), ("c", 0.1)):
        assert main(["predict", picture, "--model", str(tmp_path / name), "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)["predictions"]
        assert found["class_name"] == expected.class_name
        assert found["probability"] == pytest.approx(expected.probability, abs=tolerance)
        (in_python,) = thumbnet.predict(load_exported(tmp_path / name), [picture])
        assert in_python.probability == found["probability"]


def test_onnx_files_are_predicted_with_nothing_but_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = {"onnx", "onnxscript"}
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in hidden else find_spec(name))
    shippable = load_pretrained_shippable(MODEL)
    assert shippable.program is not None
    properties = {CARD: json.dumps(card_to_dict(shippable.card))}
    (tmp_path / "model.onnx").write_bytes(to_bytes(float_graph(shippable.program, properties=properties)))
    picture = draw(tmp_path / "a.png")
    assert main(["predict", picture, "--model", str(tmp_path / "model.onnx")]) == 0
    assert extras.missing_packages("onnx") == ["onnx", "onnxscript"]
    hidden.add("onnxruntime")
    capsys.readouterr()
    assert main(["predict", picture, "--model", str(tmp_path / "model.onnx")]) == 2
    told = capsys.readouterr().err
    assert "needs onnxruntime, which is not" in told
    assert "thumbnet[onnx]" in told


def test_what_is_no_exported_model_is_refused(tmp_path: Path) -> None:
    import onnx

    values = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph(
        [node], "g", [values], [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])]
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "foreign.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "weights.bin").write_bytes(b"no model")
    for name, said in (
        ("foreign.onnx", "was not written by thumbnet"),
        ("broken.onnx", "is no ONNX model"),
        ("weights.bin", "no model that can be read back"),
        ("absent.onnx", "there is no model"),
        (".", "is no exported C folder"),
    ):
        with pytest.raises(ModelError, match=said):
            load_exported(tmp_path / name)


def test_class_names_become_safe_and_different_folders() -> None:
    names = folder_names(HOSTILE)
    assert names["a_b"] == "a_b"  # which others do not take away from it
    assert len({name.casefold() for name in names.values()}) == len(HOSTILE)
    for name in names.values():
        assert name.isprintable()
        assert not set(name) & set('/\\:*?"<>|')
        assert name.strip(" .") == name != ""
        assert len(name.encode()) <= 255
        assert name.lower() not in ("nul", "com1.txt")
    assert folder_names(["cat", "дог", "猫 2"]) == {"cat": "cat", "дог": "дог", "猫 2": "猫 2"}


def sort(*arguments: str) -> int:
    return main(["predict", *arguments, "--pretrained", MODEL])


def test_pictures_are_sorted_into_folders(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(pets / "deep/a.png", 200)  # another picture of the same name
    before = {path: path.read_bytes() for path in pets.rglob("*.*") if path.is_file()}
    assert sort("pets", "--sort-into", "sorted", "--json") == 0
    shown = capsys.readouterr()
    class_of = {one["path"]: one["class_name"] for one in json.loads(shown.out)["predictions"]}
    assert "6 pictures copied into sorted" in shown.err
    found = {path: path.read_bytes() for path in (pets.parent / "sorted").rglob("*") if path.is_file()}
    assert sorted(found.values()) == sorted(before[pets.parent / path] for path in class_of)
    assert {path.parent.name for path in found} == set(class_of.values())
    for path, class_name in class_of.items():
        assert before[pets.parent / path] in [found[one] for one in found if one.parent.name == class_name]

    assert sort("pets", "--sort-into", "sorted", "--copy") == 0  # a second time: nothing is overwritten
    again = {path: path.read_bytes() for path in (pets.parent / "sorted").rglob("*") if path.is_file()}
    assert {path: again[path] for path in found} == found
    assert len(again) == 2 * len(found)
    assert {path: path.read_bytes() for path in before} == before


def test_links_are_made_where_they_are_asked_for(pets: Path) -> None:
    assert sort("pets/a.png", "pets/deep", "--sort-into", "sorted", "--link") == 0
    links = list((pets.parent / "sorted").rglob("*.*"))
    assert all(link.is_symlink() for link in links)
    assert sorted(link.resolve() for link in links) == sorted(
        pets / name for name in ("a.png", "deep/d.png", "deep/er/c.PNG")
    )


def test_sorted_pictures_are_not_read_again(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert sort("pets", "pets/**/*.png", "--sort-into", "pets/sorted") == 0
        assert len(capsys.readouterr().out.splitlines()) == 1 + 5
    (inside,) = {path.parent for path in (pets / "sorted").rglob("a.png")}
    for name in ("pets/sorted", str(inside), str(inside / "a.png"), "pets/sorted/*"):
        assert sort(name, "--sort-into", "pets/sorted") == 2
        assert "hint:" in capsys.readouterr().err
    assert sort("pets/a.png", "pets/sorted/*", "--sort-into", "pets/sorted") == 1
    said = "has pictures only in pets/sorted, which pictures are sorted into"
    assert f"the pattern pets/sorted/* {said}" in capsys.readouterr().err
    (pets.parent / "all").mkdir()
    (pets / "sorted").rename(pets.parent / "all/sorted")
    assert sort("all", "--sort-into", "all/sorted") == 2
    assert "the folder all has pictures only in all/sorted, which" in capsys.readouterr().err


def test_what_cannot_be_sorted_is_refused(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sort("pets/a.png", "--sort-into", "pets/b.png") == 2
    assert "is a file" in capsys.readouterr().err
    assert sort("-", "--sort-into", "sorted") == 2
    assert "stdin" in capsys.readouterr().err
    sorter = PictureSorter(pets, ["notes.txt"])
    with pytest.raises(DataError, match="cannot be put in"):
        sorter.add(pets / "a.png", "notes.txt")  # a file stands where the folder would be
    with pytest.raises(DataError, match="cannot be put in"):
        PictureSorter(pets, ["cat"]).add(pets / "absent.png", "cat")
    assert list((pets / "cat").iterdir()) == []


def test_one_picture_that_cannot_be_sorted_does_not_stop_the_others(
    pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = sorted_pictures.copy_file

    def refused(picture: Path, place: Path) -> None:
        if picture.name == "a.png":
            raise OSError(28, "No space left on device")
        copy(picture, place)

    monkeypatch.setattr(sorted_pictures, "copy_file", refused)
    (pets / "bad.png").write_bytes(b"no picture")
    assert sort("pets", "--sort-into", "sorted", "--json") == 1
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["predictions"]) == 5
    for said in ("4 pictures copied into sorted", "1 of 6 files", "1 of 5 pictures are not sorted", "No space left"):
        assert said in shown.err
    assert sort("pets/a.png", "--sort-into", "sorted") == 1
    assert "a.png cannot be put in sorted" in capsys.readouterr().err
    assert sort("pets/b.png", "--sort-into", "pets/a.png/sorted", "--json") == 2
    shown = capsys.readouterr()
    assert (shown.out, "cannot be made" in shown.err) == ("", True)


def test_long_names_get_numbers_and_times_are_not_insisted_on(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*places: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("shutil.copystat", refused)
    for name in ("é" * 125 + ".png", "x." + "y" * 253):
        Path(draw(pets / "long.png")).rename(pets / name)
        sorter = PictureSorter(pets / "sorted", ["cat"])
        places = [sorter.add(pets / name, "cat") for _ in range(11)]
        assert len(set(places)) == 11
        assert places[0].name == name
        assert places[-1].name.endswith("-11.png" if name.endswith(".png") else "y-11")
        assert all(place.read_bytes() == (pets / name).read_bytes() for place in places)


def test_bad_pictures_are_not_sorted(pets: Path) -> None:
    assert sort("pets/a.png", "pets/notes.txt", "--sort-into", "sorted") == 1
    assert [path.name for path in (pets.parent / "sorted").rglob("*.*")] == ["a.png"]
    with pytest.raises(ImageError):
        thumbnet.predict(MODEL, ["pets/a.png", "pets/notes.txt"])

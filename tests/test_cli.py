"""The command line: keys of the JSON outputs, exit codes, what is refused with a hint and no traceback."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thumbnet.data.own_sources as sources
from cifar_files import make_batches, write_folder
from thumbnet.cli import main
from thumbnet.data.checksums import BINARY
from thumbnet.data.digits import read_digits
from thumbnet.errors import DownloadError
from thumbnet.models.registry import list_models
from thumbnet.runs.run import RunDir, open_run_dir

SMALL = ["--epochs", "1", "--batch-size", "256", "--set", "model_options.blocks=c8s", "--no-pictures"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", *SMALL, "--data", "digits", "--log-style", "silent", "--run-dir", str(path)]) == 0
    return path


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    values: dict[str, object] = json.loads(capsys.readouterr().out)
    return values


def test_json_has_the_documented_keys(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated = json_of(capsys, "evaluate", str(run_dir))
    assert set(evaluated) == {
        "model", "num_params", "data", "split", "num_images", "accuracy", "accuracy_standard_error", "top2_accuracy",
        "accuracy_interval", "top2_accuracy_interval", "loss_interval",
        "loss", "calibration_error", "reliability", "coverage", "classes", "confusion", "most_confused", "top_losses",
        "least_confident_correct", "most_confident_wrong", "balanced_accuracy", "macro_f1", "mcc", "commonest_class",
        "commonest_share", "balanced_accuracy_interval", "macro_f1_interval", "mcc_interval",
        "calibration_error_interval", "unsure_below", "share_unsure", "share_unsure_interval", "accuracy_when_sure",
        "accuracy_when_sure_interval",
    }  # fmt: skip
    calibrated = json_of(capsys, "evaluate", str(run_dir), "--temperature")
    assert set(calibrated) - set(evaluated) == {
        "temperature", "calibration_error_at_temperature", "calibration_error_at_temperature_interval",
    }  # fmt: skip
    assert (evaluated["split"], evaluated["num_images"]) == ("test", 359)
    assert evaluated["accuracy"] == json.loads((run_dir / "metrics.json").read_text())["test_accuracy"]
    assert json_of(capsys, "evaluate", str(run_dir), "--split", "val")["num_images"] == 200
    Image.new("RGB", (50, 70), "red").save(tmp_path / "red.png")
    (prediction,) = json_of(capsys, "predict", str(tmp_path / "red.png"), "--run", str(run_dir))["predictions"]  # type: ignore[misc]
    assert set(prediction) == {"path", "class_name", "probability", "top", "answer"}
    summary = json_of(capsys, "summary", "dilated")
    assert (summary["num_params"], summary["macs"], summary["receptive_field"]) == (198660, 136161672, 44)
    assert len(summary["layers"]) == 46  # type: ignore[arg-type]
    info = json_of(capsys, "data", "info", "--data", "digits")
    assert set(info) == {
        "source", "num_train", "num_val", "num_test", "class_names", "image_shape", "picture_sides", "mean", "std",
        "verified", "class_counts", "commonest_class", "commonest_share",
    }  # fmt: skip
    models = json_of(capsys, "models")["models"]
    assert [model["name"] for model in models] == list_models()  # type: ignore[attr-defined]
    assert len(json_of(capsys, "recipes")["recipes"]) >= 3  # type: ignore[arg-type]
    plot = tmp_path / "lr.png"
    small = ["--data", "digits", "--batch-size", "16", "--set", "model_options.blocks=c8s"]
    lr = json_of(capsys, "find-lr", *small, "--out", str(plot))["lr"]
    assert plot.exists()
    assert 1e-4 < lr < 10  # type: ignore[operator]


def test_help_waits_for_nothing_heavy() -> None:
    """It takes a tenth of a second, and would take two with PyTorch."""
    script = """
import sys
from thumbnet.cli import main
try:
    main(["--help"])
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("usage: thumbnet")
    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert "thumbnet" in imported
    assert not imported & {"torch", "numpy", "scipy", "sklearn", "matplotlib", "PIL", "requests", "pooch", "jinja2"}


def changed_copy(run_dir: Path, copy: Path, pattern: str, replacement: str) -> Path:
    """A run's folder again, with another config."""
    shutil.copytree(run_dir, copy)
    config, num_changes = re.subn(pattern, replacement, (copy / "config.toml").read_text())
    assert num_changes == 1
    RunDir(copy).write("config.toml", config)  # with its checksum
    return copy


def bad_inputs(tmp_path: Path, run_dir: Path) -> dict[str, tuple[list[str], str]]:
    """Every mistake that a user is likely to make once."""
    bins = tmp_path / "part" / "cifar-10-batches-bin"
    bins.mkdir(parents=True)
    (bins / "data_batch_1.bin").write_bytes(bytes(3073))
    damaged = tmp_path / "damaged" / "cifar-10-batches-bin"
    damaged.mkdir(parents=True)
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (damaged / f"{name}.bin").write_bytes(bytes(3073 + 5))
    other = tmp_path / "other" / "cifar-10-batches-bin"
    other.mkdir(parents=True)
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (other / f"{name}.bin").write_bytes(bytes(3073))
    Image.new("RGB", (40, 40)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    for folder, classes in {"one": ["cat"], "empty": ["cat", "dog"], "broken": ["cat", "dog"]}.items():
        for name in classes:
            (tmp_path / folder / name).mkdir(parents=True)
            for index in range(5):
                if (folder, name) != ("empty", "dog"):
                    Image.new("RGB", (40, 40), (index, 0, 0)).save(tmp_path / folder / name / f"{index}.png")
    other_split = changed_copy(run_dir, tmp_path / "other-split", r"split_seed = .*", "split_seed = 1")
    (tmp_path / "broken" / "dog" / "3.png").write_bytes(content[:40])
    (tmp_path / "bad.toml").write_text("epochs = many")
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    small = np.random.default_rng(0).integers(0, 256, (30, 28, 28, 3), np.uint8)
    np.savez(tmp_path / "small.npz", images=small, labels=np.arange(30) % 10, class_names=names)
    (tmp_path / "file").touch()
    digits = ["train", "--data", "digits"]
    sprint = ["evaluate", "--pretrained", "sprint"]
    return {
        "unknown recipe": (["train", "--recipe", "refrence"], "unknown recipe 'refrence'"),
        "unknown model": ([*digits, "--model", "resnet9"], "unknown model 'resnet9'"),
        "unknown data": (["train", "--data", "mnist"], "unknown data 'mnist'"),
        "unknown field": ([*digits, "--set", "momentun=0.9"], "unknown field 'momentun'"),
        "no value": ([*digits, "--set", "momentum"], "'momentum' is not KEY=VALUE"),
        "wrong type": ([*digits, "--set", "epochs=many"], "epochs is 'many'"),
        "epochs 0": ([*digits, "--epochs", "0"], "epochs is 0"),
        "negative lr": ([*digits, "--lr", "-1"], "lr is -1.0"),
        "batch of 1": ([*digits, "--batch-size", "1"], "batch_size is 1"),
        "unknown policy": ([*digits, "--set", "augmentation=blur"], "unknown augmentation policy 'blur'"),
        "unknown option of the model": ([*digits, "--set", "model_options.dropout=0.1"], "has no option 'dropout'"),
        "broken recipe file": (["train", "--recipe", str(tmp_path / "bad.toml")], "is not valid TOML"),
        "absent recipe file": (["train", "--recipe", str(tmp_path / "absent.toml")], "absent.toml cannot be read"),
        "partial CIFAR-10": (
            ["train", "--data", "cifar10", "--data-dir", str(tmp_path / "part")],
            "is only a part of CIFAR-10",
        ),
        "partial CIFAR-10, auto": (["train", "--data-dir", str(tmp_path / "part")], "is only a part of CIFAR-10"),
        "damaged CIFAR-10": (
            ["train", "--data-dir", str(tmp_path / "damaged"), "--allow-unverified"],
            "is truncated or damaged",
        ),
        "unofficial CIFAR-10": (["train", "--data-dir", str(tmp_path / "other")], "differs from the published file"),
        "absent folder": (["train", "--data", f"folder:{tmp_path / 'absent'}"], "there is no folder"),
        "one class": (["train", "--data", f"folder:{tmp_path / 'one'}"], "has only one class folder"),
        "empty class folder": (["train", "--data", f"folder:{tmp_path / 'empty'}"], "has no images"),
        "broken picture in a folder": (["train", "--data", f"folder:{tmp_path / 'broken'}"], "3.png is not an image"),
        "run folder in use": ([*digits, "--run-dir", str(run_dir)], "is not empty"),
        "run folder is a file": ([*digits, "--run-dir", str(tmp_path / "file")], "cannot be created"),
        "resume what is no run": (["train", "--resume", str(tmp_path)], "is not a run folder"),
        "resume with options": (
            ["train", "--resume", str(run_dir), "--epochs", "3"],
            "--epochs cannot be given with --resume",
        ),
        "resume with another seed": (
            ["train", "--resume", str(run_dir), "--seed", "0"],
            "--seed cannot be given with --resume",
        ),
        "several seeds of nothing": (
            ["train", "--seeds", "2", "--data", f"folder:{tmp_path / 'absent'}"],
            "there is no folder",
        ),
        "evaluate what is no run": (
            ["evaluate", str(tmp_path / "absent")],
            "is neither a run folder nor a trained model",
        ),
        "no validation split": (["evaluate", str(run_dir), "--split", "dev"], "invalid choice: 'dev'"),
        "other classes": (
            ["evaluate", str(run_dir), "--data", f"npz:{tmp_path / 'small.npz'}"],
            "but the data has airplane",
        ),
        "temperature of what it is fitted on": (
            ["evaluate", str(run_dir), "--split", "val", "--temperature"],
            "temperature is asked for on the split 'val'",
        ),
        "temperature of a pretrained model": (
            ["evaluate", "--pretrained", "sprint", "--temperature"],
            "temperature is asked for of a pretrained model",
        ),
        "no longer the run's own data": (["evaluate", str(other_split)], "their checksum differs"),
        "images of another size": (
            ["evaluate", "--pretrained", "sprint", "--data", f"npz:{tmp_path / 'small.npz'}"],
            "but the data has 28x28 pixels",
        ),
        "report of no run": (["report", str(tmp_path)], "is not a run folder"),
        "report in no folder": (
            ["report", str(run_dir), "--out", str(tmp_path / "absent" / "report.html")],
            "report.html cannot be written",
        ),
        "report on other data": (["report", str(other_split)], "their checksum differs"),
        "truncated picture": (["predict", str(tmp_path / "cut.png"), "--run", str(run_dir)], "is damaged or truncated"),
        "no picture": (["predict", str(tmp_path / "text.png"), "--run", str(run_dir)], "is not an image of a format"),
        "absent picture": (["predict", str(tmp_path / "absent.png"), "--run", str(run_dir)], "there is no file"),
        "summary of an unknown model": (["summary", "alexnet"], "unknown model 'alexnet'"),
        "image too small": (["summary", "dilated", "--image-size", "16"], "takes images of 30 to 49 pixels"),
        "all images, trained on": (
            ["evaluate", str(run_dir), "--split", "all"],
            "all images are asked for without naming other data",
        ),
        "all images, named": (
            ["evaluate", str(run_dir), "--split", "all", "--data", "digits"],
            "was trained on most of those of digits",
        ),
        "all images of a zoo model's own data": (
            [*sprint, "--split", "all", "--data", "cifar10"],
            "was trained on most of those of cifar10",
        ),
        "one class in a model": (["graph", "dilated", "--num-classes", "1"], "num_classes is 1"),
        "graph as what": (["graph", "dilated", "--out", str(tmp_path / "graph.bmp")], "cannot draw a graph as 'bmp'"),
        "graph nowhere": (
            ["graph", "dilated", "--out", str(tmp_path / "absent" / "graph.svg")],
            "graph.svg cannot be written",
        ),
        "prepare what": (["data", "prepare", "--data", "digits"], "unrecognized arguments: --data"),
        "the rate of the LR finder": (
            ["find-lr", "--data", "digits", "--recipe", "reference", "--lr", "0.5"],
            "--lr is given to find-lr",
        ),
        "the set rate of the LR finder": (
            ["find-lr", "--data", "digits", "--recipe", "quick", "--set", "lr=0.5"],
            "lr is set, but has no effect",
        ),
        "a size for digits": (["data", "info", "--data", "digits", "--image-size", "24"], "image_size is 24"),
        "a folder for digits": (
            ["data", "info", "--data", "digits", "--data-dir", "."],
            "digits is not read from there",
        ),
        "epochs of the LR finder": (
            ["find-lr", "--data", "digits", "--set", "epochs=3"],
            "epochs is set, but has no effect",
        ),
        "images held out of a check": (
            ["data", "check", "--data", "digits", "--set", "val_fraction=0.2"],
            "val_fraction is set, but has no effect",
        ),
        "images of a rare class held out of a check": (
            ["data", "check", "--data", "digits", "--set", "val_per_class=30"],
            "val_per_class is set, but has no effect",
        ),
        "the report of a check": (
            ["data", "check", "--data", "digits", "--set", "report_robustness=true"],
            "report_robustness is set, but has no effect",
        ),
        "steps of the LR finder": (
            ["find-lr", "--data", "digits", "--set", "steps=300"],
            "steps is set, but has no effect",
        ),
        "no verb": ([], "required: VERB"),
        "unknown verb": (["fly"], "invalid choice: 'fly'"),
        "too large a val_fraction": ([*digits, "--set", "val_fraction=0.9"], "val_fraction is 0.9"),
    }


def test_bad_input_is_refused_with_a_hint_and_nothing_is_lost(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = bad_inputs(tmp_path, run_dir)
    assert len(cases) >= 15
    before = sorted(path for path in tmp_path.rglob("*"))
    kept = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    for name, (arguments, expected) in cases.items():
        capsys.readouterr()
        try:
            code = main(arguments)
            told = capsys.readouterr().err
            assert "thumbnet: error: " in told, name
            assert "\nhint: " in told, name
        except SystemExit as refusal:  # argparse's own
            code, told = int(refusal.code or 0), capsys.readouterr().err
            assert "usage:" in told, name
        assert code == 2, name
        assert expected in told, name
        assert "Traceback" not in told, name
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == kept


def test_all_images_of_other_data_are_scored(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = read_digits()
    assert splits.test is not None
    images, labels = splits.test.images.permute(0, 2, 3, 1).numpy(), splits.test.labels.numpy()
    np.savez(tmp_path / "unseen.npz", images=images, labels=labels, class_names=list("0123456789"))
    unseen = ["evaluate", str(run_dir), "--data", f"npz:{tmp_path / 'unseen.npz'}", "--json"]
    assert main(unseen) == 0
    told = capsys.readouterr()
    assert "--split all scores all there are" in told.err
    assert json.loads(told.out)["num_images"] == 40  # 4 of each class
    assert main([*unseen, "--split", "all"]) == 0
    told = capsys.readouterr()
    assert "would hold out" not in told.err
    everything = json_of(capsys, *unseen[:-1], "--split", "all", "--tta")
    own = json_of(capsys, "evaluate", str(run_dir), "--temperature", "--tta")
    for name in ("num_images", "accuracy", "confusion", "top_losses", "tta_accuracy"):  # digits are not flipped
        assert everything[name] == own[name], name
    assert json_of(capsys, *unseen[:-1], "--temperature")["temperature"] == own["temperature"]  # fitted on its own data
    one_each = [int((splits.test.labels == label).nonzero()[0]) for label in range(10)]
    np.savez(tmp_path / "few.npz", images=images[one_each], labels=range(10), class_names=list("0123456789"))
    few = ["evaluate", str(run_dir), "--data", f"npz:{tmp_path / 'few.npz'}", "--split", "all"]
    assert json_of(capsys, *few)["num_images"] == 10
    assert main(few) == 0
    assert "few.npz, all images, 10 images" in capsys.readouterr().out


def test_no_temperature_is_fitted_without_validation_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*SMALL, "--data", "digits", "--set", "val_fraction=0", "--log-style", "silent"]
    assert main(["train", *options, "--run-dir", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--temperature"]) == 2
    assert "the run held no images out for validation" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--split", "all"], ["--split", "all", "--data", "cifar10"], ["--temperature"]])
def test_what_is_refused_is_not_downloaded_first(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(sources, "download_cifar10", asked.append)
    assert main(["evaluate", "--pretrained", "sprint", *options]) == 2
    assert asked == []


def test_a_mismatched_or_damaged_checkpoint_is_refused(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.toml", "checkpoint-last.pt", "model.safetensors", "model.json", "history.csv"):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    (tmp_path / "checkpoint-last.pt").write_bytes(b"damaged")
    assert main(["train", "--resume", str(tmp_path)]) == 2
    (tmp_path / "metrics.json").write_bytes((run_dir / "metrics.json").read_bytes())
    assert main(["evaluate", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "checkpoint-last.pt is damaged" in told
    assert "SHA256SUMS is damaged or missing" in told


def test_without_network_auto_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(folder: Path) -> Path:
        raise DownloadError("no source answered", hint="")

    monkeypatch.setattr(sources, "download_cifar10", unreachable)
    assert main(["data", "info", "--data-dir", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "could not be downloaded" in told.err
    assert "digits" in told.out
    assert main(["data", "info", "--data", "cifar10", "--data-dir", str(tmp_path)]) == 2


def test_prepare_fetches_what_is_not_official_unless_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path, BINARY, make_batches())
    asked: list[Path] = []
    monkeypatch.setattr(sources, "download_cifar10", asked.append)
    assert main(["data", "prepare", "--data-dir", str(tmp_path), "--allow-unverified"]) == 0
    assert asked == []
    assert "not as published" in capsys.readouterr().out
    assert main(["data", "prepare", "--data-dir", str(tmp_path)]) == 2  # nothing was fetched here
    assert asked == [tmp_path]


class Impatient(io.StringIO):
    """A terminal whose user presses Ctrl-C when the second epoch is reported."""

    is_pressed = False

    def write(self, text: str) -> int:
        written = super().write(text)
        if not self.is_pressed and re.search(r"epoch +2/", self.getvalue()):
            self.is_pressed = True
            signal.raise_signal(signal.SIGINT)
        return written


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as in a terminal: jobs that a script starts in the background inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_keeps_the_last_epoch_and_exits_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    run, stderr = tmp_path / "run", Impatient()
    monkeypatch.setattr(sys, "stderr", stderr)
    options = ["--epochs", "30", *SMALL[2:], "--data", "digits", "--run-dir", str(run)]
    assert main(["train", *options]) == 130
    assert "--resume" in stderr.getvalue()
    assert "Traceback" not in stderr.getvalue()
    assert len(open_run_dir(run).read_checkpoint().state.history) >= 1
    assert not (run / "metrics.json").exists()

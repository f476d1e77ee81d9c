"""benchmarks/: the plain way is the published network, ours does the same arithmetic, the scripts say what they do."""

from __future__ import annotations

import argparse
import io
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import thumbnet
from cifar_files import make_batches, write_folder
from fitting import fit_flat
from thumbnet.cli import main
from thumbnet.config import config_from_toml, config_to_toml
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.packs.packed import read_packed
from thumbnet.data.sources import load_dataset
from thumbnet.kernels.compiler import can_compile
from thumbnet.models.registry import create_model
from thumbnet.recipes import load_recipe
from thumbnet.specs.optimizers import Muon
from thumbnet.specs.schedules import StepSchedule
from thumbnet.training.processor import processor_kind

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NUM_STEPS = 20
NUM_IMAGES = 4


@dataclass(frozen=True)
class MadeCells:
    """Stands for a set that is on disk."""

    folder: Path

    def side(self, purpose: str) -> Path:
        return self.folder


@pytest.fixture(scope="module")
def plain() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import plain_reference

        return plain_reference
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def trainings_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks train in processes of their own, which take two seconds each to begin."""

    elsewhere = subprocess.run

    def run(command: list[str], **options: Any) -> Any:
        if command[:3] != [sys.executable, "-m", "thumbnet"]:
            return elsewhere(command, **options)
        assert options["stdout"] == subprocess.DEVNULL
        with redirect_stdout(io.StringIO()):
            assert main([*command[3:], *(["--no-pictures"] if command[3] == "train" else [])]) == 0
        return None

    monkeypatch.setattr(subprocess, "run", run)


def same_weights(plain_net: nn.Module, ours: nn.Module) -> None:
    """Give the plain network our weights, layer by layer in the order of the forward pass."""
    theirs, mine = plain_net.state_dict(), ours.state_dict()
    assert [value.shape for value in theirs.values()] == [value.shape for value in mine.values()]
    plain_net.load_state_dict(dict(zip(theirs, mine.values(), strict=True)))


def test_the_plain_network_is_the_published_one(plain: Any) -> None:
    plain_net, ours = plain.PlainNet().eval(), create_model("dilated", seed=0).eval()
    assert sum(parameter.numel() for parameter in plain_net.parameters()) == 198_660
    same_weights(plain_net, ours)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(plain_net(images), ours(images).log_softmax(dim=1), atol=1e-5, rtol=1e-5)


def test_without_dropout_our_losses_are_those_of_plain_pytorch(plain: Any) -> None:
    """Bar: within 1e-3 relative for 20 steps on the same batches. Each epoch is one batch of all images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (NUM_IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.arange(NUM_IMAGES) % 10
    split = Split(images, labels)
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    names = tuple("abcdefghij")
    dataset = Dataset(split, None, split, names, mean, std, True, Source("random", "random images"))
    ours = create_model("dilated", seed=1, dropout=0.0)
    plain_net = plain.PlainNet(dropout=0.0)
    same_weights(plain_net, ours)
    history = fit_flat(
        ours, dataset, epochs=NUM_STEPS, batch_size=NUM_IMAGES, lr=0.004, momentum=0.9, nesterov=True,
        weight_decay=5e-4, schedule=StepSchedule(NUM_STEPS, 0.1), augmentation="none", device="cpu",
    ).history  # fmt: skip
    optimizer = torch.optim.SGD(plain_net.parameters(), lr=0.004, momentum=0.9, nesterov=True, weight_decay=5e-4)
    batch = (images.float() / 255 - 0.5) / 0.25
    losses = []
    for _ in range(NUM_STEPS):
        loss = F.nll_loss(plain_net(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert [record.train_loss for record in history] == pytest.approx(losses, rel=1e-3)


def test_the_plain_way_trains_on_cifar_files(plain: Any, tmp_path: Path) -> None:
    write_folder(tmp_path)
    dataset = plain.CifarImages(tmp_path)
    image, label = dataset[0]
    assert image.shape == (3, 32, 32)
    assert 0 <= label < 10
    small = torch.utils.data.Subset(dataset, range(4))
    for steps in (plain.train, plain.train_on_one_batch):
        loss, seconds = next(steps(plain.PlainNet(), small))
        assert 1 < loss < 5
        assert seconds > 0


@pytest.mark.parametrize("script", ["bench_train.py", "bench_sprint.py", "check_losses.py", "bench_label_issues.py"])
def test_a_benchmark_says_what_it_does(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as helped:
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    assert not helped.value.code
    assert f"python benchmarks/{script}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [script, "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit, match="thumbnet data prepare"):
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")


def test_the_benchmark_of_packs_writes_files_and_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_packs
    import measuring

    def packed(code: str, data: str, out: Path, *, cache: Path) -> dict[str, Any]:
        assert code == bench_packs.PACK
        return {"seconds": 0.004, "num_images": thumbnet.pack_data(data, out).num_images}

    started = {"second_s": [3.0], "own_s": [1.0], "first_s": 30.0, "later_s": 2.0, "changes": {}}
    monkeypatch.setattr(bench_packs, "in_process", packed)
    monkeypatch.setattr(bench_packs, "cifar_folder", lambda folder: "cifar")
    monkeypatch.setattr(bench_packs, "measure_jpegs", lambda *_: started)
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    words = ["--pack-rate", "20", "--cifar-jpegs", "1", "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["bench_packs.py", *words])
    bench_packs.main()
    (text,) = (tmp_path / "results").glob("packs_*.md")
    assert "**5,000 a second** (bar: 2,000): holds." in text.read_text()
    assert "**2.00 s later** (median; bar: 3): holds." in text.read_text()
    assert len(list((tmp_path / "work" / "pngs").rglob("*.png"))) == 20


def test_the_benchmark_of_streams_generates_a_pack_and_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_stream
    import measuring

    asked: list[dict[str, Any]] = []

    def train(data: str, *, epochs: int | None, **options: Any) -> dict[str, Any]:
        asked.append(options)
        dataset = thumbnet.load_dataset(data)
        from_disk = "data_share" in options or "shuffle=blocks" in options.get("settings", ())
        used = [{"RssAnon": anon, "RssFile": 7.0, "peak": 500.0} for anon in (400.0, 410.0, 410.0)]
        return {
            "epochs": used, "images_per_s": [90.0, 85.0, 80.0] if from_disk else 3 * [100.0], "num": len(dataset.train),
            "shuffle": "blocks" if from_disk else "whole", "accuracy": 0.8 if from_disk else 0.81,
        }  # fmt: skip

    def no_cifar(*_: object, **__: object) -> Any:
        return read_packed(tmp_path / "keep" / "generated-300")

    monkeypatch.setattr(bench_stream, "train", train)
    monkeypatch.setattr(bench_stream, "GROUPS", tmp_path / "absent")
    monkeypatch.setattr(bench_stream, "cifar_folder", str)
    monkeypatch.setattr(bench_stream, "read_cifar10", no_cifar)
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    words = ["--keep", str(tmp_path / "keep"), "--images", "300", "--accuracy", "2"]
    monkeypatch.setattr(sys, "argv", ["bench_stream.py", *words])
    bench_stream.main()
    text = capsys.readouterr().out
    assert "**no control group**: 85 images/s, in memory 100: **85.0%** (bar: 85%): holds." in text
    assert "own memory grows by 0 MB from the second epoch on (at most 32): holds." in text
    assert "**1.00 points lost**" in text
    assert asked[0]["group"] is None
    assert asked[-1]["window"] == 2**27 * 300 // 1_000_000


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
def test_the_kernel_benchmark_compares_four_ways(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_kernels
    import measuring

    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    for name, value in (("NUM_TURNS", 1), ("STEPS_A_TURN", 4), ("BATCH_SIZE", 2)):
        monkeypatch.setattr(bench_kernels, name, value)
    monkeypatch.setattr(sys, "argv", ["bench_kernels.py", "b16p b16"])
    bench_kernels.main()
    assert "| `b16p b16` | " in capsys.readouterr().out
    (kept,) = tmp_path.glob("kernels_*.json")
    (network,) = json.loads(kept.read_text())["networks"]
    assert [len(times) for times in network["seconds_per_step"].values()] == [1, 1, 1, 1]


def test_the_label_benchmark_compares_with_what_it_planted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trainings_in_this_process: None,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_label_issues
    import measuring

    write_folder(tmp_path / "data")
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    arguments = ["it", "--data-dir", str(tmp_path / "data"), "--num-planted", "10", "--keep", str(tmp_path / "kept")]
    options = [
        "--folds",
        "2",
        "--repeats",
        "1",
        "--epochs",
        "1",
        "--set",
        "model_options.blocks=c8s",
        "--device",
        "cpu",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--", *options])
    bench_label_issues.main()
    (report,) = (tmp_path / "results").glob("label-issues_*.md")
    assert report.read_text() in capsys.readouterr().out
    values = json.loads(report.with_suffix(".json").read_text())
    clean = bench_label_issues.read_cifar10(tmp_path / "data", allow_unverified=True).train.labels.numpy()
    with np.load(tmp_path / "kept" / "noisy.npz") as noisy:
        assert (noisy["train_labels"] != clean).sum() == 10
    assert values["num_listed"] == values["suspects"]["label"]
    assert values["recall"] == values["num_found"] / 10


def test_ablations_on_a_subset_take_training_images_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings_in_this_process: None
) -> None:
    plan = (
        'recipe = "sprint"\nseeds = [1]\nsubset = [3, 2]\n'
        'settings = ["epochs=1", "min_steps=1", "val_fraction=0.0", "model_options.blocks=c8s c16p", "batch_size=10"]\n'
        '[variants]\n"as it is" = []\n'
    )
    ablate = _ablations(tmp_path, monkeypatch)
    ablate(plan)
    everything = load_dataset("cifar10", data_dir=tmp_path / "data", allow_unverified=True, val_fraction=0.0).train
    known = {
        image.numpy().tobytes(): int(label) for image, label in zip(everything.images, everything.labels, strict=True)
    }
    with np.load(tmp_path / "kept" / "3-and-2-a-class.npz") as subset:
        for part, num_each in (("train", 3), ("val", 2)):
            images, labels = subset[f"{part}_images"], subset[f"{part}_labels"]
            assert np.bincount(labels).tolist() == [num_each] * 10
            pixels = [np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes() for image in images]
            assert [known[pixel] for pixel in pixels] == labels.tolist()
        trained_on = {image.tobytes() for image in subset["train_images"]}
        assert not trained_on & {image.tobytes() for image in subset["val_images"]}
    (trial,) = (tmp_path / "kept").glob("sweep-1-*/trial-0000/trial.json")
    assert json.loads(trial.read_text())["num_val"] == 20
    (report,) = (tmp_path / "results").glob("ablations-plan_*.md")
    assert "3 images a class for training, 2 for validation. Recipe `sprint`" in report.read_text()
    with pytest.raises(SystemExit, match=r"3 \+ 100000 images a class, but one has only"):
        ablate(plan.replace("[3, 2]", "[3, 100000]"))


def test_ablations_train_what_is_missing_and_tell_of_validation_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trainings_in_this_process: None,
) -> None:
    plan = (
        'recipe = "sprint"\nseeds = [1, 2]\n'
        'settings = ["epochs=1", "min_steps=1", "val_fraction=0.2", "model_options.blocks=c8s c16p"]\n'
        'teacher = ["epochs=1", "min_steps=1", "val_fraction=0.2", "model_options.blocks=c8s c16p"]\n'
        '[variants]\n"as it is" = []\n"small batches" = ["batch_size=16"]\n"taught" = ["teacher={keep}/teacher"]\n'
    )
    ablate, kept = _ablations(tmp_path, monkeypatch), tmp_path / "kept"
    ablate(plan, "--only", "small batches")
    table = capsys.readouterr().out
    assert "| as it is |  | not trained | 0 |" in table
    assert [path.name for path in sorted(kept.glob("sweep-*/trial-*"))] == ["trial-0000"] * 2
    teacher = config_from_toml((kept / "teacher" / "config.toml").read_text(), name="config.toml")
    assert (teacher.seed, teacher.objective.teacher) == (1, None)
    assert "| small batches | `batch_size=16` | " in table
    (report,) = (tmp_path / "results").glob("ablations-plan_*.md")
    assert report.read_text() in table
    trained = {path: path.stat().st_mtime_ns for path in kept.glob("sweep-*/trial-*/trial.json")}
    ablate(plan, "--only", "small batches")
    assert capsys.readouterr().out == table
    assert {path: path.stat().st_mtime_ns for path in kept.glob("sweep-*/trial-*/trial.json")} == trained
    values = json.loads(report.with_suffix(".json").read_text())
    assert [run["seed"] for run in values["variants"]["small batches"]] == [1, 2]
    assert not [key for run in values["variants"]["small batches"] for key in run if "test" in key]
    ablate(plan.replace("[1, 2]", "[1]"))
    (taught,) = [
        config
        for path in kept.glob("sweep-1-*/trial-0001/config.toml")
        for config in [config_from_toml(path.read_text(), name="config.toml")]
    ]
    assert taught.objective.teacher == str(kept / "teacher")
    assert "not trained" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no such variant: nothing"):
        ablate(plan, "--only", "nothing")
    ablate(plan.replace("batch_size=16", "batch_size=8"), "--only", "as it is")
    assert "| small batches | `batch_size=8` | not trained | 0 |" in capsys.readouterr().out


def test_a_kept_run_of_another_recipe_is_not_taken_for_this_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings_in_this_process: None
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_sprint
    import measuring

    write_folder(tmp_path / "data")
    recipe, run_dir = tmp_path / "mine.toml", tmp_path / "kept" / "mine-1-0"
    config = load_recipe(settings=["model_options.blocks=c8s", "min_steps=1"])
    recipe.write_text(config_to_toml(config))
    first = bench_sprint.train(str(recipe), 0, 1, str(tmp_path / "data"), run_dir)
    assert first["epochs"] == 1
    assert bench_sprint.train(str(recipe), 0, 1, str(tmp_path / "data"), run_dir)["date"] == first["date"]
    with monkeypatch.context() as patch:
        patch.setattr(bench_sprint, "processor_kind", lambda: "Z80")
        with pytest.raises(SystemExit, match=f"was trained on {processor_kind()}, this one is Z80"):
            bench_sprint.train(str(recipe), 0, 1, str(tmp_path / "data"), run_dir)
        patch.setattr(measuring, "processor_kind", lambda: "Z80")
        with pytest.raises(SystemExit, match=f"was trained with .*on {processor_kind()}.*, not .*on Z80"):
            bench_sprint.train(str(recipe), 0, 1, str(tmp_path / "data"), run_dir)
    recipe.write_text(config_to_toml(config.replace(lr=0.1)))
    with pytest.raises(SystemExit, match="or with other fields of its recipe"):
        bench_sprint.train(str(recipe), 0, 1, str(tmp_path / "data"), run_dir)


def _ablations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """bench_ablations with small data, run on the text of a plan with what options are given; all in `tmp_path`."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_ablations
    import measuring

    write_folder(tmp_path / "data")
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")

    def ablate(plan: str, *options: str) -> None:
        (tmp_path / "plan.toml").write_text(plan)
        places = ["--keep", str(tmp_path / "kept"), "--data-dir", str(tmp_path / "data")]
        monkeypatch.setattr(sys, "argv", ["it", str(tmp_path / "plan.toml"), *places, *options])
        bench_ablations.main()

    return ablate


def test_a_bar_of_time_is_for_one_kind_of_processor_and_goes_with_its_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from bench_sprint import BARS, verdicts

    runs = [{"seed": seed, "test_accuracy": 0.8566, "train_s": 60.0 + seed} for seed in range(5)]
    accuracy, time = verdicts(BARS["sprint"], runs, "AVX2 float32", peak=174.0)
    assert accuracy == "Accuracy: 85.66%, the bar is 85.66%: **holds**."
    assert "factor of 1.034, 62.1 s. 62.0 s is 1.00 of it: **holds**" in time
    assert "**misses**" in verdicts(BARS["sprint"], runs, "AVX2 float32", peak=175.0)[1]
    assert "40 s at 240 GFLOP/s" in verdicts(BARS["sprint"], runs, "AVX-512 bfloat16", peak=240.0)[1]
    assert "no bar for this kind" in verdicts(BARS["sprint"], runs, "AVX-512 float32", peak=240.0)[1]
    assert "provisional" in verdicts(BARS["sprint"], runs[:4], "AVX2 float32", peak=174.0)[2]


def test_results_of_another_kind_of_processor_are_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import measuring

    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    values = measuring.circumstances()
    measuring.write_results("it", values, "first")
    path = measuring.write_results("it", values, "again")
    with pytest.raises(SystemExit, match=r"of the kind .*, this processor is Z80"):
        measuring.write_results("it", values | {"processor_kind": "Z80"}, "another")
    assert path.read_text() == "again"


def test_a_result_names_what_was_chosen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A partial run has a file of its own, a command its form of processor, and uncommitted code a warning."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_accelerate
    import bench_commit
    import bench_convolutions
    import measuring

    everything = list(bench_convolutions.NETWORKS)
    assert measuring.theme_of("convolutions", everything, everything) == "convolutions"
    part = measuring.theme_of("convolutions", ["sprint at 16"], everything, "float32")
    assert part == "convolutions-sprint-at-16-float32"
    assert measuring.theme_of("accelerate", ["vgg"], list(bench_accelerate.LOOPS)) == "accelerate-vgg"
    options = argparse.Namespace(recipes=["sprint"], recipes_of_base=False, images=bench_commit.NUM_IMAGES)
    themes = [
        bench_commit.theme_for("f7609f6db5", argparse.Namespace(**vars(options) | other))
        for other in ({}, {"recipes_of_base": True}, {"images": 1920}, {"recipes": ["sprint", "thumb-50k"]})
    ]
    begin = "commit-f7609f6-sprint"
    assert themes == [begin, f"{begin}-recipes-of-base", f"{begin}-1920-images", f"{begin}-thumb-50k"]
    monkeypatch.setattr(sys, "argv", ["benchmarks/it.py", "--data-dir", "/a/folder"])
    monkeypatch.setattr(measuring, "cpu_form", lambda: "avx2")
    assert measuring.circumstances()["command"] == "THUMBNET_CPU=avx2 python benchmarks/it.py --data-dir DIR"
    monkeypatch.setattr(measuring, "cpu_form", lambda: "native")
    assert measuring.circumstances()["command"] == "python benchmarks/it.py --data-dir DIR"


@pytest.mark.parametrize(("commit", "warns"), [("0e957a6dcb", False), ("0e957a6dcb-dirty", True)])
def test_results_of_code_that_is_not_committed_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, commit: str, warns: bool
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import measuring

    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    measuring.write_results("it", measuring.circumstances() | {"commit": commit}, "text")
    assert (f"results of {commit}" in capsys.readouterr().err) is warns


def test_the_reference_networks_bar_is_for_one_kind_of_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_train

    def verdict(factor: float, kind: str = "AVX2 float32") -> str:
        return bench_train.verdict({"factor": factor, "processor_kind": kind})

    assert verdict(2.2) == "the bar on AVX2 float32 is 2.2, which **holds**."
    assert verdict(2.19) == "the bar on AVX2 float32 is 2.2, which **misses**."
    assert verdict(9.0, "AVX-512 float32") == "no bar on AVX-512 float32."
    assert [bench_train.in_turn("abc", turn) for turn in range(3)] == [list("abc"), list("cba"), list("abc")]


def test_the_readme_lists_every_benchmark() -> None:
    readme = (BENCHMARKS.parent / "README.md").read_text()
    listed = re.findall(r"^\.venv/bin/python benchmarks/(bench_\w+\.py)", readme, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in BENCHMARKS.glob("bench_*.py"))


@pytest.mark.skipif(sys.platform != "linux", reason="a shell script")
def test_older_code_is_compiled_for_the_limited_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit f7609f6 knows nothing of THUMBNET_CPU: without this it would be measured with AVX-512 and bfloat16."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import checkouts

    old, new = tmp_path / "old", BENCHMARKS.parent
    monkeypatch.setattr(checkouts, "cpu_form", lambda: "avx2")
    monkeypatch.setattr(checkouts.shutil, "which", lambda name: "/bin/echo")
    environment = checkouts.environment_of(old, tmp_path / "lesser")
    words = ["-O3", "-march=native", "-o", "a file", "-fPIC"]
    said = subprocess.run([tmp_path / "lesser" / "g++", *words], capture_output=True, text=True, check=True).stdout
    assert said == "-O3 -march=x86-64-v3 -o a file -fPIC\n"
    assert environment["PATH"].startswith(f"{tmp_path / 'lesser'}:")
    assert environment["XDG_CACHE_HOME"] == str(tmp_path / "lesser" / "cache")
    assert environment["PYTHONPATH"] == str(old / "src")
    assert checkouts.options_of(old) == ["--set", "precision=float32"]
    assert checkouts.options_of(new) == []
    assert "lesser" not in checkouts.environment_of(new, tmp_path / "lesser")["PATH"]
    monkeypatch.setattr(checkouts, "cpu_form", lambda: "native")
    assert checkouts.options_of(old) == []
    assert "lesser" not in checkouts.environment_of(old, tmp_path / "lesser")["PATH"]


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
def test_convolutions_are_compared_layer_by_layer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_convolutions
    import convolution_layers
    import measuring

    write_folder(tmp_path / "data")
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(convolution_layers, "AT_LEAST_S", 1e-4)
    networks = {
        "resnet8": bench_convolutions.Network("resnet8", 32, 10, 0.001),
        "sprint": bench_convolutions.Network("sprint", 32, 10, 0.001),
    }
    monkeypatch.setattr(bench_convolutions, "NETWORKS", networks)
    options = ["--turns", "2", "--precision", "float32", "--data-dir", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", ["it", *options])
    bench_convolutions.main()
    (kept,) = (tmp_path / "results").glob("convolutions-float32_*.json")
    network, sprint = json.loads(kept.read_text())["networks"]
    text = kept.with_suffix(".md").read_text()
    assert text.splitlines()[-2] in capsys.readouterr().out
    assert [layer["name"] for layer in (*network["layers"], *sprint["layers"]) if layer["fused"]] == ["blocks.0.conv"]
    assert text.count("| ours, fused with its norm: not timed alone |") == 2  # forward and backward
    taken = {layer["name"] for layer in network["layers"] if layer["taken"]}
    assert taken == {
        "stages.0.body.0", "stages.0.body.3", "stages.1.body.3", "stages.2.body.3"
    }  # fmt: skip
    for layer in network["layers"]:
        assert (layer["ours_s"] == layer["pytorch_s"]) is (not layer["taken"])
        assert set(layer["errors"]) == ({"forward", "data gradient", "weight gradient"} if layer["taken"] else set())
        assert all(error < 1e-5 for error in layer["errors"].values())
    sums = [
        [sum(sum(layer[side][turn]) for layer in network["layers"]) for side in ("pytorch_s", "ours_s")]
        for turn in range(2)
    ]
    assert network["ratios"] == pytest.approx([theirs / ours for theirs, ours in sums])
    assert network["ratio"] == min(network["ratios"])  # the lower one of the two in the middle
    theirs, ours = min(sums, key=lambda both: both[0] / both[1])
    judged = f"{1000 * theirs:.1f} ms by PyTorch, {1000 * ours:.1f} ms by ours: **{theirs / ours:.2f} times** as fast"
    assert judged in text
    assert not network["first_block"]
    (said,) = [line for line in text.splitlines() if line.startswith("With the first block whole")]
    others = [layer for layer in sprint["layers"] if layer["name"] not in ("whiten", "blocks.0.conv")]
    assert len(others) == len(sprint["layers"]) - 2
    whole = [
        [sum(sprint["first_block"][turn][side]) + sum(sum(layer[side][turn]) for layer in others) for side in sides]
        for turn in range(2)
        for sides in [("pytorch_s", "ours_s")]
    ]
    ratios = [theirs / ours for theirs, ours in whole]
    assert f"**{sum(ratios) / 2:.2f} times** ({min(ratios):.2f} to {max(ratios):.2f})" in said
    assert "no bar on NEON" in bench_convolutions.verdicts(network, "NEON float32")[0]
    assert "0.001: **holds**" in bench_convolutions.verdicts(network, "AVX2 float32")[0]
    network["layers"][1]["ours_s"] = [[9.0, 9.0]] * 2
    network["layers"][1]["errors"]["forward"] = 4e-6
    network["weights"] = "trained"
    text = "\n".join(bench_convolutions.verdicts(network, "AVX2 float32"))
    assert "slower: **misses** (stages.0.body.0" in text
    assert "forward: 4.0e-06, the bar is 3e-06: **misses**" in text


def test_the_other_commits_recipe_is_read_with_its_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_commit

    base = tmp_path / "base"
    (base / "src" / "thumbnet" / "recipes").mkdir(parents=True)
    text = (BENCHMARKS.parent / "src" / "thumbnet" / "recipes" / "quick.toml").read_text()
    text = re.sub("^(model|epochs|optimizer|lr|momentum|nesterov|weight_decay) = .*\\n", "", text, flags=re.MULTILINE)
    text += 'model = "sprint"\nepochs = 3\noptimizer = "muon"\nlr = 0.2\nmomentum = 0.6\nhead_lr = 1.0\n'
    text += "vector_lr = 0.3\nvector_momentum = 0.9\n"  # as they were called then
    (base / "src" / "thumbnet" / "recipes" / "sprint.toml").write_text(text)
    asked: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        assert options["env"]["PYTHONPATH"] == str(base / "src")
        return subprocess.CompletedProcess(command, 0, stdout="c32s c64p\n")

    monkeypatch.setattr(subprocess, "run", run)
    config = load_recipe(bench_commit.recipe_of(base, "sprint", tmp_path))
    assert asked[0][-1] == "sprint"
    assert config.model_options == {"blocks": "c32s c64p"}
    assert config.epochs == 3
    assert config.optimizer == Muon(lr=0.2, momentum=0.6, bias_lr=0.3, bias_momentum=0.9, head_lr=1.0)
    same = {"num_params": 1000, "macs": 2, "epochs": 3}
    bench_commit.check_same("sprint", same, dict(same))
    with pytest.raises(SystemExit, match="sprint: num_params is 1,000 at the other commit, but 1,001 here"):
        bench_commit.check_same("sprint", same, same | {"num_params": 1001})
    values = {"base": "f7609f6db5", "processor_kind": "AVX2 float32", "pairs": {"sprint": [(100.0, 179.0)] * 3}}
    assert "median ratio 1.790 (1.790 to 1.790, n = 3 pairs), misses the bar of 1.8" in bench_commit.describe(
        "sprint", values
    )
    assert "holds the bar of 0.98" in bench_commit.describe("sprint", values | {"processor_kind": "AVX-512 float32"})


def test_the_benchmark_of_unequal_classes_tells_what_the_runs_answered(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trainings_in_this_process: None,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_imbalance
    import measuring

    write_folder(tmp_path / "data", batches=make_batches(120))
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    arguments = ["it", "--data-dir", str(tmp_path / "data"), "--num-rare", "44", "--seeds", "0"]
    options = ["--epochs", "1", "--set", "model_options.blocks=c8s", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--keep", str(tmp_path / "kept"), "--", *options])
    bench_imbalance.main()
    bench_imbalance.main()  # nothing is trained again
    (report,) = (tmp_path / "results").glob("imbalance_*.md")
    assert report.read_text() in capsys.readouterr().out
    values = json.loads(report.with_suffix(".json").read_text())
    with np.load(tmp_path / "kept" / "pair.npz") as pair:
        assert np.bincount(pair["train_labels"]).tolist() == [60, 44]
        assert np.bincount(pair["test_labels"]).tolist() == [12, 12]
    (run,) = values["runs"]["threshold"]
    assert run["threshold_rule"] == "recall 0.8"
    evaluated = json.loads((tmp_path / "kept" / "threshold-0" / "metrics.json").read_text())
    assert run["test_average_precision"] == evaluated["test_average_precision"]
    assert 0 <= run["recall"] <= 1
    assert "threshold" not in values["runs"]["sampler"][0]


def test_the_benchmark_of_foreign_pictures_compares_distances_with_confidence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trainings_in_this_process: None,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_unknown
    import measuring

    write_folder(tmp_path / "data", batches=make_batches(120))
    for index in range(2):
        cell = tmp_path / "cells" / "test" / "good" / f"{index}.png"
        cell.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 40), 100 * index).save(cell)
    monkeypatch.setattr(bench_unknown, "made", lambda name, place: MadeCells(tmp_path / "cells"))
    monkeypatch.setattr(bench_unknown, "MOST_FOREIGN", 20)
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    arguments = ["it", "--data-dir", str(tmp_path / "data"), "--keep", str(tmp_path / "kept"), "--homes", "cifar-6"]
    options = ["--epochs", "1", "--set", "model_options.blocks=c8s", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--seeds", "0", "--", *options])
    bench_unknown.main()
    monkeypatch.setattr(bench_unknown, "_looks", None)  # nothing is measured again
    bench_unknown.main()
    (report,) = (tmp_path / "results").glob("unknown-cifar-6_*.md")
    assert report.read_text() in capsys.readouterr().out
    values = json.loads(report.with_suffix(".json").read_text())
    (of_seed,) = values["scores"]["cifar-6"]
    names = ["other classes", "digits", "solar cells", "uniform noise", "Gaussian noise", "single colours"]
    assert list(of_seed["foreign"]) == names
    refused = [of_seed["foreign"][name]["cosine"] for name in names]
    assert values["summary"]["refused"]["cosine"] == pytest.approx(np.mean(refused))


def test_far_features_are_far_in_each_of_its_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_unknown

    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    features = generator.normal(size=(300, 20)) + 5 * np.eye(20)[labels]
    foreign = generator.normal(size=(50, 20)) + 5 * np.eye(20)[7]
    for name, measure in bench_unknown.measures_of(features, labels).items():
        limit = np.quantile(measure(features), 0.95)
        assert (measure(foreign) > limit).mean() > 0.9, name

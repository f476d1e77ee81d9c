"""run: one call leaves a complete folder; a killed run resumes to the same end; what was asked is what was done."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from sklearn.datasets import load_digits

import thumbnet.data.own_sources as sources
from killed_runs import train_killed_after
from thumbnet.config import TrainConfig, config_from_toml
from thumbnet.errors import (
    CheckpointError,
    ConfigError,
    DatasetNotFoundError,
    DownloadError,
    RunError,
    ThumbnetError,
)
from thumbnet.evaluation.metrics import evaluate, misclassified
from thumbnet.evaluation.saliency import saliency_maps
from thumbnet.kernels.cpu import cpu_form
from thumbnet.models.sprint import SprintNet
from thumbnet.recipes import load_recipe
from thumbnet.runs.lr import find_recipe_lr
from thumbnet.runs.predict import predict
from thumbnet.runs.resume import resume
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.seeds.train import train_seeds
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.training.history import history_from_csv
from thumbnet.training.processor import processor_kind
from thumbnet.views.figure import png_bytes
from thumbnet.views.gallery import draw_gallery
from thumbnet.views.preview import preview_augmentation

FILES = {
    "SHA256SUMS", "asked.toml", "config.toml", "history.csv", "checkpoint-last.pt", "model.safetensors", "model.json",
    "export-data.safetensors",
    "predictions.csv", "summary.txt", "graph.svg", "curves.png", "misclassified.png", "confusion.png", "metrics.json",
    "report.html",
}  # fmt: skip
MUON = ["optimizer=muon", "bias_lr=0.1", "bias_momentum=0.85", "head_lr=1.0"]
METRICS = {
    "test_accuracy", "test_loss", "num_params", "macs", "epochs", "best_train_accuracy", "train_s", "total_s",
    "images_per_s", "peak_memory_bytes", "seed", "device",
}  # fmt: skip


TINY = "model_options.blocks=c8s"


def quick_config(**options: object) -> TrainConfig:
    """The default recipe on the digits, for two epochs."""
    return load_recipe(options={"data": "digits", "epochs": 2, "batch_size": 256, "device": "cpu", **options})


def small_config(data: Path, **options: object) -> TrainConfig:
    """The default recipe on a file of few pictures, with a network of one block."""
    given = {"data": f"npz:{data}", "epochs": 2, "batch_size": 32, "device": "cpu", **options}
    return load_recipe(options=given, settings=[TINY])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """With everything that a training leaves."""
    return train(quick_config(seed=3), run_dir=tmp_path_factory.mktemp("run"), log_style="silent")


@pytest.fixture(scope="module")
def small_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    write_small_digits(path)
    return path


@pytest.fixture(scope="module")
def small_run(small_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Without pictures."""
    path = tmp_path_factory.mktemp("small")
    return train(small_config(small_digits, seed=3), run_dir=path, log_style="silent", pictures=False)


def test_a_run_leaves_a_complete_folder(run: Run) -> None:
    assert {path.name for path in run.path.iterdir()} == FILES
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert set(metrics) >= METRICS
    assert metrics["epochs"] == len(run.history) == 2
    assert metrics["seed"] == 3
    assert metrics["cpu"] == cpu_form()
    assert metrics["processor_kind"] == processor_kind()
    assert 0 < metrics["train_s"] < metrics["total_s"]
    assert "best_test_accuracy" not in metrics
    assert metrics["val_accuracy"] == run.history[-1].val_accuracy


def test_figures_agree_between_files_model_and_a_new_evaluation(run: Run) -> None:
    dataset = run.load_dataset()
    evaluation = evaluate(run.model, dataset)
    assert run.metrics["test_accuracy"] == pytest.approx(evaluation.accuracy, abs=1e-9)
    rows = [line.split(",") for line in (run.path / "predictions.csv").read_text().splitlines()[1:]]
    assert len(rows) == len(dataset.test) == 359
    assert sum(row[2] == row[3] for row in rows) == round(evaluation.accuracy * 359)
    summary = (run.path / "summary.txt").read_text()
    assert (summary.count("Whitening"), summary.count("Conv2d")) == (1, 6)
    assert f"{run.card.num_params:,}" in (run.path / "summary.txt").read_text()


def test_the_misclassified_images_stand_beside_the_saliency_of_their_predictions(run: Run) -> None:
    dataset = run.load_dataset()
    predictions = evaluate(run.model, dataset).predictions
    worst = misclassified(predictions)[:10]
    images, guesses = dataset.test.images[worst], predictions.predicted[worst]
    saliency = saliency_maps(run.model, images, guesses, mean=run.card.mean, std=run.card.std).maps
    assert len(saliency) > 0
    labels, confidence = dataset.test.labels[worst], predictions.confidence[worst]
    figure = draw_gallery(images, labels, guesses, confidence, dataset.class_names, saliency=saliency)
    drawn, expected = (
        np.asarray(Image.open(file).convert("RGB")).astype(int)
        for file in (run.path / "misclassified.png", io.BytesIO(png_bytes(figure)))
    )
    assert (
        np.abs(drawn - expected).max() <= 2
    )  # the trained model's memory layout rounds otherwise than the loaded one's


def test_the_resolved_config_says_what_was_done(run: Run) -> None:
    text = (run.path / "config.toml").read_text()
    assert text.startswith("# Data: scikit-learn's 1,797 real handwritten digits")
    config = config_from_toml(text, name="it")
    assert config == run.config
    assert config.data == "digits"
    assert config.inputs.flip is False
    assert config.mean == run.card.mean
    assert len(config.mean) == 1


def test_the_card_tells_where_the_weights_come_from(run: Run) -> None:
    assert run.card.class_names == tuple("0123456789")
    assert run.card.image_shape == (1, 32, 32)
    assert (run.card.num_train, run.card.num_val, run.card.num_test) == (1238, 200, 359)
    assert run.card.versions["torch"] == torch.__version__
    assert run.card.data_checksum == run.load_dataset().checksum()


def test_the_weights_file_holds_the_models_tensors_and_nothing_else(run: Run) -> None:
    saved = safetensors.torch.load_file(run.path / "model.safetensors")
    assert saved.keys() == run.model.state_dict().keys()
    assert b"__metadata__" not in (run.path / "model.safetensors").read_bytes()[:4000]


def test_the_same_seed_gives_the_same_run_and_another_does_not(
    small_run: Run, small_digits: Path, tmp_path: Path
) -> None:
    again, other = (
        train(small_config(small_digits, seed=seed), run_dir=tmp_path / str(seed), log_style="silent", pictures=False)
        for seed in (3, 4)
    )
    weights = [(folder / "model.safetensors").read_bytes() for folder in (small_run.path, again.path, other.path)]
    assert weights[0] == weights[1] != weights[2]
    assert again.card.data_checksum == other.card.data_checksum


def test_a_killed_run_resumes_to_the_same_end(small_digits: Path, tmp_path: Path) -> None:
    whole = train(small_config(small_digits, epochs=4), run_dir=tmp_path / "whole", log_style="silent", pictures=False)
    options = ["--data", f"npz:{small_digits}", "--epochs", "4", "--batch-size", "32", "--device", "cpu", "--set", TINY]
    train_killed_after(2, [*options, "--run-dir", str(tmp_path / "killed")])
    assert not (tmp_path / "killed" / "metrics.json").exists()
    assert len(history_from_csv((tmp_path / "killed" / "history.csv").read_text())) == 2
    resumed = resume(tmp_path / "killed", log_style="silent", pictures=False)
    for name in ("model.safetensors", "predictions.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()
    for ours, theirs in zip(resumed.history, whole.history, strict=True):
        assert replace(ours, train_s=0, images_per_s=0) == replace(theirs, train_s=0, images_per_s=0)
    assert resumed.metrics["total_s"] > resumed.metrics["train_s"]


def test_a_run_without_a_checkpoint_starts_again_and_a_finished_one_is_loaded(
    small_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunDir(tmp_path).write_config(small_config(small_digits, epochs=1))
    started = resume(tmp_path, log_style="silent", pictures=False)
    assert len(started.history) == 1
    before = (tmp_path / "metrics.json").read_bytes()
    assert resume(tmp_path).metrics == started.metrics
    assert "is finished: nothing to resume" in capsys.readouterr().err
    assert (tmp_path / "metrics.json").read_bytes() == before


def test_a_run_is_not_resumed_on_other_data(small_run: Run, tmp_path: Path) -> None:
    folder = RunDir(tmp_path)
    folder.write_config(small_run.config.replace(epochs=3, split_seed=9))
    (tmp_path / "checkpoint-last.pt").write_bytes((small_run.path / "checkpoint-last.pt").read_bytes())
    with pytest.raises(CheckpointError, match="started on other data"):
        resume(tmp_path, log_style="silent", accept_changes=True)


def test_a_run_goes_on_where_its_data_was_moved(tmp_path: Path) -> None:
    before, now, other = (tmp_path / name for name in ("before.npz", "now.npz", "other.npz"))
    write_small_digits(before)
    write_small_digits(other, num_images=120)
    config = small_config(before, val_fraction=0.1)
    whole = train(config, run_dir=tmp_path / "whole", log_style="silent", pictures=False)
    stopped = tmp_path / "stopped"
    shutil.copytree(whole.path, stopped)
    (stopped / "metrics.json").unlink()
    before.rename(now)
    with pytest.raises(DatasetNotFoundError):
        resume(stopped, log_style="silent")
    with pytest.raises(CheckpointError, match="started on other data"):
        resume(stopped, data=f"npz:{other}", log_style="silent")
    assert str(before) in (stopped / "config.toml").read_text()
    resumed = resume(stopped, data=f"npz:{now}", log_style="silent", pictures=False)
    assert resumed.config.data == resumed.card.data == f"npz:{now}"
    assert write_report(stopped).exists()
    assert len(load_run(stopped).load_dataset().test) == resumed.metrics["num_test"]
    assert (stopped / "predictions.csv").read_bytes() == (whole.path / "predictions.csv").read_bytes()
    now.rename(before)
    assert resume(stopped, data=f"npz:{before}", log_style="silent").config.data == f"npz:{before}"  # finished
    with pytest.raises(CheckpointError, match="started on other data"):
        resume(stopped, data=f"npz:{other}", log_style="silent")
    (stopped / "metrics.json").unlink()
    write_small_digits(now, class_names=list("abcdefghij"))
    with pytest.raises(CheckpointError, match=r"its classes were 0, 1, .*, not a, b"):
        resume(stopped, data=f"npz:{now}", log_style="silent")
    (stopped / "checkpoint-last.pt").unlink()
    with pytest.raises(CheckpointError, match="no checkpoint that says"):
        resume(stopped, data=f"npz:{before}", log_style="silent")


def test_a_run_that_never_flipped_predicts_no_flipped_images(small_digits: Path, tmp_path: Path) -> None:
    for flip in (True, False):
        config = small_config(small_digits, flip=flip, epochs=1)
        run = train(config, run_dir=tmp_path / str(flip), log_style="silent", pictures=False)
        assert run.load_dataset().flip_keeps_labels == flip


def write_small_digits(path: Path, *, num_images: int = 100, **more: object) -> None:
    images = load_digits().images[:num_images].astype(np.uint8) * 15
    np.savez(path, images=images.repeat(2, 1).repeat(2, 2), labels=load_digits().target[:num_images], **more)


def test_the_test_set_is_scored_each_epoch_only_where_the_recipe_says_so(
    tmp_path: Path, small_digits: Path, small_run: Run
) -> None:
    assert small_run.history.column("test_accuracy") == [None, None]
    config = small_config(small_digits, score_test="each-epoch", val_fraction=0.0)
    scored = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    accuracies = scored.history.column("test_accuracy")
    assert scored.metrics["best_test_accuracy"] == max(accuracies)
    assert scored.metrics["best_test_epoch"] == 1 + accuracies.index(max(accuracies))
    assert scored.metrics["test_accuracy"] == accuracies[-1]
    assert scored.history.column("val_accuracy") == [None, None]
    assert scored.card.num_val == 0


@pytest.mark.parametrize(("recipe", "blocks"), [("sprint", "c8s c16p"), ("thumb-20k", "c8s b16p")])
def test_grey_pictures_of_an_odd_size_train_with_the_same_recipes(recipe: str, blocks: str, tmp_path: Path) -> None:
    for index, (image, label) in enumerate(zip(load_digits().images, load_digits().target, strict=True)):
        if label in (0, 1, 4):
            folder = tmp_path / "digits" / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.astype(np.uint8) * 15).resize((48, 40)).save(folder / f"{index}.png")
    options = {"data": f"folder:{tmp_path / 'digits'}", "epochs": 4, "batch_size": 32, "device": "cpu", "flip": False}
    settings = ["alternating_flip=false", f"model_options.blocks={blocks}"]
    config = load_recipe(recipe, options=options, settings=settings)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.card.image_shape == (1, 32, 32)
    assert run.metrics["test_accuracy"] > 0.9


def test_small_data_gets_its_minimum_of_steps_unless_epochs_are_given() -> None:
    from thumbnet.runs.resolve import load_data

    default = load_recipe(options={"data": "digits"})
    assert default.min_steps == 150
    _, resolved = load_data(default, say=lambda text: None)
    assert resolved.epochs == 50  # 3 steps of 512 images an epoch
    _, resolved = load_data(load_recipe(options={"data": "digits", "epochs": 2}), say=lambda text: None)
    assert resolved.epochs == 2


def test_auto_turns_to_digits_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(folder: Path) -> Path:
        raise DownloadError("no source could be reached", hint="")

    monkeypatch.setattr(sources, "download_cifar10", unreachable)
    options = {"data": "auto", "data_dir": str(tmp_path / "nothing"), "epochs": 1, "batch_size": 256, "device": "cpu"}
    config = load_recipe(options=options, settings=[TINY])
    fallback = train(config, run_dir=tmp_path / "run", pictures=False)
    told = capsys.readouterr().err
    note = f"CIFAR-10 is not in {tmp_path / 'nothing'} and could not be downloaded"
    assert told.index(note) < told.index("epoch")
    assert note in (tmp_path / "run" / "config.toml").read_text()
    assert note in fallback.card.data_note
    assert fallback.config.data == "digits"
    assert note in write_report(fallback.path, tmp_path / "anew.html").read_text()
    (tmp_path / "run" / "metrics.json").unlink()
    resumed = resume(fallback.path, log_style="silent")
    assert resumed.card.data_note == fallback.card.data_note
    assert note in (tmp_path / "run" / "report.html").read_text()
    (done,) = train_seeds(config, num_seeds=1, run_dir=tmp_path / "seeds", pictures=False).runs
    assert note in capsys.readouterr().err
    assert done.card.data_note == fallback.card.data_note
    with pytest.raises(DownloadError):
        train(config.replace(data="cifar10"), run_dir=tmp_path / "other", log_style="silent")
    assert not (tmp_path / "other").exists()


def test_a_damaged_copy_is_an_error_for_auto_too(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin").write_bytes(b"\x00" * 100)
    with pytest.raises(ThumbnetError, match="cifar-10-batches-bin"):
        train(quick_config(data="auto", data_dir=str(tmp_path)), run_dir=tmp_path / "run", log_style="silent")


def test_colour_statistics_of_a_recipe_do_not_bind_on_grey_but_the_users_own_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from thumbnet.runs.resolve import load_data

    config = load_recipe("reference", options={"data": "digits"})
    dataset, resolved = load_data(config, say=print)
    assert "computed from the training images instead" in capsys.readouterr().out
    assert resolved.mean == dataset.mean
    assert len(dataset.mean) == 1
    with pytest.raises(ConfigError, match="3 values"):
        load_data(config.replace(mean=(0.5, 0.5, 0.4)), say=print)
    grey = config.replace(mean=(0.5,), std=(0.25,))
    assert load_data(grey, say=print)[0].mean == (0.5,)


def test_what_cannot_be_built_leaves_no_folder(tmp_path: Path) -> None:
    for change in ({"model": "resnet9"}, {"augmentation": "blur"}, {"model_options": {"dropuot": 0.1}}):
        with pytest.raises(ThumbnetError):
            train(quick_config(**change), run_dir=tmp_path / "run", log_style="silent")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([*MUON, "model=dilated"], "muon needs a model that ends in a linear layer"),
        (["cutout=40"], "40"),
        (["model=dilated", "scales=[0.5, 1.0]", "scale_starts=[0.0, 0.5]"], "scales"),
    ],
)
def test_what_would_fail_at_the_first_step_leaves_no_folder(tmp_path: Path, settings: list[str], message: str) -> None:
    config = load_recipe("quick", options={"data": "digits"}, settings=settings)
    with pytest.raises(ConfigError, match=message):
        train(config, run_dir=tmp_path / "run", log_style="silent")
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_its_network_when_a_default_changes(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.config.model_options == run.card.model_options == {"blocks": SprintNet.default_blocks, "stem": "w2"}
    resumed = tmp_path / "begun"
    shutil.copytree(run.path, resumed)
    (resumed / "metrics.json").unlink()
    monkeypatch.setattr(SprintNet, "default_blocks", "c8s c8")
    assert evaluate(load_run(run.path).model, run.load_dataset()).accuracy == run.metrics["test_accuracy"]
    assert resume(resumed, log_style="silent", pictures=False).metrics["test_loss"] == run.metrics["test_loss"]
    config = (resumed / "config.toml").read_text()
    (resumed / "metrics.json").unlink()
    (resumed / "config.toml").write_text(config.replace(run.config.model_options["blocks"], "c8s c8"))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="do not fit the model"):
        resume(resumed, log_style="silent", accept_changes=True)


def test_pictures_are_cut_to_the_shape_that_a_model_was_trained_on(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 32, 3), np.uint8)
    np.savez(tmp_path / "wide.npz", images=pixels, labels=np.arange(40) % 2)
    config = small_config(tmp_path / "wide.npz", epochs=1)
    wide = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    test = wide.load_dataset().test
    Image.fromarray(test.images[0].permute(1, 2, 0).numpy()).save(tmp_path / "one.png")
    (said,) = predict(wide, [tmp_path / "one.png"])
    evaluated = evaluate(wide.model, wide.load_dataset()).predictions
    assert said.probability == pytest.approx(float(evaluated.confidence[0]), abs=1e-5)


def test_predict_names_a_picture(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    dataset = run.load_dataset()
    Image.fromarray(dataset.test.images[0, 0].numpy()).resize((200, 320)).save(tmp_path / "digit.png")
    (prediction,) = predict(run, [tmp_path / "digit.png"], num_top=10)
    assert prediction.path == str(tmp_path / "digit.png")
    assert prediction.class_name == prediction.top[0].class_name
    assert sum(guess.probability for guess in prediction.top) == pytest.approx(1, abs=1e-5)
    probabilities = [guess.probability for guess in prediction.top]
    assert probabilities == sorted(probabilities, reverse=True)


def test_a_run_is_scored_on_its_own_classes_only(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.new("L", (40, 40), 40 * index).save(tmp_path / name / f"{index}.png")
    with pytest.raises(RunError, match="was trained on the classes 0, 1"):
        run.load_dataset(f"folder:{tmp_path}")


def test_the_lr_of_a_recipe_is_a_number(small_digits: Path) -> None:
    trial = find_recipe_lr(small_config(small_digits, batch_size=16), log_style="silent")
    assert 1e-4 < trial.suggestion < 10


def test_a_preview_shows_a_batch_before_and_after() -> None:
    figure = preview_augmentation("digits", augmentation="crop-flip", seed=1)
    assert len(figure.axes) == 32


def test_load_run_gives_back_a_run(run: Run) -> None:
    loaded = load_run(run.path)
    assert not loaded.model.training
    assert loaded.history == run.history
    images = torch.zeros(2, 1, 32, 32)
    assert loaded.model(images).equal(run.model(images))


def test_pictures_of_a_runs_own_size_are_scored(run: Run, tmp_path: Path) -> None:
    for label in range(10):
        (tmp_path / "digits" / str(label)).mkdir(parents=True)
        for index in range(3):
            Image.new("L", (28, 28), 20 * label + index).save(tmp_path / "digits" / str(label) / f"{index}.png")
    small = replace(run, card=replace(run.card, image_shape=(1, 28, 28)))
    assert small.load_dataset(f"folder:{tmp_path / 'digits'}").image_shape == (1, 28, 28)
    with pytest.raises(ConfigError, match="image_size is 28, but the images of digits have 32 pixels"):
        small.load_dataset()


def test_a_run_killed_before_its_last_history_has_it_again(small_run: Run, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(small_run.path, stopped)
    for name in ("history.csv", "metrics.json"):
        (stopped / name).unlink()
    assert len(resume(stopped, log_style="silent", pictures=False).history) == 2

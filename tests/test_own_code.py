"""Code of the user's own: networks and augmentations from files and given in Python, and who may execute a run's."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import thumbnet
from small_runs import small_config, write_small_data
from thumbnet.augment import OwnAugmentation
from thumbnet.augment.own import augmentation_of, own_augmentation
from thumbnet.cli import main
from thumbnet.config import TrainConfig
from thumbnet.errors import ConfigError, ModelError, RunError
from thumbnet.models.own_model import factory_of
from thumbnet.models.registry import create_model, resolved_options
from thumbnet.runs import resume as resume_module
from thumbnet.specs import own_code
from thumbnet.specs.own_code import give, resolved_reference, thing_of

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, *, num_classes, in_channels, width=4, act=nn.ReLU):
        super().__init__()
        filters = nn.Conv2d(in_channels, width, 3)
        self.body = nn.Sequential(filters, nn.BatchNorm2d(width), act(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * width, num_classes)

def fixed():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 2))

def noise(images):
    import torch
    return (images.int() + torch.randint(0, 9, images.shape)).clamp(0, 255).to(torch.uint8)

number = 7
"""


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has executed nothing yet."""
    monkeypatch.setattr(own_code, "_executed", {})
    monkeypatch.setattr(own_code, "_given", {})


def forget() -> None:
    own_code._executed.clear()
    own_code._given.clear()


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_small_data(tmp_path / "set.npz")


def train(config: TrainConfig, path: Path, **arguments: Any) -> thumbnet.Run:
    return thumbnet.train(config, run_dir=path, log_style="silent", pictures=False, **arguments)


def config_of(data: Path, model: str, **fields: Any) -> TrainConfig:
    return small_config(data, model=model, **{"model_options": {}, **fields})


def test_a_file_of_the_users_trains_a_whole_run(
    net: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(data, f"{net}:Net", model_options={"width": 6})
    path = tmp_path / "run"
    trained = train(config, path)
    digest = own_code.hashlib.sha256(NET.encode()).hexdigest()
    assert trained.card.model == trained.config.model == f"net.py:Net@{digest[:12]}"
    assert trained.card.code == {"net.py": digest}
    assert (path / "code-net.py").read_text() == NET
    assert f"{digest}  code-net.py" in (path / "SHA256SUMS").read_text()
    assert trained.config.model_options == {"width": 6}
    net.unlink()
    assert thumbnet.load_run(path).metrics == trained.metrics  # it was executed here before
    forget()
    picture = np.zeros((16, 16), np.uint8)
    loads: list[Callable[..., object]] = [
        lambda **trust: thumbnet.load_run(path, **trust),
        lambda **trust: thumbnet.predict(path, [picture], **trust),
        lambda **trust: thumbnet.write_report(path, tmp_path / "report.html", **trust),
        lambda **trust: thumbnet.compare_runs([path, path], **trust),
        lambda **trust: train(
            config_of(data, f"{tmp_path / 'other.py'}:Net", init=str(path)), tmp_path / "next", **trust
        ),
        lambda **trust: thumbnet.export_model(path, "onnx", out=tmp_path / "net.onnx", **trust),
        lambda **trust: thumbnet.load_recipe(str(path / "config.toml"), **trust),
    ]
    (tmp_path / "other.py").write_text(NET + "\n# another version\n")
    for load in loads:
        with pytest.raises(
            RunError, match=rf"run was trained with code of its own, net.py \(SHA-256 {digest[:12]}"
        ) as refused:
            load()
        assert "--trust-code" in refused.value.hint
        assert digest not in str(own_code._executed)
    (prediction,) = thumbnet.predict(path, [picture], trust_code=True)
    assert prediction.class_name in ("0", "1")
    assert "it is executed" in capsys.readouterr().err
    assert (tmp_path / "report.html") == thumbnet.write_report(path, tmp_path / "report.html")
    assert "config.toml --trust-code" in (tmp_path / "report.html").read_text()
    forget()
    assert thumbnet.load_recipe(str(path / "config.toml"), trust_code=True).model == trained.config.model
    forget()
    with pytest.raises(ConfigError, match=r"init is .*, which may have seen the images"):  # and executes nothing
        thumbnet.check_data(config_of(data, f"{tmp_path / 'other.py'}:Net", init=str(path)), log_style="silent")
    assert not own_code._executed


def test_runs_of_trusted_code_are_compared(net: Path, data: Path, tmp_path: Path) -> None:
    path = train(config_of(data, f"{net}:Net"), tmp_path / "run").path
    copy = shutil.copytree(path, tmp_path / "copy")
    forget()
    compared = thumbnet.compare_runs([path, copy], trust_code=True)
    (pair,) = compared.comparisons
    assert pair.difference == 0
    first, second = (metrics.accuracy for metrics in compared.metrics)
    assert first == second == pytest.approx(compared.runs[0].metrics["test_accuracy"])


def test_the_command_executes_a_runs_code_only_where_it_is_trusted(
    net: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run"
    train(config_of(data, f"{net}:Net"), path)
    of_run = ["--recipe", str(path / "config.toml")]
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(picture)
    predicts = ["predict", str(picture), "--run", str(path)]
    compares = ["compare", str(path), str(shutil.copytree(path, tmp_path / "copy"))]
    stopped = shutil.copytree(path, tmp_path / "stopped")
    (stopped / "metrics.json").unlink()
    goes_on = ["train", "--resume", str(stopped), "--no-pictures"]
    for arguments in (
        ["evaluate", str(path)],
        ["report", str(path)],
        predicts,
        compares,
        goes_on,
        ["export", str(path), "--format", "onnx", "--out", str(tmp_path / "net.onnx")],
        *(verb + of_run for verb in (["train"], ["find-lr"], ["data", "check"])),
    ):
        forget()
        assert main([*arguments]) == 2
        assert "--trust-code" in capsys.readouterr().err
    forget()
    assert main(["evaluate", str(path), "--json", "--trust-code"]) == 0
    assert '"model": "net.py:Net@' in capsys.readouterr().out
    for arguments in (predicts, compares, goes_on):
        forget()
        assert main([*arguments, "--trust-code"]) == 0
    assert (stopped / "metrics.json").exists()
    forget()
    assert (
        main(["data", "check", *of_run, "--folds", "2", "--repeats", "1", "--out", f"{tmp_path}/c", "--trust-code"])
        == 0
    )
    forget()
    assert main(["find-lr", *of_run, "--json", "--trust-code"]) == 0
    forget()
    again = ["train", *of_run, "--run-dir", str(tmp_path / "again"), "--trust-code"]
    assert main([*again, "--no-pictures"]) == 0
    weights = "model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (path / weights).read_bytes()
    assert (tmp_path / "again" / "code-net.py").read_text() == NET


def test_a_changed_copy_is_refused(net: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    train(config_of(data, f"{net}:Net"), path)
    forget()
    (path / "code-net.py").write_text(NET + "\n")
    with pytest.raises(RunError, match=r"code-net\.py was damaged or changed"):
        thumbnet.load_run(path, trust_code=True)
    sums = (path / "SHA256SUMS").read_text().splitlines()
    (path / "SHA256SUMS").write_text("".join(f"{line}\n" for line in sums if "code-" not in line))
    with pytest.raises(RunError, match="is not the file that it was trained with"):
        thumbnet.load_run(path, trust_code=True)


def test_a_run_that_names_a_file_of_this_machine_executes_nothing(data: Path, tmp_path: Path) -> None:
    path = train(small_config(data), tmp_path / "run").path
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Net: pass")

    def replaced(name: str, old: str, new: str) -> str:
        before = (path / name).read_text()
        assert old in before
        (path / name).write_text(before.replace(old, new))
        digests = (own_code.hashlib.sha256(text.encode()).hexdigest() for text in (before, before.replace(old, new)))
        sums = path / "SHA256SUMS"
        sums.write_text(sums.read_text().replace(*digests))
        return before

    before = replaced("model.json", '"model": "sprint"', f'"model": "{tmp_path}/trap.py:Net"')
    for trust in (False, True):
        with pytest.raises(RunError, match="names code that it does not keep"):
            thumbnet.load_run(path, trust_code=trust)
    replaced("model.json", f'"model": "{tmp_path}/trap.py:Net"', '"model": "sprint"')
    assert (path / "model.json").read_text() == before
    replaced("asked.toml", 'model = "sprint"', f'model = "{tmp_path}/trap.py:Net"')
    thumbnet.write_report(path, tmp_path / "report.html")
    assert not (tmp_path / "sprung").exists()


def test_a_stopped_run_goes_on_with_its_own_copy(
    net: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(data, f"{net}:Net", epochs=2, augmentation=f"{net}:noise", flip=False)
    whole = train(config, tmp_path / "whole")
    assert whole.config.inputs.augmentation == whole.config.model.replace(":Net", ":noise")
    from thumbnet.runs.files import folder

    write = folder.RunDir.write_checkpoint

    def stop(self: Any, checkpoint: Any) -> None:
        write(self, checkpoint)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder.RunDir, "write_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "stopped")
    net.write_text("raise SystemExit('never this one')")
    forget()
    with pytest.raises(RunError, match="which would be executed"):
        thumbnet.resume(tmp_path / "stopped", log_style="silent", pictures=False)
    done = resume_module.resume(tmp_path / "stopped", log_style="silent", pictures=False, trust_code=True)
    weights = "model.safetensors"
    assert (done.path / weights).read_bytes() == (whole.path / weights).read_bytes()


def test_seeds_share_the_copy(net: Path, data: Path, tmp_path: Path) -> None:
    config = config_of(data, f"{net}:Net")
    runs = thumbnet.train_seeds(config, num_seeds=2, run_dir=tmp_path / "seeds", log_style="silent", pictures=False)
    assert (runs.path / "code-net.py").exists()
    assert {run.card.code["net.py"] for run in runs.runs} == {own_code.hashlib.sha256(NET.encode()).hexdigest()}
    forget()
    (runs.path / "metrics.json").unlink()
    from thumbnet.runs.seeds.train import resume_seeds

    with pytest.raises(RunError, match="which would be executed"):
        resume_seeds(runs.path, log_style="silent")
    assert resume_seeds(runs.path, log_style="silent", trust_code=True).metrics["n"] == 2
    same = shutil.copytree(runs.path, tmp_path / "same")
    for read in (thumbnet.evaluate_seeds, lambda path, **trust: thumbnet.compare_seeds([path, same], **trust)):
        forget()
        with pytest.raises(RunError, match="which would be executed"):
            read(runs.path)
        assert read(runs.path, trust_code=True).to_dict()


def test_a_recipe_finds_a_file_beside_it(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = 'model = "net.py:Net"\nepochs = 1\nlr = 0.1\nschedule = "constant"\naugmentation = "net.py:noise"\n'
    (tmp_path / "mine.toml").write_text(recipe.replace('"constant"', '"one-cycle"\nwarmup_fraction = 0.5'))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = thumbnet.load_recipe("../mine.toml")
    assert config.model == "../net.py:Net"
    assert config.inputs.augmentation == "../net.py:noise"
    assert isinstance(create_model(config.model, num_classes=2, in_channels=1), nn.Module)
    assert not own_code._given


def test_options_are_what_a_recipe_can_hold(net: Path) -> None:
    name = resolved_reference(f"{net}:Net")
    assert resolved_options(name, {}) == {"width": 4}
    model = create_model(name, num_classes=3, in_channels=1, width=8)
    assert model.head.out_features == 3  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="no option 'act'"):
        create_model(name, act="SiLU")
    assert isinstance(create_model(f"{net}:fixed"), nn.Sequential)  # it takes neither classes nor channels
    with pytest.raises(ModelError, match="is int"):
        create_model(f"{net}:number")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class Net(", r"line 1: SyntaxError"),
        ("\n\nraise ValueError('so it is')", r"line 3: ValueError: so it is"),
        ("raise SystemExit(2)", "line 1: SystemExit"),
        ("class Other: pass", "net.py has no 'Net'\nhint: it has Other"),
        ("import layers_of_mine\nNet = layers_of_mine.Net", "imports layers_of_mine, which lies beside it"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(content)
    (tmp_path / "layers_of_mine.py").write_text("class Net: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    with pytest.raises(ConfigError) as refused:
        thing_of(resolved_reference(f"{tmp_path / 'net.py'}:Net"))
    assert __import__("re").search(message, str(refused.value))
    sys.modules.pop("layers_of_mine", None)
    assert {name for name in set(sys.modules) - before if name.startswith("thumbnet_own_code")} <= set(sys.modules)
    with pytest.raises(ConfigError, match="cannot be read"):
        resolved_reference(f"{tmp_path / 'none.py'}:Net")


def class_of_a_notebook() -> type[nn.Module]:
    """Of no file that is a module by itself."""

    class Small(nn.Sequential):
        def __init__(self, num_classes: int) -> None:
            super().__init__(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, num_classes))

    return Small


def test_a_network_and_data_may_both_be_given_in_python(tmp_path: Path) -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8), np.arange(40) % 2
    dataset = thumbnet.dataset_from_arrays(images, labels, val_fraction=0.2)
    network = class_of_a_notebook()
    config = config_of(tmp_path / "none.npz", "sprint").replace(data="auto")
    run = train(config, tmp_path / "run", model=network, dataset=dataset)
    assert (run.card.model, run.card.data) == (run.config.model, run.config.data) == ("given:Small", "arrays")
    assert isinstance(run.model, network)
    assert run.card.data_checksum == dataset.checksum()
    assert run.metrics["num_test"] == len(dataset.test)


def test_a_class_of_a_notebook_must_be_given_again(data: Path, tmp_path: Path) -> None:
    Small = class_of_a_notebook()  # noqa: N806
    trained = train(config_of(data, "sprint"), tmp_path / "run", model=Small)
    assert trained.config.model == trained.card.model == "given:Small"
    assert isinstance(trained.model, Small)
    assert thumbnet.load_run(trained.path).metrics == trained.metrics
    forget()
    with pytest.raises(RunError, match="Small was given in Python") as refused:
        thumbnet.load_run(trained.path)
    assert "model=Small" in refused.value.hint
    with pytest.raises(ConfigError, match="model is Conv2d, but the run's is given:Small"):
        thumbnet.load_run(trained.path, model=nn.Conv2d)
    assert thumbnet.load_run(trained.path, model=Small).metrics == trained.metrics
    assert len(thumbnet.predict(trained.path, [np.zeros((16, 16), np.uint8)])) == 1


def test_a_network_without_maps_or_head_is_reported_and_checks_data(data: Path, tmp_path: Path) -> None:
    def flat(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(256, num_classes))

    run = thumbnet.train(config_of(data, "sprint"), run_dir=tmp_path / "run", log_style="silent", model=flat)
    assert (run.path / "report.html").exists()
    check = thumbnet.check_data(
        config_of(data, "sprint"), num_folds=2, num_repeats=1, out=tmp_path / "check", log_style="silent", model=flat
    )
    assert check.out_of_fold.probabilities.shape == (36, 2)
    with pytest.raises(ModelError, match="no layer called head"):
        thumbnet.check_data(
            config_of(data, "sprint"),
            num_folds=2,
            num_repeats=1,
            out=tmp_path / "none",
            log_style="silent",
            model=lambda num_classes: nn.Sequential(nn.Conv2d(1, num_classes, 16), nn.Flatten()),
        )


def test_a_module_is_copied_with_its_weights(data: Path, tmp_path: Path) -> None:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 2))
    before = module[2].weight.clone()
    config = config_of(data, "sprint", lr=1e-9, momentum=0.0)
    runs = thumbnet.train_seeds(
        config, num_seeds=2, run_dir=tmp_path / "seeds", log_style="silent", pictures=False, model=module
    )
    for run in runs.runs:
        torch.testing.assert_close(run.model[2].weight, before, atol=1e-6, rtol=0)  # type: ignore[index]
    assert torch.equal(module[2].weight, before)
    assert module[2].weight.grad is None


def test_what_is_in_a_module_by_itself_is_a_file(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(net.parent))
    net.rename(net.parent / "net_of_a_test.py")
    import net_of_a_test  # type: ignore[import-not-found]

    try:
        assert give(net_of_a_test.Net) == f"{net.parent / 'net_of_a_test.py'}:Net"
        assert give(net_of_a_test.number) == "given:int"
    finally:
        del sys.modules["net_of_a_test"]
    assert give(nn.Conv2d) == "given:Conv2d"  # an installed package's
    assert give(lambda images: images) == "given:<lambda>"


of_numpy = np.random  # its global generator, which users' functions draw from


def test_an_augmentation_is_any_function_of_a_batch(tiny_dataset: thumbnet.Dataset) -> None:
    seen: list[tuple[Any, ...]] = []

    def draws(images: Tensor) -> Tensor:
        seen.append((tuple(images.shape), images.dtype, float(torch.rand(1)), of_numpy.rand(), random.random()))
        images[:] = 0  # its own copy
        return images

    def fit(function: Any) -> None:
        seen.clear()
        torch.manual_seed(len(seen))
        model = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
        thumbnet.fit(
            model, tiny_dataset, epochs=2, batch_size=48, inputs=thumbnet.Inputs(augmentation=function), engine=CPU
        )

    before = tiny_dataset.train.images.clone()
    fit(draws)
    first = list(seen)
    assert len(first) == 1 + 4  # it is tried once
    assert first[1][:2] == ((48, 3, 12, 12), torch.uint8)
    assert len({each[2:] for each in first}) == 5
    random.seed(99)
    of_numpy.seed(99)
    fit([draws])
    assert seen == first
    assert torch.equal(tiny_dataset.train.images, before)
    state = random.getstate(), of_numpy.get_state()[1].tolist(), torch.get_rng_state().tolist()
    OwnAugmentation(draws).apply(before, {"seed": torch.arange(len(before))})
    assert (random.getstate(), of_numpy.get_state()[1].tolist(), torch.get_rng_state().tolist()) == state
    with pytest.raises(ConfigError, match=r"bad makes torch.float32 \[2, 3, 12, 12\] of uint8"):
        fit(bad)
    with pytest.raises(ConfigError, match="the augmentation seven is int"):
        own_augmentation(7, name="seven")


CPU = thumbnet.Engine(device="cpu", kernels="pytorch")


def bad(images: Tensor) -> Tensor:
    return images / 255


def test_an_augmentation_given_to_train_is_in_the_run(data: Path, tmp_path: Path) -> None:
    run = train(
        config_of(data, "sprint", model_options={"blocks": "c8p"}), tmp_path / "run", augmentation=lambda images: images
    )
    assert run.config.inputs.augmentation == "given:<lambda>"
    assert not list(run.path.glob("code-*"))
    report = thumbnet.write_report(run.path, tmp_path / "report.html").read_text()
    assert "augmentation=..." in report
    with pytest.raises(ConfigError, match="a teacher is given, but augmentation is 'given:<lambda>'"):
        run.config.replace(teacher="somewhere")


def test_what_was_given_in_another_process_is_asked_for_as_it_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """`resume` and `load_run` take a model again, and no augmentation."""
    monkeypatch.setattr(own_code, "_given", {})
    with pytest.raises(RunError, match="Net was given in Python") as model:
        factory_of("given:Net")
    assert model.value.hint == "give it again: load_run(path, model=Net), or resume(path, model=Net)"
    with pytest.raises(RunError, match="noise was given in Python") as augmentation:
        augmentation_of("given:noise")
    assert augmentation.value.hint.endswith('train anew, with augmentation = "aug.py:NAME"')


NONE = thumbnet.Inputs(augmentation="none")


def optimizer_runs(optimizer: Any, model: nn.Module, dataset: thumbnet.Dataset, **more: Any) -> thumbnet.FitResult[Any]:
    return thumbnet.fit(model, dataset, epochs=2, batch_size=48, optimizer=optimizer, inputs=NONE, engine=CPU, **more)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(432), nn.Linear(432, 3))


def test_an_optimizer_of_pytorchs_is_taken_as_it_is(tiny_dataset: thumbnet.Dataset) -> None:
    ours, theirs = linear(), linear()
    optimizer_runs(thumbnet.SGD(lr=0.1, momentum=0.9), ours, tiny_dataset)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    result = optimizer_runs(optimizer, theirs, tiny_dataset)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    assert max(record.lr for record in result.history) <= 0.1
    with pytest.raises(ConfigError, match="4 parameters of the SGD are not those of the model"):
        optimizer_runs(torch.optim.SGD(linear().parameters(), lr=0.1), theirs, tiny_dataset)


def test_adamw_is_pytorchs_without_decay_of_vectors(tiny_dataset: thumbnet.Dataset) -> None:
    ours, theirs = linear(), linear()
    optimizer_runs(thumbnet.AdamW(lr=0.01, beta1=0.8, weight_decay=0.3), ours, tiny_dataset)
    groups = [
        {"params": [theirs[2].weight], "weight_decay": 0.3},  # type: ignore[index]
        {"params": [theirs[1].weight, theirs[1].bias, theirs[2].bias], "weight_decay": 0.0},  # type: ignore[index]
    ]
    optimizer_runs(torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.999)), theirs, tiny_dataset)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    config = thumbnet.load_recipe("quick", settings=["optimizer=adamw", "lr=0.001", "beta2=0.99"])
    assert config.optimizer == thumbnet.AdamW(lr=0.001, beta2=0.99)
    for wrong in ({"beta1": 1.0}, {"beta2": -0.1}, {"eps": 0.0}, {"weight_decay": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            thumbnet.AdamW(lr=0.1, **wrong)


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.filters(images))).mean(dim=(2, 3)))


def test_a_frozen_body_keeps_its_bits(tiny_dataset: thumbnet.Dataset) -> None:
    model = Body()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sgd = thumbnet.SGD(lr=0.1, weight_decay=0.1)
    optimizer_runs(sgd, model, tiny_dataset, fine_tuning=thumbnet.FineTuning(body_lr_factor=0.0))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ConfigError, match="our kernels train no frozen body"):
        thumbnet.fit(
            model,
            tiny_dataset,
            epochs=1,
            fine_tuning=thumbnet.FineTuning(body_lr_factor=0.0),
            engine=thumbnet.Engine(device="cpu", kernels="native"),
        )
    with pytest.raises(ConfigError, match="no layer called head"):
        optimizer_runs(sgd, linear(), tiny_dataset, fine_tuning=thumbnet.FineTuning(body_lr_factor=0.5))
    with pytest.raises(ConfigError, match="body_lr_factor is 2"):
        thumbnet.FineTuning(body_lr_factor=2.0)


@pytest.mark.parametrize(
    "optimizer", [thumbnet.SGD(lr=0.1), thumbnet.Muon(lr=0.1, bias_lr=0.2, bias_momentum=0.5, head_lr=0.3)]
)
def test_a_slower_body_has_the_factor_in_its_rates(
    optimizer: thumbnet.Optimizer, tiny_dataset: thumbnet.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thumbnet.training import fit as fit_module

    loops: list[Any] = []
    train_epoch = fit_module.train_epoch

    def kept(loop: Any, *arguments: Any) -> Any:
        loops.append(loop)
        return train_epoch(loop, *arguments)

    monkeypatch.setattr(fit_module, "train_epoch", kept)
    rates = {}
    for factor in (1.0, 0.25):
        model = Body()
        optimizer_runs(optimizer, model, tiny_dataset, fine_tuning=thumbnet.FineTuning(body_lr_factor=factor))
        name_of = {id(value): name for name, value in model.named_parameters()}
        groups = zip(loops[-1].optimizer.param_groups, loops[-1].base_lrs, strict=True)
        rates[factor] = {name_of[id(each)]: rate for group, rate in groups for each in group["params"]}
    for name, rate in rates[1.0].items():
        assert rates[0.25][name] == pytest.approx(rate * (1 if name.startswith("head") else 0.25))


def test_the_factor_wants_weights_to_begin_with(data: Path, tmp_path: Path) -> None:
    first = train(small_config(data), tmp_path / "first")
    with pytest.raises(ConfigError, match="body_lr_factor is 0 without init"):
        small_config(data, body_lr_factor=0)
    second = train(small_config(data, init=str(first.path), body_lr_factor=0, kernels="auto"), tmp_path / "second")
    assert second.config.engine.kernels == "pytorch"
    body = {name: value for name, value in second.model.state_dict().items() if not name.startswith("head.")}
    for name, value in body.items():
        assert torch.equal(value, first.model.state_dict()[name]), name
    with pytest.raises(ConfigError, match="kernels is 'native'"):
        train(small_config(data, init=str(first.path), body_lr_factor=0, kernels="native"), tmp_path / "third")


@pytest.fixture(autouse=True)
def no_modules_left() -> Iterator[None]:
    """Executed files are forgotten after each test."""
    yield
    for name in [name for name in sys.modules if name.startswith("thumbnet_own_code_")]:
        del sys.modules[name]

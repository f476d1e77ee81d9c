"""benchmarks/bench_peers.py: the peers are the published networks, budgets are kept to, nothing is trained twice or
mixed."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifar_files import write_folder
from thumbnet.cli import main
from thumbnet.config import config_to_toml
from thumbnet.kernels import accelerate as accelerate_module
from thumbnet.kernels.compiler import can_compile
from thumbnet.recipes import load_recipe

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NUM_PARAMS = {
    "airbench94": 1_972_792,  # published as 1.97 M
    "resnet20": 269_722,  # as 0.27 M
    "resnet8": 78_186,
    "tutorial": 62_006,
    "reference": 198_660,
}


@pytest.fixture(scope="module")
def peers() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import peers
        from peers import airbench94, data, measure, ours, plan, record, report  # noqa: F401

        yield peers
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    data = tmp_path_factory.mktemp("data")
    write_folder(data)
    return str(data)


def small(peers: Any, name: str, batch_size: int = 4) -> Any:
    """A peer with small batches; of airbench94 a narrow network."""
    peer = replace(peers.PEERS[name], batch_size=batch_size)
    return replace(peer, build=lambda _: peers.airbench94.Airbench94((8, 8, 8))) if name == "airbench94" else peer


@pytest.mark.parametrize("name", NUM_PARAMS)
def test_a_peer_has_the_published_parameters_and_learns(peers: Any, name: str, folder: str) -> None:
    images = peers.data.read_images(folder)
    assert peers.plan.num_params(peers.PEERS[name].build(images)) == NUM_PARAMS[name]
    peer = small(peers, name)
    losses = {}
    for layout in peers.plan.LAYOUTS:
        torch.manual_seed(0)
        random.seed(0)
        model = peer.model(images, layout)
        before = {key: value.clone() for key, value in model.named_parameters()}
        losses[layout] = list(peer.train(model, images, peers.plan.Plan(3, 4, layout)))
        frozen = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
        assert all(("norm" in key and key.endswith("weight")) or key == "whitening.weight" for key in frozen)
        assert bool(frozen) == (name == "airbench94")
    assert [len(each) for each in losses.values()] == [3, 3]
    assert losses["NCHW"][0] == pytest.approx(losses["channels_last"][0], rel=0.05)  # dropout draws in another order
    assert 0 < losses["NCHW"][0] < 10
    assert peers.plan.accuracy(peer, model, folder, layout) in [right / 20 for right in range(21)]


def test_airbench94_whitens_patches(peers: Any, folder: str) -> None:
    images = peers.data.normalise(peers.data.read_images(folder).pixels)
    layer = nn.Conv2d(3, 24, 2, bias=False)
    peers.airbench94.whiten(layer, images)
    maps = layer(images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(maps[:12], -maps[12:])
    moments = maps[:12] @ maps[:12].T / maps.shape[1]
    variances = moments.diagonal()
    assert (variances > 0.9).all()
    assert (variances < 1.001).all()
    torch.testing.assert_close(moments, torch.diag(variances), atol=1e-3, rtol=0)


def test_airbench94_takes_the_published_rates(peers: Any) -> None:
    recipe = peers.airbench94
    assert [recipe.lr_factor(step, 100) for step in (0, 23, 100)] == pytest.approx([0.2, 1.0, 0.07])
    assert recipe.lr_factor(0, 2) == 0.2
    optimizer = recipe.optimizer_of(recipe.Airbench94((8, 8, 8)), 1000)
    biases, others = optimizer.param_groups
    lr = 11.5 / (1024 * (1 + 1 / 0.15))
    assert [others["lr"], biases["lr"]] == pytest.approx([lr, 64 * lr])
    decay = 0.0153 * 1000 / (1024 * (1 + 1 / 0.15))
    assert [group["lr"] * group["weight_decay"] for group in (biases, others)] == pytest.approx([decay, decay])
    assert len(biases["params"]) == 6
    assert recipe.BATCH_SIZE == 1024


class Stub(nn.Module):
    """Stands for a network: one weight for each class. It notes what each step trains on, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 10, 1)
        self.whitening = nn.Conv2d(1, 1, 1)
        self.batches: list[Tensor] = []
        self.is_whitening_trained: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(x.clone())
        self.is_whitening_trained.append(self.whitening.bias.requires_grad)
        return self.conv(self.norm(x)).mean(dim=(2, 3)) + 0 * self.whitening.bias


def watched_training(
    peers: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    num_steps: int,
    *,
    num_images: int = 20,
    batch_size: int = 10,
) -> tuple[Stub, list[list[dict[str, Any]]], Any]:
    """A peer's training on two-coloured images, dark on the left: the stub, and the parameter groups of each step."""
    steps: list[list[dict[str, Any]]] = []
    for kind in (torch.optim.SGD, torch.optim.Adam):
        original = kind.step

        def step(self: Any, *arguments: Any, original: Any = original) -> Any:
            steps.append([dict(group) for group in self.param_groups])
            return original(self, *arguments)

        monkeypatch.setattr(kind, "step", step)
    torch.manual_seed(0)
    pixels = torch.zeros(num_images, 3, 32, 32, dtype=torch.uint8)
    pixels[..., 16:] = 255
    images = peers.data.Images(pixels, torch.arange(num_images) % 10)
    model = Stub()
    plan = peers.plan.Plan(num_steps, batch_size, "NCHW")
    assert len(list(peers.PEERS[name].train(model, images, plan))) == len(steps) == num_steps
    return model, steps, images


def is_flipped(batch: Tensor) -> Tensor:
    """Of two-coloured images, whether the left half is the lighter one."""
    return batch[..., :8].mean(dim=(1, 2, 3)) > batch[..., -8:].mean(dim=(1, 2, 3))


def test_resnet20_takes_one_cycle_of_rate_and_momentum(peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, steps, _ = watched_training(peers, monkeypatch, "resnet20", 20)
    (group,) = zip(*steps, strict=True)
    lrs, momenta = ([each[key] for each in group] for key in ("lr", "momentum"))
    peak = lrs.index(max(lrs))
    assert lrs[0] == pytest.approx(0.1 / 25)
    assert lrs[peak] == pytest.approx(0.1)
    assert peak == pytest.approx(0.3 * 20, abs=1)
    assert lrs[-1] < 1e-5
    assert [momenta[0], momenta[peak], momenta[-1]] == pytest.approx([0.95, 0.85, 0.95])
    assert {each["weight_decay"] for each in group} == {1e-4}
    flipped = torch.cat([is_flipped(batch) for batch in model.batches])
    assert 0.3 < flipped.float().mean() < 0.7
    assert model.batches[0].shape == (10, 3, 32, 32)


def test_resnet8_decays_the_rate_and_the_filters(peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, steps, _ = watched_training(peers, monkeypatch, "resnet8", 10)
    filters, others = zip(*steps, strict=True)
    assert [group["lr"] for group in filters] == pytest.approx([0.001 * 0.99 ** (50 * step) for step in range(10)])
    assert {group["weight_decay"] for group in filters} == {2e-4}  # the gradient of 1e-4 times the squares
    assert {group["weight_decay"] for group in others} == {0}
    assert set(map(id, filters[0]["params"])) == {id(model.conv.weight), id(model.whitening.weight)}
    assert {group["betas"] for group in others} == {(0.9, 0.999)}
    assert model.batches[0].max() == pytest.approx(255)


def test_airbench94_follows_its_schedule_flips_and_freezes(peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = peers.airbench94
    averages: list[float] = []
    update = recipe.Lookahead.update

    def noted(self: Any, model: nn.Module, decay: float) -> None:
        averages.append(decay)
        update(self, model, decay)

    monkeypatch.setattr(recipe.Lookahead, "update", noted)
    model, steps, _ = watched_training(peers, monkeypatch, "airbench94", 12)  # two steps an epoch
    biases, others = zip(*steps, strict=True)
    lr = 11.5 / (1024 * (1 + 1 / 0.15))
    assert [group["lr"] for group in others] == pytest.approx([lr * recipe.lr_factor(step, 12) for step in range(12)])
    assert [one["lr"] / other["lr"] for one, other in zip(biases, others, strict=True)] == pytest.approx([64.0] * 12)
    assert {(group["momentum"], group["nesterov"]) for group in (*biases, *others)} == {(0.85, True)}
    assert averages == pytest.approx([0.95**5 * (step / 12) ** 3 for step in (5, 10, 12)])
    assert model.is_whitening_trained == [True] * 6 + [False] * 6
    shares = [float(is_flipped(torch.cat(pair)).float().mean()) for pair in pairwise_batches(model.batches)]
    assert 0 < shares[0] < 1
    assert shares == pytest.approx([shares[0], 1 - shares[0]] * 3)  # every image the other way in every other epoch


def pairwise_batches(batches: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Those of each epoch of two."""
    return list(zip(batches[::2], batches[1::2], strict=True))


def test_airbench94_goes_back_to_its_average(peers: Any) -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    lookahead = peers.airbench94.Lookahead(model)
    nn.init.constant_(model.weight, 1.0)
    lookahead.update(model, 0.75)
    assert model.weight.item() == 0.25
    nn.init.constant_(model.weight, 1.0)
    lookahead.update(model, 0.0)
    lookahead.update(model, 1.0)
    assert model.weight.item() == 1.0


def test_crops_and_flips_are_of_the_images(peers: Any) -> None:
    padded = torch.arange(2 * 3 * 6 * 6, dtype=torch.float32).view(2, 3, 6, 6)
    cropped = peers.data.crop(padded, 4)
    windows = padded.unfold(2, 4, 1).unfold(3, 4, 1)  # [2, 3, 3, 3, 4, 4]
    for index in range(2):
        found = [torch.equal(cropped[index], windows[index, :, top, left]) for top in range(3) for left in range(3)]
        assert sum(found) == 1
    flipped = peers.data.flip(padded, torch.tensor([True, False]))
    assert torch.equal(flipped[0], padded[0].flip(-1))
    assert torch.equal(flipped[1], padded[1])
    torch.testing.assert_close(peers.data.rotate_and_shift(padded, 0, 0), padded)
    assert not torch.allclose(peers.data.rotate_and_shift(padded, 15, 0.1), padded)


def test_every_image_comes_once_an_epoch(peers: Any) -> None:
    batches = peers.data.shuffled(10, 5)
    first, second, third = (next(batches) for _ in range(3))
    assert [epoch for epoch, _ in (first, second, third)] == [0, 0, 1]
    assert sorted([*first[1].tolist(), *second[1].tolist()]) == list(range(10))
    with pytest.raises(ValueError, match="4 images are less than a batch of 5"):
        next(peers.data.shuffled(4, 5))


def test_as_much_is_trained_as_fits_a_budget(peers: Any) -> None:
    timing = {"step_s": 0.5, "setup_s": 2.0}
    assert [peers.plan.fitting_steps(budget_s, timing) for budget_s in (60, 60.4)] == [116, 116]
    assert peers.plan.fitting_steps(1, timing) == peers.plan.MIN_STEPS
    assert [peers.plan.fitting_epochs(budget_s, 10.0) for budget_s in (60, 69, 19, 1)] == [6, 6, 1, 1]


def test_a_timing_takes_the_faster_layout(peers: Any, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.PEERS, "tutorial", small(peers, "tutorial"))
    monkeypatch.setattr(peers.measure, "TURN_S", 0.002)
    timing = peers.measure.timing("tutorial", folder)
    assert timing["step_s"] == min(timing["step_s_by_layout"].values())
    assert timing["step_s_by_layout"][timing["layout"]] == timing["step_s"]
    run = peers.measure.train_peer("tutorial", folder, 0.055, 0, timing | {"step_s": 0.01, "setup_s": 0.0})
    assert run["steps"] == 5
    assert run["epochs"] == 5 * 4 / 100
    assert run["images_per_s"] == pytest.approx(20 / run["train_s"])


@pytest.fixture
def bench(
    peers: Any, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, Any], Path]]:
    """bench_peers on small data and a small recipe of ours, in this process; gives its results and their file."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_peers
    import measuring

    recipe = tmp_path / "sprint.toml"
    config = load_recipe(settings=["model_options.blocks=c8s", "min_steps=1", "batch_size=16"])
    recipe.write_text(config_to_toml(config))
    elsewhere = subprocess.run

    def train(command: list[str], **options: Any) -> Any:
        if command[:3] != [sys.executable, "-m", "thumbnet"]:
            return elsewhere(command, **options)
        given = [str(recipe) if word == "sprint" else word for word in command[3:]]
        with redirect_stdout(io.StringIO()):
            assert main(given) == 0
        return None

    monkeypatch.setattr(subprocess, "run", train)
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench_peers, "matrix_gflops", lambda: 100.0)
    monkeypatch.setattr(bench_peers, "in_own_process", lambda function, *arguments: function(*arguments))
    timing = {"layout": "NCHW", "step_s": 1.0, "step_s_by_layout": {"NCHW": 1.0, "channels_last": 2.0}}
    monkeypatch.setattr(peers.measure, "timing", lambda name, folder: timing)
    monkeypatch.setattr(peers.measure, "setup_s", lambda name, folder, speed: 0.0)
    ours = {"epoch_s": 60.0, "precision": "float32", "kernels": "PyTorch's"}
    monkeypatch.setattr(bench_peers, "time_ours", lambda name: ours)

    def run(*options: str) -> tuple[dict[str, Any], Path]:
        monkeypatch.setattr(sys, "argv", ["it", "--data-dir", folder, "--keep", str(tmp_path / "kept"), *options])
        with redirect_stdout(io.StringIO()):
            bench_peers.main()
        (report,) = (tmp_path / "results").glob("peers_*.md")
        return json.loads(report.with_suffix(".json").read_text()), report

    return run


def test_peers_stand_beside_ours_and_what_is_finished_is_kept(
    peers: Any, bench: Callable[..., tuple[dict[str, Any], Path]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values, report = bench("--peers", "tutorial", "--minutes", "0.1", "0.05")
    assert [(run["minutes"], run["steps"]) for run in values["runs"]] == [(0.05, 3), (0.1, 6)]
    first = values["runs"]
    values, _ = bench("--peers", "sprint", "tutorial", "--minutes", "0.1")
    assert values["runs"][:2] == first
    assert [run["peer"] for run in values["runs"]] == ["tutorial", "tutorial", "sprint"]
    text = report.read_text()
    assert "| PyTorch's tutorial network | 0.06 M | 0.05 | " in text
    assert "| ours: `sprint` | " in text
    assert "- 0.1 minutes: the best peer, `tutorial`, " in text
    assert [line for line in text.splitlines() if line.startswith("- 0.")] == values["verdicts"]
    assert report.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setattr(sys.modules["bench_peers"], "code_of_peer", lambda name: "other code")
    again, _ = bench("--peers", "tutorial", "--minutes", "0.1")
    assert [(run["minutes"], run["code"]) for run in again["runs"] if run["peer"] == "tutorial"] == [
        (0.1, "other code")
    ]
    assert [run["peer"] for run in again["runs"]] == ["sprint", "tutorial"]
    assert again["num_by_other_code"] == 1
    assert "1 by earlier code left out." in report.read_text()
    kept = json.loads((tmp_path / "kept" / "peers.json").read_text())
    assert len(kept["runs"]) == 3


def points_at(peers: Any, peer: str, *runs: tuple[float, float, float]) -> list[Any]:
    """Of a peer, by (minutes, seconds taken, accuracy); one run each."""
    return [
        peers.report.Point(peer, minutes, ({"test_accuracy": accuracy, "train_s": train_s},))
        for minutes, train_s, accuracy in runs
    ]


def test_a_verdict_compares_after_equal_time(peers: Any) -> None:
    ours = points_at(peers, "sprint", (1, 50.0, 0.85), (2, 200.0, 0.87))

    def verdict(*run: float) -> str:
        (line,) = peers.report.verdicts([*ours, *points_at(peers, "resnet20", run)])
        return line

    assert verdict(1, 50.0, 0.80).endswith("`sprint` in 50 s: 85.00%: **ahead**.")
    between = verdict(2, 100.0, 0.80)
    assert between.startswith("- 2 minutes: the best peer, `resnet20`, 80.00% in 1 min 40 s; `sprint` after as long, ")
    assert between.endswith("from those of 50 s and 3 min 20 s: 86.00%: **ahead**.")
    assert verdict(2, 100.0, 0.858).endswith("**level (less than 0.5 points, n = 1)**.")
    assert verdict(2, 100.0, 0.87).endswith("**not ahead**.")
    assert verdict(5, 300.0, 0.90).endswith("`sprint` in 3 min 20 s: 87.00%: **not ahead**.")
    assert verdict(1, 40.0, 0.80).endswith("none of ours is as short.")
    several = [
        replace(point, runs=point.runs * 2) for point in [*ours, *points_at(peers, "resnet20", (1, 50.0, 0.849))]
    ]
    assert peers.report.verdicts(several)[0].endswith("**ahead**.")
    assert peers.report.verdicts(ours) == []


def test_a_training_that_took_longer_says_so(peers: Any) -> None:
    run = {"test_accuracy": 0.5, "num_params": 1000, "epochs": 1, "images_per_s": 9, "layout": "NCHW", "seed": 0}
    rows = [
        peers.report.row(peers.report.Point("resnet20", 1, (run | {"train_s": train_s},))) for train_s in (60.1, 75.0)
    ]
    assert "| 1 min 0 s |" in rows[0]
    assert "| 1 min 15 s (25% more) |" in rows[1]


def test_ours_is_other_code_when_the_way_it_is_timed_changes(
    peers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("peers/ours.py", "peers/plan.py", "measuring.py", "peers/data.py"):
        (tmp_path / "benchmarks" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "benchmarks" / name).write_text("")
    (tmp_path / "src" / "thumbnet").mkdir(parents=True)
    monkeypatch.setattr(peers.record, "BENCHMARKS", tmp_path / "benchmarks")
    codes = [peers.record.code_of_ours()]
    for name in (
        "benchmarks/peers/ours.py",
        "benchmarks/peers/plan.py",
        "benchmarks/measuring.py",
        "src/thumbnet/a.py",
    ):
        (tmp_path / name).write_text("changed")
        codes.append(peers.record.code_of_ours())
    assert len(set(codes)) == 5
    (tmp_path / "benchmarks" / "peers" / "data.py").write_text("changed")
    assert peers.record.code_of_ours() == codes[-1]


def test_the_clock_starts_when_the_model_is_built(peers: Any, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def build(images: Any) -> nn.Module:
        events.append("build")
        return peers.tutorial.TutorialNet()

    def clock() -> float:
        events.append("clock")
        return 0.0

    original = torch.optim.Optimizer.__init__
    monkeypatch.setattr(
        torch.optim.Optimizer,
        "__init__",
        lambda self, *arguments: (events.append("optimizer"), original(self, *arguments))[1],
    )
    monkeypatch.setitem(peers.PEERS, "tutorial", replace(small(peers, "tutorial"), build=build))
    monkeypatch.setattr(peers.measure.time, "perf_counter", clock)
    speed = {"layout": "NCHW", "step_s": 1.0}
    assert peers.measure.setup_s("tutorial", folder, speed) == 0.0
    once = ["build", "optimizer", "build", "clock", "optimizer", "clock"]  # the first two are thrown away
    assert events == once
    monkeypatch.setattr(peers.measure, "accuracy", lambda *arguments: 0.5)
    with pytest.raises(ZeroDivisionError):  # no time has passed by this clock
        peers.measure.train_peer("tutorial", folder, 2.0, 0, speed | {"setup_s": 0.0})
    assert events[len(once) :] == once


def test_processors_are_not_mixed(bench: Callable[..., tuple[dict[str, Any], Path]], tmp_path: Path) -> None:
    bench("--peers", "tutorial", "--minutes", "0.05")
    kept = tmp_path / "kept" / "peers.json"
    values = json.loads(kept.read_text())
    for key, other in (("processor", "Another (2 cores)"), ("processor_kind", "another kind"), ("num_threads", 99)):
        kept.write_text(json.dumps(values | {"circumstances": values["circumstances"] | {key: other}}))
        with pytest.raises(SystemExit, match=rf"was measured with {key} {re.escape(repr(other))}, not .*--keep"):
            bench("--peers", "tutorial", "--minutes", "0.05")


@pytest.mark.parametrize("options", [["--minutes", "0"], ["--peers", "nobody"], ["--minutes", "inf"]])
def test_what_cannot_be_trained_is_refused(
    bench: Callable[..., Any], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        bench(*options)
    assert refused.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_an_epoch_of_ours_is_timed(peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_recipe(settings=["model_options.blocks=c8s", "min_steps=1", "batch_size=4"])
    monkeypatch.setattr(peers.ours, "load_recipe", lambda name: config)
    monkeypatch.setattr(peers.ours, "time_recipe", lambda timed: SimpleNamespace(train_s=7.0 * timed.epochs))
    timing = peers.ours.time_ours("sprint")
    assert timing["epoch_s"] == pytest.approx(7.0)
    assert timing["precision"] in ("float32", "bfloat16")


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
def test_an_accelerated_loop_stands_beside_the_plain_ones(
    peers: Any, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_accelerate
    import measuring

    class InThisProcess:
        def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
            self.run = make(*arguments)

        def close(self) -> None: ...

    kept = []
    monkeypatch.setattr(bench_accelerate, "keep_freed_memory", lambda: kept.append("plain") or True)
    monkeypatch.setattr(accelerate_module, "keep_freed_memory", lambda: kept.append("accelerated"))
    monkeypatch.setattr(bench_accelerate, "Worker", InThisProcess)
    monkeypatch.setattr(bench_accelerate, "matrix_gflops", lambda: 100.0)
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    monkeypatch.setattr(peers.airbench94, "build", lambda images: peers.airbench94.Airbench94((16, 16, 16)))
    for name, value in (("NUM_TURNS", 1), ("NUM_WARM_UP_TURNS", 1), ("NUM_LOSSES", 2)):
        monkeypatch.setattr(bench_accelerate, name, value)
    for numbers, value in (("BATCH_SIZES", 2), ("STEPS_A_TURN", 1)):
        monkeypatch.setattr(bench_accelerate, numbers, dict.fromkeys(bench_accelerate.LOOPS, value))
    monkeypatch.setattr(sys, "argv", ["it", "--data-dir", folder])
    with redirect_stdout(io.StringIO()) as printed:
        bench_accelerate.main()
    (report,) = tmp_path.glob("accelerate_*.md")
    assert report.read_text() in printed.getvalue()
    text, networks = report.read_text(), json.loads(report.with_suffix(".json").read_text())["networks"]
    assert kept == ["plain", "accelerated", "accelerated"] * 2  # for each network, in the order of the ways
    assert bench_accelerate.BARS == {"vgg": 1.5, "airbench94": 1.6}
    for network in ("vgg", "airbench94"):
        for losses in networks[network]["losses"].values():
            assert losses == pytest.approx(networks[network]["losses"]["plain, NCHW"], rel=1e-3)
        rates = networks[network]["images_per_s"]
        assert [len(turns) for turns in rates.values()] == [1] * 6
        for one, other in (
            ("accelerated, channels_last", "plain, channels_last, memory kept"),
            ("accelerated, channels_last, keep_memory=False", "plain, channels_last"),
        ):
            assert f"freed memory: {rates[one][0] / rates[other][0]:.2f} times" in text or (
                f"neither does: {rates[one][0] / rates[other][0]:.2f} times" in text
            )
        times = rates["accelerated, channels_last"][0] / max(rates["plain, NCHW"][0], rates["plain, channels_last"][0])
        assert f"- Accelerated in channels_last: **{times:.2f} times**" in report.read_text()
        measured = networks[network]
        for limit, kind, said in (
            (times, "AVX2 float32", "holds"), (times + 0.1, "AVX2 float32", "misses"),
            (times, "AVX-512 float32", "not judged, it is for AVX2 float32"),
        ):  # fmt: skip
            monkeypatch.setitem(bench_accelerate.BARS, network, limit)
            assert f"; bar {limit}: {said}." in bench_accelerate.verdict(network, measured, "channels_last", kind)


def test_a_loop_that_takes_no_layer_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_accelerate

    with pytest.warns(RuntimeWarning), pytest.raises(SystemExit, match="nothing is accelerated here"):
        bench_accelerate.accelerate(nn.Sequential(nn.Conv2d(3, 8, 1)), keep_memory=True)

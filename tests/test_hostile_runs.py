"""Crafted and mutated run folders: an error of ours that names the file, at once, and no other exception."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from small_runs import small_config
from thumbnet.cli import main
from thumbnet.errors import CheckpointError, ModelError, NonFiniteLossError, RunError, ThumbnetError
from thumbnet.evaluation.metrics import evaluate
from thumbnet.models.registry import create_model
from thumbnet.models.weights import load_weights
from thumbnet.runs.files.checksums import write_with_digests
from thumbnet.runs.files.contents import weights_to_bytes
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run, read_robustness
from thumbnet.runs.seeds.runs import load_seed_runs
from thumbnet.runs.seeds.train import resume_seeds
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.training.history import history_from_csv

OLD = Path(__file__).parent / "data" / "run-2026-11"  # without checksums: whatever is in it is read


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "run")


def change_json(path: Path, **changes: Any) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["0"] * 10},
        {"class_names": list("012345678")},
        {"class_names": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]},
        {"class_names": "0123456789"},
        {"mean": [0.3, 0.3]},
        {"mean": ["a"]},
        {"mean": [float("nan")]},
        {"std": [0.0]},
        {"std": None},
        {"image_shape": [1, 100000, 100000]},
        {"image_shape": [1, 32]},
        {"image_shape": [2, 32, 32]},
        {"image_shape": [1, 32.5, 32]},
        {"image_shape": [1, 0, 0]},
        {"model": "none"},
        {"model": 3},
        {"model_options": {"blocks": "c16 " * 100_000}},
        {"model_options": {"blocks": "c4096x100"}},
        {"model_options": {"blocks": 3}},
        {"model_options": {"blocks": ["c16"]}},
        {"model_options": {"dropuot": 1}},
        {"model_options": []},
        {"num_params": 3},
        {"num_test": -1},
        {"num_test": True},
        {"versions": {"torch": 2}},
        {"versions": "torch"},
        {"data_checksum": 5},
        {"data_verified": "yes"},
        {"commit": 1},
    ],
    ids=str,
)
def test_a_crafted_card_is_refused(changes: dict[str, Any], run: Path) -> None:
    change_json(run / "model.json", **changes)
    with pytest.raises((RunError, ModelError), match=r"model|blocks"):
        load_run(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"test_accuracy": 7.0},
        {"test_accuracy": None},
        {"test_accuracy": True},
        {"test_loss": -1.0},
        {"test_loss": float("inf")},
        {"val_accuracy": "high"},
        {"epochs": 4},
        {"epochs": 0},
        {"num_params": -1},
        {"macs": "many"},
        {"train_s": -1.0},
        {"images_per_s": []},
        {"num_threads": "two"},
        {"device": 7},
        {"machine": None},
    ],
    ids=str,
)
def test_crafted_metrics_are_refused(changes: dict[str, Any], run: Path) -> None:
    change_json(run / "metrics.json", **changes)
    with pytest.raises(RunError, match=r"metrics\.json"):
        load_run(run)


@pytest.mark.parametrize("name", ["metrics.json", "model.json"])
@pytest.mark.parametrize(
    "text", ["{}", "[]", "3", "", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\ud800", '{"a": NaN}']
)
def test_what_is_no_object_is_refused(name: str, text: str, run: Path) -> None:
    (run / name).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(RunError, match=name):
        write_report(run)


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "epoch,epoch\n1,1\n", '"', "\0", "no header at all", "9" * 200_000],
    ids=["empty", "other", "twice", "quote", "nul", "words", "long"],
)
def test_a_history_without_its_header_is_named(text: str, run: Path) -> None:
    (run / "history.csv").write_text(text)
    with pytest.raises(RunError, match=r"history\.csv"):
        load_run(run)


def test_a_history_that_contradicts_itself_is_refused(run: Path) -> None:
    header, first, *_ = (run / "history.csv").read_text().splitlines()
    for rows in (
        [first, first],
        [first.replace("1,", "0,", 1)],
        [first.replace("1,", "1e400,", 1)],
        ["nan" + first[1:]],
    ):
        (run / "history.csv").write_text("\n".join([header, *rows]) + "\n")
        with pytest.raises(RunError, match=r"history\.csv"):
            load_run(run)


def with_weights(run: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    weights = safetensors.torch.load_file(run / "model.safetensors")
    change(weights)
    safetensors.torch.save_file(weights, run / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.update({"head.weight": w["head.weight"].int()}), "int32"),
        (lambda w: w.update({"head.weight": w["head.weight"].bool()}), "bool"),
        (lambda w: w["head.weight"].fill_(float("nan")), "not finite"),
        (lambda w: w["blocks.0.norm.running_var"].fill_(float("inf")), "not finite"),
        (lambda w: w.pop("head.weight"), "do not fit"),
        (lambda w: w.update({"more": torch.zeros(1)}), "do not fit"),
        (lambda w: w.update({"head.weight": w["head.weight"][:1]}), "do not fit"),
    ],
)
def test_crafted_weights_are_refused(change: Any, message: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_weights(run, change)
    with pytest.raises(CheckpointError, match=message):
        load_run(run)
    assert main(["evaluate", str(run), "--json"]) == 2
    assert capsys.readouterr().out == ""


def checkpoint_values(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = torch.load(run / "checkpoint-last.pt", weights_only=True)
    return values


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 1},
        {"epoch": "one"},
        {"epoch": True},
        {"epoch": 10**30},
        {"model": {}},
        {"model": [1]},
        {"model": {"head.weight": 3}},
        {"optimizer": {}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"average": {"head.weight": "text"}},
        {"average": 5},
        {"history": []},
        {"history": [{}]},
        {"history": 7},
        {"data_checksum": 3},
        {"class_names": ["a", "a"]},
        {"class_names": 5},
        {"total_s": float("nan")},
        {"total_s": "long"},
    ],
    ids=str,
)
def test_a_crafted_checkpoint_is_refused(changes: dict[str, Any], run: Path) -> None:
    (run / "metrics.json").unlink()
    torch.save({**checkpoint_values(run), **changes}, run / "checkpoint-last.pt")
    with pytest.raises(CheckpointError):
        resume(run, log_style="silent", pictures=False)


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_a_checkpoint_with_other_tensors_is_refused(part: str, run: Path) -> None:
    (run / "metrics.json").unlink()
    for change in (lambda t: t.int(), lambda t: t * float("nan"), lambda t: t.flatten()[:1], lambda t: t.double()):
        values = checkpoint_values(run)
        if part == "model":
            values["model"]["head.weight"] = change(values["model"]["head.weight"])
        else:
            state = values["optimizer"]["state"]
            first = next(iter(state))
            state[first]["momentum_buffer"] = change(state[first]["momentum_buffer"])
        torch.save(values, run / "checkpoint-last.pt")
        with pytest.raises(CheckpointError):
            resume(run, log_style="silent", pictures=False)


def test_an_optimizer_that_forgot_its_momentum_is_refused(run: Path) -> None:
    (run / "metrics.json").unlink()
    values = checkpoint_values(run)
    values["optimizer"]["state"].clear()
    torch.save(values, run / "checkpoint-last.pt")
    with pytest.raises(CheckpointError, match="momentum"):
        resume(run, log_style="silent", pictures=False)


class Malicious:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code ran')",)


def test_a_malicious_checkpoint_runs_nothing_and_is_told_in_our_words(run: Path) -> None:
    for content in (pickle.dumps(Malicious()), zipped(Malicious())):
        (run / "checkpoint-last.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged") as caught:
            RunDir(run).read_checkpoint()
        assert "weights_only" not in str(caught.value)
        assert "trust" not in str(caught.value)


def zipped(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"epoch": value}, buffer)
    return buffer.getvalue()


def test_a_checkpoint_that_would_unpack_to_far_more_is_refused(run: Path) -> None:
    values = io.BytesIO()
    torch.save({"model": torch.zeros(1_000_000)}, values)
    with (
        zipfile.ZipFile(values) as whole,
        zipfile.ZipFile(run / "checkpoint-last.pt", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in whole.namelist():
            small.writestr(name, whole.read(name))
    with pytest.raises(CheckpointError, match="is damaged"):
        RunDir(run).read_checkpoint()


def test_crafted_robustness_is_refused(run: Path) -> None:
    path = run / "robustness.json"
    good = json.loads(path.read_text())
    row = good["rows"][0]
    for changes in (
        {"rows": []}, {"rows": 3}, {"rows": [{}]}, {"rows": [{**row, "accuracy": 2.0}]}, {"accuracy": -1.0},
        {"rows": [{**row, "corruption": 4}]}, {"num_images": "all"}, {"seed": 1.5},
    ):  # fmt: skip
        path.write_text(json.dumps({**good, **changes}))
        with pytest.raises(RunError, match=r"robustness\.json"):
            read_robustness(RunDir(run))
    path.write_text("[]")
    with pytest.raises(RunError, match=r"robustness\.json"):
        read_robustness(RunDir(run))


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "3", '{"seeds": 3}', '{"seeds": []}', '{"seeds": ["a"]}', '{"seeds": [1.5]}', '{"seeds": [-1]}',
     '{"seeds": [1, 1]}', '{"seeds": [true]}', '{"seeds": ["../x"]}', "{"],
)  # fmt: skip
def test_crafted_seeds_are_refused(text: str, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "seeds"
    shutil.copytree(run, folder / "seed-1")
    shutil.copy(run / "config.toml", folder / "shared.toml")
    (folder / "seeds.json").write_text(text)
    with pytest.raises(RunError, match=r"seeds\.json"):
        resume_seeds(folder, log_style="silent", pictures=False)


@pytest.mark.parametrize("changes", [{"class_names": ["1", "0"]}, {"num_test": 3}])
def test_seeds_that_do_not_belong_together_are_refused(
    changes: dict[str, Any], small_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "seeds"
    for seed in (0, 1):
        shutil.copytree(small_run, folder / f"seed-{seed}")
    (folder / "seeds.json").write_text('{"seeds": [0, 1]}')
    (folder / "metrics.json").write_text("{}")
    assert len(load_seed_runs(folder)) == 2
    values = {**json.loads((small_run / "model.json").read_text()), **changes}
    write_with_digests(folder / "seed-1", {"model.json": json.dumps(values).encode()})
    with pytest.raises(RunError, match="different"):
        load_seed_runs(folder)


def mutated(content: bytes, generator: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled or put elsewhere."""
    data = bytearray(content)
    for _ in range(generator.randrange(1, 4)):
        start = generator.randrange(len(data) + 1)
        end = min(len(data), start + generator.choice((1, 2, 8, 40)))
        choice = generator.randrange(4)
        if choice == 0:
            data[start:end] = generator.randbytes(end - start)
        elif choice == 1:
            del data[start:end]
        elif choice == 2:
            data[start:start] = data[start:end] * 2
        else:
            data[start:end] = generator.choice(
                (b"null", b"[]", b"{}", b"-1", b"1e999", b'"', b"\0", b"\xff", b"9" * 400)
            )
    return bytes(data)


READERS: dict[str, Callable[[Path], object]] = {
    "model.json": load_run,
    "metrics.json": load_run,
    "history.csv": load_run,
    "model.safetensors": load_run,
    "predictions.csv": lambda run: RunDir(run).read_predictions(),
    "robustness.json": lambda run: read_robustness(RunDir(run)),
    "checkpoint-last.pt": lambda run: RunDir(run).read_checkpoint(),
    "config.toml": lambda run: RunDir(run).read_config(),
}


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_raises_nothing_but_our_errors(name: str, run: Path) -> None:
    generator = random.Random(name)
    content = (run / name).read_bytes()
    refused = 0
    for _ in range(60):
        (run / name).write_bytes(mutated(content, generator))
        try:
            READERS[name](run)
        except ThumbnetError:
            refused += 1
    assert refused > 0


def test_a_rate_that_is_far_too_high_is_told_as_such(small_run: Path, tmp_path: Path) -> None:
    config = small_config(small_run.parent / "data.npz", lr=1e30, batch_size=64)  # a single step
    with pytest.raises(NonFiniteLossError, match=r"at step 1 .*not finite") as caught:
        train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert "lr" in caught.value.hint
    assert not (tmp_path / "run" / "checkpoint-last.pt").exists()
    config = config.replace(lr=1e30, momentum=0.0, weight_decay=1e30)
    with pytest.raises(NonFiniteLossError, match="weights are not finite at step 1"):
        train(config, run_dir=tmp_path / "other", log_style="silent", pictures=False)


def test_weights_that_are_not_finite_are_not_written() -> None:
    weights = create_model("resnet8").state_dict()
    weights["head.weight"][0, 0] = float("inf")
    with pytest.raises(ThumbnetError, match="not finite"):
        weights_to_bytes(weights)


def test_json_never_holds_nan(tmp_path: Path) -> None:
    with pytest.raises(ThumbnetError, match="not finite"):
        RunDir(tmp_path).write_json("metrics.json", {"test_loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_logits_that_are_not_finite_are_no_figures(small_run: Path) -> None:
    run = load_run(small_run)
    with torch.no_grad():
        run.model.head.weight.fill_(1e38)  # type: ignore[union-attr, operator]
        run.model.head.weight[0].fill_(float("inf"))  # type: ignore[index, union-attr]
    with pytest.raises(ModelError, match="not finite"):
        evaluate(run.model, run.load_dataset())


def test_weights_that_were_made_smaller_are_loaded_but_counters_are_whole_numbers(tmp_path: Path) -> None:
    model = create_model("resnet8", seed=0)
    weights = model.state_dict()
    small = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    safetensors.torch.save_file(small, tmp_path / "half")
    load_weights(model, tmp_path / "half")
    safetensors.torch.save_file({name: tensor.half() for name, tensor in weights.items()}, tmp_path / "all")
    with pytest.raises(CheckpointError, match="float16"):
        load_weights(model, tmp_path / "all")


def test_a_damaged_history_has_no_line_of_python() -> None:
    with pytest.raises(RunError):
        history_from_csv("epoch\n1\n")


def test_a_folder_whose_name_has_a_control_character_trains(small_run: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a\x1b\x7f\x85\u2028b"
    odd.mkdir()
    data = shutil.copy(small_run.parent / "data.npz", odd / "data.npz")
    run = train(small_config(Path(data)), run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert load_run(run.path).config.data == f"npz:{data}"

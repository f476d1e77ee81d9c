"""model-card.md: what the Hub reads of it, whose it is, and that no name does harm in it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import thumbnet
from thumbnet.cli import main
from thumbnet.errors import ConfigError, RunError, ThumbnetError
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.export.export import export_shippable
from thumbnet.export.model_card.facts import describe_accuracy, short_source
from thumbnet.export.model_card.text import code, to_yaml
from thumbnet.export.public_card import public_card
from thumbnet.export.request import ExportRequest, ExportResult, compare
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.shippable import load_shippable
from thumbnet.terminal.text import escaped

OLD_RUN = Path(__file__).parent / "data" / "run-2026-11"
HEADINGS = [
    "# Model Card for", "## Model Details", "## Files", "## Uses", "### Direct Use", "### Out-of-Scope Use",
    "## Bias, Risks, and Limitations", "### Recommendations", "## How to Get Started with the Model",
    "## Training Details", "### Training Data", "### Training Procedure", "### How to Reproduce", "## Evaluation",
    "### Testing Data and Metrics", "### Results", "## Technical Specifications",
]  # fmt: skip
HOSTILE = (
    "*/ system(\"x\"); /*", "\\", "'\"`", "``x``", "</script><script>alert(1)</script>", "a\n---\n# b", "\u202egnp",
    "??/", "- {a: b}", "![x](http://x)", "| x |", "\ud800", "é\U0001f600", "\x1b[2J", "{{ 7 * 7 }}",
)  # fmt: skip


def write_note(request: ExportRequest) -> ExportResult:
    path = request.out
    if request.target is not None:
        path.mkdir(exist_ok=True)
    (path / "note" if request.target else path).write_text("note")
    return ExportResult("note", path, (path,), 4, (compare(request.test, request.test.logits),), {"flash_bytes": 7})


@pytest.fixture(autouse=True)
def note_format(own_things: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = thumbnet.ExportFormat(purpose="tests", writer=write_note, suffix=".txt", targets=("readers",), usage="`cat`")
    thumbnet.register_export_format("note", note)
    monkeypatch.chdir(tmp_path)


def header_of(path: Path) -> dict[str, Any]:
    _, header, _ = path.read_text().split("---\n", 2)
    values: dict[str, Any] = yaml.safe_load(header)
    return values


def card_of(name: str | Path, **options: Any) -> Path:
    path = thumbnet.export_model(name, "note", **options).model_card
    assert path is not None
    return path


def test_the_hub_reads_the_header() -> None:
    path = card_of("thumb-20k")
    assert path == Path("exports/thumb-20k/model-card.md")
    header = header_of(path)
    assert header["license"] == "mit"
    assert header["pipeline_tag"] == "image-classification"
    assert header["library_name"] == "thumbnet"
    assert header["datasets"] == ["uoft-cs/cifar10"]
    (model,) = header["model-index"]
    assert model["name"] == "thumb-20k"
    (result,) = model["results"]
    assert result["task"]["type"] == "image-classification"
    assert {"type", "name", "split"} == set(result["dataset"])
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [
        ("accuracy", 0.8888),
        ("ece", 0.105576),
    ]


def test_the_text_says_what_a_reader_asks() -> None:
    text = card_of("thumb-20k").read_text()
    assert re.findall(r"^#+ [^`\n]*\b", text, re.MULTILINE) == HEADINGS
    assert "88.88% ± 0.31 points (standard error; 95 % interval 88.25% to 89.48%; n = 10,000)" in text
    assert "differ by 10.6 points (expected calibration error" in text
    assert (
        "thumbnet train --recipe thumb-20k --data cifar10 --allow-unverified\nthumbnet export thumb-20k --format note"
        in text
    )
    assert "fb00b1b2fe8920580a4f12aef4e875b2543cb8f5" in text
    assert "torch `2.13.0+cpu`" in text
    assert "- `thumb-20k.txt`: `cat`. note, 4 bytes; checked on 20 sample pictures of the test split: 100.00%" in text
    assert "flash bytes `7`" in text


def test_a_users_model_has_no_licence_but_a_stated_one(small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = card_of(small_run)
    assert "license" not in header_of(path)
    assert "datasets" not in header_of(path)
    assert "**License:** not stated" in path.read_text()
    assert main(["export", str(small_run), "--format", "note", "--license", "CC-BY-4.0"]) == 0
    assert header_of(path)["license"] == "cc-by-4.0"
    assert main(["export", str(small_run), "--format", "note", "--license", "mine: all"]) == 2
    assert "no licence's identifier" in capsys.readouterr().err
    assert main(["export", "thumb-20k", "--format", "note", "--license", "MIT"]) == 2
    assert "comes with thumbnet under MIT" in capsys.readouterr().err


def test_a_runs_figures_have_their_intervals(small_run: Path) -> None:
    metrics = load_run(small_run).metrics
    low, high = metrics["test_balanced_accuracy_interval"]
    text = card_of(small_run).read_text()
    balanced = f"{100 * metrics['test_balanced_accuracy']:.2f}% [{100 * low:.2f}, {100 * high:.2f}]"
    assert f"- **Over the classes:** balanced accuracy {balanced}, macro F1 " in text
    low, high = metrics["test_auc_interval"]
    assert f"area under the ROC curve {metrics['test_auc']:.4f} [{low:.4f}, {high:.4f}], average precision " in text
    low, high = metrics["ece_interval"]
    assert f"differ by {100 * metrics['ece']:.1f} points [{100 * low:.1f}, {100 * high:.1f}] (expected" in text
    assert "In brackets: 95 % intervals." in text
    assert "In brackets" not in card_of("thumb-20k", out="shipped").read_text()  # of a model that has none


def test_a_damaged_interval_is_said(small_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small_run, tmp_path / "copy")
    values = json.loads((copy / "metrics.json").read_text())
    RunDir(copy).write("metrics.json", json.dumps({**values, "test_auc_interval": [0.5]}))
    with pytest.raises(RunError, match=r"metrics\.json is damaged: test_auc_interval is"):
        card_of(copy)


def test_no_folder_of_the_machine_is_published(small_run: Path) -> None:
    text = card_of(small_run).read_text()
    assert "npz:data.npz" in text
    assert str(small_run.parent) not in text
    assert short_source("folder:/home/me/pets") == "folder:pets"


def test_a_note_on_the_data_names_no_folder(small_run: Path) -> None:
    shippable = load_shippable(small_run)
    note = "CIFAR-10 is not in /home/me/secret and could not be downloaded"
    shippable = replace(shippable, card=replace(shippable.card, data="digits", data_note=note))
    path = export_shippable(shippable, "note").model_card
    assert path is not None
    assert "secret" not in path.read_text()
    assert "digits stands in for other data" in path.read_text()
    assert "secret" not in str(public_card(shippable.card))


def test_the_command_states_the_licence_again(small_run: Path) -> None:
    assert "--license CC-BY-4.0" in card_of(small_run, licence="CC-BY-4.0").read_text()


def test_nothing_is_written_where_the_card_could_not_be(small_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(small_run, tmp_path / "run")
    (run / "config.toml").write_text("epochs = ")
    with pytest.raises(ThumbnetError):
        thumbnet.export_model(run, "note")
    assert not Path("exports").exists()


def test_a_card_keeps_what_other_files_of_the_model_are(small_run: Path) -> None:
    card_of(small_run, out="there/a.txt")
    card_of(small_run, out="there/b.txt")
    path = card_of(small_run, out="there/b.txt")
    lines = [line[:9] for line in path.read_text().splitlines() if line.startswith("- `")]
    assert lines == ["- `a.txt`", "- `b.txt`"]
    Path("there/a.txt").unlink()
    assert "a.txt" not in card_of(small_run, out="there/b.txt").read_text()


def test_another_models_card_stays(small_run: Path) -> None:
    said: list[str] = []
    first = card_of(small_run, out="there/a.txt")
    before = first.read_text()
    assert card_of("thumb-20k", out="there/b.txt", say=said.append) == Path("there/b.model-card.md")
    assert "b.model-card.md" in said[-1]
    assert first.read_text() == before
    Path("there/a.txt").unlink()  # its card is of nothing now
    assert card_of("thumb-50k", out="there/c.txt") == first


def test_a_card_that_a_person_wrote_stays(small_run: Path) -> None:
    Path("model-card.md").write_text("mine")
    assert card_of(small_run, out="a.txt") == Path("a.model-card.md")
    Path("b.model-card.md").write_text("mine, too")
    with pytest.raises(ConfigError, match=r"b\.model-card\.md"):
        card_of(small_run, out="b.txt")
    assert not Path("b.txt").exists()
    assert Path("model-card.md").read_text() == "mine"


def test_a_folder_has_its_card_inside_and_nothing_of_anyone_else(small_run: Path) -> None:
    path = card_of(small_run, out="folder", target="readers")
    assert path == Path("folder/model-card.md")
    assert "- this folder: `cat`" in path.read_text()
    assert card_of("thumb-20k", out="folder", target="readers") == path
    Path("mine").mkdir()
    Path("mine/README.md").write_text("mine")
    with pytest.raises(ConfigError, match="other things"):
        card_of(small_run, out="mine", target="readers")


def test_a_run_from_before_cards_had_metrics(small_run: Path) -> None:
    assert load_shippable(OLD_RUN).card.metrics == pytest.approx(
        {"test_accuracy": 0.84958, "test_loss": 1.0946, "num_test": 359}, rel=1e-4
    )


def test_hostile_names_do_no_harm(small_run: Path) -> None:
    shippable = load_shippable(small_run)
    card = replace(shippable.card, class_names=HOSTILE, data="npz:/x/" + HOSTILE[3], data_note=HOSTILE[5])
    name = "a`b</script>\n# x"
    path = export_shippable(replace(shippable, card=card, name=name), "note", out="a.txt").model_card
    assert path is not None
    text = path.read_text()
    assert re.findall(r"^#+ [^`\n]*\b", text, re.MULTILINE) == HEADINGS
    assert header_of(path)["model-index"][0]["name"] == escaped(name)
    (line,) = [line for line in text.splitlines() if line.startswith("- **Classes:**")]
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)  # code spans, as CommonMark has them
    assert outside == "- **Classes:** " + ", " * (len(HOSTILE) - 1)


@pytest.mark.parametrize("name", HOSTILE)
def test_yaml_gives_names_back(name: str) -> None:
    assert yaml.safe_load(to_yaml({"names": [{"name": name, "value": 1e-7}]})) == {
        "names": [{"name": escaped(name), "value": 0.0}]
    }


def test_a_code_span_ends_where_it_should() -> None:
    assert code("a`b") == "``a`b``"
    assert code("`a") == "`` `a ``"
    assert code("a\nb") == "`a\\nb`"


def test_the_uncertainty_is_that_of_a_share() -> None:
    """By Wilson's formula for 81 of 263: Newcombe 1998, table I."""
    assert accuracy_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert describe_accuracy(1.0, 100).startswith(
        "100.00% ± 0.00 points (standard error; 95 % interval 96.30% to 100.00%"
    )

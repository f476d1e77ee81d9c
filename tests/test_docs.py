"""README and docs are true: their commands run on digits in a scratch folder, or, if marked long, are parsed."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import thumbnet
from scripts import load_script
from thumbnet.cli import build_parser, main
from thumbnet.config import config_to_dict

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


# What is said of commands and code holds of small networks, too, and without pictures, which `report` draws.
TINY = ["--set", "model_options.blocks=c8s"]
SMALL = {"train": [*TINY, "--no-pictures"], "find-lr": TINY}


@pytest.fixture
def small_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public functions that pages call, on at most 300 training images, with a network of one block."""
    load, train = thumbnet.load_dataset, thumbnet.train

    def load_few(*arguments: Any, **options: Any) -> thumbnet.Dataset:
        dataset = load(*arguments, **options)
        return dataset.with_train(dataset.train.select(range(min(300, len(dataset.train)))))

    def train_small(config: thumbnet.TrainConfig, **options: Any) -> thumbnet.Run:
        return train(config.replace(model_options={"blocks": "c8s"}), **options, pictures=False)

    monkeypatch.setattr(thumbnet, "load_dataset", load_few)
    monkeypatch.setattr(thumbnet, "train", train_small)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run_or_parse(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["thumbnet"])
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in "".join(blocks(page, "sh")).splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "make":
            assert words[1] in targets, line
        elif words[0] in ("python", ".venv/bin/python") and "# long" in line:
            assert (ROOT / words[1]).is_file(), line  # its options are looked at in tests/test_benchmarks.py
        elif words[0] == "thumbnet" and "# long" in line:
            build_parser().parse_args(words[1:])
        else:
            assert words[0] == "thumbnet", f"{page}: neither run nor parsed: {line}"
            assert main([*words[1:], *SMALL.get(words[1], [])]) == 0, line


@pytest.mark.usefixtures("own_things", "small_trainings")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_that_is_not_run_is_python(page: Path) -> None:
    """Blocks marked `py`: they want an account, or a package that is not there."""
    for code in blocks(page, "py"):
        compile(code, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help differently in other versions")
def test_the_help_in_the_docs_is_the_help() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == load_script("tools/build_cli").render()


def test_the_page_on_speed_is_made_from_the_results() -> None:
    builder = load_script("tools/build_speed")
    points = builder.collect()
    assert (ROOT / "docs" / "speed.md").read_text() == builder.describe(points)
    assert [point.epochs for point in points if point.series == "`sprint`"] == [1, 2, 4, 5, 8, 16]
    assert len(builder.draw(points).axes) == 1


def test_the_table_of_trained_models_is_made_from_their_records() -> None:
    builder = load_script("tools/build_zoo")
    assert builder.BEGIN + "\n" + builder.table() + "\n" + builder.END in (ROOT / "README.md").read_text()
    recorded = {record.parent.name for record in builder.ZOO.glob("*/pretrained.json")}
    assert recorded == {weights.stem for weights in (ROOT / "src/thumbnet/models/pretrained").glob("*.safetensors")}


def test_every_field_of_a_recipe_is_documented() -> None:
    table = (ROOT / "docs" / "guides" / "recipes.md").read_text()
    fields = {name for recipe in thumbnet.list_recipes() for name in config_to_dict(thumbnet.load_recipe(recipe))}
    fields |= set(thumbnet.TrainConfig.__dataclass_fields__) | set(thumbnet.Objective.__dataclass_fields__)
    fields -= {"recipe", "inputs", "objective", "engine"}
    assert not [name for name in fields if name not in table]


def test_changelog_and_version_agree() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first.group(1) == thumbnet.__version__
    assert f'version = "{thumbnet.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_the_reference_page_is_made_from_a_run(tmp_path: Path) -> None:
    options = {"data": "digits", "epochs": 1, "model": "sprint"}
    config = thumbnet.load_recipe("reference", options=options, settings=["model_options.blocks=c8s"])
    run = thumbnet.train(config, run_dir=tmp_path / "run", log_style="silent")
    builder = load_script("tools/build_reference")
    page = builder.build_page(run.path, tmp_path).read_text()
    assert f"| last test | 85.51% | {run.metrics['test_accuracy']:.2%} |" in page
    assert "This run has 1 of the recipe's 20 epochs" in page
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert (tmp_path / picture).stat().st_size > 1000
    published = builder.published_curves()
    assert [max(published.eval_accuracy), published.eval_accuracy[-1]] == pytest.approx([0.8566, 0.8551])

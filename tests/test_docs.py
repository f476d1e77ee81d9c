"""README and docs are true: their commands run on digits in a scratch folder, or, if marked long, are parsed.

Those of the guide for one's own pictures are only parsed here: tests/test_guide.py runs them.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch.distributed.run import get_args_parser

import thumbnet
from scripts import load_script
from thumbnet.cli import build_parser, main
from thumbnet.config import config_to_dict, config_to_toml
from thumbnet.specs.decisions import Decisions
from thumbnet.specs.division import Division
from thumbnet.specs.stopping import Stopping

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "guides" / "own-pictures.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


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
        while re.match("[A-Z_]+=", words[0]):  # variables of the environment
            words = words[1:]
        if words[0] == "torchrun":
            launched = get_args_parser().parse_args(words[1:])
            assert launched.module, line
            assert launched.training_script == "thumbnet", line
            build_parser().parse_args(launched.training_script_args)
        elif words[0] == "make":
            assert words[1] in targets, line
        elif words[0] in ("python", ".venv/bin/python") and "# long" in line:
            assert (ROOT / words[1]).is_file(), line  # its options are looked at in tests/test_benchmarks.py
        elif words[:2] == ["pip", "install"] and page == GUIDE:
            assert len(words) > 2, line
        elif words[0] == "thumbnet" and (page == GUIDE or "# long" in line):
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
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if not target.startswith("http"):
            place = page.parent / target if target else page
            assert place.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors_of(place), f"{page}: {target}#{anchor}"


def anchors_of(page: Path) -> set[str]:
    """What links may name of a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help differently in other versions")
def test_the_help_in_the_docs_is_the_help() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == load_script("tools/build_cli").render()


def test_the_page_on_speed_and_the_readmes_figures_are_made_from_the_results() -> None:
    builder = load_script("tools/build_speed")
    points = builder.collect()
    assert (ROOT / "docs" / "speed.md").read_text() == builder.describe(points)
    readme = (ROOT / "README.md").read_text()
    assert builder.BEGIN + "\n" + builder.readme_block(points) + "\n" + builder.END in readme
    (first,) = [
        line for line in readme.splitlines()[:12] if line.startswith("On two AVX2 cores, as an ordinary laptop")
    ]
    measured = builder.headline(points, "sprint", "AVX2 float32")
    assert ("limited to avx2" in measured.machine) is ("(here two of a larger " in first)
    assert f"trains in **{builder.duration(measured.train_s)}** ({builder.duration(measured.command_s)} with" in first
    kinds = {point.kind for point in points}
    assert kinds >= {"AVX2 float32", "AVX-512 float32", "AVX-512 bfloat16"}
    titles = [panel.get_title(loc="left") for panel in builder.draw(points, builder.PICTURES["speed-narrow.png"]).axes]
    assert titles == [f"Two cores, {builder.NAMES[kind]}" for kind in builder.KINDS if kind in kinds]


def _result(kind: str, date: str, seconds: float, **of_config: object) -> dict[str, Any]:
    """As bench_sprint.py writes it, of two runs."""
    config = thumbnet.load_recipe("sprint").replace(**of_config)
    metrics = {"num_params": 1, "macs": 2, "epochs": 5, "test_accuracy": 0.8}
    runs = [{**metrics, "train_s": seconds}, {**metrics, "train_s": seconds + 2}]
    circumstances = {"processor": "a processor", "processor_kind": kind, "torch": "2", "date": date, "command": "c"}
    return {**circumstances, "recipe": "sprint", "config": config_to_toml(config), "runs": runs}


def test_figures_of_speed_do_not_mix_kinds_or_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kind that was not measured again the last figure stands, dated; of another, only today's recipe."""
    load_script("tools/build_speed")
    results = sys.modules["speed_results"]
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "size_of", lambda recipe: (1, 2))
    monkeypatch.setattr(results, "earlier_points", list)
    for name, values in {
        "sprint_a_2026-11-24": _result("AVX2 float32", "2026-11-24", 100, lr=0.1),
        "epochs_a_2026-11-23": _result("AVX2 float32", "2026-11-23", 90, lr=0.1),
        "sprint_a_2026-11-30": _result("AVX2 float32", "2026-11-30", 50, epochs=7),
        "sprint_a_2026-11-29": _result("AVX2 float32", "2026-11-29", 60),
        "sprint_b_2026-11-24": _result("AVX-512 float32", "2026-11-24", 80, lr=0.1),
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    found = {point.kind: point for point in results.collect() if point.series == "sprint"}
    assert {kind: (point.train_s, point.version) for kind, point in found.items()} == {
        "AVX2 float32": (51, ""),
        "AVX-512 float32": (81, "the recipe as it was on 2026-11-24"),
    }
    runs = [
        {"peer": peer, "minutes": 2, "epochs": epochs, "train_s": 120.0, "test_accuracy": 0.9, "num_params": 1}
        for peer, epochs in (("airbench94", 0.4), ("sprint", 9))
    ]
    runs[1] |= {"macs": 2, "config": config_to_toml(thumbnet.load_recipe("sprint"))}
    values = _result("AVX2 float32", "2026-12-01", 0) | {"runs": runs}
    (tmp_path / "peers_a_2026-12-01.json").write_text(json.dumps(values))
    beside = {(point.series, point.is_peer): point for point in results.collect() if point.epochs in (0.4, 9)}
    assert set(beside) == {("airbench94's network", True), ("sprint", False)}
    assert all(point.kind == "AVX2 float32" and not point.version for point in beside.values())
    table = sys.modules["build_speed"].readme_block(results.collect())
    assert "| 80.00 ± 0.00 % in 51 s (n = 2, 2026-11-30) | " in table
    assert " | 80.00 ± 0.00 % in 1 min 21 s [1] (n = 2, the recipe as it was on 2026-11-24) | not measured |" in table
    assert "\n[1] by the code of 2026-11-24, before convolutions of our own; [2] " in table
    assert "`thumbnet train` trains in **51 s** to 80.00" in table
    page = "\n".join(sys.modules["build_speed"].peers())
    assert "peers_a_2026-12-01.png" in page
    assert "Not measured yet" not in page
    (tmp_path / "peers_a_2026-12-01.json").unlink()
    assert "Not measured yet" in "\n".join(sys.modules["build_speed"].peers())


def test_a_limited_processor_an_extrapolation_and_ratios_are_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = load_script("tools/build_speed")
    results, point = sys.modules["speed_results"], sys.modules["speed_point"].Point
    limited = point(
        "sprint", "AVX2 float32", 5, 47.0, (0.8588, 0.8590), 1, "made", "2026-11-29", command_s=58.3, peak_gflops=170.3,
        machine="Intel(R) Xeon(R) Processor @ 2.50GHz (2 cores, limited to avx2)",
    )  # fmt: skip
    assert (
        "as an ordinary laptop has them (here two of a larger Intel Xeon, limited to AVX2; matrix peak 170 GFLOP/s), "
        "`thumbnet train` trains in **47 s** (58 s with reading, scoring and the report) to 85.89"
    ) in builder.laptop_sentence(limited)
    whole = replace(limited, machine="AMD EPYC (2 cores)")
    assert "as an ordinary laptop has them, `thumbnet train`" in builder.laptop_sentence(whole)
    extrapolated = replace(whole, accuracies=(0.8551,), num_timed_steps=75, train_s=10_800.0)
    footnotes = builder.Footnotes()
    assert builder.cell(extrapolated, footnotes) == (
        "85.51 % (published) in 3 h 0 min (extrapolated from 75 steps, 2026-11-29)"
    )
    assert footnotes.lines() == []
    assert [builder.cell(each, footnotes).split(" (")[0][-3:] for each in (limited, limited)] == ["[1]", "[1]"]
    assert footnotes.lines() == [
        "[1] two cores of a larger Intel Xeon, limited by THUMBNET_CPU, matrix peak 170 GFLOP/s."
    ]
    limited_run = {"processor": "p (2 cores, limited to avx2)", "torch": "2", "date": "today"}
    for command in ("it", "THUMBNET_CPU=avx2 it"):
        said = results.made(limited_run | {"command": command})
        assert said == "`THUMBNET_CPU=avx2 it`: p (2 cores, limited to avx2), torch 2, today"
    assert results.made(limited_run | {"processor": "p (2 cores)"}, "it").startswith("`it`: ")
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    common = {"processor": "p", "processor_kind": "AVX2 float32", "torch": "2", "base": "f7609f6db5", "images": 12_800}
    for name, more in {
        "commit-sprint_a_2026-11-28": {
            "command": "it --recipes-of-base",
            "pairs": {"sprint": [[1, 2], [1, 4], [1, 3]]},
        },
        "commit-f7609f6-sprint_a_2026-11-30": {"recipes_of_base": False, "pairs": {"sprint": [[1, 9]]}},
        "commit-thumb-50k_a_2026-11-30": {"recipes_of_base": True, "pairs": {"thumb-50k": [[1, 9]]}},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"command": "it", "date": name[-10:]} | common | more))
    rows = [line for line in builder.ratios() if "f7609f6" in line]
    assert [row.split(" | ")[1] for row in rows] == ["3.00 (2.00 to 4.00, n = 3)"]


def test_the_table_of_trained_models_is_made_from_their_records() -> None:
    builder = load_script("tools/build_zoo")
    assert builder.BEGIN + "\n" + builder.table() + "\n" + builder.END in (ROOT / "README.md").read_text()
    recorded = {record.parent.name for record in builder.ZOO.glob("*/pretrained.json")}
    assert recorded == {weights.stem for weights in (ROOT / "src/thumbnet/models/pretrained").glob("*.safetensors")}


def test_the_figures_of_own_pictures_are_those_of_the_record() -> None:
    builder = load_script("tools/build_guide")
    for page in builder.PAGES:
        assert page.read_text() == builder.with_blocks(page.read_text(), builder.recorded_blocks()), page


def test_every_field_of_a_recipe_is_documented() -> None:
    table = (ROOT / "docs" / "guides" / "recipes.md").read_text()
    fields = {name for recipe in thumbnet.list_recipes() for name in config_to_dict(thumbnet.load_recipe(recipe))}
    fields |= set(thumbnet.TrainConfig.__dataclass_fields__) | set(thumbnet.Objective.__dataclass_fields__)
    fields |= set(Division.__dataclass_fields__)
    fields |= set(Decisions.__dataclass_fields__) | set(Stopping.__dataclass_fields__)
    fields -= {"recipe", "stopping", "division", "inputs", "objective", "decisions", "engine"}
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

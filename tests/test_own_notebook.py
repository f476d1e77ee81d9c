"""The notebook on one's own pictures: public names only, kept without outputs, and its code runs on a part of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image

import thumbnet
from guide_pictures import keep_one_of, sort_into_folders
from small_runs import small_config

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "own_pictures.ipynb"
GUIDE = NOTEBOOK.parents[1] / "docs" / "guides" / "own-pictures.md"
MOST_CELLS = 25
SHOWS_PICTURES = ("draw_gallery", "draw_batch", "draw_preview", "saliency_maps", "misclassified")
SECTIONS = (
    "Pictures in folders",
    "The first training",
    "Read it",
    "What a threshold does",
    "Are the labels right, and is anything there twice?",
    "Train again: by groups, and so that nine of ten are found",
    "The honest figure: every picture once",
    "New pictures, and a page for others",
)


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def codes(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_it_has_its_sections_and_public_names_only(notebook: nbformat.NotebookNode) -> None:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == list(SECTIONS)
    code = "\n".join(codes(notebook))
    ast.parse(code)
    assert set(re.findall(r"thumbnet\.(\w+)", code)) <= set(thumbnet.__all__)
    assert not re.search(r"from thumbnet|import thumbnet\.", code)


def test_it_is_short_installs_itself_and_names_the_report(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)  # type: ignore[no-untyped-call]
    assert len(notebook.cells) <= MOST_CELLS
    first = notebook.cells[0].source
    assert {line for line in GUIDE.read_text().splitlines() if line.startswith("pip install")} <= set(
        first.splitlines()
    )
    (naming,) = [source for source in codes(notebook) if "report.html" in source]
    assert "first.path" in naming


def test_no_picture_is_in_it(notebook: nbformat.NotebookNode) -> None:
    """Their licence does not allow it: no outputs are kept, and no cell would show a picture."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert not [name for name in SHOWS_PICTURES if name in cell.source]


def test_it_predicts_pictures_whatever_their_suffix(
    notebook: nbformat.NotebookNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last cell, in a folder of JPEG files."""
    for number in range(32):
        label = number // 4 % 2
        file = tmp_path / "apart" / ("train" if number % 4 else "test") / "ab"[label] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 200 * label + number).save(file)
    config = small_config(tmp_path, image_size=16).replace(data=f"folder:{tmp_path / 'apart'}")
    second = thumbnet.train(config, run_dir=tmp_path / "second", log_style="silent", pictures=False)
    last = codes(notebook)[-1]
    exec(compile(last, "cell", "exec"), {"thumbnet": thumbnet, "Path": Path, "work": tmp_path, "second": second})
    named = [line.split()[0] for line in capsys.readouterr().out.splitlines() if ".jpg " in line]
    assert len(named) == 5
    assert set(named) < {f"{number}.jpg" for number in range(0, 32, 4)}


@pytest.mark.guide
def test_its_code_runs(
    notebook: nbformat.NotebookNode, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = sort_into_folders(tmp_path)
    keep_one_of(4, pictures)
    monkeypatch.chdir(tmp_path)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = f"PICTURES = {str(pictures)!r}\nMINUTES = 0.8"
    namespace: dict[str, object] = {}
    for source in codes(notebook):
        exec(compile(source, "cell", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "defective: 206 pictures\nfine: 451 pictures" in printed
    assert "picked by recall 0.9" in printed
    assert (Path(str(namespace["work"])) / "first" / "report.html").as_uri() in printed
    assert "657 images out of fold" in printed
    assert (Path(str(namespace["work"])) / "page" / "index.html").is_file()

"""The notebook runs top to bottom on small settings, uses public names only, and is committed with its outputs."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import thumbnet
from thumbnet.data.sources import load_dataset

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "train_cifar10.ipynb"
SECTIONS = (
    "Data",
    "Architecture: the network as code",
    "Loss and optimizer, line by line",
    "Learning rate",
    "Training",
    "Curves",
    "Overfitting, seen",
    "Make it wider: what happens",
    "Misclassified",
    "Save it, load it, classify one picture",
    "Graph",
)


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_short_and_has_its_sections(notebook: nbformat.NotebookNode) -> None:
    assert len(notebook.cells) <= 25
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert all(f"## {section}" in text for section in SECTIONS)


def test_it_uses_the_public_interface_only(notebook: nbformat.NotebookNode) -> None:
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert set(re.findall(r"thumbnet\.(\w+)", code)) <= set(thumbnet.__all__)
    assert not re.search(r"from thumbnet|import thumbnet\.", code)


def test_its_outputs_are_of_real_cifar10(notebook: nbformat.NotebookNode) -> None:
    assert "CIFAR-10" in str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.fixture
def on_few_images(notebook: nbformat.NotebookNode, tmp_path: Path) -> nbformat.NotebookNode:
    """The notebook with the parameters set to small pictures of digits, `few.npz` in `tmp_path`, and one epoch."""
    digits = load_dataset("digits", val_fraction=0.0).test
    np.savez(tmp_path / "few.npz", images=digits.images[:100, :, ::2, ::2].numpy(), labels=digits.labels[:100])
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = 'DATA = "npz:few.npz"\nALLOW_UNVERIFIED = False\nEPOCHS = 1'
    return notebook


def test_its_code_runs(
    on_few_images: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As Jupyter runs it: each cell in the same namespace, its last expression shown. Jupyter takes seconds more."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    pictures = []
    for cell in on_few_images.cells:
        if cell.cell_type == "code":
            *statements, last = ast.parse(cell.source).body
            if not isinstance(last, ast.Expr):
                statements.append(last)
            exec(compile(ast.Module(statements, []), "cell", "exec"), namespace)
            if isinstance(last, ast.Expr):
                shown = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
                pictures += [kind for kind in ("png", "svg") if hasattr(shown, f"_repr_{kind}_")]
    printed = capsys.readouterr().out
    assert "10 test images are classified correctly" in printed
    assert "guessing: loss 2.30" in printed
    assert "it shows: " in printed
    wider = re.findall(r"^ +(\d+) +([\d,]+) +([\d,]+) +[\d.]+%$", printed, re.MULTILINE)
    widths, weights, macs = ([int(number.replace(",", "")) for number in column] for column in zip(*wider, strict=True))
    assert widths == [8, 16, 32, 64]
    for counts in (weights, macs):
        assert all(3 * narrow < wide < 4.2 * narrow for narrow, wide in itertools.pairwise(counts))
    assert pictures == ["png"] * 6 + ["svg"]


@pytest.mark.acceptance
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_it_runs_in_jupyter(on_few_images: nbformat.NotebookNode, tmp_path: Path) -> None:
    NotebookClient(on_few_images, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = str([cell.outputs for cell in on_few_images.cells if cell.cell_type == "code"])
    assert "10 test images are classified correctly" in outputs
    assert outputs.count("image/png") == 6
    assert "image/svg+xml" in outputs

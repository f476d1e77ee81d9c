"""The notebook runs top to bottom on small settings, uses public names only, and is committed with its outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import thumbnet

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "train_cifar10.ipynb"
SECTIONS = ("Architecture", "Data", "Learning rate", "Training", "Curves", "Misclassified", "Graph")


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_short_and_has_the_reference_sections(notebook: nbformat.NotebookNode) -> None:
    assert len(notebook.cells) <= 20
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert all(f"## {section}" in text for section in SECTIONS)


def test_it_uses_the_public_interface_only(notebook: nbformat.NotebookNode) -> None:
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert set(re.findall(r"thumbnet\.(\w+)", code)) <= set(thumbnet.__all__)
    assert not re.search(r"from thumbnet|import thumbnet\.", code)


def test_its_outputs_are_of_real_cifar10(notebook: nbformat.NotebookNode) -> None:
    assert "CIFAR-10" in str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_it_runs_on_small_settings(notebook: nbformat.NotebookNode, tmp_path: Path) -> None:
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = 'DATA = "digits"\nALLOW_UNVERIFIED = False\nEPOCHS = 1'
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert "359 test images are classified correctly" in outputs
    assert outputs.count("image/png") == 5
    assert "image/svg+xml" in outputs

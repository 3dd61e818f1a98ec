"""Notebooks run from top to bottom, and are committed with what they show."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks():
    assert "01_quickstart" in [path.stem for path in NOTEBOOKS]


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def shown(notebook):
    """What each code cell shows: printed text, values, pictures; not how it was cut up, nor warnings of the kernel."""
    return [
        {output.get("name") or tuple(sorted(output.data)) for output in cell.outputs} - {"stderr"}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_show_pages_and_no_errors(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    committed = outputs(notebook)
    assert any("image/png" in output.get("data", {}) for output in committed), "no pictures: run make notebooks"
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in committed)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    committed = shown(notebook)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    assert shown(notebook) == committed

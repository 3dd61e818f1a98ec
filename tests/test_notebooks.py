"""Notebooks come from the sources beside them, run from top to bottom, and are committed with what they show."""

from __future__ import annotations

import os
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))
NAMES = [
    "01_quickstart",
    "02_budget_and_latency",
    "03_llamaindex_rag",
    "04_langchain_rag",
    "05_what_meta_tokens_see",
    "06_train_your_own",
    "07_scans_and_charts",
]
#: Run by every test run; METAEMBED_NOTEBOOKS=all runs the others too, as does make notebooks.
QUICK = {"03_llamaindex_rag", "05_what_meta_tokens_see"}


def test_every_notebook_has_its_source():
    assert [path.stem for path in SOURCES] == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


def read(path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def shown(notebook):
    """What each code cell shows: printed text, values, pictures; not how it was cut up, nor warnings of the kernel."""
    return [
        {output.get("name") or tuple(sorted(output.data)) for output in cell.outputs} - {"stderr"}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_its_source(path):
    wanted = [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]
    assert [(cell.cell_type, cell.source) for cell in read(path).cells] == wanted, "run make notebooks"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_committed_outputs_show_something_and_no_errors(path):
    notebook = read(path)
    nbformat.validate(notebook)
    committed = outputs(notebook)
    kinds = {kind for output in committed for kind in output.get("data", {})}
    assert kinds & {"image/png", "text/html"}, "nothing to look at: run make notebooks"
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in committed)


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    if path.stem not in QUICK and os.environ.get("METAEMBED_NOTEBOOKS") != "all":
        pytest.skip("runs with METAEMBED_NOTEBOOKS=all")
    notebook = read(path)
    committed = shown(notebook)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    assert shown(notebook) == committed

"""The demo answers its questions with the right pages, at every budget."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from metaembed_rag import LADDER
from metaembed_rag.demo import run_demo
from metaembed_rag.errors import DocumentNotFoundError

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_questions_name_pages_that_exist():
    from metaembed_rag.pages import count_pages

    questions = json.loads((EXAMPLES / "questions.json").read_text(encoding="utf-8"))
    assert len({entry["question"] for entry in questions}) == len(questions) > 15
    pages = {path.name: count_pages(path) for path in (EXAMPLES / "reports").iterdir()}
    assert {entry["source"] for entry in questions} == set(pages)
    assert all(1 <= entry["page"] <= pages[entry["source"]] for entry in questions)


@pytest.mark.slow
def test_the_demo_finds_most_pages_first_and_nearly_all_among_three(tmp_path):
    printed = io.StringIO()
    run_demo(EXAMPLES / "reports", str(tmp_path / "demo.index"), Console(file=printed, width=240))
    said = printed.getvalue()
    assert "21 pages added" in said
    assert "ferry-annual-report.pdf" in said
    rows = [line.strip("│ ").split("│") for line in said.splitlines() if line.startswith("│") and "(" in line]
    counts = {cells[0].strip(): (int(cells[1]), int(cells[2])) for cells in rows if cells[0].strip().startswith("(")}
    assert list(counts) == [str(budget) for budget in LADDER]
    for first, within in counts.values():
        assert first >= 15
        assert within >= 19


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(DocumentNotFoundError, match="root of a clone"):
        run_demo(tmp_path / "none", None)

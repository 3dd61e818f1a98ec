"""The example answers its question from the right page."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[4] / "examples"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("rag_langchain", EXAMPLES / "rag_langchain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_answers_and_names_its_pages(example, tmp_path, capsys):
    (tmp_path / "reports").mkdir()
    shutil.copy(EXAMPLES / "reports" / "ferry-annual-report.pdf", tmp_path / "reports")
    arguments = ["--reports", str(tmp_path / "reports"), "--index", str(tmp_path / "rag.index"), "--budget", "4,64"]
    example.main([*arguments, "Krykkje battery"])
    question, answer, *pages = capsys.readouterr().out.splitlines()
    assert question == "Krykkje battery"
    assert "battery" in answer.lower()
    assert pages[0].strip() == "ferry-annual-report.pdf, page 3"
    assert len(pages) == 3

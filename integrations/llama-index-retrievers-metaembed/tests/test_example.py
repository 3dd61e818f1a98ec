"""The example answers from a report, with its stand-in for a language model."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are in the repository only")
def test_the_example_answers_from_the_right_page(tmp_path, capsys):
    (tmp_path / "reports").mkdir()
    shutil.copy(EXAMPLES / "reports" / "ferry-annual-report.pdf", tmp_path / "reports")
    example = runpy.run_path(str(EXAMPLES / "rag_llamaindex.py"), run_name="example")
    arguments = [f"--reports={tmp_path / 'reports'}", f"--index={tmp_path / 'rag.index'}"]
    question = "What was the ferry company's total revenue in 2019?"
    for dial in ("--budget=4", "--latency-ms=5000"):
        example["main"]([*arguments, dial, question])
        said = capsys.readouterr().out.splitlines()
        assert said[0] == question
        assert "revenue" in said[1].lower()
        assert "ferry-annual-report.pdf, page 2" in [line.strip() for line in said[2:]]
        assert len(said) == 5

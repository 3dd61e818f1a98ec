"""FinanceBench from a folder in its published format, with filings that cannot be read."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas

from metaembed_rag.errors import InputError
from metaembed_rag.evaluation.filings import read_evidence_pages, read_financebench

PAGES = ["Annual report of the harbour company.", "", "Capital expenditure was 1,577 million in 2018."]


def _question(name: str, number: int, *pages: int) -> dict[str, Any]:
    return {
        "financebench_id": f"{name}-{number}",
        "doc_name": name,
        "question": f"What was the capital expenditure of {name}?",
        "evidence": [{"doc_name": name, "evidence_page_num": page} for page in pages],
    }


@pytest.fixture
def financebench(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "pdfs").mkdir()
    for name in ("HARBOUR_2018_10K", "ORCHARD_2019_10K"):
        canvas = Canvas(str(tmp_path / "pdfs" / f"{name}.pdf"))
        for text in PAGES:
            canvas.drawString(72, 720, text)
            canvas.showPage()
        canvas.save()
    (tmp_path / "pdfs" / "TORN_2020_10K.pdf").write_bytes(b"%PDF-1.7 and no more")
    rows = [
        _question("ORCHARD_2019_10K", 0, 0, 2),
        _question("HARBOUR_2018_10K", 0, 2),
        _question("HARBOUR_2018_10K", 1, 1),
        _question("TORN_2020_10K", 0, 0),
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data" / "financebench_open_source.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


def test_a_filing_is_a_benchmark_with_pages_from_one(financebench: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        harbour, orchard = read_financebench(financebench)
    assert harbour.name == "financebench/HARBOUR_2018_10K"
    assert list(harbour.documents) == ["1", "3"]
    assert harbour.documents["3"].strip() == PAGES[2]
    assert harbour.relevant == {"HARBOUR_2018_10K-0": {"3": 1.0}}
    assert orchard.relevant == {"ORCHARD_2019_10K-0": {"1": 1.0, "3": 1.0}}
    assert "left out question HARBOUR_2018_10K-1" in caplog.text
    assert "left out TORN_2020_10K.pdf with 1 questions" in caplog.text


def test_only_the_filings_with_the_most_questions(financebench: Path) -> None:
    assert [one.name for one in read_financebench(financebench, filings=1)] == ["financebench/HARBOUR_2018_10K"]


@pytest.mark.parametrize("ocr", ["never", "always"])
def test_evidence_pages_of_all_filings_are_one_benchmark(financebench: Path, ocr: Any) -> None:
    pages = read_evidence_pages(financebench, 10, ocr=ocr)
    assert list(pages.documents) == ["HARBOUR_2018_10K/3", "ORCHARD_2019_10K/1", "ORCHARD_2019_10K/3"]
    assert "1,577 million" in pages.documents["HARBOUR_2018_10K/3"]
    assert pages.relevant["ORCHARD_2019_10K-0"] == {"ORCHARD_2019_10K/1": 1.0, "ORCHARD_2019_10K/3": 1.0}
    assert list(read_evidence_pages(financebench, 1, ocr=ocr).queries) == ["HARBOUR_2018_10K-0"]


def test_a_folder_without_questions_or_filings_is_an_error(financebench: Path, tmp_path: Path) -> None:
    for path in (financebench / "pdfs").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no filing with questions can be read"):
        read_financebench(financebench)
    with pytest.raises(InputError, match="no filing with questions can be read"):
        read_evidence_pages(financebench, 10)
    questions = financebench / "data" / "financebench_open_source.jsonl"
    questions.write_text('{"question": 1}\n', encoding="utf-8")
    with pytest.raises(InputError, match="published format"):
        read_financebench(financebench)
    questions.unlink()
    with pytest.raises(InputError, match="clone patronus-ai/financebench"):
        read_financebench(financebench)

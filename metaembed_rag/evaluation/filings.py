"""FinanceBench: questions about company filings, and the pages of the filing that hold the evidence."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from metaembed_rag.errors import DocumentError, InputError
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.pages import Page, read_document, read_page
from metaembed_rag.pages.documents import OcrMode

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a filing.

    Attributes:
        name: its id in FinanceBench.
        text: the question.
        pages: the pages that hold the evidence, counted from 1.
    """

    name: str
    text: str
    pages: tuple[int, ...]


def read_financebench(folder: Path, filings: int | None = None) -> list[Benchmark]:
    """FinanceBench (Islam et al. 2023), the open part: questions -> evidence pages among those of their filing.

    Each filing is a benchmark of its own; ``metrics.pool`` joins their figures. Filings that cannot be read and
    questions whose evidence page has no text are left out, and the log says so. The terms of the data are unclear:
    read a local copy, never redistribute it, never train on it.

    Args:
        folder: a clone of patronus-ai/financebench.
        filings: only the so many with the most questions; None takes all.

    Raises:
        InputError: the questions are missing or malformed, or no filing can be read.
    """
    most = None if filings is None else max(filings, 0)
    parts = _filings(folder, lambda path, _: read_document(path, ocr="never"))
    benchmarks = [benchmark for _, benchmark in islice(parts, most)]
    if not benchmarks:
        raise _nothing_in(folder)
    return benchmarks


def read_evidence_pages(folder: Path, questions: int, *, ocr: OcrMode = "never") -> Benchmark:
    """Questions of FinanceBench -> their evidence pages, among those of all these questions.

    Few pages of many filings, as a check of how pages are read; ``read_financebench`` is the task as published.

    Args:
        folder: a clone of patronus-ai/financebench.
        questions: about so many: filings are taken whole, those with the most questions first.
        ocr: "always" reads the pages as if they were scans, "never" reads their text layer.

    Raises:
        InputError: as ``read_financebench``.
        MissingDependencyError: a page needs recognition and rapidocr is not installed.
    """

    def evidence(path: Path, asked: list[Question]) -> Iterator[Page]:
        return (read_page(path, number, ocr=ocr) for number in sorted({n for one in asked for n in one.pages}))

    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    relevant: dict[str, dict[str, float]] = {}
    parts = _filings(folder, evidence)
    while len(queries) < questions and (part := next(parts, None)) is not None:
        filing, benchmark = part
        queries |= benchmark.queries
        documents |= {f"{filing}/{page}": text for page, text in benchmark.documents.items()}
        relevant |= {
            query: {f"{filing}/{page}": grade for page, grade in grades.items()}
            for query, grades in benchmark.relevant.items()
        }
    if not queries:
        raise _nothing_in(folder)
    return Benchmark("financebench/evidence", queries, documents, relevant)


def _filings(folder: Path, read: Callable[[Path, list[Question]], Iterable[Page]]) -> Iterator[tuple[str, Benchmark]]:
    """Name and benchmark of each filing, of the pages that ``read`` gives for its path and questions."""
    for path, questions in _asked(folder):
        try:
            pages = {page.number: page.text for page in read(path, questions) if page.text.strip()}
        except DocumentError as error:
            logger.warning("left out %s with %d questions: %s", path.name, len(questions), error)
            continue
        benchmark = _benchmark(path.stem, questions, pages)
        if benchmark is not None:
            yield path.stem, benchmark


def _nothing_in(folder: Path) -> InputError:
    return InputError(f"{folder}: no filing with questions can be read; is the clone complete?")


def _asked(folder: Path) -> Iterator[tuple[Path, list[Question]]]:
    """Filings and their questions, those with the most first, then by name."""
    path = folder / "data" / "financebench_open_source.jsonl"
    asked: dict[str, list[Question]] = defaultdict(list)
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            # Pages are counted from 0 there.
            pages = {int(item["evidence_page_num"]) + 1 for item in row["evidence"]}
            question = Question(str(row["financebench_id"]), str(row["question"]), tuple(sorted(pages)))
            asked[row["doc_name"]].append(question)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: clone patronus-ai/financebench and pass its folder") from error
    except (UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not in its published format: {error!r}") from error
    for name in sorted(asked, key=lambda name: (-len(asked[name]), name)):
        yield folder / "pdfs" / f"{name}.pdf", asked[name]


def _benchmark(filing: str, questions: list[Question], pages: dict[int, str]) -> Benchmark | None:
    queries: dict[str, str] = {}
    relevant: dict[str, dict[str, float]] = {}
    for question in questions:
        if not question.pages or not pages.keys() >= set(question.pages):
            logger.warning("left out question %s: a page of its evidence has no text", question.name)
            continue
        queries[question.name] = question.text
        relevant[question.name] = {str(page): 1.0 for page in question.pages}
    documents = {str(number): text for number, text in pages.items()}
    return Benchmark(f"financebench/{filing}", queries, documents, relevant) if queries else None

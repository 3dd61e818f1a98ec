"""FinanceBench: questions about company filings, and the pages of the filing that hold the evidence."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

from metaembed_rag.errors import DocumentError, InputError
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.pages import read_document

logger = logging.getLogger(__name__)


def read_financebench(folder: Path, filings: int | None = None) -> list[Benchmark]:
    """FinanceBench (Islam et al. 2023), the open part: questions -> evidence pages among those of their filing.

    Each filing is a benchmark of its own; ``metrics.pool`` joins their figures. Filings that cannot be read and
    questions whose evidence page has no text are left out, and the log says so. The terms of the data are unclear:
    read a local copy, never redistribute it, never train on it.

    Args:
        folder: a clone of patronus-ai/financebench.
        filings: only the first so many, in the order of their names; None takes all.

    Raises:
        InputError: the questions are missing or malformed, or no filing can be read.
    """
    path = folder / "data" / "financebench_open_source.jsonl"
    asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            asked[row["doc_name"]].append(row)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: clone patronus-ai/financebench and pass its folder") from error
    except (UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not in its published format: {error!r}") from error
    benchmarks: list[Benchmark] = []
    for name in sorted(asked):
        if filings is not None and len(benchmarks) >= filings:
            break
        benchmark = _filing(folder / "pdfs" / f"{name}.pdf", asked[name])
        if benchmark is not None:
            benchmarks.append(benchmark)
    if not benchmarks:
        raise InputError(f"{folder}: no filing with questions can be read; is the clone complete?")
    return benchmarks


def _filing(path: Path, rows: list[dict[str, Any]]) -> Benchmark | None:
    try:
        pages = {str(page.number): page.text for page in read_document(path, ocr="never") if page.text.strip()}
    except DocumentError as error:
        logger.warning("left out %s with %d questions: %s", path.name, len(rows), error)
        return None
    queries: dict[str, str] = {}
    relevant: dict[str, dict[str, float]] = {}
    for row in rows:
        try:
            # Pages are counted from 0 there.
            evidence = {str(int(item["evidence_page_num"]) + 1) for item in row["evidence"]}
            query, question = str(row["financebench_id"]), str(row["question"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path.stem}: a question is not in its published format: {error!r}") from error
        if not evidence or not evidence <= pages.keys():
            logger.warning("left out question %s: a page of its evidence has no text", query)
            continue
        queries[query] = question
        relevant[query] = dict.fromkeys(sorted(evidence, key=int), 1.0)
    return Benchmark(f"financebench/{path.stem}", queries, pages, relevant) if queries else None

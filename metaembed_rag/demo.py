"""The demo: index the example reports, then ask at several budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metaembed_rag.budget import LADDER
from metaembed_rag.errors import DocumentNotFoundError
from metaembed_rag.index import MetaEmbedIndex
from metaembed_rag.tables import added_summary, hits_table

#: Questions shown one by one; all of them are counted.
SHOWN = 2


def run_demo(reports: Path, index_path: str | None, console: Console | None = None) -> None:
    """Index a folder and, where a ``questions.json`` lies beside it, ask its questions at every budget.

    Args:
        reports: the folder; the shipped one is ``examples/reports``.
        index_path: where to keep the index; None is ``<reports>/../demo.index``.
        console: prints here.

    Raises:
        DocumentNotFoundError: no such folder.
    """
    console = console or Console()
    if not reports.is_dir():
        raise DocumentNotFoundError(
            str(reports), "no such folder; run the demo from the root of a clone, or name --reports"
        )
    questions = _questions(reports)
    with MetaEmbedIndex(index_path or str(reports.parent / "demo.index")) as index:
        console.print(Text(f"indexing {reports}"))
        added_summary(index.add(str(reports)), index.info(), console)
        for question in questions[:SHOWN]:
            console.print()
            hits_table(index.search(question["question"], budget=4, top_k=3), console)
        if questions:
            console.print()
            console.print(_ladder(index, questions, reports))


def _questions(reports: Path) -> list[dict[str, Any]]:
    path = reports.parent / "questions.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _ladder(index: MetaEmbedIndex, questions: list[dict[str, Any]], reports: Path) -> Table:
    """How many questions find their page first, and among the first three, at every budget."""
    table = Table(title=f"{len(questions)} questions at every budget", title_justify="left")
    for column in ("budget", "right page first", "among the first three"):
        table.add_column(column, justify="right")
    for budget in LADDER:
        first = within = 0
        for question in questions:
            wanted = (Path(question["source"]).name, question["page"])
            found = [
                (Path(hit.source).name, hit.page) for hit in index.search(question["question"], budget=budget, top_k=3)
            ]
            first += found[:1] == [wanted]
            within += wanted in found
        table.add_row(str(budget), str(first), str(within))
    return table

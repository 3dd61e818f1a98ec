"""Tables as text: one way of writing them, for training and evaluation, and readers of public formats."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaembed_rag.errors import InputError


def linearise(title: str, table: Sequence[Sequence[str]]) -> str:
    """Write a table row by row as ``header: value; header: value.``

    Args:
        title: opens the text; may be empty.
        table: rows of cells, the headers first.
    """
    headers = [_flat(cell) for cell in table[0]] if table else []
    lines = [f"{_flat(title)}."] if title.strip() else []
    for row in table[1:]:
        cells = []
        for place, cell in enumerate(row):
            value = _flat(cell)
            if value:
                header = headers[place] if place < len(headers) else ""
                cells.append(f"{header}: {value}" if header else value)
        if cells:
            lines.append("; ".join(cells) + ".")
    if len(lines) <= bool(title.strip()):
        lines.append("; ".join(header for header in headers if header) + ".")
    return " ".join(lines)


def read_wikitq_titles(clone: Path) -> dict[str, str]:
    """Page title and section of each WikiTableQuestions table by name (``csv/204-csv/590.csv``).

    A clone without ``misc/table-metadata.tsv`` gives none.
    """
    path = clone / "misc" / "table-metadata.tsv"
    if not path.is_file():
        return {}
    titles = {}
    with path.open(encoding="utf-8") as file:
        columns = file.readline().rstrip("\n").split("\t")
        for line in file:
            row = dict(zip(columns, line.rstrip("\n").split("\t"), strict=False))
            section = row.get("headers", "").replace("|", ", ")
            titles[row["contextId"]] = f"{row.get('title', '')}, {section}".strip(", ")
    return titles


def read_wikitq_table(clone: Path, name: str) -> list[list[str]]:
    """The cells of one WikiTableQuestions table; its CSV escapes quotes with a backslash.

    Raises:
        InputError: the file is missing, or ``name`` leads out of the clone.
    """
    path = clone / name
    if not path.resolve().is_relative_to(clone.resolve()):
        raise InputError(f"table {name} leads outside {clone}; the question file is not the published one")
    if not path.is_file():
        raise InputError(f"{path} is missing: clone ppasupat/WikiTableQuestions with its csv folder")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, doublequote=False, escapechar="\\")
        return [row for row in rows if row]


def read_tatqa_context(context: Mapping[str, Any]) -> str:
    """One TAT-QA context as text: its paragraphs in order, then its table row by row."""
    paragraphs = sorted(context["paragraphs"], key=lambda paragraph: int(paragraph["order"]))
    return " ".join([_flat(paragraph["text"]) for paragraph in paragraphs] + [_financial(context["table"]["table"])])


def _financial(table: Sequence[Sequence[str]]) -> str:
    """Financial tables have several header rows and a label column, so rows are written as they stand."""
    rows = ("; ".join(filter(None, (_flat(cell) for cell in row))) for row in table)
    return " ".join(f"{row}." for row in rows if row)


def _flat(text: str) -> str:
    return " ".join(text.split())

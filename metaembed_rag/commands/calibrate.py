"""metaembed calibrate: measure what each plan costs and is worth on an index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metaembed_rag.commands.options import (
    CollectionOption,
    DtypeOption,
    IndexOption,
    JsonOption,
    ModelOption,
    TenantOption,
    UrlOption,
    print_json,
)
from metaembed_rag.embedding.dtypes import check_dtype
from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def calibrate(
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    tenant: TenantOption = None,
    model: ModelOption = "mini",
    dtype: DtypeOption = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            "--queries",
            help='Your users\' queries: a text file, one a line, or JSONL with {"query": ..., "relevant": [page ids]}; '
            "made from stored pages otherwise.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw quality against latency: a PNG, SVG or PDF.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure plans on an index, so that budgets and latency targets are met by figures."""
    from metaembed_rag.index import MetaEmbedIndex
    from metaembed_rag.search.plot import check_picture

    if plot is not None:
        check_picture(plot)  # before measuring takes its minutes
    texts, labels = (None, None) if queries is None else read_queries(queries)
    with MetaEmbedIndex(
        index, url=url, collection=collection, tenant=tenant, model=model, dtype=check_dtype(dtype), create=False
    ) as opened:
        found = opened.calibrate(texts, labels=labels, progress=False if as_json else None)
    if plot is not None:
        found.plot(plot)
    if as_json:
        print_json(found.to_dict())
        return
    from metaembed_rag.tables import calibration_table

    calibration_table(found)


def read_queries(path: Path) -> tuple[list[str], dict[str, list[str]] | None]:
    """Queries of a file, and the ids of their relevant pages if it is JSONL that names them.

    Raises:
        InputError: no such file, or a line that is not what it should be.
    """
    try:
        # At line feeds alone: JSON may hold what else Python takes for the end of a line.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}") from error
    lines = [line for line in lines if line.strip()]
    if path.suffix.lower() not in (".jsonl", ".json"):
        return [line.strip() for line in lines], None
    rows = list(_rows(path, lines))
    labels = {row["query"]: row["relevant"] for row in rows if "relevant" in row}
    if labels and len(labels) < len({row["query"] for row in rows}):
        raise InputError(f'{path}: either every line has "relevant" or none')
    return [row["query"] for row in rows], labels or None


def _rows(path: Path, lines: list[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error})") from error
        if not _is_labelled(row):
            raise InputError(f'{path}, line {number}: expected {{"query": "...", "relevant": ["page id"]}}')
        yield row


def _is_labelled(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("query"), str):
        return False
    ids = row.get("relevant", [])
    return isinstance(ids, list) and all(isinstance(identifier, str) for identifier in ids)

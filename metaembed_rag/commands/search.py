"""metaembed search: find the pages that answer a query."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metaembed_rag.commands.options import (
    BudgetOption,
    CollectionOption,
    DtypeOption,
    IndexOption,
    JsonOption,
    LatencyOption,
    ModelOption,
    TenantOption,
    TopKOption,
    UrlOption,
    print_json,
)
from metaembed_rag.embedding.dtypes import check_dtype
from metaembed_rag.errors import InputError


def search(
    query: Annotated[str, typer.Argument(help="What you want to find.")],
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    tenant: TenantOption = None,
    model: ModelOption = "mini",
    dtype: DtypeOption = None,
    budget: BudgetOption = None,
    latency_ms: LatencyOption = None,
    top_k: TopKOption = 5,
    hybrid: Annotated[
        bool | None, typer.Option("--hybrid/--no-hybrid", help="By words too [default: as the index was made].")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only pages of this document.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the plan and the time of its parts too.")] = False,
    as_json: JsonOption = False,
    open_report: Annotated[
        bool, typer.Option("--open", help="Write the results as an HTML report and show it in the browser.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the HTML report to this file.")] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw the pages in the terminal ($METAEMBED_PICTURES overrules how).")
    ] = False,
) -> None:
    """Find the pages that answer a query."""
    if pictures and not sys.stdout.isatty():
        raise InputError("--pictures draws in a terminal, and the output is none; write a report with --html FILE")
    from metaembed_rag.index import MetaEmbedIndex, SearchOptions

    options: SearchOptions = {
        "budget": budget,
        "latency_ms": latency_ms,
        "top_k": top_k,
        "filter": {"source": source} if source else None,
        "hybrid": hybrid,
    }
    with MetaEmbedIndex(
        index, url=url, collection=collection, tenant=tenant, model=model, dtype=check_dtype(dtype), create=False
    ) as opened:
        if explain:
            found = opened.explain(query, **options)
            hits = found.hits
            typer.echo(str(found), err=as_json)
        else:
            hits = opened.search(query, **options)
    if as_json:
        print_json([hit.to_dict() for hit in hits])
    else:
        from metaembed_rag.tables import hits_table

        hits_table(hits)
    if pictures:
        from metaembed_rag.display.terminal import show_pictures

        show_pictures(hits)
    if html is not None or open_report:
        from metaembed_rag.display.report import show_report

        typer.echo(show_report(hits.to_html(), html, browser=open_report), err=True)

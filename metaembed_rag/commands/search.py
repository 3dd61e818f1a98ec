"""metaembed search: find the pages that answer a query."""

from __future__ import annotations

from typing import Annotated

import typer

from metaembed_rag.commands.options import (
    BudgetOption,
    CollectionOption,
    IndexOption,
    JsonOption,
    LatencyOption,
    ModelOption,
    TopKOption,
    UrlOption,
    print_json,
)


def search(
    query: Annotated[str, typer.Argument(help="What you want to find.")],
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    model: ModelOption = "mini",
    budget: BudgetOption = None,
    latency_ms: LatencyOption = None,
    top_k: TopKOption = 5,
    source: Annotated[str | None, typer.Option("--source", help="Only pages of this document.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the plan and the time of its parts too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the pages that answer a query."""
    from metaembed_rag.index import MetaEmbedIndex

    condition = {"source": source} if source else None
    with MetaEmbedIndex(index, url=url, collection=collection, model=model, create=False) as opened:
        if explain:
            found = opened.explain(query, budget=budget, latency_ms=latency_ms, top_k=top_k, filter=condition)
            hits = found.hits
            typer.echo(str(found), err=as_json)
        else:
            hits = opened.search(query, budget=budget, latency_ms=latency_ms, top_k=top_k, filter=condition)
    if as_json:
        print_json([hit.to_dict() for hit in hits])
        return
    from metaembed_rag.tables import hits_table

    hits_table(hits)

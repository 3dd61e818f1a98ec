"""metaembed delete: delete a document from an index."""

from __future__ import annotations

from typing import Annotated

import typer

from metaembed_rag.commands.options import (
    CollectionOption,
    IndexOption,
    JsonOption,
    TenantOption,
    UrlOption,
    print_json,
)


def delete(
    source: Annotated[str, typer.Argument(help="The document, as it was given when it was indexed.")],
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a document from an index."""
    from metaembed_rag.index import MetaEmbedIndex

    with MetaEmbedIndex(index, url=url, collection=collection, tenant=tenant, create=False) as opened:
        pages = opened.delete(source=source)
    if as_json:
        print_json({"source": source, "pages": pages})
    else:
        typer.echo(f"{pages} pages of {source} deleted")

"""metaembed info: say what is in an index."""

from __future__ import annotations

from metaembed_rag.commands.options import (
    CollectionOption,
    IndexOption,
    JsonOption,
    TenantOption,
    UrlOption,
    print_json,
)


def info(
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is in an index."""
    from metaembed_rag.index import MetaEmbedIndex

    with MetaEmbedIndex(index, url=url, collection=collection, tenant=tenant, create=False) as opened:
        content = opened.info()
    if as_json:
        print_json(content)
        return
    from metaembed_rag.tables import info_table

    info_table(content)

"""metaembed info: say what is in an index."""

from __future__ import annotations

from metaembed_rag.commands.options import CollectionOption, IndexOption, JsonOption, UrlOption, print_json


def info(
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    as_json: JsonOption = False,
) -> None:
    """Say what is in an index."""
    from metaembed_rag.index import MetaEmbedIndex

    with MetaEmbedIndex(index, url=url, collection=collection, create=False) as opened:
        content = opened.info()
    if as_json:
        print_json(content)
        return
    from metaembed_rag.tables import info_table

    info_table(content)

"""metaembed resize: store fewer or more Meta Tokens of what is in an index."""

from __future__ import annotations

from typing import Annotated

import typer

from metaembed_rag.commands.options import (
    CollectionOption,
    DtypeOption,
    IndexOption,
    JsonOption,
    ModelOption,
    UrlOption,
    print_json,
)
from metaembed_rag.embedding.dtypes import check_dtype


def resize(
    document_tokens: Annotated[
        int, typer.Option("--document-tokens", help="Widest group of Meta Tokens to keep: 1, 4, 8, 16 or 64.")
    ] = 16,
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    model: ModelOption = "mini",
    dtype: DtypeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store fewer or more Meta Tokens of what is in an index."""
    from metaembed_rag.index import MetaEmbedIndex

    with MetaEmbedIndex(
        index, url=url, collection=collection, model=model, dtype=check_dtype(dtype), create=False
    ) as opened:
        before = opened.info()
        encoded = opened.resize(document_tokens, progress=False if as_json else None)
        after = opened.info()
    if as_json:
        print_json({"encoded": encoded, "before": before, "info": after})
        return
    from metaembed_rag.tables import resized_summary

    resized_summary(encoded, before, after)

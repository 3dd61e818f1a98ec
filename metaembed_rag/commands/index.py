"""metaembed index: index documents; what is in the index unchanged costs nothing."""

from __future__ import annotations

from typing import Annotated, cast

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


def index(
    paths: Annotated[list[str], typer.Argument(help="Files and folders: PDF, pictures, text, Markdown.")],
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    tenant: TenantOption = None,
    model: ModelOption = "mini",
    dtype: DtypeOption = None,
    ocr: Annotated[str, typer.Option("--ocr", help="auto, never or always.")] = "auto",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that read and embed.")] = 1,
    precision: Annotated[
        str | None, typer.Option("--precision", help="Of a new index: f32, f16, int8 or 4bit [default: f32].")
    ] = None,
    page_vectors: Annotated[
        int | None, typer.Option("--page-vectors", min=1, help="Of a new index: at most so many a page [default: all].")
    ] = None,
    hybrid: Annotated[
        bool | None, typer.Option("--hybrid/--no-hybrid", help="Of a new index: find pages by words too [default: no].")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Index documents; what is in the index unchanged costs nothing."""
    from metaembed_rag.index import MetaEmbedIndex
    from metaembed_rag.pages import OcrMode
    from metaembed_rag.store.schema import Precision

    with MetaEmbedIndex(
        index,
        url=url,
        collection=collection,
        model=model,
        dtype=check_dtype(dtype),
        tenant=tenant,
        precision=cast("Precision | None", precision),
        page_vectors=page_vectors,
        hybrid=hybrid,
    ) as opened:
        result = opened.add(paths, ocr=cast(OcrMode, ocr), progress=None if not as_json else False, workers=workers)
        info = opened.info()
    if as_json:
        print_json(
            {
                "ids": list(result),
                "added": result.added,
                "unchanged": result.unchanged,
                "skipped": [{"path": error.path, "reason": error.reason} for error in result.skipped],
                "info": info,
            }
        )
        return
    from metaembed_rag.tables import added_summary

    added_summary(result, info)

"""From hits to LangChain documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.documents import Document

from metaembed_rag.ingest import page_id

if TYPE_CHECKING:
    from metaembed_rag.hit import Hit


def to_document(hit: Hit) -> Document:
    """The page as a Document: its text, its id and its metadata.

    A page of a file also gets "source" and "page" (from 1), unless its metadata has keys of these names. A text
    that was added as such comes back with exactly the metadata it was added with.
    """
    metadata = dict(hit.metadata)
    # Pages of files have ids made of source and number; texts have the id that was given, or one of their own.
    if hit.id == page_id(hit.source, hit.page):
        metadata.setdefault("source", hit.source)
        metadata.setdefault("page", hit.page)
    return Document(page_content=hit.text, id=hit.id, metadata=metadata)

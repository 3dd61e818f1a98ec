"""From hits to LangChain documents, and from documents to the pictures of their pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from langchain_core.documents import Document

from metaembed_rag.errors import InputError
from metaembed_rag.ingest import page_id
from metaembed_rag.pages import render_page

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag.hit import Hit

#: Where the LlamaIndex integration keeps what makes a text a node; no framework shows it.
_NODE = "_llama_index"


def to_document(hit: Hit) -> Document:
    """The page as a Document: its text, its id and its metadata.

    A page of a file also gets "source" and "page" (from 1), unless its metadata has keys of these names. A text
    that was added as such comes back with exactly the metadata it was added with, and so does a LlamaIndex node.
    """
    metadata = {key: value for key, value in hit.metadata.items() if key != _NODE}
    # Pages of files have ids made of source and number; texts have the id that was given, or one of their own.
    if hit.id == page_id(hit.source, hit.page):
        metadata.setdefault("source", hit.source)
        metadata.setdefault("page", hit.page)
    return Document(page_content=hit.text, id=hit.id, metadata=metadata)


def to_documents(hits: Iterable[Hit]) -> list[Document]:
    """``to_document`` of each, in order."""
    return [to_document(hit) for hit in hits]


def draw_page(document: Document, dpi: int = 144) -> Image:
    """The page that a document came from, as a picture, drawn from its file now.

    Args:
        document: with "source" and "page" in its metadata, from a search or from MetaEmbedLoader.
        dpi: dots per inch.

    Raises:
        InputError: the document does not name its page, or is a page of plain text.
        DocumentError: the file is no longer there, or has no such page any more.
    """
    source, page = document.metadata.get("source"), document.metadata.get("page")
    if not isinstance(source, str) or isinstance(page, bool) or not isinstance(page, int):
        raise InputError("a document is drawn from the 'source' and 'page' of its metadata, and this one has none")
    return render_page(source, page, dpi)

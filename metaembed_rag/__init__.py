"""Visual and text retrieval for RAG whose cost turns like a dial: nested Meta Tokens on Qdrant.

Importing this package is light: torch, transformers and the engine load when first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import MetaEmbedError

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed
    from metaembed_rag.hit import Hit
    from metaembed_rag.index import MetaEmbedIndex
    from metaembed_rag.pages import Page

__version__ = "0.1.0"
__all__ = ["LADDER", "Budget", "Hit", "MetaEmbed", "MetaEmbedError", "MetaEmbedIndex", "Page", "__version__"]

_LAZY = {
    "Hit": "metaembed_rag.hit",
    "MetaEmbed": "metaembed_rag.embedding.model",
    "MetaEmbedIndex": "metaembed_rag.index",
    "Page": "metaembed_rag.pages",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)

"""LlamaIndex retriever and embedding on a MetaEmbed index."""

from __future__ import annotations

from llama_index.retrievers.metaembed.base import MetaEmbedRetriever
from llama_index.retrievers.metaembed.embedding import MetaEmbedEmbedding

__all__ = ["MetaEmbedEmbedding", "MetaEmbedRetriever"]

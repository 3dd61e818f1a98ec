"""LlamaIndex retriever, vector store and embedding on a MetaEmbed index."""

from __future__ import annotations

from llama_index.retrievers.metaembed.base import MetaEmbedRetriever
from llama_index.retrievers.metaembed.embedding import MetaEmbedEmbedding
from llama_index.retrievers.metaembed.pictures import name_pictures
from llama_index.retrievers.metaembed.vector_store import MetaEmbedVectorStore

__all__ = ["MetaEmbedEmbedding", "MetaEmbedRetriever", "MetaEmbedVectorStore", "name_pictures"]

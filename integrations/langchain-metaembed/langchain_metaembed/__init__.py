"""LangChain components on a MetaEmbed index."""

from __future__ import annotations

from langchain_metaembed.embeddings import MetaEmbedEmbeddings
from langchain_metaembed.retrievers import MetaEmbedRetriever
from langchain_metaembed.vectorstores import MetaEmbedVectorStore

__all__ = ["MetaEmbedEmbeddings", "MetaEmbedRetriever", "MetaEmbedVectorStore"]

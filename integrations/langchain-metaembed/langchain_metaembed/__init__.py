"""LangChain components on a MetaEmbed index."""

from __future__ import annotations

from langchain_metaembed.arguments import KeywordError
from langchain_metaembed.document_loaders import MetaEmbedLoader
from langchain_metaembed.documents import draw_page
from langchain_metaembed.embeddings import MetaEmbedEmbeddings
from langchain_metaembed.retrievers import MetaEmbedRetriever
from langchain_metaembed.vectorstores import MetaEmbedVectorStore

__all__ = [
    "KeywordError",
    "MetaEmbedEmbeddings",
    "MetaEmbedLoader",
    "MetaEmbedRetriever",
    "MetaEmbedVectorStore",
    "draw_page",
]

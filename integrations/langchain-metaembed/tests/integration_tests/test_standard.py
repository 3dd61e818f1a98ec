"""LangChain's own suites for embeddings, vector stores and retrievers, none of their tests overridden."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

from langchain_metaembed import MetaEmbedEmbeddings, MetaEmbedRetriever, MetaEmbedVectorStore
from metaembed_rag import MetaEmbedIndex


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return MetaEmbedEmbeddings


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, model):
        with MetaEmbedIndex(":memory:", model=model) as index:
            yield MetaEmbedVectorStore(index)


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _an_index(self, index):
        self.index = index

    @property
    def retriever_constructor(self):
        return MetaEmbedRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index, "budget": 4}

    @property
    def retriever_query_example(self):
        return "when does the boat leave?"

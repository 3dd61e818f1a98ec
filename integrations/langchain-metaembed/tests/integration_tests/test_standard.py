"""LangChain's own suites for embeddings, vector stores and retrievers, none of their tests overridden or left out."""

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
    """On the embedded engine."""

    @pytest.fixture
    def vectorstore(self, model):
        with MetaEmbedIndex(":memory:", model=model) as index:
            yield MetaEmbedVectorStore(index)


class TestVectorStoreLocal(VectorStoreIntegrationTests):
    """On the local mode of Qdrant's client."""

    @pytest.fixture
    def vectorstore(self, model):
        with MetaEmbedIndex(":memory:", engine="local", model=model) as index:
            yield MetaEmbedVectorStore(index)


class OnAnIndex(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self):
        return MetaEmbedRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index, "budget": 4}

    @property
    def retriever_query_example(self):
        return "when does the boat leave?"


class TestRetriever(OnAnIndex):
    """On the embedded engine."""

    @pytest.fixture(autouse=True)
    def _an_index(self, read_index):
        self.index = read_index


class TestRetrieverLocal(OnAnIndex):
    """On the local mode of Qdrant's client."""

    @pytest.fixture(autouse=True)
    def _an_index(self, local_index):
        self.index = local_index


class TestStoreRetriever(OnAnIndex):
    """What as_retriever gives."""

    @pytest.fixture(autouse=True)
    def _a_store(self, read_index):
        self.store = MetaEmbedVectorStore(read_index)

    @property
    def retriever_constructor(self):
        return self.store.as_retriever

    @property
    def retriever_constructor_params(self):
        return {"budget": 4}


SUITES = [
    TestEmbeddings,
    TestVectorStore,
    TestVectorStoreLocal,
    TestRetriever,
    TestRetrieverLocal,
    TestStoreRetriever,
]


@pytest.mark.parametrize("suite", SUITES)
def test_every_standard_test_runs_as_it_is(suite):
    standard = next(base for base in suite.__mro__ if base.__module__.startswith("langchain_tests."))
    names = [name for name in dir(standard) if name.startswith("test_")]
    assert len(names) > 3
    for name in names:
        ours, theirs = getattr(suite, name), getattr(standard, name)
        assert ours is theirs
        assert not [mark for mark in getattr(ours, "pytestmark", ()) if mark.name in ("skip", "skipif", "xfail")]
    for switch in ("has_sync", "has_async", "has_get_by_ids"):
        assert getattr(suite, switch, None) is getattr(standard, switch, None)

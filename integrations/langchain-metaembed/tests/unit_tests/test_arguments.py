"""What a component cannot use it refuses, where LangChain would drop it in silence."""

from __future__ import annotations

import pytest
from langchain_core.embeddings import FakeEmbeddings

from langchain_metaembed import MetaEmbedRetriever, MetaEmbedVectorStore
from metaembed_rag import MetaEmbedIndex
from metaembed_rag.errors import BudgetError, IndexClosedError, IndexNotFoundError, InputError


@pytest.fixture
def store(index):
    return MetaEmbedVectorStore(index)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"budgett": 4}, TypeError),
        ({"search_kwargs": {"top_k": 4}}, TypeError),
        ({"k": 3, "search_kwargs": {"k": 4}}, TypeError),
        ({"score_threshold": 0.5}, TypeError),
        ({"budget": 99}, BudgetError),
        ({"search_type": "mmr"}, NotImplementedError),
    ],
    ids=str,
)
def test_as_retriever_refuses(store, arguments, error):
    with pytest.raises(error):
        store.as_retriever(**arguments)


def test_searches_and_writes_refuse_unknown_keywords(store):
    with pytest.raises(TypeError, match="top_k"):
        store.similarity_search("x", top_k=3)
    with pytest.raises(TypeError, match="namespace"):
        store.add_texts(["x"], namespace="y")
    with pytest.raises(InputError, match="wrap it in a list"):
        store.add_texts("x")
    with pytest.raises(InputError, match="needs ids"):
        store.delete()


def test_embeddings_of_another_kind_are_refused():
    with pytest.raises(InputError, match="MetaEmbedEmbeddings"):
        MetaEmbedVectorStore.from_texts(["x"], FakeEmbeddings(size=4))


def test_a_retriever_refuses_a_misspelt_field_and_a_missing_index(index, tmp_path):
    with pytest.raises(ValueError, match="budgett"):
        MetaEmbedRetriever(index=index, budgett=4)
    with pytest.raises(IndexNotFoundError):
        MetaEmbedRetriever(index=tmp_path / "none")


def test_an_index_is_closed_by_whoever_opened_it(index, model, tmp_path):
    with MetaEmbedVectorStore(index):
        pass
    assert len(index) == 3
    with MetaEmbedVectorStore(tmp_path / "own.index", model=model) as store:
        store.add_texts(["x"])
    with pytest.raises(IndexClosedError):
        store.similarity_search("x")
    with MetaEmbedRetriever(index=tmp_path / "own.index", budget=4) as retriever:
        assert [document.page_content for document in retriever.invoke("x")] == ["x"]
    with MetaEmbedIndex(tmp_path / "own.index", model=model) as again:
        assert len(again) == 1

"""What a component cannot use it refuses, where LangChain would drop it in silence."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import FakeEmbeddings
from pydantic import ValidationError

from langchain_metaembed import KeywordError, MetaEmbedEmbeddings, MetaEmbedRetriever, MetaEmbedVectorStore
from langchain_metaembed.arguments import Dial, refuse_unknown
from metaembed_rag import Budget, MetaEmbedIndex
from metaembed_rag.errors import BudgetError, IndexClosedError, IndexNotFoundError, InputError


@pytest.fixture(scope="module")
def store(read_index):
    return MetaEmbedVectorStore(read_index)


def test_the_error_names_what_was_meant():
    with pytest.raises(KeywordError, match=r"does not take budgte; did you mean budget\? It takes k, budget"):
        refuse_unknown("a search", {"budgte": 4, "k": 3}, ("k", "budget"))
    refuse_unknown("a search", {"k": 3}, ("k", "budget"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"budgte": 4}, KeywordError),
        ({"search_kwargs": {"top_k": 4}}, KeywordError),
        ({"k": 3, "search_kwargs": {"k": 4}}, KeywordError),
        ({"score_threshold": 0.5}, KeywordError),
        ({"fetch_k": 9}, KeywordError),
        ({"search_type": "mmr", "score_threshold": 0.5}, KeywordError),
        ({"search_type": "nearest"}, InputError),
        ({"budget": 99}, BudgetError),
        ({"search_kwargs": {"budget": 99}}, BudgetError),
        ({"budget": 4, "latency_ms": 20}, InputError),
        ({"budget": 4, "search_kwargs": {"latency_ms": 20}}, InputError),
        ({"latency_ms": 0}, InputError),
        ({"search_type": "mmr", "lambda_mult": 2}, InputError),
        ({"search_type": "similarity_score_threshold"}, InputError),
        ({"search_type": "similarity_score_threshold", "score_threshold": 4}, InputError),
    ],
    ids=str,
)
def test_as_retriever_refuses(store, arguments, error):
    with pytest.raises(error):
        store.as_retriever(**arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.similarity_search("x", foo=1),
        lambda store: store.similarity_search_with_score("x", foo=1),
        lambda store: store.similarity_search_with_relevance_scores("x", foo=1),
        lambda store: store.similarity_search_by_vector([0.0], foo=1),
        lambda store: store.max_marginal_relevance_search("x", foo=1),
        lambda store: store.search("x", "similarity", foo=1),
        lambda store: store.add_texts(["x"], foo=1),
        lambda store: store.add_documents([Document(page_content="x")], foo=1),
        lambda store: store.delete(["x"], foo=1),
        lambda store: store.as_retriever().invoke("x", foo=1),
        lambda store: store.as_retriever(search_type="mmr").invoke("x", foo=1),
        lambda store: store.as_retriever().bind(foo=1).invoke("x"),
        lambda store: MetaEmbedRetriever(index=store.index).invoke("x", foo=1),
        lambda store: MetaEmbedVectorStore.from_texts(["x"], foo=1),
        lambda store: MetaEmbedVectorStore.from_documents([Document(page_content="x")], None, foo=1),
    ],
)
def test_calls_refuse_unknown_keywords(store, call):
    with pytest.raises(KeywordError, match="foo"):
        call(store)
    assert len(store.index) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.asimilarity_search("x", foo=1),
        lambda store: store.asimilarity_search_with_score("x", foo=1),
        lambda store: store.asimilarity_search_with_relevance_scores("x", foo=1),
        lambda store: store.amax_marginal_relevance_search("x", foo=1),
        lambda store: store.aadd_documents([Document(page_content="x")], foo=1),
        lambda store: store.adelete(["x"], foo=1),
        lambda store: store.as_retriever().ainvoke("x", foo=1),
        lambda store: MetaEmbedRetriever(index=store.index).ainvoke("x", foo=1),
        lambda store: MetaEmbedVectorStore.afrom_texts(["x"], foo=1),
    ],
)
async def test_asynchronous_calls_refuse_unknown_keywords(store, call):
    with pytest.raises(KeywordError, match="foo"):
        await call(store)


@pytest.mark.parametrize(
    "make",
    [
        lambda index: MetaEmbedVectorStore(index, budgte=4),
        lambda index: MetaEmbedEmbeddings(modell="mini"),
        lambda index: MetaEmbedRetriever(index=index, budgte=4),
        lambda index: (
            MetaEmbedVectorStore(index).as_retriever().__class__(vectorstore=MetaEmbedVectorStore(index), budgte=4)
        ),
    ],
)
def test_constructors_refuse_unknown_keywords(read_index, make):
    with pytest.raises((TypeError, ValidationError), match=r"budgte|modell"):
        make(read_index)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.add_texts("x"),
        lambda store: store.add_texts(["x"], batch_size=0),
        lambda store: store.add_texts(["x", "y"], ids=["a", "a"], batch_size=1),
        lambda store: store.add_texts(["x", "y"], [{}], batch_size=1),
        lambda store: store.delete(),
        lambda store: store.add_images("a.png"),
        lambda store: store.add_images(["a.png"], ids=["a"]),
        lambda store: store.add_images(["a.png"], [{}, {}]),
        lambda store: store.add_images([], ocr="sometimes"),
        lambda store: store.similarity_search(" "),
        lambda store: store.similarity_search("x", k=0),
        lambda store: store.max_marginal_relevance_search("x", fetch_k=0),
        lambda store: store.similarity_search_with_relevance_scores("x", score_threshold=2),
        lambda store: store.similarity_search_by_vector([[[0.0]]]),
        lambda store: store.similarity_search_by_vector(["a"]),
        lambda store: store.similarity_search_by_vector([1.0, 2.0]),
        lambda store: store.similarity_search("x", budget=4, latency_ms=9),
    ],
)
def test_values_that_cannot_be_used(store, call):
    with pytest.raises(InputError):
        call(store)
    assert len(store.index) == 3


@pytest.mark.parametrize("latency", [0, -1, float("nan"), float("inf"), "20", True])
def test_a_latency_is_a_number_above_zero(latency):
    with pytest.raises(InputError, match="latency_ms"):
        Dial.of(latency_ms=latency)
    assert Dial.of("4,64") == Dial(budget=Budget(4, 64))
    assert not Dial.of()


def test_embeddings_of_another_kind_or_model_are_refused(read_index):
    with pytest.raises(InputError, match="MetaEmbedEmbeddings"):
        MetaEmbedVectorStore.from_texts(["x"], FakeEmbeddings(size=4))
    for given in ({"device": "cpu"}, {"dtype": "bfloat16"}):
        with pytest.raises(InputError, match="leave dtype and device out"):
            MetaEmbedEmbeddings(read_index.model, **given)


def test_a_retriever_needs_an_index_that_exists_and_one_dial(read_index, tmp_path):
    with pytest.raises(IndexNotFoundError):
        MetaEmbedRetriever(index=tmp_path / "none")
    with pytest.raises(ValueError, match="not both"):
        MetaEmbedRetriever(index=read_index, budget=4, latency_ms=20)
    with pytest.raises(ValueError, match="arguments of MetaEmbedIndex"):
        MetaEmbedRetriever(index={"path": str(tmp_path), "modell": "mini"})


def test_an_index_is_closed_by_whoever_opened_it(read_index, model, tmp_path):
    with MetaEmbedVectorStore(read_index):
        pass
    assert len(read_index) == 3
    with MetaEmbedVectorStore(tmp_path / "own.index", model=model) as store:
        store.add_texts(["x"])
    with pytest.raises(IndexClosedError):
        store.similarity_search("x")
    with MetaEmbedRetriever(index=tmp_path / "own.index", budget=4) as retriever:
        assert [document.page_content for document in retriever.invoke("x")] == ["x"]
    with MetaEmbedIndex(tmp_path / "own.index", model=model) as again:
        assert len(again) == 1

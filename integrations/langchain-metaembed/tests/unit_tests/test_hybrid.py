"""Words beside Meta Tokens through LangChain: as the index was made, or as a call says."""

from __future__ import annotations

import pytest

from langchain_metaembed import MetaEmbedRetriever, MetaEmbedVectorStore
from metaembed_rag import MetaEmbedIndex
from metaembed_rag.errors import IndexMismatchError, InputError

QUERY = "which part is XK-4471?"
PARTS = ["Part XK-4471 is a bronze valve.", "Part XK-4417 is an iron pump.", "Part RB-2210 is a brass hinge."]


@pytest.fixture(scope="module")
def hybrid(model):
    with MetaEmbedIndex(":memory:", model=model, hybrid=True) as opened:
        opened.add_texts(PARTS, ids=["valve", "pump", "hinge"])
        yield opened


def test_an_index_with_words_is_searched_by_them(hybrid):
    wanted = [hit.id for hit in hybrid.search(QUERY, budget=1, top_k=3)]
    store = MetaEmbedVectorStore(hybrid, budget=1)
    for retriever in (MetaEmbedRetriever(index=hybrid, budget=1, k=3), store.as_retriever(k=3)):
        assert [document.id for document in retriever.invoke(QUERY)] == wanted


def test_a_call_may_leave_words_out(hybrid):
    wanted = [(hit.id, pytest.approx(hit.score)) for hit in hybrid.search(QUERY, budget=1, top_k=3, hybrid=False)]
    store = MetaEmbedVectorStore(hybrid, budget=1)
    found = store.similarity_search_with_score(QUERY, k=3, hybrid=False)
    assert [(document.id, score) for document, score in found] == wanted
    names = [name for name, _ in wanted]
    retriever = MetaEmbedRetriever(index=hybrid, budget=1, k=3, hybrid=False)
    assert [document.id for document in retriever.invoke(QUERY)] == names
    assert [document.id for document in store.as_retriever(k=3, hybrid=False).invoke(QUERY)] == names
    by_words = [document.id for document in store.as_retriever(k=3).invoke(QUERY, hybrid=True)]
    assert [document.id for document in retriever.invoke(QUERY, hybrid=True)] == by_words


def test_relevance_of_a_hybrid_search_is_its_score(hybrid):
    store = MetaEmbedVectorStore(hybrid, budget=4)
    scored = store.similarity_search_with_score(QUERY, k=3)
    assert store.similarity_search_with_relevance_scores(QUERY, k=3) == scored
    best = store.similarity_search_with_relevance_scores(QUERY, k=3, score_threshold=0.9)
    assert [document.id for document, _ in best] == ["valve"]


def test_diverse_documents_begin_with_the_best(hybrid):
    found = MetaEmbedVectorStore(hybrid, budget=4).max_marginal_relevance_search(QUERY, k=2)
    assert found[0].id == "valve"


def test_words_must_be_there_to_be_demanded(hybrid, read_index):
    with pytest.raises(IndexMismatchError):
        MetaEmbedVectorStore(read_index).similarity_search(QUERY, hybrid=True)
    with pytest.raises(InputError):
        MetaEmbedVectorStore(hybrid).similarity_search_by_vector([1.0] * 128, hybrid=True)

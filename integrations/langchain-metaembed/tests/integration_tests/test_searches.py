"""Every way of searching a store: the index's own ranking, whatever it is called in LangChain."""

from __future__ import annotations

import numpy as np
import pytest

from langchain_metaembed import MetaEmbedEmbeddings, MetaEmbedRetriever, MetaEmbedVectorStore
from metaembed_rag import LADDER, MetaEmbedIndex, Page
from metaembed_rag.errors import BudgetError, InputError

QUESTION = "When does the boat to Holm depart?"
TEXTS = [
    "The first ferry to Holm leaves at six in the morning.",
    "The first ferry to Holm leaves at six in the morning!",
    "On Sundays no boats depart before ten.",
    "Beans are roasted at 210 degrees for twelve minutes.",
    "The solar park delivers most of its power in June.",
    "Carry water, a map and a whistle on every walk.",
]


@pytest.fixture(scope="module")
def index(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        opened.add_texts(TEXTS, ids=list("abcdef"), metadatas=[{"number": number} for number in range(len(TEXTS))])
        # Of several windows, so that a page has more than one set of Meta Tokens.
        opened.add(Page("book.pdf", 7, " ".join(f"Chapter {number} is about harbours." for number in range(120))))
        yield opened


@pytest.fixture(scope="module")
def store(index):
    return MetaEmbedVectorStore(index)


def ids(documents):
    return [document.id for document in documents]


def scored(pairs):
    return [(document.id, score) for document, score in pairs]


@pytest.mark.parametrize("budget", [*LADDER, 4, (4, 64), "full"], ids=str)
async def test_every_budget_gives_the_index_s_ranking(index, store, budget):
    expected = [(hit.id, hit.score) for hit in index.search(QUESTION, budget=budget, top_k=5)]
    named = [identifier for identifier, _ in expected]
    assert scored(store.similarity_search_with_score(QUESTION, k=5, budget=budget)) == expected
    assert scored(await store.asimilarity_search_with_score(QUESTION, k=5, budget=budget)) == expected
    assert scored(MetaEmbedVectorStore(index, budget=budget).similarity_search_with_score(QUESTION, 5)) == expected
    for retriever in (
        store.as_retriever(budget=budget, k=5),
        store.as_retriever(search_kwargs={"budget": budget, "k": 5}),
        store.as_retriever(search_type="similarity_score_threshold", score_threshold=0, budget=budget, k=5),
        MetaEmbedRetriever(index=index, budget=budget, k=5),
    ):
        assert ids(retriever.invoke(QUESTION)) == named
        assert ids(await retriever.ainvoke(QUESTION)) == named


async def test_filters_reach_the_index(index, store):
    condition = {"number": {"gte": 2, "lt": 5}}
    expected = [hit.id for hit in index.search(QUESTION, top_k=9, filter=condition)]
    assert sorted(expected) == ["c", "d", "e"]
    assert ids(store.similarity_search(QUESTION, k=9, filter=condition)) == expected
    assert ids(await store.as_retriever(k=9, filter=condition).ainvoke(QUESTION)) == expected
    assert set(ids(store.max_marginal_relevance_search(QUESTION, k=9, filter=condition))) == set(expected)


async def test_a_flat_vector_is_the_first_meta_token(index, store, embeddings):
    flat = embeddings.embed_query(QUESTION)
    expected = [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in index.search(QUESTION, budget=1, top_k=5)]
    assert scored(store.similarity_search_with_score_by_vector(flat, 5)) == expected
    assert scored(await store.asimilarity_search_with_score_by_vector(flat, 5)) == expected
    assert ids(store.similarity_search_by_vector(flat, 5)) == [identifier for identifier, _ in expected]
    assert ids(await store.asimilarity_search_by_vector(np.array(flat), 5)) == [
        identifier for identifier, _ in expected
    ]


async def test_several_vectors_are_searched_at_the_budget_of_as_many(index, store, embeddings):
    for budget in LADDER:
        rows = embeddings.embed_queries_multi([QUESTION], budget=budget)[0]
        expected = [
            (hit.id, pytest.approx(hit.score, abs=1e-4)) for hit in index.search(QUESTION, budget=budget, top_k=5)
        ]
        assert scored(store.similarity_search_with_score_by_vector(rows, 5)) == expected
    narrow = [hit.id for hit in index.search(rows, budget=2, top_k=5)]
    assert ids(await store.asimilarity_search_by_vector(rows.tolist(), 5, budget=2)) == narrow


async def test_a_picture_is_a_query(store, picture, tmp_path):
    picture.save(tmp_path / "asked.png")
    pairs = store.similarity_search_with_score_by_image(picture, 3, budget=4)
    assert pairs[0][0].id in "abc", "it says something about the ferry"
    found = await store.asimilarity_search_with_score_by_image(tmp_path / "asked.png", 3, budget=4)
    assert scored(found) == [(document.id, pytest.approx(score, abs=1e-5)) for document, score in pairs]
    with pytest.raises(InputError, match="not fetched"):
        store.similarity_search_by_image("https://example.org/a.png")
    with pytest.raises(InputError, match="not fetched"):
        await store.asimilarity_search_by_image("https://example.org/a.png")


async def test_relevance_lies_between_zero_and_one_in_the_order_of_scores(index, store):
    for budget in LADDER:
        pairs = store.similarity_search_with_relevance_scores(QUESTION, k=5, budget=budget)
        assert ids(document for document, _ in pairs) == [hit.id for hit in index.search(QUESTION, budget=budget)]
        scores = [score for _, score in pairs]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert await store.asimilarity_search_with_relevance_scores(QUESTION, k=5, budget=budget) == pairs
    same = store.similarity_search_with_relevance_scores(TEXTS[3], k=1, budget=4)
    assert scored(same)[0][0] == "d"


async def test_a_threshold_keeps_what_is_relevant(store):
    (_, best), (_, second) = store.similarity_search_with_relevance_scores(TEXTS[4], k=2)
    between = (best + second) / 2
    retriever = store.as_retriever(search_type="similarity_score_threshold", k=3, score_threshold=between)
    assert ids(retriever.invoke(TEXTS[4])) == ["e"]
    assert ids(await retriever.ainvoke(TEXTS[4])) == ["e"]
    assert ids(store.search(TEXTS[4], "similarity_score_threshold", score_threshold=between)) == ["e"]


async def test_marginal_relevance_leaves_the_copy_for_later(store, embeddings):
    nearest = ids(store.similarity_search(TEXTS[0], k=3))
    assert set(nearest[:2]) == {"a", "b"}
    diverse = ids(store.max_marginal_relevance_search(TEXTS[0], k=3, fetch_k=6, lambda_mult=0.1))
    assert diverse[0] == nearest[0]
    assert not {"a", "b"} <= set(diverse)
    assert ids(store.max_marginal_relevance_search(TEXTS[0], k=3, lambda_mult=1.0)) == nearest
    assert len(store.max_marginal_relevance_search(TEXTS[0], k=7, fetch_k=2)) == 7
    arguments = {"k": 3, "fetch_k": 6, "lambda_mult": 0.1}
    assert ids(await store.amax_marginal_relevance_search(TEXTS[0], **arguments)) == diverse
    assert ids(store.as_retriever(search_type="mmr", **arguments).invoke(TEXTS[0])) == diverse
    assert ids(await store.as_retriever(search_type="mmr", search_kwargs=arguments).ainvoke(TEXTS[0])) == diverse
    rows = embeddings.embed_queries_multi([TEXTS[0]])[0]
    assert ids(store.max_marginal_relevance_search_by_vector(rows, **arguments)) == diverse
    assert ids(await store.amax_marginal_relevance_search_by_vector(rows, **arguments)) == diverse


def test_an_empty_index_finds_nothing(model):
    with MetaEmbedVectorStore(MetaEmbedIndex(":memory:", model=model)) as store, store.index:
        assert store.similarity_search(QUESTION) == []
        assert store.max_marginal_relevance_search(QUESTION) == []
        assert store.similarity_search_by_vector(MetaEmbedEmbeddings(model).embed_query(QUESTION)) == []


@pytest.fixture
def narrow(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        opened.add_texts(TEXTS, ids=list("abcdef"))
        opened.resize(document_tokens=4)
        yield MetaEmbedVectorStore(opened)


@pytest.mark.parametrize("rows", [1, 2, 4, 12, 16])
def test_vectors_are_compared_with_what_a_resized_index_keeps(narrow, rows):
    embedding = narrow.embeddings.embed_queries_multi([QUESTION])[0][:rows]
    budget = (rows, 1 if rows == 1 else 4)
    expected = narrow.index.search(embedding, budget=budget, top_k=3)
    assert ids(narrow.similarity_search_by_vector(embedding, k=3)) == [hit.id for hit in expected]
    assert narrow.max_marginal_relevance_search_by_vector(embedding, k=3)


def test_full_is_what_a_resized_index_keeps(narrow):
    expected = [hit.id for hit in narrow.index.search(QUESTION, top_k=4)]
    for found in (
        narrow.similarity_search(QUESTION, budget="full"),
        MetaEmbedVectorStore(narrow.index, budget="full").similarity_search(QUESTION),
        narrow.as_retriever(budget="full").invoke(QUESTION),
        narrow.as_retriever(budget=1).invoke(QUESTION, budget=" Full"),
        MetaEmbedRetriever(index=narrow.index, budget="full").invoke(QUESTION),
        MetaEmbedRetriever(index=narrow.index, budget=1).invoke(QUESTION, budget="full"),
    ):
        assert ids(found) == expected
    with pytest.raises(BudgetError, match="stores prefixes"):
        narrow.similarity_search(QUESTION, budget=16)
    full = MetaEmbedVectorStore(narrow.index, budget="full")
    (_, relevance), *_ = full.similarity_search_with_relevance_scores(QUESTION)
    assert 0.5 < relevance <= 1

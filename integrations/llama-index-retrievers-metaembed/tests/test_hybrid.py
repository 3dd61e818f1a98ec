"""Words beside Meta Tokens through LlamaIndex: as the index was made, or by the mode "hybrid"."""

from __future__ import annotations

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from llama_index.retrievers.metaembed import MetaEmbedRetriever, MetaEmbedVectorStore

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.errors import IndexMismatchError, InputError

QUERY = "which part is XK-4471?"
PARTS = ["Part XK-4471 is a bronze valve.", "Part XK-4417 is an iron pump.", "Part RB-2210 is a brass hinge."]


@pytest.fixture(scope="module")
def hybrid(model):
    with MetaEmbedIndex(":memory:", model=model, hybrid=True) as opened:
        opened.add_texts(PARTS, ids=["valve", "pump", "hinge"])
        yield opened


def ranked(nodes):
    return [(node.node.node_id, pytest.approx(node.score, abs=1e-5)) for node in nodes]


def test_a_retriever_goes_by_words_as_its_index_does(hybrid):
    for words in (None, True, False):
        wanted = [(hit.id, hit.score) for hit in hybrid.search(QUERY, budget=4, hybrid=words)]
        assert ranked(MetaEmbedRetriever(hybrid, budget=4, hybrid=words).retrieve(QUERY)) == wanted


@pytest.mark.parametrize("mode", [VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.HYBRID])
def test_llama_index_s_own_retriever_passes_the_words_on(hybrid, mode):
    """It asks with an embedding, and with the text that it was made of."""
    store = MetaEmbedVectorStore(hybrid, budget=4)
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding)
    retriever = index.as_retriever(vector_store_query_mode=mode, similarity_top_k=5)
    assert ranked(retriever.retrieve(QUERY)) == [(hit.id, hit.score) for hit in hybrid.search(QUERY, budget=4)]
    diverse = index.as_retriever(vector_store_query_mode="mmr", similarity_top_k=2).retrieve(QUERY)
    assert diverse[0].node.node_id == "valve"


def test_an_embedding_in_a_bundle_keeps_its_text(hybrid):
    embedding = MetaEmbedVectorStore(hybrid).embedding.get_query_embedding(QUERY)
    found = MetaEmbedRetriever(hybrid, budget=4).retrieve(QueryBundle(QUERY, embedding=embedding))
    assert ranked(found) == [(hit.id, hit.score) for hit in hybrid.search(QUERY, budget=4)]


def test_the_mode_needs_words(filled, hybrid):
    store = MetaEmbedVectorStore(filled)
    with pytest.raises(IndexMismatchError, match="--hybrid"):
        store.query(VectorStoreQuery(query_str=QUERY, mode=VectorStoreQueryMode.HYBRID))
    embedding = store.embedding.get_query_embedding(QUERY)
    with pytest.raises(InputError, match="text"):
        MetaEmbedVectorStore(hybrid).query(
            VectorStoreQuery(query_embedding=embedding, mode=VectorStoreQueryMode.HYBRID)
        )


@pytest.mark.parametrize("strings", [["water pump"], ["water pump", "water pump"]], ids=["one", "two"])
def test_words_are_those_of_the_query_and_not_of_what_was_made_up_for_it(model, strings):
    with MetaEmbedIndex(":memory:", model=model, hybrid=True) as index:
        index.add_texts(
            ["Spare part XK-4471 is for sale", "A pump moves water uphill", "The ferry leaves at six"],
            ids=["valve", "pump", "ferry"],
        )
        bundle = QueryBundle("XK-4471", custom_embedding_strs=strings)
        found = {entry.node.node_id: entry.score for entry in MetaEmbedRetriever(index).retrieve(bundle)}
    assert found["valve"] > found["ferry"]

"""Retrieval inside LlamaIndex: query engines, budgets, filters, the default index, and what is refused."""

from __future__ import annotations

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeRelationship, QueryBundle
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.retrievers.metaembed import MetaEmbedRetriever

from metaembed_rag import LADDER
from metaembed_rag.errors import BudgetError, FilterError, IndexClosedError, IndexNotFoundError, InputError

QUESTION = "When does the boat to Holm depart?"


def test_class():
    assert BaseRetriever in MetaEmbedRetriever.__mro__


def test_a_query_engine_hands_the_right_page_to_the_model(index):
    retriever = MetaEmbedRetriever(index=index, budget=4, similarity_top_k=1)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    response = engine.query(QUESTION)
    assert "six in the morning" in str(response), "the mock model answers with its prompt"
    assert "roasted" not in str(response)
    (node,) = response.source_nodes
    assert node.metadata == {"source": "notes.pdf", "page": 1, "year": 2021}


async def test_a_query_engine_runs_asynchronously(index):
    engine = RetrieverQueryEngine.from_args(
        MetaEmbedRetriever(index=index, budget=4, similarity_top_k=1), llm=MockLLM()
    )
    assert "six in the morning" in str(await engine.aquery(QUESTION))


@pytest.mark.parametrize("budget", [*LADDER, 4, (4, 64), "full"], ids=str)
def test_nodes_are_the_index_s_hits(index, budget):
    hits = index.search(QUESTION, budget=budget, top_k=3)
    nodes = MetaEmbedRetriever(index=index, budget=budget, similarity_top_k=3).retrieve(QUESTION)
    assert [(node.node.node_id, node.score, node.text) for node in nodes] == [(h.id, h.score, h.text) for h in hits]
    assert nodes[0].node.relationships[NodeRelationship.SOURCE].node_id == "notes.pdf"


def test_the_default_index_is_the_environment_s_or_the_folder_s(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("METAEMBED_INDEX", str(stored))
    with MetaEmbedRetriever(budget=4) as retriever:
        assert "Holm" in retriever.retrieve(QUESTION)[0].text
    monkeypatch.delenv("METAEMBED_INDEX")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IndexNotFoundError, match="METAEMBED_INDEX"):
        MetaEmbedRetriever(budget=4)
    stored.rename(tmp_path / ".metaembed")
    with MetaEmbedRetriever(budget=4) as retriever:
        assert "Holm" in retriever.retrieve(QUESTION)[0].text
    with pytest.raises(IndexClosedError):
        retriever.retrieve(QUESTION)


def one(key, value, operator=FilterOperator.EQ):
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (one("page", 2), {2}),
        (one("source", "notes.pdf"), {1, 2}),
        (one("year", 2022, FilterOperator.GTE), {2}),
        (one("year", [2021], FilterOperator.IN), {1}),
        (one("tags", ["sun", "power"], FilterOperator.ALL), {"solar"}),
        (one("tags", "sun", FilterOperator.CONTAINS), {"solar"}),
        (one("year", None, FilterOperator.IS_EMPTY), {"solar"}),
        (
            MetadataFilters(
                filters=[one("year", 2021), one("tags", "sun", FilterOperator.CONTAINS)], condition=FilterCondition.OR
            ),
            {1, "solar"},
        ),
        (MetadataFilters(filters=[one("year", 2021)], condition=FilterCondition.NOT), {2, "solar"}),
    ],
)
def test_filters(index, filters, expected):
    nodes = MetaEmbedRetriever(index=index, filters=filters, similarity_top_k=9).retrieve(QUESTION)
    found = {node.node.node_id if node.node.node_id == "solar" else node.metadata["page"] for node in nodes}
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"budget": 99}, BudgetError),
        ({"similarity_top_k": 0}, InputError),
        ({"index": 3}, InputError),
        ({"filters": one("x", "y", FilterOperator.TEXT_MATCH)}, FilterError),
    ],
    ids=["budget", "top_k", "index", "filters"],
)
def test_arguments_that_cannot_be_used(index, arguments, error):
    with pytest.raises(error):
        MetaEmbedRetriever(**{"index": index, **arguments})


def test_queries_that_cannot_be_answered(index):
    retriever = MetaEmbedRetriever(index=index)
    with pytest.raises(InputError, match="image_path"):
        retriever.retrieve(QueryBundle("x", image_path="page.png"))
    with pytest.raises(InputError, match="one text"):
        retriever.retrieve(QueryBundle("x", custom_embedding_strs=["a", "b"]))

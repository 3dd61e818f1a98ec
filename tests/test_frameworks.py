"""Both plugs in one process: what one framework indexed, the other retrieves with the same text, ids and metadata."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from llama_index.retrievers.metaembed import MetaEmbedRetriever as LlamaIndexRetriever
from llama_index.retrievers.metaembed import MetaEmbedVectorStore as LlamaIndexStore

from langchain_metaembed import MetaEmbedRetriever as LangChainRetriever
from langchain_metaembed import MetaEmbedVectorStore as LangChainStore
from metaembed_rag import LADDER, Page

QUESTION = "When does the boat to Holm depart?"
TEXTS = {
    "ferry": "The first ferry to Holm leaves at six in the morning.",
    "coffee": "Beans are roasted at 210 degrees for twelve minutes.",
    "solar": "The solar park delivers most of its power in June.",
}
METADATA = {
    "ferry": {"source": "timetable.txt", "page": 4, "tags": ["sea", "winter"]},
    "coffee": {"topic": "coffee", "degrees": 210, "dark": True},
    "solar": {},
}


def nodes():
    """One node with relationships, two plain ones."""
    made = [TextNode(id_=key, text=text, metadata=dict(METADATA[key])) for key, text in TEXTS.items()]
    made[0].relationships = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="the-timetable"),
        NodeRelationship.NEXT: RelatedNodeInfo(node_id="coffee"),
    }
    return made


def documents():
    return [Document(page_content=text, metadata=dict(METADATA[key]), id=key) for key, text in TEXTS.items()]


def by_llama_index(index, **options):
    found = LlamaIndexRetriever(index=index, similarity_top_k=9, **options).retrieve(QUESTION)
    return [(entry.node.node_id, entry.node.text, entry.node.metadata) for entry in found]


def by_lang_chain(index, **options):
    found = LangChainRetriever(index=index, k=9, **options).invoke(QUESTION)
    return [(document.id, document.page_content, document.metadata) for document in found]


def expected(*keys):
    return {key: (key, TEXTS[key], METADATA[key]) for key in keys}


def test_what_llama_index_wrote_lang_chain_reads(index):
    LlamaIndexStore(index).add(nodes())
    found = by_lang_chain(index)
    assert {entry[0]: entry for entry in found} == expected(*TEXTS)
    assert found == by_llama_index(index)
    (again,) = LangChainStore(index).get_by_ids(["ferry"])
    assert again == documents()[0]
    (node,) = [entry.node for entry in LlamaIndexRetriever(index=index, similarity_top_k=1).retrieve(TEXTS["ferry"])]
    assert node == nodes()[0], "reading through LangChain leaves the node as it was"


def test_what_lang_chain_wrote_llama_index_reads(index):
    LangChainStore(index).add_documents(documents())
    found = by_llama_index(index)
    assert {entry[0]: entry for entry in found} == expected(*TEXTS)
    assert found == by_lang_chain(index)


def test_pages_of_files_are_the_same_in_both(index):
    texts = list(TEXTS.values())[:2]
    index.add([Page("report.pdf", number, text, metadata={"year": 2021}) for number, text in enumerate(texts, 1)])
    found = by_lang_chain(index)
    assert found == by_llama_index(index)
    assert sorted(metadata["page"] for _, _, metadata in found) == [1, 2]
    assert all(metadata["source"] == "report.pdf" for _, _, metadata in found)


def test_one_deletes_and_replaces_what_the_other_wrote(index):
    LlamaIndexStore(index).add(nodes())
    LangChainStore(index).delete(["solar"])
    LangChainStore(index).add_texts(["The first ferry to Holm leaves at seven."], [{"new": True}], ids=["ferry"])
    found = {identifier: text for identifier, text, _ in by_llama_index(index)}
    assert found == {"coffee": TEXTS["coffee"], "ferry": "The first ferry to Holm leaves at seven."}
    LlamaIndexStore(index).delete_nodes(["ferry"])
    assert [identifier for identifier, _, _ in by_lang_chain(index)] == ["coffee"]


def test_filters_mean_the_same(index):
    LangChainStore(index).add_documents(documents())
    for key, value in (
        ("page", 4),
        ("source", "timetable.txt"),
        ("topic", "coffee"),
        ("tags", "sea"),
        ("degrees", 210),
    ):
        filters = MetadataFilters(filters=[MetadataFilter(key=key, value=value)])
        found = by_lang_chain(index, filter={key: value})
        assert len(found) == 1
        assert found == by_llama_index(index, filters=filters)


@pytest.mark.parametrize("budget", LADDER, ids=str)
def test_every_budget_gives_both_the_index_s_ranking(index, budget):
    LangChainStore(index).add_documents(documents())
    ranking = [hit.id for hit in index.search(QUESTION, budget=budget, top_k=9)]
    assert [identifier for identifier, _, _ in by_lang_chain(index, budget=budget)] == ranking
    assert [identifier for identifier, _, _ in by_llama_index(index, budget=budget)] == ranking

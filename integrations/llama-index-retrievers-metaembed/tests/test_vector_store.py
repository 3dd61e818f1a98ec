"""MetaEmbedVectorStore under LlamaIndex's own index, retriever and pipeline."""

from __future__ import annotations

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQueryMode
from llama_index.retrievers.metaembed import MetaEmbedVectorStore

from metaembed_rag import LADDER, MetaEmbed, Page
from metaembed_rag.errors import BudgetError, FilterError, IndexMismatchError, InputError

QUESTION = "When does the boat to Holm depart?"


def year(value, operator="=="):
    return MetadataFilters(filters=[MetadataFilter(key="year", value=value, operator=FilterOperator(operator))])


@pytest.fixture
def read_only(filled):
    return MetaEmbedVectorStore(filled)


@pytest.fixture
def vectors(read_only):
    return VectorStoreIndex.from_vector_store(read_only, embed_model=read_only.embedding)


def part(name, document, text="a text", **metadata):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return TextNode(id_=name, text=text, metadata=metadata, relationships=source)


def test_class():
    names = [base.__name__ for base in MetaEmbedVectorStore.__mro__]
    assert BasePydanticVectorStore.__name__ in names


@pytest.mark.parametrize("budget", [None, *LADDER, 4, (4, 64), "full"], ids=str)
async def test_the_ranking_is_the_index_s(filled, vectors, model, budget):
    expected = filled.search(model.encode_queries([QUESTION])[0], budget=budget, top_k=3)
    by_text = [hit.id for hit in filled.search(QUESTION, budget=budget, top_k=3)]
    kwargs = {} if budget is None else {"vector_store_kwargs": {"budget": budget}}
    retriever = vectors.as_retriever(similarity_top_k=3, **kwargs)
    for nodes in (retriever.retrieve(QUESTION), await retriever.aretrieve(QUESTION)):
        assert [(node.node_id, node.score) for node in nodes] == [(hit.id, hit.score) for hit in expected]
        assert [node.node_id for node in nodes] == by_text


async def test_the_store_has_a_budget_or_latency_of_its_own(filled, model):
    query = VectorStoreQuery(query_str=QUESTION, similarity_top_k=1)
    narrow = MetaEmbedVectorStore(filled, budget=1)
    assert narrow.query(query).similarities[0] <= 1
    assert narrow.query(query, budget="full").similarities[0] > 1
    assert (await narrow.aquery(query)).similarities == narrow.query(query).similarities
    assert narrow.as_retriever().retrieve(QUESTION)[0].score <= 1
    assert narrow.as_retriever(budget="full").retrieve(QUESTION)[0].score > 1
    for result in (narrow.query(query, latency_ms=10_000), MetaEmbedVectorStore(filled, latency_ms=9_999).query(query)):
        assert "Holm" in result.nodes[0].text


def test_filters_documents_and_ids_restrict(read_only, vectors, filled):
    assert {node.metadata["year"] for node in vectors.as_retriever(filters=year(2022)).retrieve(QUESTION)} == {2022}
    pages = vectors.as_retriever(similarity_top_k=9, doc_ids=["notes.pdf"]).retrieve(QUESTION)
    assert {node.metadata["page"] for node in pages} == {1, 2}
    first = filled.search(QUESTION, top_k=1)[0].id
    both = VectorStoreQuery(query_str=QUESTION, similarity_top_k=9, node_ids=[first, "solar"])
    assert sorted(read_only.query(both).ids) == sorted([first, "solar"])
    assert read_only.query(both, node_ids=["solar"]).ids == ["solar"]


def test_diverse_results(store, filled):
    """Two pages say the same: the second is passed over for one that says something else."""
    texts = {
        "a": "The ferry to Holm leaves at six.",
        "b": "The ferry to Holm leaves at six!",
        "c": "Holm has a harbour.",
    }
    store.add([TextNode(id_=name, text=text) for name, text in texts.items()])
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding)

    def ask(threshold, mode="mmr", **kwargs):
        kwargs = {"mmr_threshold": threshold, "budget": 4, **kwargs} if mode == "mmr" else {"budget": 4}
        retriever = index.as_retriever(similarity_top_k=2, vector_store_query_mode=mode, vector_store_kwargs=kwargs)
        return [node.node_id for node in retriever.retrieve("ferry to Holm")]

    assert sorted(ask(None, "default")) == ["a", "b"]
    assert ask(1.0) == ask(None, "default")
    assert sorted(ask(0.2)) in (["a", "c"], ["b", "c"])
    assert sorted(ask(0.2, mmr_prefetch_factor=1.0)) == ["a", "b"], "no more candidates than results"
    assert ask(0.2, node_ids=[]) == []


async def test_documents_are_deleted_by_their_id(store):
    nodes = [
        part("1", "book"),
        part("2", "book"),
        part("3", "leaflet", source="book shop"),
        TextNode(id_="4", text="x"),
    ]
    assert await store.async_add(nodes) == ["1", "2", "3", "4"]
    store.client.add([Page("scan.pdf", 1, "page"), Page("scan.pdf", 2, "page")])
    store.delete("book")
    assert len(store.get_nodes()) == 4
    await store.adelete("scan.pdf")
    assert sorted(node.node_id for node in await store.aget_nodes()) == ["3", "4"]
    store.delete("no such")
    store.delete("4")
    assert [node.node_id for node in store.get_nodes()] == ["3"]


async def test_nodes_are_read_and_deleted_by_ids_and_filters(store):
    store.add([part(str(number), "d", year=2000 + number) for number in range(6)])
    assert [node.node_id for node in store.get_nodes(["4", "none", "1"])] == ["4", "1"]
    assert sorted(node.node_id for node in store.get_nodes(filters=year(2003, ">"))) == ["4", "5"]
    assert [node.node_id for node in store.get_nodes(["1", "4"], filters=year(2003, ">"))] == ["4"]
    store.delete_nodes(["0", "none"])
    store.delete_nodes(["1", "5"], filters=year(2003, ">"))
    await store.adelete_nodes(filters=year(2002))
    assert sorted(node.node_id for node in store.get_nodes()) == ["1", "3", "4"]
    await store.aclear()
    assert store.get_nodes() == []
    store.clear()


def test_more_nodes_than_a_search_usually_gives(store, model):
    """Reading by filter finds every node, also where pages have several windows."""
    store.client.add_texts(["a long text of many words " * 200], ids=["long"])
    rows = model.encode_documents(["a text"])[0]
    store.client.add_texts(["t"] * 300, ids=[str(n) for n in range(300)], embeddings=[rows] * 300)
    assert len(store.get_nodes()) == 301


def test_nothing_is_encoded_twice(store, model, monkeypatch):
    encoded = []
    encode = MetaEmbed.encode_documents
    monkeypatch.setattr(
        MetaEmbed, "encode_documents", lambda self, texts, **kw: encoded.extend(texts) or encode(self, texts, **kw)
    )
    nodes = [part("1", "d", "one", year=1), part("2", "d", "two", year=2)]
    made = IngestionPipeline(transformations=[store.embedding], vector_store=store).run(nodes=nodes)
    assert encoded == ["year: 1\n\none", "year: 2\n\ntwo"], "LlamaIndex's embedding text, with metadata"
    expected = encode(model, encoded)
    for node, rows in zip(made, expected, strict=True):
        assert (store.client.vectors([node.node_id])[node.node_id][0] == rows).all()


def test_a_pipeline_upserts_and_deletes(store):
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=60, chunk_overlap=0), store.embedding],
        vector_store=store,
        docstore=SimpleDocumentStore(),
    )
    text = "The ferry leaves at six. " * 20
    documents = [Document(id_="timetable", text=text), Document(id_="menu", text="Soup and bread.")]
    pipeline.run(documents=documents)
    before = len(store.client)
    assert before > 2
    pipeline.run(documents=documents)
    assert len(store.client) == before, "unchanged documents cost nothing"
    pipeline.run(documents=[Document(id_="timetable", text="The ferry leaves at nine.")])
    assert sorted(node.text for node in store.get_nodes()) == ["Soup and bread.", "The ferry leaves at nine."]
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding)
    index.delete_ref_doc("timetable")
    assert [node.ref_doc_id for node in store.get_nodes()] == ["menu"]


def test_documents_that_no_splitter_touched_are_deleted_too(store):
    pipeline = IngestionPipeline(
        transformations=[store.embedding],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS,
    )
    pipeline.run(documents=[Document(id_="a", text="one"), Document(id_="b", text="two")])
    pipeline.run(documents=[Document(id_="a", text="three")])
    assert sorted(node.text for node in store.get_nodes()) == ["three", "two"]


def test_an_index_is_built_and_inserted_into(store):
    index = VectorStoreIndex.from_documents(
        [Document(id_="ferry", text="The ferry to Holm leaves at six.", metadata={"year": 2020})],
        embed_model=store.embedding,
        storage_context=StorageContext.from_defaults(vector_store=store),
    )
    index.insert(Document(id_="coffee", text="Beans are roasted at 210 degrees."))
    best = index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].node
    assert (best.ref_doc_id, best.metadata) == ("ferry", {"year": 2020})
    index.delete_nodes([best.node_id])
    assert [node.node.ref_doc_id for node in index.as_retriever().retrieve(QUESTION)] == ["coffee"]


@pytest.mark.parametrize(
    ("fields", "kwargs", "error"),
    [
        ({}, {"budgett": 2}, InputError),
        ({}, {"top_k": 2}, InputError),
        ({}, {"budget": 99}, BudgetError),
        ({}, {"budget": 2, "latency_ms": 5}, InputError),
        ({}, {"mmr_threshold": 0.5}, InputError),
        ({"mode": VectorStoreQueryMode.MMR}, {"mmr_threshold": 2}, InputError),
        ({"mode": VectorStoreQueryMode.MMR, "mmr_threshold": 0.1}, {"mmr_threshold": 0.2}, InputError),
        ({"mode": VectorStoreQueryMode.MMR}, {"mmr_prefetch_factor": 0}, InputError),
        ({"mode": VectorStoreQueryMode.HYBRID}, {}, IndexMismatchError),
        ({"mode": VectorStoreQueryMode.SPARSE}, {}, InputError),
        ({"alpha": 0.5}, {}, InputError),
        ({"sparse_top_k": 5}, {}, InputError),
        ({"similarity_top_k": 0}, {}, InputError),
        ({"query_str": None}, {}, InputError),
        ({"query_embedding": [0.1] * 1536}, {}, InputError),
        ({"query_embedding": [0.0] * 2048}, {}, InputError),
        ({"filters": year([2020])}, {}, FilterError),
    ],
    ids=str,
)
async def test_queries_that_cannot_be_answered(read_only, fields, kwargs, error):
    query = VectorStoreQuery(**{"query_str": QUESTION, "similarity_top_k": 2, **fields})
    with pytest.raises(error):
        read_only.query(query, **kwargs)
    with pytest.raises(error):
        await read_only.aquery(query, **kwargs)


def test_writes_that_cannot_be_made(store, model):
    for call in (
        lambda: store.add([], namespace="x"),
        lambda: store.delete("x", namespace="x"),
        lambda: store.delete_nodes(["x"], namespace="x"),
    ):
        with pytest.raises(InputError, match="namespace"):
            call()
    with pytest.raises(InputError, match=r"clear\(\)"):
        store.delete_nodes()
    with pytest.raises(InputError, match="3 numbers"):
        store.add([TextNode(text="x", embedding=[1.0, 2.0, 3.0])])
    with pytest.raises(InputError, match="the embedding of a query"):
        store.add([TextNode(text="x", embedding=store.embedding.get_query_embedding("x"))])
    with pytest.raises(InputError, match="unit length"):
        store.add([TextNode(text="x", embedding=[0.5] * 64 * model.dim)])
    assert len(store.client) == 0

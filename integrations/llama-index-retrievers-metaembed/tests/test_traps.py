"""What LlamaIndex's stock classes lose in silence, and a MetaEmbed index keeps or refuses in words."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.indices.multi_modal import MultiModalVectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import ImageDocument, ImageNode, MediaResource, Node, QueryBundle, TextNode
from llama_index.core.vector_stores import VectorStoreQuery
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.retrievers.metaembed import MetaEmbedRetriever, MetaEmbedVectorStore, name_pictures

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.errors import InputError


def assert_all_found(retriever, asked):
    for identifier, question in asked.items():
        best = retriever.retrieve(question)[0].node
        assert best.node_id == identifier
        assert isinstance(best, ImageNode) == identifier.startswith("a ")
        assert not isinstance(best, ImageNode) or Path(best.image_path).is_file()


def context(store):
    return StorageContext.from_defaults(vector_store=store)


def bare(nodes):
    """The pictures among nodes, with nothing but a path."""
    return [ImageNode(id_=node.node_id, image_path=node.image_path) for node in nodes if isinstance(node, ImageNode)]


def test_textless_pictures_are_not_dropped_nor_embedded_by_their_text(store, nodes, asked):
    VectorStoreIndex(
        [*nodes[:2], *name_pictures(bare(nodes))], embed_model=store.embedding, storage_context=context(store)
    )
    assert_all_found(MetaEmbedRetriever(store.client, budget=8), asked)


def test_even_pictures_with_nothing_but_a_path_survive_an_insert(store, nodes, asked):
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding)
    index.insert_nodes([*nodes[:2], *bare(nodes)])
    assert_all_found(store.as_retriever(budget=8), asked)


async def test_and_an_asynchronous_one(store, nodes, asked):
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding)
    await index.ainsert_nodes([*nodes[:2], *bare(nodes)])
    assert_all_found(store.as_retriever(budget=8), asked)


def test_a_mixed_build_keeps_its_texts(store, nodes, asked):
    index = VectorStoreIndex(nodes, embed_model=store.embedding, storage_context=context(store))
    assert list(index.index_struct.nodes_dict) == ["a harbour", "a kitchen"], "what the stock retriever restricts to"
    assert_all_found(index.as_retriever(vector_store_kwargs={"budget": 8}), asked)
    assert_all_found(VectorStoreIndex.from_vector_store(store, embed_model=store.embedding).as_retriever(), asked)


def test_node_ids_restrict_all_the_same(store, nodes):
    store.add(nodes)
    everything = VectorStoreQuery(query_str="boat", similarity_top_k=9)
    assert len(store.query(everything).ids) == 4
    assert store.query(everything, node_ids=["a harbour"]).ids == ["a harbour"]
    some = VectorStoreQuery(query_str="boat", similarity_top_k=9, node_ids=["a harbour", "coffee"])
    assert sorted(store.query(some).ids) == ["a harbour", "coffee"]
    pictures = VectorStoreQuery(query_str="boat", similarity_top_k=9, node_ids=["a harbour"])
    assert len(store.query(pictures).ids) == 4, "this is what a VectorStoreIndex passes after a mixed build"


def test_a_pipeline_embeds_pictures_by_what_they_show(store, nodes, asked):
    pipeline = IngestionPipeline(transformations=[store.embedding], vector_store=store)
    made = pipeline.run(nodes=nodes)
    assert [node.node_id for node in made] == list(asked)
    assert_all_found(store.as_retriever(budget=8), asked)
    stored = store.client.vectors(["a harbour"])["a harbour"]
    assert stored.shape[0] == 1, "what the pipeline embedded is stored as it is, not embedded again"


async def test_an_asynchronous_pipeline_too(store, nodes, asked):
    await IngestionPipeline(transformations=[store.embedding], vector_store=store).arun(nodes=nodes)
    assert_all_found(store.as_retriever(budget=8), asked)


def test_the_ingestion_cache_takes_no_picture_for_another(store, nodes):
    pipeline = IngestionPipeline(transformations=[store.embedding], vector_store=store)
    harbour, kitchen = bare(nodes)
    with pytest.raises(InputError, match="name_pictures"):
        pipeline.run(nodes=[harbour])
    for _ in range(2):  # the second time from the cache
        for node in name_pictures([harbour, kitchen]):
            (made,) = pipeline.run(nodes=[node])
            assert (made.node_id, made.image_path) == (node.node_id, node.image_path)
    assert sorted(node.node_id for node in store.get_nodes()) == ["a harbour", "a kitchen"]


def test_bytes_that_the_ingestion_cache_loses_are_missed(store, pictures):
    data = base64.b64encode(Path(pictures["harbour"]).read_bytes())
    pipeline = IngestionPipeline(transformations=[store.embedding], vector_store=store)
    node = Node(id_="n", image_resource=MediaResource(data=data), metadata={"file_path": "scan", "page": 1})
    pipeline.run(nodes=[node])
    with pytest.raises(InputError, match="lost it"):
        pipeline.run(nodes=[node])
    assert store.get_nodes(["n"])[0].image_resource.data == data, "the first run's node stays"


def test_pictures_are_named_once_and_apart(nodes, pictures):
    data = base64.b64encode(Path(pictures["harbour"]).read_bytes()).decode()
    other = base64.b64encode(Path(pictures["kitchen"]).read_bytes()).decode()
    named = name_pictures([*bare(nodes), ImageNode(image=data), ImageNode(image=other), *nodes])
    assert [node.metadata.get("file_path") for node in named[:2]] == [pictures["harbour"], pictures["kitchen"]]
    assert len({node.metadata["image_sha256"] for node in named[2:4]}) == 2
    assert named[4:] == nodes
    assert name_pictures(named) == named


def test_a_reader_s_pictures_go_through_a_pipeline(store, pictures, asked):
    documents = [ImageDocument(text="", image_path=path, metadata={"file_path": path}) for path in pictures.values()]
    IngestionPipeline(transformations=[store.embedding], vector_store=store).run(documents=documents)
    best = store.as_retriever().retrieve(asked["a harbour"])[0].node
    assert isinstance(best, ImageNode)
    assert Path(best.image_path).name == "harbour.png"


def test_ids_need_not_be_uuids(store, nodes):
    assert store.add(nodes) == ["ferry", "coffee", "a harbour", "a kitchen"]


def test_a_multi_modal_index_keeps_texts_and_pictures(model, nodes, asked):
    with MetaEmbedIndex(":memory:", model=model) as texts, MetaEmbedIndex(":memory:", model=model) as images:
        stores = MetaEmbedVectorStore(texts), MetaEmbedVectorStore(images)
        embedding = stores[0].embedding
        index = MultiModalVectorStoreIndex(
            nodes,
            storage_context=StorageContext.from_defaults(vector_store=stores[0], image_store=stores[1]),
            embed_model=embedding,
            image_embed_model=embedding,
        )
        retriever = index.as_retriever(similarity_top_k=1, image_similarity_top_k=1)
        found = [node.node_id for node in retriever.retrieve(asked["a harbour"])]
        assert found[1] == "a harbour"
        with pytest.raises(InputError, match="embedding of a document"):
            retriever.image_to_image_retrieve(nodes[2].image_path)


def test_a_picture_that_a_stock_retriever_drops_is_missed(store, nodes, pictures):
    store.add(nodes)
    retriever = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding).as_retriever()
    with pytest.raises(InputError, match="as_retriever"):
        retriever.retrieve(QueryBundle("", image_path=pictures["harbour"]))


@pytest.mark.parametrize("by_id", [True, False])
async def test_texts_are_found_once_all_pictures_are_deleted(store, pictures, by_id):
    documents = [
        Document(doc_id="cat", text="The cat sleeps on the sofa."),
        ImageDocument(doc_id="boat", image_path=pictures["harbour"], metadata={"file_path": pictures["harbour"]}),
    ]
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=store.embedding)
    picture = next(node for node in store.get_nodes() if isinstance(node, ImageNode))
    if by_id:
        store.delete_nodes([picture.node_id])
    else:
        index.delete_ref_doc("boat", delete_from_docstore=True)
    for found in (index.as_retriever().retrieve("cat"), await index.as_retriever().aretrieve("cat")):
        assert [entry.node.ref_doc_id for entry in found] == ["cat"]
    # Ids that never named a picture stay a restriction, whether or not they are there.
    query = VectorStoreQuery(query_str="cat", similarity_top_k=5, node_ids=["nobody"])
    assert not store.query(query).nodes


def test_mmr_takes_none_as_not_given(store):
    store.add([TextNode(id_="a", text="a text")])
    query = VectorStoreQuery(query_str="text", similarity_top_k=1, mode=VectorStoreQueryMode.MMR)
    assert store.query(query, mmr_prefetch_factor=None).ids == ["a"]

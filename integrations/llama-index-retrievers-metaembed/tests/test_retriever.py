"""MetaEmbedRetriever: what it finds, by text and by picture, at once and asynchronously, and what it refuses."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core import Document
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.schema import ImageNode, IndexNode, QueryBundle, TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from llama_index.retrievers.metaembed import MetaEmbedEmbedding, MetaEmbedRetriever
from pydantic import Field

from metaembed_rag import LADDER, Page
from metaembed_rag.errors import (
    BudgetError,
    CorruptDocumentError,
    DocumentNotFoundError,
    FilterError,
    IndexClosedError,
    IndexNotFoundError,
    InputError,
)

QUESTION = "When does the boat to Holm depart?"


def ranking(nodes):
    return [(node.node_id, node.score) for node in nodes]


def test_class():
    names = [base.__name__ for base in MetaEmbedRetriever.__mro__]
    assert BaseRetriever.__name__ in names


@pytest.mark.parametrize("budget", [None, *LADDER, 4, (4, 64), "full"], ids=str)
async def test_nodes_are_the_index_s_hits(filled, budget):
    expected = [(hit.id, hit.score) for hit in filled.search(QUESTION, budget=budget, top_k=3)]
    retriever = MetaEmbedRetriever(index=filled, budget=budget, similarity_top_k=3)
    assert ranking(retriever.retrieve(QUESTION)) == expected
    assert ranking(await retriever.aretrieve(QUESTION)) == expected


def test_a_latency_target_chooses_the_budget(filled):
    retriever = MetaEmbedRetriever(index=filled, latency_ms=10_000, similarity_top_k=1)
    assert "Holm" in retriever.retrieve(QUESTION)[0].text


async def test_many_questions_at_once(filled):
    retriever = MetaEmbedRetriever(index=filled, budget=4, similarity_top_k=1)
    answers = await asyncio.gather(*[retriever.aretrieve(text) for text in (QUESTION, "roast coffee", "sunshine") * 3])
    assert [nodes[0].text.split()[1] for nodes in answers] == ["first", "are", "solar"] * 3


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


# -- what is asked ---------------------------------------------------------------------------------------


async def test_a_picture_asks_with_and_without_words(filled, pictures, model, tmp_path):
    from PIL import Image, ImageDraw, ImageFont

    path = str(tmp_path / "photo.png")
    image = Image.new("RGB", (700, 110), "white")
    ImageDraw.Draw(image).text((20, 35), "ferry to Holm", fill="black", font=ImageFont.load_default(size=34))
    image.save(path)
    retriever = MetaEmbedRetriever(index=filled, budget=8, similarity_top_k=1)
    for bundle in (QueryBundle("", image_path=path), QueryBundle("When does it leave?", image_path=path)):
        assert "Holm" in retriever.retrieve(bundle)[0].text
        assert ranking(await retriever.aretrieve(bundle)) == ranking(retriever.retrieve(bundle))
    expected = filled.search({"text": "When does it leave?", "image": image}, budget=8, top_k=1)
    assert ranking(retriever.retrieve(bundle)) == [(hit.id, hit.score) for hit in expected]


def test_a_picture_that_is_none_is_told(filled, tmp_path):
    retriever = MetaEmbedRetriever(index=filled)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "words.txt").write_text("words")
    for name, error in (
        ("none.png", DocumentNotFoundError),
        ("broken.png", CorruptDocumentError),
        ("words.txt", InputError),
    ):
        with pytest.raises(error):
            retriever.retrieve(QueryBundle("", image_path=str(tmp_path / name)))
    with pytest.raises(InputError, match="one text"):
        retriever.retrieve(QueryBundle("x", custom_embedding_strs=["a", "b"], image_path="page.png"))


def test_embeddings_of_a_bundle_count_if_they_are_ours(filled, model):
    retriever = MetaEmbedRetriever(index=filled, similarity_top_k=3)
    ours = MetaEmbedEmbedding(model).get_query_embedding(QUESTION)
    expected = filled.search(model.encode_queries([QUESTION])[0], top_k=3)
    assert ranking(retriever.retrieve(QueryBundle("coffee", embedding=ours))) == [(h.id, h.score) for h in expected]
    foreign = [0.1] * 1536
    assert ranking(retriever.retrieve(QueryBundle("coffee", embedding=foreign))) == ranking(
        retriever.retrieve("coffee")
    )
    same_length = [0.02] * len(ours)
    assert ranking(retriever.retrieve(QueryBundle("sun", embedding=same_length))) == ranking(retriever.retrieve("sun"))
    with pytest.raises(InputError, match="1536 numbers"):
        retriever.retrieve(QueryBundle("", embedding=foreign))
    with pytest.raises(InputError, match="nothing to search for"):
        retriever.retrieve(QueryBundle(""))


def test_texts_for_embedding_count_before_the_question(filled):
    retriever = MetaEmbedRetriever(index=filled, similarity_top_k=3)
    one = QueryBundle("unrelated", custom_embedding_strs=[QUESTION])
    assert ranking(retriever.retrieve(one)) == ranking(retriever.retrieve(QUESTION))
    several = QueryBundle("x", custom_embedding_strs=[QUESTION, "The ferry to Holm leaves at nine."])
    assert "Holm" in retriever.retrieve(several)[0].text, "as HyDEQueryTransform asks"


# -- what is told ----------------------------------------------------------------------------------------


class Heard(BaseEventHandler):
    """Keeps the events of retrieval."""

    events: list = Field(default_factory=list)

    def handle(self, event, **kwargs):
        if isinstance(event, (RetrievalStartEvent, RetrievalEndEvent)):
            self.events.append(event)


async def test_each_retrieval_is_told_once(filled):
    heard, debug, root = Heard(), LlamaDebugHandler(print_trace_on_end=False), get_dispatcher()
    retriever = MetaEmbedRetriever(
        index=filled, budget=4, similarity_top_k=2, callback_manager=CallbackManager([debug])
    )
    root.add_event_handler(heard)
    try:
        nodes = retriever.retrieve(QUESTION)
        await retriever.aretrieve(QUESTION)
    finally:
        root.event_handlers.remove(heard)
    assert [type(event) for event in heard.events] == [RetrievalStartEvent, RetrievalEndEvent] * 2
    assert ranking(heard.events[1].nodes) == ranking(nodes)
    pairs = debug.get_event_pairs(CBEventType.RETRIEVE)
    assert [ranking(pair[1].payload["nodes"]) for pair in pairs] == [ranking(nodes)] * 2


# -- from nodes and documents ----------------------------------------------------------------------------


def test_from_nodes_takes_texts_and_pictures(nodes, asked):
    with MetaEmbedRetriever.from_nodes(nodes, budget=8, similarity_top_k=1) as retriever:
        for identifier, question in asked.items():
            (best,) = retriever.retrieve(question)
            assert best.node_id == identifier
        assert best.node.image_path == nodes[-1].image_path
        assert best.text == "Bread rises for three hours", "a picture read by a text model brings what is written there"
    with pytest.raises(IndexClosedError):
        retriever.retrieve("x")


def test_from_documents_finds_the_end_of_a_long_one(model, index):
    filler = "The committee met again and discussed the minutes of the meeting before. " * 25
    documents = [
        Document(id_="long", text=filler + "The ferry to Holm leaves at six."),
        Document(id_="other", text=filler),
    ]
    retriever = MetaEmbedRetriever.from_documents(documents, index, similarity_top_k=1)
    (best,) = retriever.retrieve(QUESTION)
    assert (best.node_id, best.text) == ("long", documents[0].text)
    index.delete(["long", "other"])
    splitter = TokenTextSplitter(chunk_size=100, chunk_overlap=0)
    parts = MetaEmbedRetriever.from_documents(documents, index, transformations=[splitter], similarity_top_k=1)
    (best,) = parts.retrieve(QUESTION)
    assert best.node.ref_doc_id == "long"
    assert "six" in best.text and len(best.text) < 1000
    parts.close()
    assert len(index) > 2, "an index that was given stays open"


def test_objects_are_retrieved_in_place_of_their_nodes(index, filled):
    inner = MetaEmbedRetriever(index=filled, similarity_top_k=1)
    made = MetaEmbedRetriever.from_nodes(
        [IndexNode(text="all about ferries and coffee", index_id="notes", obj=inner), TextNode(text="nothing")], index
    )
    by_map = MetaEmbedRetriever(index=index, object_map={"notes": inner})
    by_objects = MetaEmbedRetriever(index=index, objects=[IndexNode(text="x", index_id="notes", obj=inner)])
    for retriever in (made, by_map, by_objects):
        assert "Holm" in retriever.retrieve(QUESTION)[0].text
    left = MetaEmbedRetriever(index=index).retrieve(QUESTION)[0].node
    assert (type(left), left.index_id) == (IndexNode, "notes")


def test_images_are_drawn_on_request(index, pictures):
    index.add(pictures["harbour"], ocr="never")
    index.add_texts(["a text"], ids=["text"])
    plain = {type(node.node) for node in MetaEmbedRetriever(index=index).retrieve("x")}
    assert plain == {TextNode}
    nodes = [found.node for found in MetaEmbedRetriever(index=index, images=True).retrieve("x")]
    drawn, text = sorted(nodes, key=lambda node: node.node_id == "text")
    assert isinstance(drawn, ImageNode) and not isinstance(text, ImageNode)
    assert drawn.metadata["source"] == pictures["harbour"]
    from PIL import Image

    assert Image.open(drawn.resolve_image()).size == (700, 110)


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"budget": 99}, BudgetError),
        ({"budget": 4, "latency_ms": 20}, InputError),
        ({"latency_ms": 0}, InputError),
        ({"latency_ms": "fast"}, InputError),
        ({"similarity_top_k": 0}, InputError),
        ({"similarity_top_k": True}, InputError),
        ({"index": 3}, InputError),
        (
            {
                "filters": MetadataFilters(
                    filters=[MetadataFilter(key="x", value="y", operator=FilterOperator.TEXT_MATCH)]
                )
            },
            FilterError,
        ),
        ({"top_k": 3}, TypeError),
        ({"budgett": 4}, TypeError),
    ],
    ids=["budget", "both", "latency", "latency_text", "top_k", "bool", "index", "filters", "name", "misspelt"],
)
def test_arguments_that_cannot_be_used(filled, index, arguments, error):
    with pytest.raises(error):
        MetaEmbedRetriever(**{"index": filled, **arguments})
    if "index" not in arguments:
        with pytest.raises(error):
            MetaEmbedRetriever.from_nodes([TextNode(text="x")], index, **arguments)
        assert len(index) == 0, "nothing is indexed for a retriever that cannot be made"


def test_the_dial_can_be_turned_between_calls(filled):
    retriever = MetaEmbedRetriever(filled, budget=1)
    assert retriever.retrieve(QUESTION)[0].score <= 1
    retriever.budget = "full"
    assert retriever.retrieve(QUESTION)[0].score > 1
    retriever.budget = "nonsense"
    with pytest.raises(BudgetError):
        retriever.retrieve(QUESTION)
    retriever.budget, retriever.latency_ms, retriever.similarity_top_k = None, 10_000, 1
    assert len(retriever.retrieve(QUESTION)) == 1


def test_a_page_of_a_file_that_is_written_back_replaces_it(index, store):
    index.add(Page("notes.pdf", 1, " ".join(f"Chapter {number} is about harbours." for number in range(120))))
    index.add(Page("others.pdf", 1, "Bread rises for three hours."))
    retriever = MetaEmbedRetriever(index)
    node = retriever.retrieve("harbours")[0].node
    node.metadata["reviewed"] = True
    store.add([node])
    assert len(index) == 2
    found = retriever.retrieve("harbours")
    assert [entry.node.node_id for entry in found].count(node.node_id) == 1
    assert found[0].node.metadata["reviewed"]

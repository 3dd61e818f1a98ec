"""Nodes come back as they were, under their ids; nothing of how they are kept shows."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from llama_index.core.schema import (
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.retrievers.metaembed import MetaEmbedRetriever
from llama_index.retrievers.metaembed.nodes import HIDDEN, to_entry, to_node

from metaembed_rag import Page
from metaembed_rag.errors import InputError, StoreError

RELATIONSHIPS = {
    NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"title": "T"}, hash="h"),
    NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="before"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="x"), RelatedNodeInfo(node_id="y")],
}


@pytest.mark.parametrize(
    "node",
    [
        TextNode(id_="1", text="plain"),
        TextNode(id_="an id / of any kind", text="é\n\ttwo", metadata={"page": 3, "deep": {"a": [1, None, True]}}),
        TextNode(text="a", metadata={"source": "a.pdf"}),
        TextNode(
            text="a",
            metadata={"source": "a.pdf"},
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="a.pdf")},
        ),
        TextNode(
            text="part",
            metadata={"k": "v"},
            relationships=RELATIONSHIPS,
            start_char_idx=4,
            end_char_idx=8,
            excluded_embed_metadata_keys=["k"],
            excluded_llm_metadata_keys=["k"],
            metadata_template="{key}={value}",
            text_template="{content}",
        ),
        IndexNode(text="see there", index_id="there"),
        IndexNode(text="see there", index_id="there", obj=TextNode(id_="inner", text="inner")),
        Node(text_resource=MediaResource(text="both")),
    ],
    ids=["plain", "id", "source", "same_source", "everything", "index", "object", "node"],
)
def test_a_node_comes_back_equal(store, index, node):
    node = node.model_copy(deep=True)
    assert store.add([node]) == [node.node_id]
    (again,) = store.get_nodes([node.node_id])
    assert again == node
    assert HIDDEN not in again.metadata
    (found,) = MetaEmbedRetriever(index=index).retrieve("part")
    # LlamaIndex puts the object of an IndexNode in its place.
    expected = getattr(node, "obj", None) or node
    assert (found.node, found.node.hash) == (expected, expected.hash)


def test_pictures_come_back(store, pictures):
    data = base64.b64encode(Path(pictures["harbour"]).read_bytes()).decode()
    nodes = [
        ImageNode(id_="path", text="a caption", image_path=pictures["harbour"]),
        ImageNode(id_="base64", text="a caption", image=data, image_mimetype="image/png"),
        Node(
            id_="both",
            text_resource=MediaResource(text="a caption"),
            image_resource=MediaResource(data=data.encode(), mimetype="image/png"),
        ),
    ]
    store.add(nodes)
    assert store.get_nodes([node.node_id for node in nodes]) == nodes


def test_a_document_comes_back_as_the_node_a_splitter_would_make(store, pictures):
    store.add(
        [Document(id_="d", text="all of it", metadata={"k": 1}), ImageDocument(id_="i", image_path=pictures["harbour"])]
    )
    text, image = store.get_nodes(["d", "i"])
    assert (type(text), text.text, text.metadata, text.ref_doc_id) == (TextNode, "all of it", {"k": 1}, "d")
    assert (type(image), image.image_path, image.ref_doc_id) == (ImageNode, pictures["harbour"], "i")


def test_what_the_core_indexed_are_text_nodes_that_name_their_place(index):
    (page,) = index.add(Page("report.pdf", 3, "prices", metadata={"year": 2022}))
    index.add_texts(["note"], ids=["n"], metadatas=[{"year": 2023}])
    file, text = (to_node(hit) for hit in index.get([page, "n"]))
    assert (file.node_id, file.metadata, file.ref_doc_id) == (
        page,
        {"source": "report.pdf", "page": 3, "year": 2022},
        "report.pdf",
    )
    assert (text.node_id, text.metadata, text.ref_doc_id) == ("n", {"year": 2023}, None)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (TextNode(text="a", metadata={HIDDEN: 1}), "is taken"),
        (IndexNode(text="a", index_id="i", obj=object()), "objects="),
        (ImageNode(image_url="http://127.0.0.1/a.png"), "not fetched"),
        (ImageNode(image="*"), "base64"),
        (ImageNode(image=base64.b64encode(b"words").decode()), "text, not a picture"),
        (Node(image_resource=MediaResource(mimetype="image/png")), "lost it"),
        (TextNode(text="a", metadata={"k": float("nan")}), "JSON"),
    ],
    ids=["hidden", "object", "url", "base64", "text", "lost", "nan"],
)
def test_a_node_that_cannot_be_kept_is_refused(store, index, node, message):
    with pytest.raises(InputError, match=message):
        store.add([node])
    assert len(index) == 0


def test_two_nodes_of_one_id_and_unreadable_remains_are_told(store, index):
    with pytest.raises(InputError, match="occurs twice"):
        store.add([TextNode(id_="a", text="1"), TextNode(id_="a", text="2")])
    index.add_texts(["x"], ids=["x"], metadatas=[{HIDDEN: {"class": "Mystery", "fields": {}}}])
    with pytest.raises(StoreError, match="index it anew"):
        store.get_nodes(["x"])


def test_an_entry_has_no_embedding_and_leaves_the_node_as_it_was():
    node = TextNode(text="a", embedding=[1.0], relationships=RELATIONSHIPS)
    before = node.model_copy(deep=True)
    assert "embedding" not in to_entry(node).metadata[HIDDEN]["fields"]
    assert node == before


def test_a_text_resource_comes_back_with_all_that_it_says(store):
    nodes = [
        Node(id_="typed", text_resource=MediaResource(text="a text", mimetype="text/markdown", url="http://a.test/b")),
        Node(id_="bare", text_resource=MediaResource(text="a text")),
        Node(id_="empty", text_resource=MediaResource(mimetype="text/plain")),
    ]
    store.add(nodes)
    assert store.get_nodes(["typed", "bare", "empty"]) == nodes


@pytest.mark.parametrize("source", [None, {"a": 1}, 5, "a.pdf"])
def test_whatever_source_metadata_says_comes_back(store, source):
    node = TextNode(id_="x", text="a text", metadata={"source": source})
    other = TextNode(id_="y", text="another text", metadata={"source": source})
    store.add([node, other])
    assert store.get_nodes(["x", "y"]) == [node, other]
    store.delete("None")
    assert len(store.get_nodes()) == 2

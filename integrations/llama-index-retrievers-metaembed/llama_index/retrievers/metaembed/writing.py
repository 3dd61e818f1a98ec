"""Nodes into an index: with the embedding they bring, from their picture, or from their text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from llama_index.retrievers.metaembed.flat import FloatArray, document_rows
from llama_index.retrievers.metaembed.nodes import Entry, to_entry
from llama_index.retrievers.metaembed.pictures import look_at, open_picture, picture_of

from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from llama_index.core.schema import BaseNode

    from metaembed_rag import MetaEmbedIndex

T = TypeVar("T")

#: Nodes in work at once: their pictures are in memory.
_AT_ONCE = 16


def add_nodes(index: MetaEmbedIndex, nodes: Sequence[BaseNode]) -> list[str]:
    """Index nodes; one under an id that exists replaces the older one.

    A flat embedding by MetaEmbedEmbedding is stored as it is. A node with a picture whose embedding was made from its
    text, as LlamaIndex's stock classes do, is embedded from the picture. A text without embedding is embedded window by
    window, however long it is; its metadata is not embedded.

    Returns:
        the nodes' ids.

    Raises:
        DocumentError: a picture cannot be read.
        InputError: a node cannot be stored, two have the same id, or an embedding is not of this index's model.
    """
    identifiers = [node.node_id for node in nodes]
    if len(set(identifiers)) < len(identifiers):
        twice = next(name for name in identifiers if identifiers.count(name) > 1)
        raise InputError(f"the node id {twice!r} occurs twice")
    for batch in _batches(nodes, _AT_ONCE):
        embedded: list[tuple[Entry, FloatArray]] = []
        texts: list[Entry] = []
        for node in batch:
            entry, rows = _prepare(index, node)
            if rows is None:
                texts.append(entry)
            else:
                embedded.append((entry, rows))
        if embedded:
            entries = [entry for entry, _ in embedded]
            index.add_texts(*_columns(entries), embeddings=[rows for _, rows in embedded])
        if texts:
            index.add_texts(*_columns(texts))
    return identifiers


def _prepare(index: MetaEmbedIndex, node: BaseNode) -> tuple[Entry, FloatArray | None]:
    """A node's entry and its Meta Tokens ``[64, dim]``; None leaves its text to the index to embed."""
    picture = picture_of(node)
    if node.embedding is not None:
        made = document_rows(node.embedding, index.model.dim)
        if picture is None or made.picture:
            return to_entry(node), made.rows
    if picture is None:
        return to_entry(node), None
    text, document = look_at(index.model, node, open_picture(picture, index.limits))
    if text == document:
        return to_entry(node, text), None
    return to_entry(node, text), index.model.encode_documents([document])[0]


def _columns(entries: Sequence[Entry]) -> tuple[list[str], list[str], list[dict[str, object]]]:
    return [entry.text for entry in entries], [entry.id for entry in entries], [entry.metadata for entry in entries]


def _batches(values: Sequence[T], size: int) -> Iterator[list[T]]:
    remaining = iter(values)
    while batch := list(islice(remaining, size)):
        yield batch

"""From LlamaIndex nodes to entries of an index, and from hits to nodes, without loss."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore.utils import doc_to_json

from metaembed_rag.errors import InputError, StoreError
from metaembed_rag.hit import Hit
from metaembed_rag.ingest import page_id, text_source

#: Metadata key for what an index has no field for: a node's class, relationships, picture. No node shows it.
HIDDEN = "_llama_index"

_CLASSES: dict[str, type[BaseNode]] = {kind.class_name(): kind for kind in (TextNode, ImageNode, IndexNode, Node)}
#: What an entry has fields for.
_OWN: dict[str, Any] = {"id_": True, "embedding": True, "metadata": True, "text": True, "text_resource": {"text"}}
_MEDIA = ("image_resource", "audio_resource", "video_resource")


class Entry(NamedTuple):
    """What ``MetaEmbedIndex.add_texts`` takes for a node."""

    id: str
    text: str
    metadata: dict[str, Any]


def to_entry(node: BaseNode, text: str | None = None) -> Entry:
    """A node as an entry, from which ``to_node`` makes an equal one.

    A Document becomes the TextNode or ImageNode that a splitter which leaves it whole would make of it.

    Args:
        node: a TextNode, ImageNode, IndexNode, Node or Document.
        text: to be stored in place of the node's own.

    Raises:
        InputError: a node of another class, or one that no JSON can hold.
    """
    node = _undocumented(node)
    if type(node).class_name() not in _CLASSES:
        raise InputError(f"a {type(node).__name__} cannot be stored: give one of {', '.join(_CLASSES)} or Document")
    if HIDDEN in node.metadata:
        raise InputError(f"node {node.node_id}: the metadata key {HIDDEN!r} is taken; name yours otherwise")
    own = node.get_content(metadata_mode=MetadataMode.NONE)
    entry = Entry(node.node_id, own if text is None else text, dict(node.metadata))
    if _plain(entry, text_source(entry.id, entry.metadata)) == node:
        return entry
    hidden = {"class": type(node).class_name(), "fields": _fields(node), "ref_doc_id": node.ref_doc_id}
    return entry._replace(metadata={**entry.metadata, HIDDEN: hidden})


def to_node(hit: Hit, *, draw: bool = False) -> BaseNode:
    """The node of a hit.

    What came as a node comes back as it was. A page of a file becomes a TextNode whose metadata has "source" and
    "page" (from 1) unless it has keys of these names, and whose source is the file.

    Args:
        hit: of an index, whoever filled it.
        draw: make an ImageNode of a page that can be drawn, with its picture.

    Raises:
        DocumentError: the page is to be drawn, and its file cannot be read any more.
        StoreError: what was stored with the node cannot be read.
    """
    metadata = dict(hit.metadata)
    hidden = metadata.pop(HIDDEN, None)
    entry = Entry(hit.id, hit.text, metadata)
    if hidden is not None:
        return _restore(entry, hidden)
    if hit.id == page_id(hit.source, hit.page):
        entry = entry._replace(metadata={"source": hit.source, "page": hit.page, **metadata})
    node = _plain(entry, hit.source)
    image = hit.image() if draw else None
    if image is None:
        return node
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=85)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return ImageNode(**dict(node), image=picture, image_mimetype="image/jpeg")


def to_nodes(hits: list[Hit], *, draw: bool = False) -> list[NodeWithScore]:
    """``to_node`` of each hit, with its score, in order."""
    return [NodeWithScore(node=to_node(hit, draw=draw), score=hit.score) for hit in hits]


def is_kind(hit: Hit, *kinds: type[BaseNode]) -> bool:
    """Whether a hit's node is of one of these classes."""
    hidden = hit.metadata.get(HIDDEN)
    stored = hidden.get("class") if isinstance(hidden, Mapping) else TextNode.class_name()
    return stored in [kind.class_name() for kind in kinds]


def _plain(entry: Entry, source: str) -> TextNode:
    """The node of an entry that nothing is hidden in."""
    relationships: dict[NodeRelationship, RelatedNodeInfo] = {}
    if "source" in entry.metadata:
        relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=source)
    return TextNode(id_=entry.id, text=entry.text, metadata=entry.metadata, relationships=relationships)


def _undocumented(node: BaseNode) -> BaseNode:
    """A copy without embedding, of a class that retrievers return."""
    if not isinstance(node, Document):
        return node.model_copy(update={"embedding": None})
    fields = {
        name: getattr(node, name)
        for name in type(node).model_fields.keys() & TextNode.model_fields.keys()
        if name not in ("embedding", "text")
    }
    fields["relationships"] = {NodeRelationship.SOURCE: node.as_related_node_info(), **node.relationships}
    if isinstance(node, ImageDocument):
        picture = {
            "image": node.image,
            "image_path": node.image_path,
            "image_url": node.image_url,
            "image_mimetype": node.image_mimetype,
        }
        return ImageNode(text=node.text, **fields, **picture)
    if any(getattr(node, name) is not None for name in _MEDIA):
        media = {name: getattr(node, name) for name in ("text_resource", *_MEDIA)}
        return Node(**fields, **media)
    return TextNode(text=node.text, **fields)


def _fields(node: BaseNode) -> dict[str, Any]:
    """What ``_restore`` needs besides id, text and metadata: fields that are not at their default."""
    held = node.obj if isinstance(node, IndexNode) else None
    if held is not None:
        if not isinstance(held, BaseNode):
            raise InputError(
                f"node {node.node_id}: a {type(held).__name__} cannot be stored with it; give the object to the "
                "retriever (objects=, object_map=) instead"
            )
        node = node.model_copy(update={"obj": None})
    fields: dict[str, Any] = node.model_dump(mode="json", exclude=_OWN, exclude_defaults=True)
    for name in ("class_name", "obj"):
        fields.pop(name, None)
    if not fields.get("text_resource"):
        fields.pop("text_resource", None)
    if held is not None:
        fields["obj"] = doc_to_json(held)
    for name in ("text_resource", *_MEDIA):
        resource = getattr(node, name, None)
        if resource is not None and resource.data is not None:
            # LlamaIndex leaves it out of every dump.
            fields.setdefault(name, {})["data"] = resource.data.decode()
    return fields


def _restore(entry: Entry, hidden: Any) -> BaseNode:
    try:
        node = _CLASSES[hidden["class"]].from_dict(
            {**hidden["fields"], "id_": entry.id, "metadata": entry.metadata, "embedding": None}
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"node {entry.id}: what was stored with it is not readable by this version ({type(error).__name__}); "
            "index it anew"
        ) from error
    if isinstance(node, Node) and node.text_resource is not None:
        node.text_resource.text = entry.text or None
    elif entry.text or not isinstance(node, Node):
        node.set_content(entry.text)
    return node

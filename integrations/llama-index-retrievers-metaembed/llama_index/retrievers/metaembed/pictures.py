"""Pictures of nodes: whether there is one, what it is called, and what it looks like."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from llama_index.core.schema import BaseNode, ImageNode, MetadataMode, Node

from metaembed_rag.errors import DocumentError, InputError
from metaembed_rag.pages import Limits, render_page
from metaembed_rag.pages.ocr import OCR_DPI, shared_reader

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag import MetaEmbed

#: Metadata keys that name where a node comes from, as readers write them.
_NAMING = ("file_path", "source", "file_name", "path", "url", "image_path")


class Picture(NamedTuple):
    """Where a node's picture is: exactly one of the two."""

    path: str | None
    data: bytes | None  # base64

    @property
    def name(self) -> tuple[str, str]:
        """A metadata key and value that tell this picture from others."""
        if self.path is not None:
            return "file_path", self.path
        return "image_sha256", hashlib.sha256(self.data or b"").hexdigest()


def picture_of(node: BaseNode) -> Picture | None:
    """A node's picture; None for one without.

    Raises:
        InputError: it is behind a URL, or lost.
    """
    if isinstance(node, ImageNode):
        data = None if node.image is None else node.image.encode()
        path, url = node.image_path, node.image_url
        if data is None and path is None and url is None:
            return None
    elif isinstance(node, Node) and node.image_resource is not None:
        data = node.image_resource.data
        path = None if node.image_resource.path is None else str(node.image_resource.path)
        url = None if node.image_resource.url is None else str(node.image_resource.url)
    else:
        return None
    if data is not None:
        return Picture(None, data)
    if path is not None:
        return Picture(path, None)
    if url is not None:
        raise InputError(
            f"node {node.node_id}: pictures behind a URL are not fetched: download {url}, then give image_path"
        )
    raise InputError(
        f"node {node.node_id} had a picture and lost it: LlamaIndex's ingestion cache and document stores keep none "
        "that is given as bytes; give it as a file (image_path, or image_resource with a path)"
    )


def open_picture(picture: Picture | str | os.PathLike[str] | BytesIO, limits: Limits | None = None) -> Image:
    """A picture as RGB.

    Args:
        picture: of a node, a path of one (or of a PDF, whose first page is drawn), or the bytes of a file.
        limits: what it may cost.

    Raises:
        DocumentError: there is none, it cannot be read, or it is too large.
        InputError: it is neither a picture nor a PDF, or not base64.
    """
    if isinstance(picture, BytesIO):
        return _from_bytes(picture.getvalue(), limits)
    if isinstance(picture, Picture):
        if picture.path is None:
            return _from_bytes(_decode(picture.data or b""), limits)
        picture = picture.path
    return render_page(picture, 1, OCR_DPI, limits=limits or Limits())


def look_at(model: MetaEmbed, node: BaseNode, image: Image) -> tuple[str, Any]:
    """A node's text, and the document to embed for node and picture.

    A model that reads pictures rather than sees them embeds what is written there, after the node's own text; a node
    without any gets that as its text.
    """
    own = node.get_content(metadata_mode=MetadataMode.NONE)
    if model.sees:
        return own, {"text": own, "image": image} if own.strip() else image
    written = shared_reader().read(image)[0]
    return (own, f"{own}\n{written}") if own.strip() else (written, written)


def name_pictures(nodes: Sequence[BaseNode]) -> list[BaseNode]:
    """Nodes whose metadata names their picture, so that LlamaIndex's ingestion cache can tell them apart.

    The cache knows nodes by text and metadata alone: it would give the first of two pictures for the second. A node
    that lacks a name gets ``file_path``, or ``image_sha256`` where the picture has no path; the others are returned
    as they are.
    """
    named = []
    for node in nodes:
        picture = picture_of(node)
        if picture is None or is_named(node, picture):
            named.append(node)
        else:
            key, value = picture.name
            named.append(node.model_copy(update={"metadata": {**node.metadata, key: value}}))
    return named


def is_named(node: BaseNode, picture: Picture) -> bool:
    """Whether the metadata of a node names its picture, or where that comes from."""
    return any(key in node.metadata for key in _NAMING) or picture.name[1] in node.metadata.values()


def _decode(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"a node's image is not base64: {error}") from None


def _from_bytes(content: bytes, limits: Limits | None) -> Image:
    # Through a file, so that the checks for hostile files are the same for all.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(content)
        try:
            return render_page(path, 1, OCR_DPI, limits=limits or Limits())
        except DocumentError as error:
            raise type(error)("a node's picture", error.reason) from None
        except InputError:
            raise InputError("a node's image is text, not a picture: give the base64 of a PNG or JPEG") from None

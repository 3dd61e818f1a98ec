"""MetaEmbedEmbedding: Meta Tokens of queries, texts and pictures as LlamaIndex's flat embeddings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.embeddings.base import SimilarityMode
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.retrievers.metaembed.flat import flatten
from llama_index.retrievers.metaembed.pictures import Picture, is_named, look_at, open_picture, picture_of
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import Self

from metaembed_rag.budget import FULL, LADDER, Budget
from metaembed_rag.embedding.dtypes import Dtype
from metaembed_rag.embedding.named import NamedModel, name_model
from metaembed_rag.errors import InputError, ModelError
from metaembed_rag.scoring import maxsim

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed, MetaEmbedIndex

_loading = Lock()


class MetaEmbedEmbedding(MultiModalEmbedding):
    """Embeds queries, texts and pictures with a MetaEmbed model, as flat lists of numbers.

    A query is 16 Meta Tokens of ``dim`` numbers one after the other, a document 64: their lengths tell them apart, and
    a MetaEmbedVectorStore makes rows of them again. A picture's numbers are one part in a million larger than the
    model's, by which the store knows that the picture was seen and not only the text beside it. ``meta_tokens="first"``
    gives the first Meta Token alone: a unit vector for any single-vector store.

    A text longer than the model's window is cut, with a TruncationWarning: split long texts, or let
    ``MetaEmbedRetriever.from_documents`` embed all of them. In an ingestion pipeline nodes with a picture are embedded
    by it, and a node without text, whose picture a text model has read, gets what is written there as its text.

    Args:
        model: a MetaEmbed, or a name, folder or hub id for ``MetaEmbed.from_pretrained``; loaded when first needed.
        device: torch device for a model given by name; None lets torch choose.
        dtype: in which the backbone of such a model computes, as for ``MetaEmbed.from_pretrained``.
        meta_tokens: "all", or the "first".
        **kwargs: fields of BaseEmbedding; unknown ones are refused.

    Raises:
        InputError: a dtype or device beside a model that is loaded, or an ``embeddings_cache``: LlamaIndex looks up
            in it by text alone, and a text is embedded otherwise as a query than as a document. An IngestionCache
            keeps documents.
        DocumentError: when embedding: a picture is missing or cannot be read.
        InputError: when embedding: a node's metadata does not name its picture; see ``name_pictures``.
        ModelError: when embedding: no such model, or another one than the configuration was written for.
    """

    model_config = ConfigDict(protected_namespaces=("pydantic_model_",), arbitrary_types_allowed=True, extra="forbid")

    device: str | None = Field(default=None, description="The torch device; none lets torch choose.")
    dtype: Dtype | None = Field(default=None, description="In which the backbone computes; none keeps its own.")
    meta_tokens: Literal["all", "first"] = Field(default="all", description="Meta Tokens in an embedding.")
    fingerprint: str | None = Field(default=None, description="The model must have this one; none takes any.")

    _model: MetaEmbed | None = PrivateAttr(default=None)

    def __init__(self, model: str | Path | MetaEmbed = "mini", **kwargs: Any) -> None:
        loaded = None if isinstance(model, (str, Path)) else model
        # LlamaIndex rebuilds components from their fields, where the model goes by model_name.
        kwargs.setdefault("model_name", str(model) if loaded is None else loaded.config.name)
        if loaded is not None:
            kwargs["fingerprint"] = loaded.fingerprint
        super().__init__(**kwargs)
        if self.embeddings_cache is not None:
            raise InputError(
                "an embeddings_cache would take a query for a document of the same text: leave it out, and give the "
                "pipeline an IngestionCache"
            )
        name_model(model, dtype=self.dtype, device=self.device)
        self._model = loaded

    @classmethod
    def from_index(cls, index: MetaEmbedIndex) -> Self:
        """The embedding of an index's own model, which is not loaded a second time."""
        named = index.named_model
        if named is None:
            return cls(index.model)
        made = cls(named.name, dtype=named.dtype, device=named.device, fingerprint=index.model.fingerprint)
        made._model = index.model
        return made

    @classmethod
    def class_name(cls) -> str:
        return "MetaEmbedEmbedding"

    def to_payload(self) -> dict[str, Any]:
        """What events and callbacks are told of this embedding."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model_name,
            "embed_batch_size": self.embed_batch_size,
            "meta_tokens": self.meta_tokens,
        }

    def similarity(
        self, embedding1: list[float], embedding2: list[float], mode: SimilarityMode = SimilarityMode.DEFAULT
    ) -> float:
        """MaxSim of two flat embeddings by this model, divided by the Meta Tokens of the first: at most 1.

        Raises:
            InputError: a distance is asked for.
        """
        if mode == SimilarityMode.EUCLIDEAN:
            raise InputError("Meta Tokens are compared by MaxSim, which is no distance: use the default mode")
        dim = self._loaded().dim
        first, second = (_rows(embedding, dim) for embedding in (embedding1, embedding2))
        score: float = maxsim(first, second)[0, 0].item()
        return score / int(first.shape[1])

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Embed nodes: those with a picture by it, the others by their text."""
        seen = self._embed_pictures(nodes)
        super().__call__([node for place, node in enumerate(nodes) if place not in seen], **kwargs)
        return [seen.get(place, node) for place, node in enumerate(nodes)]

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """``__call__`` off the event loop."""
        seen = await asyncio.to_thread(self._embed_pictures, nodes)
        await super().acall([node for place, node in enumerate(nodes) if place not in seen], **kwargs)
        return [seen.get(place, node) for place, node in enumerate(nodes)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return flatten(self._loaded().encode_queries([query], budget=self._budget)[0])

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [flatten(rows) for rows in self._loaded().encode_documents(texts, budget=self._budget)]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    def _get_image_embedding(self, img_file_path: str | BytesIO) -> list[float]:
        return self._get_image_embeddings([img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: str | BytesIO) -> list[float]:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)

    def _get_image_embeddings(self, img_file_paths: list[str | BytesIO]) -> list[list[float]]:
        images = [open_picture(source) for source in img_file_paths]
        rows = self._loaded().encode_documents(images, budget=self._budget)
        return [flatten(entry, picture=True) for entry in rows]

    async def _aget_image_embeddings(self, img_file_paths: list[str | BytesIO]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_image_embeddings, img_file_paths)

    def _embed_pictures(self, nodes: Sequence[BaseNode]) -> dict[int, BaseNode]:
        """Embedded copies of the nodes that have a picture, by their place."""
        pictures = {place: picture for place, node in enumerate(nodes) if (picture := picture_of(node)) is not None}
        for place, picture in pictures.items():
            if not is_named(nodes[place], picture):
                raise InputError(
                    f"node {nodes[place].node_id}: its metadata does not name its picture, and LlamaIndex's ingestion "
                    "cache, which knows text and metadata alone, would take another one for it: set file_path and "
                    "page, or use name_pictures(nodes) before the pipeline"
                )
        if not pictures:
            return {}
        with self.callback_manager.event(
            CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: self.to_payload()}
        ) as event:
            seen = {place: self._embed_picture(nodes[place], picture) for place, picture in pictures.items()}
            event.on_end(
                payload={
                    EventPayload.CHUNKS: [picture.name[1] for picture in pictures.values()],
                    EventPayload.EMBEDDINGS: [node.embedding for node in seen.values()],
                }
            )
        return seen

    def _embed_picture(self, node: BaseNode, picture: Picture) -> BaseNode:
        text, document = look_at(self._loaded(), node, open_picture(picture))
        rows = self._loaded().encode_documents([document], budget=self._budget)[0]
        # A copy: pipelines compare the node that they were given with the one of the next run.
        seen = node.model_copy(update={"embedding": flatten(rows, picture=True)})
        if text != node.get_content(metadata_mode=MetadataMode.NONE):
            seen.set_content(text)
        return seen

    @property
    def _budget(self) -> Budget:
        return FULL if self.meta_tokens == "all" else LADDER[0]

    def _loaded(self) -> MetaEmbed:
        with _loading:
            if self._model is None:
                loaded = NamedModel(self.model_name, self.dtype, self.device).load()
                if self.fingerprint not in (None, loaded.fingerprint):
                    raise ModelError(
                        f"the model {self.model_name!r} ({loaded.fingerprint}) is not the one that this embedding was "
                        f"made with ({self.fingerprint}): give models of your own by the path of their folder"
                    )
                self._model = loaded
            return self._model


def _rows(flat: Sequence[float], dim: int) -> Any:
    import numpy as np

    if not flat or len(flat) % dim:
        raise InputError(f"an embedding of {len(flat)} numbers is not made of Meta Tokens of {dim}")
    return np.asarray(flat, dtype=np.float32).reshape(1, -1, dim)

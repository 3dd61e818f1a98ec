"""MetaEmbedEmbeddings: the first Meta Token as LangChain's flat embedding, all of them beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable, SerializedConstructor, SerializedNotImplemented
from pydantic import PrivateAttr
from typing_extensions import Self

from langchain_metaembed.pictures import Picture, open_picture
from metaembed_rag.budget import LADDER, BudgetLike
from metaembed_rag.embedding.dtypes import Dtype
from metaembed_rag.embedding.named import NamedModel, name_model
from metaembed_rag.errors import InputError
from metaembed_rag.pages import Limits

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed
    from metaembed_rag.embedding.model import FloatArray
    from metaembed_rag.index import MetaEmbedIndex

#: One Meta Token on each side: the nested training makes it a good embedding by itself.
_FIRST = LADDER[0]

_loading = Lock()


class MetaEmbedEmbeddings(Serializable, Embeddings):
    """Embeds texts and pictures with a MetaEmbed model, which is loaded when first needed.

    LangChain's methods (``embed_query``, ``embed_documents``) give the first Meta Token, a unit vector that serves
    any single-vector store; nothing beyond it is computed. ``embed_queries_multi``, ``embed_documents_multi`` and
    ``embed_images_multi`` give as many Meta Tokens as a budget asks for.

    A document longer than the model's window is cut, with a TruncationWarning: MetaEmbedVectorStore embeds all
    of it.

    Args:
        model: a MetaEmbed, or a name, folder or hub id for ``MetaEmbed.from_pretrained``.
        device: torch device for a model given by name; None lets torch choose.
        dtype: in which the backbone of such a model computes, as for ``MetaEmbed.from_pretrained``.

    Raises:
        InputError: no such dtype, or a dtype or device beside a model that is loaded.
    """

    _named: NamedModel | None = PrivateAttr(default=None)
    _model: MetaEmbed | None = PrivateAttr(default=None)
    _load: Callable[[], MetaEmbed] = PrivateAttr()

    def __init__(
        self, model: str | Path | MetaEmbed = "mini", *, device: str | None = None, dtype: Dtype | None = None
    ) -> None:
        super().__init__()
        self._named = name_model(model, dtype=dtype, device=device)
        self._load = (lambda: cast("MetaEmbed", model)) if self._named is None else self._named.load

    @classmethod
    def from_index(cls, index: MetaEmbedIndex) -> Self:
        """The embeddings of an index's own model, which is not loaded a second time."""
        embeddings = cls()
        embeddings._named = None
        embeddings._load = lambda: index.model
        return embeddings

    @property
    def model(self) -> MetaEmbed:
        """The model, loaded on first use.

        Raises:
            ModelError: there is no such model, or its files are damaged.
        """
        with _loading:
            if self._model is None:
                self._model = self._load()
            return self._model

    # -- flat ------------------------------------------------------------------------------------------

    def embed_query(self, text: str) -> list[float]:
        """The first Meta Token of a query: ``dim`` numbers of unit length."""
        return _flat(self.model.encode_queries([text], budget=_FIRST))[0]

    async def aembed_query(self, text: str) -> list[float]:
        """As ``embed_query``."""
        return await asyncio.to_thread(self.embed_query, text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The first Meta Token of each document: ``dim`` numbers of unit length."""
        return _flat(self.model.encode_documents(texts, budget=_FIRST))

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As ``embed_documents``."""
        return await asyncio.to_thread(self.embed_documents, texts)

    def embed_images(self, images: Sequence[Picture]) -> list[list[float]]:
        """The first Meta Token of each picture as a document: ``dim`` numbers of unit length.

        Args:
            images: paths, ``file:`` or base64 ``data:`` URIs, or PIL pictures. A model without eyes reads them.

        Raises:
            InputError: nothing of these.
            DocumentError: a picture cannot be read.
        """
        return _flat(self.embed_images_multi(images, budget=_FIRST))

    async def aembed_images(self, images: Sequence[Picture]) -> list[list[float]]:
        """As ``embed_images``."""
        return await asyncio.to_thread(self.embed_images, images)

    # -- multi-vector ----------------------------------------------------------------------------------

    def embed_queries_multi(self, texts: list[str], *, budget: BudgetLike = "full") -> FloatArray:
        """The query Meta Tokens of a budget: float32 ``[n, q, dim]``, rows of unit length."""
        return self.model.encode_queries(texts, budget=budget)

    def embed_documents_multi(self, texts: list[str], *, budget: BudgetLike = "full") -> FloatArray:
        """The document Meta Tokens of a budget: float32 ``[n, d, dim]``, rows of unit length."""
        return self.model.encode_documents(texts, budget=budget)

    def embed_images_multi(self, images: Sequence[Picture], *, budget: BudgetLike = "full") -> FloatArray:
        """The document Meta Tokens of pictures, as ``embed_images`` takes them: float32 ``[n, d, dim]``."""
        if isinstance(images, (str, Path)) or not isinstance(images, Sequence):
            raise InputError("embed_images takes a list of pictures, not a single one: wrap it in a list")
        limits = Limits()
        return self.model.encode_documents([open_picture(image, limits) for image in images], budget=budget)

    async def aembed_queries_multi(self, texts: list[str], *, budget: BudgetLike = "full") -> FloatArray:
        """As ``embed_queries_multi``."""
        return await asyncio.to_thread(self.embed_queries_multi, texts, budget=budget)

    async def aembed_documents_multi(self, texts: list[str], *, budget: BudgetLike = "full") -> FloatArray:
        """As ``embed_documents_multi``."""
        return await asyncio.to_thread(self.embed_documents_multi, texts, budget=budget)

    async def aembed_images_multi(self, images: Sequence[Picture], *, budget: BudgetLike = "full") -> FloatArray:
        """As ``embed_images_multi``."""
        return await asyncio.to_thread(self.embed_images_multi, images, budget=budget)

    # -- as configuration ------------------------------------------------------------------------------

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def lc_attributes(self) -> dict[str, Any]:
        return {} if self._named is None else self._named.arguments()

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """The constructor's arguments; "not implemented" for a model that was given loaded, which has no name."""
        return self.to_json_not_implemented() if self._named is None else super().to_json()

    def __repr__(self) -> str:
        return "MetaEmbedEmbeddings(...)" if self._named is None else f"MetaEmbedEmbeddings({str(self._named.name)!r})"


def _flat(vectors: FloatArray) -> list[list[float]]:
    return [[float(value) for value in rows[0]] for rows in vectors]

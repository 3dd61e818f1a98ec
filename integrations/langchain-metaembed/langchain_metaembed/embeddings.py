"""MetaEmbedEmbeddings: the first Meta Token as LangChain's flat embedding, all of them beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from metaembed_rag.budget import LADDER, BudgetLike

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed
    from metaembed_rag.embedding.model import FloatArray
    from metaembed_rag.index import MetaEmbedIndex

#: One Meta Token on each side: the nested training makes it a good embedding by itself.
_FIRST = LADDER[0]

_loading = Lock()


class MetaEmbedEmbeddings(Embeddings):
    """Embeds texts with a MetaEmbed model, which is loaded when first needed.

    LangChain's methods (``embed_query``, ``embed_documents``) give the first Meta Token, a unit vector that serves
    any single-vector store; nothing beyond it is computed. ``embed_queries_multi`` and ``embed_documents_multi``
    give as many Meta Tokens as a budget asks for.

    A document longer than the model's window is cut, with a TruncationWarning: MetaEmbedVectorStore embeds all
    of it.

    Args:
        model: a MetaEmbed, or a name, folder or hub id for ``MetaEmbed.from_pretrained``.
        device: torch device for a model given by name; None lets torch choose.
    """

    def __init__(self, model: str | Path | MetaEmbed = "mini", *, device: str | None = None) -> None:
        self._model: MetaEmbed | None = None
        self._load: Callable[[], MetaEmbed] = (
            partial(_from_pretrained, model, device) if isinstance(model, (str, Path)) else lambda: model
        )

    @classmethod
    def from_index(cls, index: MetaEmbedIndex) -> MetaEmbedEmbeddings:
        """The embeddings of an index's own model, which is not loaded a second time."""
        embeddings = cls()
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

    def embed_query(self, text: str) -> list[float]:
        """The first Meta Token of a query: ``dim`` numbers of unit length."""
        return _flat(self.model.encode_queries([text], budget=_FIRST))[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The first Meta Token of each document: ``dim`` numbers of unit length."""
        return _flat(self.model.encode_documents(texts, budget=_FIRST))

    def embed_queries_multi(self, texts: list[str], *, budget: BudgetLike = "full") -> FloatArray:
        """The query Meta Tokens of a budget: float32 ``[n, q, dim]``, rows of unit length."""
        return self.model.encode_queries(texts, budget=budget)

    def embed_documents_multi(self, texts: list[str], *, budget: BudgetLike = "full") -> FloatArray:
        """The document Meta Tokens of a budget: float32 ``[n, d, dim]``, rows of unit length."""
        return self.model.encode_documents(texts, budget=budget)


def _from_pretrained(name: str | Path, device: str | None) -> MetaEmbed:
    from metaembed_rag import MetaEmbed

    return MetaEmbed.from_pretrained(name, device=device)


def _flat(vectors: FloatArray) -> list[list[float]]:
    return [[float(value) for value in rows[0]] for rows in vectors]

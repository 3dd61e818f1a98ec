"""MetaEmbedEmbedding: the first Meta Token as LlamaIndex's flat embedding."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import ConfigDict, Field, PrivateAttr

from metaembed_rag.budget import LADDER

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed

#: One Meta Token on each side: the nested training makes it a good embedding by itself.
_FIRST = LADDER[0]

_loading = Lock()


class MetaEmbedEmbedding(BaseEmbedding):
    """Embeds texts as the first Meta Token of a MetaEmbed model: a unit vector for any single-vector store.

    Nothing beyond the first Meta Token is computed. A text longer than the model's window is cut, with a
    TruncationWarning; MetaEmbedRetriever stands on pages that are embedded whole, with all Meta Tokens.

    Args:
        model: a MetaEmbed, or a name, folder or hub id for ``MetaEmbed.from_pretrained``; loaded when first needed.
        device: torch device for a model given by name; None lets torch choose.
        **kwargs: fields of BaseEmbedding; unknown ones are refused.
    """

    model_config = ConfigDict(protected_namespaces=("pydantic_model_",), arbitrary_types_allowed=True, extra="forbid")

    device: str | None = Field(default=None, description="The torch device; none lets torch choose.")

    _model: MetaEmbed | None = PrivateAttr(default=None)

    def __init__(self, model: str | Path | MetaEmbed = "mini", *, device: str | None = None, **kwargs: Any) -> None:
        loaded = None if isinstance(model, (str, Path)) else model
        # LlamaIndex rebuilds components from their fields, where the model goes by model_name.
        kwargs.setdefault("model_name", str(model) if loaded is None else loaded.config.name)
        kwargs["device"] = device
        super().__init__(**kwargs)
        self._model = loaded

    @classmethod
    def class_name(cls) -> str:
        return "MetaEmbedEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._flat(self._loaded().encode_queries([query], budget=_FIRST))[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._flat(self._loaded().encode_documents(texts, budget=_FIRST))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    def _loaded(self) -> MetaEmbed:
        with _loading:
            if self._model is None:
                from metaembed_rag import MetaEmbed

                self._model = MetaEmbed.from_pretrained(self.model_name, device=self.device)
            return self._model

    @staticmethod
    def _flat(vectors: Any) -> list[list[float]]:
        return [[float(value) for value in rows[0]] for rows in vectors]

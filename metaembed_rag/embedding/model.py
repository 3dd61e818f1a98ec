"""MetaEmbed: texts, pictures and pages in, nested Meta Token vectors out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import Budget, BudgetLike
from metaembed_rag.embedding.build import parts
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.dtypes import Dtype
from metaembed_rag.embedding.inputs import Document, Query, check_list, check_sample, read_text
from metaembed_rag.embedding.load import PRETRAINED, load_model
from metaembed_rag.embedding.publish import Publishable
from metaembed_rag.embedding.threads import few_threads
from metaembed_rag.embedding.tokens import MetaTokenInput
from metaembed_rag.embedding.vision import MetaTokenVisionTransformer
from metaembed_rag.embedding.windows import Window, cut_windows
from metaembed_rag.errors import BudgetError, ModelError
from metaembed_rag.scoring import maxsim

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

__all__ = ["PRETRAINED", "Document", "FloatArray", "MetaEmbed", "Query", "TruncationWarning"]

FloatArray: TypeAlias = npt.NDArray[np.float32]


class TruncationWarning(UserWarning):
    """A document was longer than the model's window, and one embedding was asked for."""


class MetaEmbed(Publishable):
    """A backbone with learnable Meta Tokens whose last-layer states are a nested multi-vector embedding.

    Any prefix of the rows is itself a good, cheaper embedding (arXiv 2509.18095). Make one with
    ``MetaEmbed.from_pretrained``. Methods may be called from several threads; they take turns.

    Attributes:
        config: the model's config.
        encoder: the sentence-transformers MultiVectorEncoder underneath.
        fingerprint: changes whenever the embeddings would.
        folder: where its files lie; None for an encoder that was never saved.
        document_fingerprint: changes whenever embeddings of documents would, and not with a query adapter: an index
            stays good for every model that has its own.
    """

    def __init__(
        self,
        config: ModelConfig,
        encoder: MultiVectorEncoder,
        fingerprint: str,
        folder: Path | None = None,
        document_fingerprint: str | None = None,
    ) -> None:
        self.config = config
        self.encoder = encoder
        self.fingerprint = fingerprint
        self.folder = folder
        self.document_fingerprint = document_fingerprint or fingerprint
        self._lock = RLock()

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mini",
        *,
        device: str | None = None,
        dtype: Dtype | None = None,
        layout: Literal["prepended"] | None = None,
    ) -> MetaEmbed:
        """Load a model.

        Folders and hub models are read as data: pickled weights, and classes from outside, are refused.

        Args:
            name: a model that comes with the package ("mini"), a model folder, or a hub id.
            device: torch device; None lets torch choose.
            dtype: in which the backbone computes; None keeps the checkpoint's own. "bfloat16" embeds documents in
                little more than half the time on processors that have it, with vectors that rank alike.
            layout: "prepended" reads a sentence-transformers folder whose learned vectors stand ahead of the
                text, even where that folder names a class of its own (which is not run); see
                ``metaembed_rag.embedding.prepended``.

        Raises:
            ModelError: no such model, its files are damaged, or it holds more than data.
            InputError: no such dtype or device.
        """
        return cls(*load_model(name, device=device, dtype=dtype, layout=layout))

    def __repr__(self) -> str:
        return (
            f"MetaEmbed({self.config.name!r}, query_tokens={self.query_tokens}, "
            f"document_tokens={self.document_tokens}, dim={self.dim})"
        )

    @property
    def dim(self) -> int:
        """Width of each vector."""
        return parts(self.encoder)[1].get_embedding_dimension()

    @property
    def query_tokens(self) -> int:
        """Query Meta Tokens at the full budget."""
        return self.config.query_tokens

    @property
    def document_tokens(self) -> int:
        """Document Meta Tokens at the full budget."""
        return self.config.document_tokens

    @property
    def sees(self) -> bool:
        """Whether pictures are looked at, rather than read by character recognition."""
        return isinstance(self._input, MetaTokenVisionTransformer)

    def encode_queries(
        self, queries: Sequence[Query], *, budget: BudgetLike | None = None, batch_size: int = 32
    ) -> FloatArray:
        """Embed queries.

        With a budget only its query Meta Tokens are appended and computed. The rows equal the first rows
        of the full embedding (1e-5): Meta Tokens attend to the text and to earlier Meta Tokens, never to
        later ones, on bidirectional backbones as on causal ones.

        Args:
            queries: texts, PIL pictures, or mappings with "text", "image" or both. A text longer than the window
                is cut, with a TruncationWarning.
            budget: as in ``Budget.parse``; None is the full one.
            batch_size: queries a forward pass.

        Returns:
            float32 ``[n, q, dim]``, rows of unit length.

        Raises:
            InputError: something else, a query without text and image, or a picture that cannot be decoded.
        """
        items = self._read(check_list(queries, "encode_queries"), "a query")
        count = self.query_tokens if budget is None else min(Budget.parse(budget).query, self.query_tokens)
        self._warn_if_cut(items, "query")
        return self._encode(items, "query", count, batch_size)

    def encode_documents(
        self, documents: Sequence[Document], *, budget: BudgetLike | None = None, batch_size: int = 32
    ) -> FloatArray:
        """Embed documents: one embedding each.

        Args:
            documents: texts (a string is always text), PIL pictures, Pages, or mappings with "text", "image" or
                both. A backbone that sees looks at pictures, and at Pages that can be drawn; a text backbone
                reads pictures through OCR, and of a Page its text. A text longer than the window is cut, with a
                TruncationWarning: use ``windows`` first, as MetaEmbedIndex does, to embed all of it.
            budget: as in ``Budget.parse``; None is the full one.
            batch_size: documents a forward pass.

        Returns:
            float32 ``[n, d, dim]``, rows of unit length.

        Raises:
            InputError: something else, a document without text and image, or a picture that cannot be decoded.
        """
        items = self._read(check_list(documents, "encode_documents"), "a document")
        count = self.document_tokens if budget is None else min(Budget.parse(budget).document, self.document_tokens)
        self._warn_if_cut(items, "document")
        return self._encode(items, "document", count, batch_size)

    def score(self, queries: FloatArray, documents: FloatArray, *, budget: BudgetLike | None = None) -> FloatArray:
        """MaxSim of every query with every document: its sum or, where the config says so, mean over query tokens.

        Args:
            queries: ``[n, q, dim]`` from ``encode_queries``.
            documents: ``[m, d, dim]`` from ``encode_documents``.
            budget: uses the leading rows only; None uses all rows given.

        Returns:
            float32 ``[n, m]``.

        Raises:
            BudgetError: the arrays have fewer rows than the budget asks for.
        """
        if budget is not None:
            wanted = Budget.parse(budget)
            if queries.shape[1] < wanted.query or documents.shape[1] < wanted.document:
                raise BudgetError(
                    f"budget {wanted} needs more rows than the embeddings have "
                    f"({queries.shape[1]},{documents.shape[1]}): encode them with at least this budget"
                )
            queries, documents = queries[:, : wanted.query], documents[:, : wanted.document]
        scores = maxsim(queries, documents)
        return scores / np.float32(queries.shape[1]) if self.config.similarity == "mean" else scores

    def windows(self, text: str) -> list[Window]:
        """The parts of ``text`` that the backbone reads one at a time; together they cover all of it."""
        with self._lock:
            return self._windows(text, 0)

    def _windows(self, text: str, start: int) -> list[Window]:
        parts = cut_windows(text, self._input.offsets(text), self._capacity("document"))
        if len(parts) == 1:
            return [Window(text, (start, start + len(text)))]
        # Each part is measured by itself: one that begins inside a word may take more tokens than it did there.
        return [window for part in parts for window in self._windows(part.text, start + part.span[0])]

    @property
    def _input(self) -> MetaTokenInput:
        return parts(self.encoder)[0]

    def _capacity(self, task: str) -> int:
        prompt = self._prompt(task)
        return self._input.capacity(task) - (len(self._input.offsets(prompt)) if prompt else 0)

    def _prompt(self, task: str) -> str:
        return self.config.query_prompt if task == "query" else self.config.document_prompt

    def _read(self, items: list[Any], what: str) -> list[Any]:
        """Checked inputs. Of a backbone that sees, pictures are decoded and pages drawn a batch at a time, later."""
        if not self.sees:
            return [read_text(item, what) for item in items]
        for item in items:
            check_sample(item, what)
        return items

    def _encode(self, items: list[Any], task: str, count: int, batch_size: int) -> FloatArray:
        if not items:
            return np.empty((0, count, self.dim), dtype=np.float32)
        one_query = task == "query" and len(items) == 1
        with self._lock, few_threads() if one_query else nullcontext():
            rows: Sequence[FloatArray] = self.encoder.encode(
                items,
                task=task,
                prompt=self._prompt(task) or None,
                budget=count,
                batch_size=batch_size,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        embeddings = cast("FloatArray", np.stack(rows).astype(np.float32, copy=False))
        if not np.isfinite(embeddings).all():
            raise ModelError(f"{self!r} produced values that are not finite; its weights are damaged")
        return embeddings

    def _warn_if_cut(self, items: Sequence[Any], task: str) -> None:
        # A token takes a character at least, so short texts need no second tokenisation.
        texts = [check_sample(item, "an input") for item in items]
        with self._lock:
            capacity = self._capacity(task)
            cut = [text for text in texts if len(text) > capacity and len(self._input.offsets(text)) > capacity]
        if cut:
            warnings.warn(
                f"{len(cut)} of {len(texts)} texts are longer than the window of {self.config.window} tokens and "
                "were cut; MetaEmbed.windows splits them so that nothing is lost",
                TruncationWarning,
                stacklevel=3,
            )

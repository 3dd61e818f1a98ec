"""MtebModel: a MetaEmbed at a budget, as mteb evaluates models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import Budget, BudgetLike
from metaembed_rag.errors import InputError, MissingDependencyError
from metaembed_rag.scoring import page_maxsim

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed

FloatArray = npt.NDArray[np.float32]

#: Documents embedded and scored at a time: bounds memory, 34 MB of vectors for pages of one window at the full budget.
DOCUMENTS_AT_ONCE = 1024

_INSTALL = 'evaluating with mteb needs it: pip install "metaembed-rag[evaluation]"'


class MtebModel:
    """A model for ``mteb.evaluate``: retrieval and reranking tasks of texts, pictures or both.

    It implements mteb's SearchProtocol and ranks as an index does: exact MaxSim at one budget over all windows of a
    document. Pictures are looked at by backbones that see and read by character recognition otherwise.

    Args:
        model: what to evaluate.
        budget: as in ``Budget.parse``. It is part of the model's name in mteb's results, so that budgets do not
            overwrite each other's.

    Raises:
        BudgetError: the budget is malformed.
        MissingDependencyError: mteb is not installed.
    """

    def __init__(self, model: MetaEmbed, budget: BudgetLike = "full") -> None:
        self.model = model
        self.budget = Budget.parse(budget)
        self.mteb_model_meta = describe_model(model, self.budget)
        self._corpus: Any = None

    def index(self, corpus: Any, **reserved: Any) -> None:
        """Take the corpus: rows of "id" and "text", "title" or "image". Called by mteb."""
        self._corpus = corpus

    def search(
        self,
        queries: Any,
        *,
        top_k: int,
        encode_kwargs: Mapping[str, Any] | None = None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **reserved: Any,
    ) -> dict[str, dict[str, float]]:
        """Rank the corpus for every query. Called by mteb.

        Args:
            queries: rows of "id" and "text" (with "instruction" where there is one), "image" or both.
            top_k: documents a query.
            encode_kwargs: ``batch_size`` counts.
            top_ranked: only these documents are ranked for a query, as reranking tasks ask.
            reserved: what else mteb says about the task.

        Returns:
            scores by document id, by query id.

        Raises:
            InputError: there was no corpus, or a row has neither text nor picture.
        """
        if self._corpus is None:
            raise InputError("mteb gives the corpus by index() before it searches: call index(corpus) first")
        size = int((encode_kwargs or {}).get("batch_size", 32))
        names = [str(name) for name in queries["id"]]
        rows = self._embed_queries(queries, size)
        found: list[dict[str, float]] = [{} for _ in names]
        for ids, vectors, starts in self._corpus_parts(size):
            scores = page_maxsim(rows, vectors, starts)
            for name, held, row in zip(names, found, scores, strict=True):
                places = _wanted(ids, None if top_ranked is None else top_ranked.get(name, ()))
                best = places[np.argsort(-row[places], kind="stable")[:top_k]]
                held.update((ids[place], float(row[place])) for place in best)
        return {name: _first(held, top_k) for name, held in zip(names, found, strict=True)}

    # -- inside ----------------------------------------------------------------------------------------

    def _embed_queries(self, queries: Any, size: int) -> FloatArray:
        items = [as_item(row, "query") for row in queries]
        return self.model.encode_queries(items, budget=self.budget, batch_size=size)

    def _corpus_parts(self, size: int) -> Iterator[tuple[list[str], FloatArray, npt.NDArray[np.int64]]]:
        """Ids of some documents, the vectors of all their windows, and at which window each document starts."""
        for begin in range(0, len(self._corpus), DOCUMENTS_AT_ONCE):
            block = self._corpus.select(range(begin, min(begin + DOCUMENTS_AT_ONCE, len(self._corpus))))
            ids: list[str] = []
            parts: list[Any] = []
            starts: list[int] = []
            for row in block:
                ids.append(str(row["id"]))
                starts.append(len(parts))
                parts += self._parts(as_item(row, "document"))
            vectors = self.model.encode_documents(parts, budget=self.budget, batch_size=size)
            yield ids, vectors, np.asarray(starts, dtype=np.int64)

    def _parts(self, item: Any) -> list[Any]:
        if not isinstance(item, str):
            if getattr(self.model, "sees", False):
                return [item]
            item = _read_picture(item)
        return [window.text for window in self.model.windows(item)]


def describe_model(model: MetaEmbed, budget: Budget) -> Any:
    """What mteb records: name, fingerprint as revision, and the budget as an experiment of its own.

    Raises:
        MissingDependencyError: mteb is not installed.
    """
    try:
        from mteb.models import ModelMeta
    except ImportError as error:
        raise MissingDependencyError(_INSTALL) from error
    return ModelMeta.create_empty(
        overwrites={
            "name": f"metaembed-rag/{model.config.name}",
            "revision": model.fingerprint,
            "embed_dim": model.dim,
            "similarity_fn_name": "MaxSim",
            "model_type": ["late-interaction"],
            "modalities": ["text", "image"],
            "framework": ["Sentence Transformers", "PyTorch"],
            "experiment_kwargs": {"budget": f"{budget.query}-{budget.document}"},
        }
    )


def as_item(row: Mapping[str, Any], what: str) -> Any:
    """A row of an mteb corpus or query set as ``MetaEmbed`` takes it: a text, a picture, or a mapping of both.

    Args:
        row: "text", "title", "instruction" and "image" count.
        what: "query" or "document", for messages.

    Raises:
        InputError: neither text nor picture, or a conversation instead of a text.
    """
    pieces = [row.get("title"), row.get("text")] if what == "document" else [row.get("text"), row.get("instruction")]
    if not all(piece is None or isinstance(piece, str) for piece in pieces):
        raise InputError(f"the {what} {row.get('id')!r} is a conversation; give tasks whose {what} is one text")
    text = " ".join(piece.strip() for piece in pieces if piece and piece.strip())
    picture = row.get("image")
    if picture is None:
        if not text and what == "query":
            raise InputError(f"the query {row.get('id')!r} has neither text nor image")
        return text
    return {"text": text, "image": picture} if text else picture


def _read_picture(item: Any) -> str:
    from metaembed_rag.pages.ocr import shared_reader

    text, picture = (item["text"], item["image"]) if isinstance(item, Mapping) else ("", item)
    return f"{text}\n{shared_reader().read(picture)[0]}".strip()


def _wanted(ids: Sequence[str], chosen: Sequence[str] | None) -> npt.NDArray[np.int64]:
    if chosen is None:
        return np.arange(len(ids))
    among = set(chosen)
    return np.asarray([place for place, name in enumerate(ids) if name in among], dtype=np.int64)


def _first(scores: Mapping[str, float], top_k: int) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:top_k])

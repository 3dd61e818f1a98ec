"""What an index must hold, as a dictionary, and what a search of it must find, by the shortest way there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from metaembed_rag import Budget, Hit, MetaEmbed, Page
from metaembed_rag.ingest import page_id

FloatArray = npt.NDArray[np.float32]
Predicate = Callable[["Entry"], bool]

#: How far a score of the index may be from the one computed here.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Entry:
    """A page as it was given."""

    id: str
    document: str
    source: str
    page: int
    text: str
    metadata: Mapping[str, Any]

    def is_like(self, hit: Hit) -> bool:
        mine = (self.id, self.source, self.page, self.text, dict(self.metadata))
        return mine == (hit.id, hit.source, hit.page, hit.text, dict(hit.metadata))


@dataclass
class Dictionary:
    """Pages by id; the methods do what the index's methods of the same name promise."""

    model: MetaEmbed
    pages: dict[str, Entry] = field(default_factory=dict)
    _vectors: dict[str, FloatArray] = field(default_factory=dict)

    def add_texts(self, texts: Sequence[str], ids: Sequence[str], metadatas: Sequence[Mapping[str, Any]]) -> None:
        for text, identifier, metadata in zip(texts, ids, metadatas, strict=True):
            source = str(metadata.get("source", identifier))
            self._replace(f"text {identifier}", [Entry(identifier, f"text {identifier}", source, 1, text, metadata)])

    def add(self, pages: Iterable[Page]) -> None:
        by_source: dict[str, list[Entry]] = {}
        for page in pages:
            entry = Entry(
                page_id(page.source, page.number), page.source, page.source, page.number, page.text, page.metadata
            )
            by_source.setdefault(page.source, []).append(entry)
        for source, entries in by_source.items():
            self._replace(source, entries)

    def delete(self, ids: Sequence[str] | None = None, source: str | None = None) -> int:
        gone = [key for key, entry in self.pages.items() if key in (ids or ()) or entry.source == source]
        for key in gone:
            del self.pages[key]
        return len(gone)

    def matching(self, predicate: Predicate) -> list[Entry]:
        return [entry for entry in self.pages.values() if predicate(entry)]

    def score(self, query: str, budget: Budget, text: str) -> float:
        """MaxSim of a page, all of its windows together."""
        rows = self.model.encode_queries([query])[0][: budget.query]
        if text not in self._vectors:
            self._vectors[text] = self.model.encode_documents([window.text for window in self.model.windows(text)])
        windows = self._vectors[text][:, : budget.document]
        return float(np.einsum("qd,wkd->wqk", rows, windows).max(axis=(0, 2)).sum())

    def check_hits(self, hits: Sequence[Hit], query: str, budget: Budget, top_k: int, predicate: Predicate) -> None:
        """AssertionError unless ``hits`` are the best matching pages, in order, each as it was given."""
        scores = {entry.id: self.score(query, budget, entry.text) for entry in self.matching(predicate)}
        best = sorted(scores.values(), reverse=True)[:top_k]
        assert len({hit.id for hit in hits}) == len(hits) == len(best), f"{len(hits)} hits, not {len(best)}"
        for hit, right in zip(hits, best, strict=True):
            assert hit.id in scores, f"{hit.id} does not match the filter, or is gone"
            assert self.pages[hit.id].is_like(hit), f"{hit} is not {self.pages[hit.id]}"
            assert abs(hit.score - scores[hit.id]) < TOLERANCE, f"{hit.id} scores {hit.score}, not {scores[hit.id]}"
            assert abs(hit.score - right) < TOLERANCE, f"a score of {hit.score} stands where {right} should"

    def _replace(self, document: str, entries: Sequence[Entry]) -> None:
        self.pages = {key: entry for key, entry in self.pages.items() if entry.document != document}
        self.pages.update((entry.id, entry) for entry in entries)

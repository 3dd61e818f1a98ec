"""Fewer or more Meta Tokens in an index that exists.

Narrowing names the wider groups as ``dropping`` in the index record, which ends every search by them, drops their
vectors and clears the name. Widening makes the new vectors empty, names their groups as ``building``, so that whatever
is written from then on gets them, gives them to the points that lack them, a batch at a time, and at last names
them as searchable. At every moment a search uses only groups that every point has. A process killed in between leaves
names in the record; an embedded index takes a drop up when it is opened, and ``resize`` goes on from where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from metaembed_rag.errors import BudgetError, IndexNotFoundError, StoreError
from metaembed_rag.store.engine import FloatArray
from metaembed_rag.store.filters import Filter, HasVector, match
from metaembed_rag.store.merging import WINDOWS_TOGETHER
from metaembed_rag.store.schema import GROUPS, vector_name, window_id

if TYPE_CHECKING:
    from metaembed_rag.store.store import Store

#: Windows read, embedded and written at once.
_WINDOWS_AT_ONCE = 128
#: Cosine of a first token embedded again to the stored one, below which it was not made from the stored text by
#: this model. Other batches and the storage precision move it by less than 0.01.
_SAME_TOKEN = 0.98
_EXAMPLES = 3

_FIELDS = ("tenant", "document", "version", "source", "id", "page", "window", "windows", "span", "route")


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """A window as it was stored, to be embedded again.

    Attributes:
        source: the document.
        page: the page's number, from 1.
        text: of the window.
        route: how the text was obtained.
    """

    source: str
    page: int
    text: str
    route: str


#: Embeds windows: float32 ``[windows, document tokens, dim]``.
Encode = Callable[[Sequence[StoredWindow]], FloatArray]
#: Told after each batch how many windows were embedded, of how many.
Report = Callable[[int, int], None]


def groups_up_to(document_tokens: int) -> tuple[int, ...]:
    """The groups of an index that stores ``document_tokens``.

    Raises:
        BudgetError: no rung of the ladder has so many.
    """
    if isinstance(document_tokens, bool) or document_tokens not in GROUPS:
        rungs = ", ".join(str(group) for group in GROUPS)
        raise BudgetError(f"document_tokens={document_tokens!r}: an index stores up to one of {rungs} Meta Tokens")
    return tuple(group for group in GROUPS if group <= document_tokens)


def resize(store: Store, document_tokens: int, encode: Encode, report: Report = lambda done, total: None) -> int:
    """Store up to ``document_tokens`` of every window.

    Args:
        store: of every tenant, because named vectors belong to the whole collection.
        document_tokens: one of ``GROUPS``.
        encode: embeds windows again; not called for a narrower index.
        report: progress.

    Returns:
        how many windows were embedded again.

    Raises:
        BudgetError: there is no such group.
        IndexNotFoundError: nothing was ever written.
        StoreError: vectors cannot be made from the stored text, since they came from elsewhere.
    """
    wanted = groups_up_to(document_tokens)
    if not store.exists:
        raise IndexNotFoundError("there is nothing to resize: index documents first")
    with store.changing_schema():
        schema = store.known_schema
        gone = [group for group in schema.written if group not in wanted]
        kept = replace(
            schema,
            groups=tuple(group for group in schema.groups if group in wanted),
            building=tuple(group for group in schema.building if group in wanted),
        )
        if gone:
            store.save_schema(kept, dropping=gone)
        finish_drop(store)
        missing = tuple(group for group in wanted if group not in kept.groups)
        if not missing:
            return 0
        growing = replace(kept, building=missing)
        store.engine_call(lambda engine: engine.create_vectors(growing, missing))
        store.save_schema(growing)
    return _fill(store, missing, encode, report)


def finish_drop(store: Store) -> None:
    """Drop the vectors that the index record names as going; the schema is locked."""
    gone = store.dropping
    if gone:
        store.engine_call(lambda engine: engine.drop_vectors(gone))
        store.save_schema(store.known_schema)


def _fill(store: Store, groups: Sequence[int], encode: Encode, report: Report) -> int:
    lacking = Filter(should=tuple(Filter(must_not=(HasVector(vector_name(group)),)) for group in groups))
    lacking = match("kind", "page") & lacking
    done = 0
    filled: set[str] = set()
    while True:
        total = store.engine_call(lambda engine: engine.count(lacking))
        total += done
        report(done, total)
        before, strange = done, list[str]()
        for batch in _batches(store, lacking):
            # A scroll reads ahead: a window that it names may have been given its vectors with a neighbour.
            fresh = [window for window in batch if window[0] not in filled]
            given = _fill_batch(store, groups, fresh, encode, strange) if fresh else ()
            done += len(given)
            if store.known_schema.page_vectors is not None:
                filled.update(given)
            report(done, max(done, total))
        if strange:
            examples = ", ".join(sorted(strange)[:_EXAMPLES])
            raise StoreError(
                f"{len(strange)} windows hold vectors that this model does not make from their text (of {examples}): "
                "add or delete these documents, then resize again; until then narrower budgets answer"
            )
        with store.changing_schema():
            # No writer is at work now, so a count of nothing stays nothing.
            if store.engine_call(lambda engine: engine.count(lacking)) == 0:
                schema = store.known_schema
                if set(schema.building) != set(groups):
                    raise StoreError("the index was resized by somebody else meanwhile; look at info(), then try again")
                store.save_schema(replace(schema, groups=schema.written, building=()))
                return done
        if done == before:
            raise StoreError("some windows could not be given their vectors; resize again")


def _batches(store: Store, lacking: Filter) -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    found: Iterator[tuple[str, Mapping[str, Any]]] | None = None
    while True:

        def take(engine: Any) -> list[tuple[str, Mapping[str, Any]]]:
            nonlocal found
            found = found or engine.scroll(lacking, _FIELDS)
            return list(islice(found, _WINDOWS_AT_ONCE))

        batch = store.engine_call(take)
        if not batch:
            return
        yield batch


def _fill_batch(
    store: Store,
    groups: Sequence[int],
    batch: Sequence[tuple[str, Mapping[str, Any]]],
    encode: Encode,
    strange: list[str],
) -> Sequence[str]:
    """Give windows their vectors, and those neighbours that are merged with them; returns whose they were."""
    together = _neighbours(store, batch)
    homes = {identifier: _window_id(payload, 0) for members in together for identifier, payload in members}
    first = vector_name(1)
    texts = store.engine_call(lambda engine: engine.retrieve(list(set(homes.values()))))
    stored = store.engine_call(lambda engine: engine.vectors(list(homes), [first]))
    # A page that was replaced or deleted while this ran is of no concern any more.
    together = [
        members
        for members in together
        if all(homes[key] in texts and first in stored.get(key, {}) for key, _ in members)
    ]
    known = [window for members in together for window in members]
    if not known:
        return ()
    windows = [
        StoredWindow(
            payload["source"], payload["page"], _cut(texts[homes[key]]["text"], payload["span"]), payload["route"]
        )
        for key, payload in known
    ]
    made = dict(zip((key for key, _ in known), encode(windows), strict=True))
    rows: dict[str, Mapping[str, FloatArray]] = {}
    for members in together:
        keys, payload = [key for key, _ in members], members[0][1]
        others = sum(_cosine(made[key][0], stored[key][first][0]) < _SAME_TOKEN for key in keys)
        if others:
            strange += [f"page {payload['page']} of {payload['source']}"] * others
            continue
        embeddings = np.stack([made[key] for key in keys])
        rows.update(zip(keys, store.known_schema.named(embeddings, groups, _windows(payload)), strict=True))
    with store.changing_schema():
        present = store.engine_call(lambda engine: engine.retrieve(list(rows)))
        left = {key: named for key, named in rows.items() if key in present}
        for chunk in _by_bytes(store, groups, left):
            store.update_vectors(chunk)
    return list(left)


def _neighbours(
    store: Store, batch: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[list[tuple[str, Mapping[str, Any]]]]:
    """The windows of a batch, each with those that its vectors are merged with."""
    if store.known_schema.page_vectors is None:
        return [[window] for window in batch]
    wanted: dict[tuple[str, ...], None] = {}
    for _, payload in batch:
        start = payload["window"] // WINDOWS_TOGETHER * WINDOWS_TOGETHER
        end = min(start + WINDOWS_TOGETHER, _windows(payload))
        wanted[tuple(_window_id(payload, window) for window in range(start, end))] = None
    found = store.engine_call(lambda engine: engine.retrieve([key for keys in wanted for key in keys]))
    # A page of which some windows are gone was replaced or deleted while this ran.
    return [[(key, found[key]) for key in keys] for keys in wanted if all(key in found for key in keys)]


def _window_id(payload: Mapping[str, Any], window: int) -> str:
    """The engine's id of a window of the page that ``payload`` is of."""
    return window_id(payload["document"], payload["version"], payload["id"], window, payload.get("tenant"))


def _by_bytes(
    store: Store, groups: Sequence[int], rows: Mapping[str, Mapping[str, FloatArray]]
) -> Iterator[dict[str, Mapping[str, FloatArray]]]:
    at_once = max(1, store.batch_bytes // (sum(groups) * store.known_schema.dim * 4))
    keys = list(rows)
    for start in range(0, len(keys), at_once):
        yield {key: rows[key] for key in keys[start : start + at_once]}


def _cut(text: str, span: Sequence[int]) -> str:
    return text[span[0] : span[1]]


def _windows(payload: Mapping[str, Any]) -> int:
    """How many windows a page has; 1 where none share a bound, and it was not kept."""
    windows = payload.get("windows", 1)
    if isinstance(windows, bool) or not isinstance(windows, int) or windows < 1:
        raise StoreError(
            f"page {payload['page']} of {payload['source']} says that it has {windows!r} windows: it is damaged; add "
            "the document again, then resize again"
        )
    return windows


def _cosine(left: FloatArray, right: FloatArray) -> float:
    return float(left @ right / max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-12))

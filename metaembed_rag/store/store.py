"""Store: documents over an engine, with a commit protocol under which nothing is ever half visible.

A document is a set of page points and one record point. Writing version v of a document:

1. its points are written with ``state = pending``: no search sees them;
2. its record is written, naming v: one point, so this is the moment of commit on every engine;
3. its points become ``visible``, in one call;
4. points of other versions are deleted, and
5. the record is marked complete (3 to 5 under one lock, so readers in this process see one version).

An embedded engine belongs to one process. Killed before 2, it leaves pending points that no record names: they are
deleted. Killed after 2, the rest is done again. Both happen when the index is next opened, if its ``dirty`` mark says a
writer did not finish; a clean index opens without a scan. Deleting removes records first, so it completes the same way.

A server has many clients, and a pending point may be another one's work in progress. So a client undoes only what it
wrote itself; what a killed one left stays invisible until its document is added again, which does not count as
unchanged before its record is complete. Between 3 and 4 other clients may find pages of both versions, each page once.
One client at a time may write a document.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from metaembed_rag.errors import IndexClosedError, IndexMismatchError
from metaembed_rag.store.documents import Known, WriteDocument, Written, window_id
from metaembed_rag.store.engine import Engine, FloatArray, Point, Scored, Stage
from metaembed_rag.store.filters import Filter, Match, match
from metaembed_rag.store.schema import (
    INDEX_POINT,
    PENDING,
    SCHEMA_VERSION,
    VISIBLE,
    Schema,
    record_id,
    vector_name,
)

#: Pages committed at once when many small documents are written.
_COMMIT_POINTS = 256
#: Ids in one call: keeps messages small on a server.
_IDS_AT_ONCE = 1000
#: One part in so many of the points must have changed before the engine is asked to rewrite them.
_SETTLE_SHARE = 4

_VISIBLE = match("state", VISIBLE)
_PAGES = match("kind", "page")
_RECORDS = match("kind", "document")
_FIRST_WINDOWS = Filter(must=(Match("window", (0,)),))


class Store:
    """See the module docstring. One writer at a time; readers may overlap with it.

    Raises:
        IndexMismatchError: the collection is of another schema version.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closed = False
        self._write_lock = threading.RLock()
        # An engine that takes one call at a time is locked for each; a server is not.
        self._call_lock = threading.RLock()
        self.schema: Schema | None = None
        self._model: tuple[str, str] | None = None
        self._points: int | None = None
        self._changed = 0
        if engine.exists():
            try:
                self._open()
            except BaseException:
                engine.close()
                raise

    # -- life ------------------------------------------------------------------------------------------

    @property
    def engine_name(self) -> str:
        """The engine, for people."""
        return self._engine.name

    @property
    def concurrent(self) -> bool:
        """Whether calls from several threads overlap."""
        return self._engine.concurrent

    @property
    def exists(self) -> bool:
        """Whether anything was ever written."""
        self._check_open()
        return self.schema is not None

    def create(self, schema: Schema, *, model: str, model_name: str) -> None:
        """Make the collection for a model."""
        self._check_open()
        with self._calling():
            content = {
                "kind": "index",
                "schema": SCHEMA_VERSION,
                "dim": schema.dim,
                "groups": list(schema.groups),
                "model": model,
                "model_name": model_name,
                "dirty": False,
            }
            self._engine.create(schema, Point(INDEX_POINT, {}, content))
        self.schema, self._model, self._points = schema, (model, model_name), 0

    def check_model(self, fingerprint: str, name: str) -> None:
        """Refuse a model whose vectors cannot be compared with the stored ones.

        Raises:
            IndexMismatchError: the index was made by another model.
        """
        self._check_open()
        if self._model is not None and self._model[0] != fingerprint:
            raise IndexMismatchError(
                f"this index was made by model {self._model[1]!r} ({self._model[0]}), not by {name!r} "
                f"({fingerprint}): open it with that model, or index the documents anew"
            )

    def close(self) -> None:
        """Write everything to disk; idempotent."""
        if not self._closed:
            self._closed = True
            with self._call_lock:
                self._engine.close()

    # -- writing ---------------------------------------------------------------------------------------

    def write(self, documents: Iterable[WriteDocument]) -> None:
        """Write documents, each visible from one moment on and replacing an older version at that moment.

        Small documents are committed in groups. An error, from the engine or from a document's generator,
        leaves the documents that were not committed invisible and removes their points.
        """
        with self._writing() as pending:
            batch: list[Point] = []
            size = 0
            for document in documents:
                written = Written(document, uuid.uuid4().hex)
                pending.append(written)
                for point in document.points:
                    made = written.make_point(point, self._schema)
                    batch.append(made)
                    size += self._schema.bytes_per_point + len(made.payload.get("text", ""))
                    if size >= self._engine.batch_bytes:
                        self._upsert(batch)
                        batch, size = [], 0
                if sum(len(entry.points) for entry in pending) >= _COMMIT_POINTS:
                    self._commit(pending, batch)
                    pending.clear()
                    batch, size = [], 0
            self._commit(pending, batch)
            pending.clear()

    def delete_source(self, source: str) -> int:
        """Delete every document of a source; returns the pages deleted."""
        self._check_open()
        if not self.exists:
            return 0
        with self._writing():
            mine = match("source", source)
            with self._calling():
                pages = [payload["id"] for _, payload in self._engine.scroll(_VISIBLE & mine, ["id"])]
                self._engine.delete(_RECORDS & mine)
                self._engine.delete(_PAGES & mine)
            self._changed += len(pages)
            return len(set(pages))

    def delete_pages(self, ids: Sequence[str]) -> int:
        """Delete pages by id; returns how many there were.

        A document that loses some of its pages forgets its digest, so that adding it again restores them.
        """
        self._check_open()
        if not self.exists or not ids:
            return 0
        with self._writing(), self._calling():
            found: dict[str, set[str]] = {}
            points: list[str] = []
            for chunk in _chunks(list(dict.fromkeys(ids))):
                for identifier, payload in self._engine.scroll(_VISIBLE & match("id", *chunk), ["id", "document"]):
                    points.append(identifier)
                    found.setdefault(payload["document"], set()).add(payload["id"])
            self._forget_pages(found)
            for chunk in _chunks(points):
                self._engine.delete_ids(chunk)
            self._changed += len(points)
            return sum(len(pages) for pages in found.values())

    def settle(self) -> None:
        """Let the engine build graphs and reclaim space, once enough has changed since it last did.

        It may rewrite all it holds. Waiting until a quarter has changed keeps that in proportion to what was written,
        however small the writes; until then the newest points are scanned.
        """
        self._check_open()
        with self._write_lock:
            if self._changed and self._changed * _SETTLE_SHARE >= self.points:
                with self._calling():
                    self._engine.optimize()
                self._changed = 0

    # -- reading ---------------------------------------------------------------------------------------

    def digests(self, documents: Sequence[str]) -> dict[str, Known]:
        """What is known of documents; unknown ones are absent."""
        self._check_open()
        if not self.exists:
            return {}
        known: dict[str, Known] = {}
        for chunk in _chunks(list(documents)):
            with self._calling():
                records = self._engine.retrieve([record_id(document) for document in chunk])
            for record in records.values():
                if not record["complete"]:
                    continue
                known[record["document"]] = Known(record["digest"], record["version"], tuple(record["page_ids"]))
        return known

    def search(self, stages: Sequence[Stage], filter: Filter, limit: int) -> list[Scored]:
        """The best points, at most one a page, best first; ties in the order of their ids.

        Args:
            stages: from ``build_stages``.
            filter: applied in every stage, together with visibility.
            limit: pages at most.
        """
        self._check_open()
        condition = _VISIBLE & filter
        # Pages may have several windows: ask for as many points as that many pages have on average and some.
        wanted = limit + 8
        while True:
            with self._calling():
                found = self._engine.query(stages, condition, wanted)
                best = _best_per_page(found)
                if len(best) >= limit or len(found) < wanted:
                    return self._with_texts(best[:limit])
            wanted *= 2

    def _with_texts(self, found: Sequence[Scored]) -> list[Scored]:
        """Fetch the text of pages that were found by a later window: the first one carries it."""
        homes = {
            scored.id: window_id(scored.payload["document"], scored.payload["version"], scored.payload["id"], 0)
            for scored in found
            if "text" not in scored.payload
        }
        if not homes:
            return list(found)
        texts = self._engine.retrieve(list(set(homes.values())))
        completed = []
        for scored in found:
            home = homes.get(scored.id)
            if home is None:
                completed.append(scored)
            elif home in texts:  # else the page was replaced while this search ran, which a server allows
                completed.append(Scored(scored.id, scored.score, {**scored.payload, "text": texts[home]["text"]}))
        return completed

    def get(self, ids: Sequence[str]) -> list[Scored]:
        """Pages by id, in the order asked for; the first window of each, with a score of 0."""
        self._check_open()
        if not self.exists:
            return []
        found: dict[str, Scored] = {}
        for chunk in _chunks(list(dict.fromkeys(ids))):
            with self._calling():
                for identifier, payload in self._engine.scroll(_VISIBLE & match("id", *chunk)):
                    if payload["window"] == 0:
                        found[payload["id"]] = Scored(identifier, 0.0, payload)
        return [found[identifier] for identifier in ids if identifier in found]

    def vectors(self, ids: Sequence[str]) -> dict[str, FloatArray]:
        """The stored Meta Tokens of pages by id: float32 ``[windows, document tokens, dim]``, windows in order."""
        self._check_open()
        if not self.exists:
            return {}
        name = vector_name(self._schema.groups[-1])
        windows: dict[str, list[tuple[int, str]]] = {}
        for chunk in _chunks(list(dict.fromkeys(ids))):
            with self._calling():
                for identifier, payload in self._engine.scroll(_VISIBLE & match("id", *chunk), ["id", "window"]):
                    windows.setdefault(payload["id"], []).append((payload["window"], identifier))
        rows: dict[str, FloatArray] = {}
        for chunk in _chunks([identifier for members in windows.values() for _, identifier in members]):
            with self._calling():
                found = self._engine.vectors(chunk, [name])
            rows.update((identifier, vectors[name]) for identifier, vectors in found.items() if name in vectors)
        return {
            page: np.stack([rows[identifier] for _, identifier in sorted(windows[page]) if identifier in rows])
            for page in dict.fromkeys(ids)
            if any(identifier in rows for _, identifier in windows.get(page, ()))
        }

    def sources(self) -> list[str]:
        """The sources of all documents, sorted, each once."""
        self._check_open()
        if not self.exists:
            return []
        with self._calling():
            return sorted({payload["source"] for _, payload in self._engine.scroll(_RECORDS, ["source"])})

    @property
    def points(self) -> int:
        """Visible points: what an exact scan reads."""
        self._check_open()
        if not self.exists:
            return 0
        if self._points is None or self._engine.concurrent:
            with self._calling():
                self._points = self._engine.count(_VISIBLE)
        return self._points

    def annotate(self, key: str, value: Any) -> None:
        """Keep a JSON value with the index, in one step; what is there under the key is replaced."""
        self._check_open()
        with self._write_lock, self._calling():
            self._engine.set_payload({key: value}, [INDEX_POINT])

    def annotation(self, key: str) -> Any:
        """What was kept under a key, or None."""
        self._check_open()
        if not self.exists:
            return None
        with self._calling():
            return self._engine.retrieve([INDEX_POINT]).get(INDEX_POINT, {}).get(key)

    def sample_texts(self, count: int, seed: int = 0) -> list[str]:
        """Texts of pages drawn at random: the same seed draws the same from the same pages."""
        self._check_open()
        if not self.exists:
            return []
        with self._calling():
            homes = sorted(point for point, _ in self._engine.scroll(_VISIBLE & _FIRST_WINDOWS, ["id"]))
        drawn = random.Random(seed).sample(homes, min(count, len(homes)))  # noqa: S311 - a sample, not a secret
        with self._calling():
            found = self._engine.retrieve(drawn)
        return [found[point]["text"] for point in drawn if point in found]

    def info(self) -> dict[str, Any]:
        """Counts and settings; see ``MetaEmbedIndex.info``."""
        self._check_open()
        content: dict[str, Any] = {"engine": self._engine.name, "pages": 0, "documents": 0, "points": 0}
        if self.exists:
            with self._calling():
                content["pages"] = self._engine.count(_VISIBLE & _FIRST_WINDOWS)
                content["documents"] = self._engine.count(_RECORDS)
            content["points"] = self.points
        content["bytes"] = self._engine.size_bytes()
        content["model"] = None if self._model is None else self._model[1]
        content["dim"] = None if self.schema is None else self.schema.dim
        content["document_tokens"] = None if self.schema is None else list(self.schema.groups)
        return content

    # -- inside ----------------------------------------------------------------------------------------

    @property
    def _schema(self) -> Schema:
        if self.schema is None:
            raise IndexMismatchError("the collection was not created yet")
        return self.schema

    def _check_open(self) -> None:
        if self._closed:
            raise IndexClosedError("this index is closed; open it again")

    def _open(self) -> None:
        content = self._engine.retrieve([INDEX_POINT]).get(INDEX_POINT)
        if content is None and not self._engine.concurrent and self._engine.count(Filter()) == 0:
            return  # a process was killed while it made the collection; ``create`` makes it anew
        if content is None or content.get("schema") != SCHEMA_VERSION:
            raise IndexMismatchError(
                f"this collection is not an index of schema version {SCHEMA_VERSION}; "
                "name another one, or index the documents anew"
            )
        self.schema = Schema(dim=content["dim"], groups=tuple(content["groups"]))
        self._model = (content["model"], content["model_name"])
        # Another client may be writing to a server right now; only its own next write may clean up there.
        if content["dirty"] and not self._engine.concurrent:
            self._recover()

    @contextmanager
    def _calling(self) -> Iterator[None]:
        if self._engine.concurrent:
            yield
        else:
            with self._call_lock:
                yield

    @contextmanager
    def _writing(self) -> Iterator[list[Written]]:
        """Give a list for documents in between; if something fails, they are undone at once."""
        self._check_open()
        with self._write_lock:
            pending: list[Written] = []
            self._mark(dirty=True)
            try:
                yield pending
            except BaseException:
                self._recover([entry.version for entry in pending] if self._engine.concurrent else None)
                raise
            finally:
                self._points = None
            self._mark(dirty=False)

    def _mark(self, *, dirty: bool) -> None:
        if not self._engine.concurrent:
            with self._calling():
                self._engine.set_payload({"dirty": dirty}, [INDEX_POINT])

    def _upsert(self, points: Sequence[Point]) -> None:
        if points:
            with self._calling():
                self._engine.upsert(points)

    def _commit(self, pending: Sequence[Written], batch: Sequence[Point]) -> None:
        if not pending:
            return
        self._upsert(batch)
        for chunk in _chunks(pending):
            self._upsert([entry.make_record() for entry in chunk])
        points = [identifier for entry in pending for identifier in entry.points]
        versions = tuple(entry.version for entry in pending)
        with self._calling():
            # In one call, however many points: a reader on a server must not see the first half of a book.
            self._engine.set_payload({"state": VISIBLE}, points)
            for documents in _chunks([entry.document.document for entry in pending]):
                mine = _PAGES & match("document", *documents)
                self._engine.delete(Filter(must=(mine,), must_not=(Match("version", versions),)))
                self._engine.set_payload({"complete": True}, [record_id(document) for document in documents])
        self._changed += len(points)

    def _forget_pages(self, found: Mapping[str, set[str]]) -> None:
        """Bring records in line with the pages about to be deleted."""
        gone: list[str] = []
        for chunk in _chunks(list(found)):
            records = self._engine.retrieve([record_id(document) for document in chunk])
            for identifier, record in records.items():
                left = [page for page in record["page_ids"] if page not in found[record["document"]]]
                if left:
                    self._engine.set_payload({"page_ids": left, "digest": ""}, [identifier])
                else:
                    gone.append(identifier)
        for ids in _chunks(gone):
            self._engine.delete_ids(ids)

    def _recover(self, versions: Sequence[str] | None = None) -> None:
        """Finish or undo what a writer left: see the module docstring.

        Args:
            versions: touch these only; None touches everything.
        """
        if versions is not None and not versions:
            return
        scope = _PAGES if versions is None else _PAGES & match("version", *versions)
        with self._calling():
            left = list(self._engine.scroll(scope, ["document", "version", "id", "state"]))
            records: dict[str, Mapping[str, Any]] = {}
            for chunk in _chunks(sorted({payload["document"] for _, payload in left})):
                found = self._engine.retrieve([record_id(document) for document in chunk])
                records.update((record["document"], record) for record in found.values())
            pages = {document: frozenset(record["page_ids"]) for document, record in records.items()}
            finish: list[str] = []
            undo: list[str] = []
            for identifier, payload in left:
                document = payload["document"]
                if (
                    document not in records
                    or payload["version"] != records[document]["version"]
                    or payload["id"] not in pages[document]
                ):
                    undo.append(identifier)
                elif payload["state"] == PENDING:
                    finish.append(identifier)
            for ids in _chunks(finish):
                self._engine.set_payload({"state": VISIBLE}, ids)
            for ids in _chunks(undo):
                self._engine.delete_ids(ids)
            mine = [
                record_id(document)
                for document, record in records.items()
                if not record["complete"] and (versions is None or record["version"] in versions)
            ]
            for ids in _chunks(mine):
                self._engine.set_payload({"complete": True}, ids)
        self._mark(dirty=False)


def _best_per_page(found: Sequence[Scored]) -> list[Scored]:
    best: dict[str, Scored] = {}
    for scored in found:
        page = scored.payload["id"]
        if page not in best or scored.score > best[page].score:
            best[page] = scored
    return sorted(best.values(), key=lambda scored: (-scored.score, scored.payload["id"]))


def _chunks(values: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), _IDS_AT_ONCE):
        yield list(values[start : start + _IDS_AT_ONCE])

"""Store: documents over an engine, with a commit protocol under which nothing is ever half visible.

A document is a set of page points and one record point. Writing version v of a document:

1. its points are written with ``state = pending``: no search sees them;
2. its record is written, naming v: one point, so this is the moment of commit on every engine;
3. its points become ``visible``, in one call;
4. points of other versions are deleted, and pages that other documents had under the same ids: an id names one page,
   the one written last; and
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from metaembed_rag.budget import LADDER
from metaembed_rag.errors import BudgetError, IndexClosedError, IndexMismatchError, InputError, StoreError
from metaembed_rag.pages.clean import check_text
from metaembed_rag.store.documents import Known, WriteDocument, Written
from metaembed_rag.store.engine import Engine, FloatArray, Point, RefusedError, Scored, Stage, chunks
from metaembed_rag.store.filters import Filter, Match, match
from metaembed_rag.store.fusion import candidates, fuse
from metaembed_rag.store.ranking import (
    RANKED_PER_RESULT,
    best_per_page,
    by_whole_pages,
    score_pages,
    windows_wanted,
)
from metaembed_rag.store.record import IndexRecord, groups_payload
from metaembed_rag.store.schema import (
    GROUPS,
    INDEX_POINT,
    PENDING,
    TENANT_FIELD,
    VALUE_BYTES,
    VISIBLE,
    Precision,
    Schema,
    annotation_id,
    check_hybrid,
    check_page_vectors,
    check_precision,
    record_id,
    vector_name,
    window_id,
)
from metaembed_rag.store.uploads import Uploads
from metaembed_rag.store.words import Terms

#: Pages committed at once when many small documents are written.
_COMMIT_POINTS = 256
#: One part in so many of the points must have changed before the engine is asked to rewrite them.
_SETTLE_SHARE = 4

T = TypeVar("T")

#: Searches begun anew because a page that was found was replaced before its text was read.
_SEARCH_TRIES = 5

_VISIBLE = match("state", VISIBLE)
_FIRST_WINDOWS = match("window", 0)
_PAGES = match("kind", "page")
_RECORDS = match("kind", "document")


class Store:
    """See the module docstring. One writer at a time; readers may overlap with it.

    Args:
        engine: holds the points.
        tenant: whose documents these are: no other's are seen, changed or deleted. A collection is divided by
            tenants or not from its first write on; in one that is, a Store without a tenant may describe and
            resize the whole, but reads and writes no documents.
        precision: of the stored vectors; None takes that of the collection, "f32" for a new one.
        page_vectors: at most so many vectors a page in each group; None takes what the collection has, no bound for a
            new one.
        words: keep each page's words too, see ``search``; None takes what the collection has, False for a new one.

    Raises:
        IndexMismatchError: the collection is of another schema version, precision or bound, not divided by tenants, or
            without words, or with them.
        InputError: the precision is unknown, the bound no positive number, the tenant no text, or words no boolean.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        tenant: str | None = None,
        precision: str | None = None,
        page_vectors: int | None = None,
        words: bool | None = None,
    ) -> None:
        self._engine = engine
        self._closed = False
        self._tenant = tenant
        self._precision: Precision | None = None
        self._page_vectors: int | None = None
        self._words = words
        owner = Filter() if tenant is None else match(TENANT_FIELD, tenant)
        self._my_pages = _PAGES & owner
        self._my_records = _RECORDS & owner
        self._my_visible = _VISIBLE & owner
        self.dropping: tuple[int, ...] = ()
        # Versions whose writing failed, or None for whatever the engine holds; see ``_catch_up``.
        self._unrecovered: list[list[str] | None] = []
        self._write_lock = threading.RLock()
        # An engine that takes one call at a time is locked for each; a server is not.
        self._call_lock = threading.RLock()
        self.schema: Schema | None = None
        self._model: tuple[str, str] | None = None
        self._points: int | None = None
        self._changed = 0
        try:
            _check_tenant_name(tenant)
            self._precision = None if precision is None else check_precision(precision)
            self._page_vectors = check_page_vectors(page_vectors)
            check_hybrid(words)
            if engine.exists():
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
        """Whether anything was ever written, here or, while this was open, by another one."""
        self._check_open()
        if self.schema is None and self._engine.exists():
            with self._write_lock:
                self._join()
        return self.schema is not None

    @property
    def keeps_words(self) -> bool:
        """Whether pages can be found by their words."""
        return self.exists and self.known_schema.words

    def create(self, schema: Schema, *, model: str, model_name: str) -> None:
        """Make the collection for a model, unless another thread was first."""
        self._check_open()
        with self._write_lock:
            if self.schema is None:
                self._create(schema, model, model_name)

    def _create(self, schema: Schema, model: str, model_name: str) -> None:
        schema = replace(
            schema,
            precision=self._precision or schema.precision,
            page_vectors=self._page_vectors or schema.page_vectors,
            words=schema.words if self._words is None else self._words,
            tenants=self._tenant is not None,
        )
        with self._calling():
            try:
                self._engine.create(schema, IndexRecord(schema, (), model, model_name).to_point())
            except IndexMismatchError:
                # Another client of the server was faster, or another process, which has closed the folder since.
                if not self.exists:
                    raise
                self.check_model(model, model_name)
                return
        self.schema, self._model, self._points = schema, (model, model_name), 0

    def check_model(self, fingerprint: str, name: str, *, former: str | None = None) -> None:
        """Refuse a model whose vectors cannot be compared with the stored ones.

        Args:
            fingerprint: of how it embeds documents.
            name: for people.
            former: of the whole model, which earlier releases wrote down in its place.

        Raises:
            IndexMismatchError: the index was made by another model.
        """
        self._check_open()
        if self._model is not None and self._model[0] not in (fingerprint, former):
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

    # -- for resize and copy, which work on the whole collection ---------------------------------------

    @property
    def known_schema(self) -> Schema:
        """The schema of a collection that exists."""
        if self.schema is None:
            raise IndexMismatchError("the collection was not created yet")
        return self.schema

    @property
    def batch_bytes(self) -> int:
        """Bytes that one write may carry."""
        return self._engine.batch_bytes

    @contextmanager
    def changing_schema(self) -> Iterator[None]:
        """Keep this process's writers out; the schema is as it is now, whoever changed it."""
        self._check_open()
        if self._tenant is not None:
            raise InputError("this changes the documents of every tenant: open the index without tenant=")
        with self._write_lock:
            self.refresh()
            yield

    def save_schema(self, schema: Schema, *, dropping: Sequence[int] = ()) -> None:
        """Write down the groups of a schema, in one step."""
        with self._calling():
            self._engine.set_payload(groups_payload(schema, dropping), [INDEX_POINT])
            self.schema, self.dropping = schema, tuple(dropping)

    def engine_call(self, call: Callable[[Engine], T]) -> T:
        """Call the engine, alone if it takes one call at a time."""
        self._check_open()
        with self._calling():
            return call(self._engine)

    def update_vectors(self, vectors: Mapping[str, Mapping[str, FloatArray]]) -> None:
        """Set named vectors of points, which ``settle`` counts as changed."""
        with self._calling():
            self._engine.update_vectors(vectors)
        self._changed += len(vectors)

    def refresh(self) -> None:
        """Look whether another client of a server resized the index."""
        if self._engine.concurrent and self.schema is not None:
            record = IndexRecord.parse(self._engine.retrieve([INDEX_POINT]).get(INDEX_POINT))
            self.schema, self.dropping = record.schema, record.dropping

    # -- writing ---------------------------------------------------------------------------------------

    def write(self, documents: Iterable[WriteDocument]) -> None:
        """Write documents, each visible from one moment on and replacing an older version at that moment.

        Small documents are committed in groups. An error, from the engine or from a document's generator,
        leaves the documents that were not committed invisible and removes their points.
        """
        with self._writing() as pending, Uploads(self._upsert, self._engine.uploads) as uploads:
            schema = self.known_schema
            batch: list[Point] = []
            size = 0
            for document in documents:
                written = Written(document, uuid.uuid4().hex, self._tenant)
                pending.append(written)
                for made in written.make_points(schema):
                    batch.append(made)
                    size += schema.bytes_per_point + len(made.payload.get("text", ""))
                    if size >= self._engine.batch_bytes:
                        uploads.send(batch)
                        batch, size = [], 0
                if sum(len(entry.points) for entry in pending) >= _COMMIT_POINTS:
                    uploads.send(batch)
                    batch, size = [], 0
                    uploads.finish()
                    self._commit(pending, schema)
                    pending.clear()
            uploads.send(batch)
            uploads.finish()
            self._commit(pending, schema)
            pending.clear()

    def delete_source(self, source: str) -> int:
        """Delete every document of a source; returns the pages deleted."""
        self._check_open()
        if not self.exists:
            return 0
        with self._writing():
            mine = match("source", source)
            with self._calling():
                pages = [payload["id"] for _, payload in self._engine.scroll(self._my_visible & mine, ["id"])]
                self._engine.delete(self._my_records & mine)
                self._engine.delete(self._my_pages & mine)
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
            return self._delete_pages(
                self._my_visible & match("id", *chunk) for chunk in chunks(list(dict.fromkeys(ids)))
            )

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
        self._check_documents()
        if not self.exists:
            return {}
        known: dict[str, Known] = {}
        for chunk in chunks(list(documents)):
            with self._calling():
                records = self._engine.retrieve([self._record_id(document) for document in chunk])
            for record in records.values():
                if not record["complete"]:
                    continue
                known[record["document"]] = Known(record["digest"], record["version"], tuple(record["page_ids"]))
        return known

    def search(self, stages: Sequence[Stage], filter: Filter, limit: int, words: Terms | None = None) -> list[Scored]:
        """The best points, at most one a page, best first; ties in the order of their ids.

        Args:
            stages: from ``build_stages``. After one that is ``whole``, a point is its page's best window, and its
                score that of the page.
            filter: applied in every stage, together with visibility.
            limit: pages at most.
            words: of the query. Pages are then found by these too, and a page's score is one of both, see ``fuse``;
                the collection must keep words.
        """
        self._check_documents()
        condition = self._my_visible & filter
        for _ in range(_SEARCH_TRIES):
            with self._calling():
                if words is None:
                    ranked = self._rank(stages, condition, limit)
                else:
                    ranked = self._rank_with_words(stages, condition, limit, words)
                completed = None if ranked is None else self._with_texts(ranked[:limit])
            if completed is not None:
                return completed
        raise StoreError("pages were replaced faster than they could be read: search again")

    def _rank(
        self, stages: Sequence[Stage], condition: Filter, limit: int, per_result: int = RANKED_PER_RESULT
    ) -> list[Scored] | None:
        """The best points by stages; None if a page was replaced in between. The engine is locked.

        Args:
            stages: see ``search``.
            condition: a filter, visibility included.
            limit: pages wanted; more may come.
            per_result: pages for each of these that are ranked by all of their windows.
        """
        *stages, last = stages
        whole = last if last.whole else None
        if whole is None:
            stages.append(last)
        wanted = windows_wanted(limit, whole=whole is not None)
        while True:
            found = self._scored(stages, partial(self._engine.query, stages, condition, wanted))
            best = best_per_page(found)
            if len(best) >= limit or len(found) < wanted:
                break
            wanted *= 2
        if whole is None:
            return best
        best = best[: limit * per_result]
        return self._scored([whole], partial(by_whole_pages, self._engine, whole, best, condition))

    def _rank_with_words(
        self, stages: Sequence[Stage], condition: Filter, limit: int, words: Terms
    ) -> list[Scored] | None:
        """As ``_rank``, by Meta Tokens and words."""
        wanted = candidates(limit)
        final = stages[-1]
        ranked = self._rank(stages, condition, wanted, per_result=1)
        if ranked is None:
            return None
        seen = {scored.payload["id"]: scored.score for scored in ranked[:wanted]}
        heard = self._engine.query_words(words, condition, wanted)
        # What one of the rankings put forward, the other one scores as well.
        unheard = [page for page in seen if page not in heard] if len(heard) == wanted else []
        for chunk in chunks(unheard):
            heard |= self._engine.query_words(words, condition & match("id", *chunk), len(chunk))
        unseen = [page for page in heard if page not in seen]
        seen |= self._scored([final], partial(score_pages, self._engine, final, unseen, condition))
        scores = fuse(seen, heard)
        best = sorted(scores, key=lambda page: (-scores[page], page))[:limit]
        found = {scored.payload["id"]: scored for scored in ranked}
        for chunk in chunks([page for page in best if page not in found]):
            # The window that answers best, whose payload says where in the page it is.
            more = self._rank([stages[-2] if final.whole else final], condition & match("id", *chunk), len(chunk))
            found |= {scored.payload["id"]: scored for scored in more or ()}
        if not set(best) <= set(found):
            return None
        return [replace(found[page], score=scores[page]) for page in best]

    def _scored(self, stages: Sequence[Stage], ask: Callable[[], T]) -> T:
        """Ask the engine for scores by the vectors of stages, which another client may drop meanwhile."""
        self._check_stages(stages)
        try:
            return ask()
        except RefusedError:
            self.refresh()
            self._check_stages(stages)
            raise

    def _check_stages(self, stages: Sequence[Stage]) -> None:
        stored = {vector_name(group) for group in self.known_schema.groups}
        gone = [stage.vector for stage in stages if stage.vector not in stored]
        if gone:
            raise BudgetError(
                f"this index no longer stores {', '.join(gone)}: it was resized to "
                f"{self.known_schema.groups[-1]} document Meta Tokens; search again"
            )

    def _with_texts(self, found: Sequence[Scored]) -> list[Scored] | None:
        """Fetch the text of pages that were found by a later window: the first one carries it.

        Returns:
            None if a page was replaced in between, as another client of a server may do.
        """
        homes = {
            scored.id: window_id(
                scored.payload["document"], scored.payload["version"], scored.payload["id"], 0, self._tenant
            )
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
            elif home in texts:
                completed.append(Scored(scored.id, scored.score, {**scored.payload, "text": texts[home]["text"]}))
            else:
                return None
        return completed

    def get(self, ids: Sequence[str]) -> list[Scored]:
        """Pages by id, in the order asked for; the first window of each, with a score of 0."""
        self._check_documents()
        if not self.exists:
            return []
        found: dict[str, Scored] = {}
        for chunk in chunks(list(dict.fromkeys(ids))):
            with self._calling():
                for identifier, payload in self._engine.scroll(self._my_visible & match("id", *chunk)):
                    if payload["window"] == 0:
                        found[payload["id"]] = Scored(identifier, 0.0, payload)
        return [found[identifier] for identifier in ids if identifier in found]

    def vectors(self, ids: Sequence[str]) -> dict[str, FloatArray]:
        """Stored vectors of pages by id, of the widest group: float32 ``[windows, vectors, dim]``, windows in order.

        Of a window that has fewer than others of its page the last is repeated, which changes no score.
        """
        self._check_documents()
        if not self.exists:
            return {}
        name = vector_name(self.known_schema.groups[-1])
        windows: dict[str, list[tuple[int, str]]] = {}
        for chunk in chunks(list(dict.fromkeys(ids))):
            with self._calling():
                for identifier, payload in self._engine.scroll(
                    self._my_visible & match("id", *chunk), ["id", "window"]
                ):
                    windows.setdefault(payload["id"], []).append((payload["window"], identifier))
        rows: dict[str, FloatArray] = {}
        for chunk in chunks([identifier for members in windows.values() for _, identifier in members]):
            with self._calling():
                found = self._engine.vectors(chunk, [name])
            rows.update((identifier, vectors[name]) for identifier, vectors in found.items() if name in vectors)
        return {
            page: _stack([rows[identifier] for _, identifier in sorted(windows[page]) if identifier in rows])
            for page in dict.fromkeys(ids)
            if any(identifier in rows for _, identifier in windows.get(page, ()))
        }

    def sources(self) -> list[str]:
        """The sources of all documents, sorted, each once."""
        self._check_documents()
        if not self.exists:
            return []
        with self._calling():
            return sorted({payload["source"] for _, payload in self._engine.scroll(self._my_records, ["source"])})

    @property
    def points(self) -> int:
        """Visible points: what an exact scan reads."""
        self._check_open()
        if not self.exists:
            return 0
        points = self._points
        if points is None or self._engine.concurrent:
            # Counted and kept under one lock: a writer that forgets the count does so before or after both.
            with self._calling():
                points = self._points = self._engine.count(self._my_visible)
        return points

    def annotate(self, key: str, value: Any) -> None:
        """Keep a JSON value with the index, in one step; what is there under the key is replaced.

        Each tenant keeps its own.
        """
        self._check_open()
        with self._write_lock, self._calling():
            if self._tenant is None:
                self._engine.set_payload({key: value}, [INDEX_POINT])
            else:
                home = annotation_id(self._tenant)
                kept = self._engine.retrieve([home]).get(home, {})
                content = {"kind": "annotation", TENANT_FIELD: self._tenant, **kept, key: value}
                self._engine.upsert([Point(home, {}, content)])

    def annotation(self, key: str) -> Any:
        """What was kept under a key, or None."""
        self._check_open()
        if not self.exists:
            return None
        home = INDEX_POINT if self._tenant is None else annotation_id(self._tenant)
        with self._calling():
            return self._engine.retrieve([home]).get(home, {}).get(key)

    def sample_texts(self, count: int, seed: int = 0) -> dict[str, str]:
        """Texts by id of pages that have one, drawn at random: the same seed draws the same from the same pages."""
        self._check_documents()
        if not self.exists:
            return {}
        with self._calling():
            homes = sorted(point for point, _ in self._engine.scroll(self._my_visible & _FIRST_WINDOWS, ["id"]))
        random.Random(seed).shuffle(homes)  # noqa: S311 - a sample, not a secret
        texts: dict[str, str] = {}
        for start in range(0, len(homes), count):
            drawn = homes[start : start + count]
            with self._calling():
                found = self._engine.retrieve(drawn)
            pages = [found[point] for point in drawn if point in found]
            texts.update({page["id"]: page["text"] for page in pages if page["text"].strip()})
            if len(texts) >= count:
                break
        return dict(list(texts.items())[:count])

    def info(self) -> dict[str, Any]:
        """Counts and settings; see ``MetaEmbedIndex.info``."""
        self._check_open()
        content: dict[str, Any] = {"engine": self._engine.name, "pages": 0, "documents": 0, "points": 0}
        if self.exists:
            with self._calling():
                content["pages"] = self._engine.count(self._my_visible & _FIRST_WINDOWS)
                content["documents"] = self._engine.count(self._my_records)
            content["points"] = self.points
        # What a folder takes would tell a tenant about the others.
        content["bytes"] = self._engine.size_bytes() if self._tenant is None else None
        content["model"] = None if self._model is None else self._model[1]
        content["tenant"] = self._tenant
        schema = self.schema
        content["dim"] = None if schema is None else schema.dim
        content["precision"] = (self._precision or "f32") if schema is None else schema.precision
        content["page_vectors"] = self._page_vectors if schema is None else schema.page_vectors
        content["hybrid"] = bool(self._words) if schema is None else schema.words
        content["document_tokens"] = None if schema is None else list(schema.groups)
        content["building"] = [] if schema is None else list(schema.building)
        if schema is not None:
            content.update(describe_size(schema, pages=content["pages"], points=content["points"]))
        return content

    # -- inside ----------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise IndexClosedError("this index is closed; open it again")

    def _check_documents(self) -> None:
        # First, since an index that was made meanwhile may be divided by tenants.
        if self.exists and self._unrecovered:
            with self._write_lock:
                self._catch_up()
        if self._tenant is None and self.schema is not None and self.schema.tenants:
            raise IndexMismatchError("this index is divided by tenants: open it with tenant=")

    def _catch_up(self) -> None:
        """Finish or undo what failed: while the engine cannot even do that, nothing is answered or written."""
        while self._unrecovered:
            self._recover(self._unrecovered[0])
            self._unrecovered.pop(0)

    def _record_id(self, document: str) -> str:
        return record_id(document, self._tenant)

    def _open(self) -> None:
        content = self._engine.retrieve([INDEX_POINT]).get(INDEX_POINT)
        if content is None and not self._engine.concurrent and self._engine.count(Filter()) == 0:
            return  # a process was killed while it made the collection; ``create`` makes it anew
        record = IndexRecord.parse(content)
        schema = record.schema
        if self._precision not in (None, schema.precision):
            raise IndexMismatchError(
                f"this index stores vectors as {schema.precision}, not as {self._precision}: leave precision out, or "
                "copy it (metaembed copy SRC DST --precision ...)"
            )
        if self._page_vectors not in (None, schema.page_vectors):
            kept = "every vector" if schema.page_vectors is None else f"up to {schema.page_vectors} vectors"
            raise IndexMismatchError(
                f"this index stores {kept} of a page, not up to {self._page_vectors}: leave page_vectors out, or "
                "index the documents anew"
            )
        if self._words not in (None, schema.words):
            raise IndexMismatchError(
                f"this index keeps {'' if schema.words else 'no '}words of its pages: leave hybrid out, or copy it "
                f"(metaembed copy SRC DST {'--no-hybrid' if schema.words else '--hybrid'})"
            )
        if self._tenant is not None and not schema.tenants:
            raise IndexMismatchError(
                "this index is not divided by tenants, so it cannot keep one from seeing another's documents: open it "
                "without tenant=, or name another one"
            )
        self.schema, self.dropping = schema, record.dropping
        self._model = (record.model, record.model_name)
        if not self._engine.concurrent:
            self._finish_resize()
        # Another client may be writing to a server right now; only its own next write may clean up there.
        if record.dirty and not self._engine.concurrent:
            self._recover()

    def _join(self) -> None:
        """Open what was made since this was opened; a server's client may not be done with making it yet."""
        if self.schema is None and self._engine.retrieve([INDEX_POINT]):
            self._open()

    def _finish_resize(self) -> None:
        """Make the collection what its record says, after a kill in between."""
        if self.dropping:
            self._engine.drop_vectors(self.dropping)
            self.save_schema(self.known_schema)
        if self.known_schema.building:
            self._engine.create_vectors(self.known_schema, self.known_schema.building)

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
        self._check_documents()
        with self._write_lock:
            self.refresh()
            pending: list[Written] = []
            self._mark(dirty=True)
            try:
                yield pending
            except BaseException:
                self._unrecovered.append([entry.version for entry in pending] if self._engine.concurrent else None)
                self._catch_up()
                raise
            finally:
                with self._calling():
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

    def _commit(self, pending: Sequence[Written], schema: Schema) -> None:
        if not pending:
            return
        self.refresh()
        if not set(self.known_schema.written) <= set(schema.written):
            # Visible, these points would be missing from every search by the new vectors.
            raise IndexMismatchError("another client resized the index while this was written: write it again")
        for chunk in chunks(pending):
            self._upsert([entry.make_record() for entry in chunk])
        points = [identifier for entry in pending for identifier in entry.points]
        versions = tuple(entry.version for entry in pending)
        with self._calling():
            # In one call, however many points: a reader on a server must not see the first half of a book.
            self._engine.set_payload({"state": VISIBLE}, points)
            for documents in chunks([entry.document.document for entry in pending]):
                mine = self._my_pages & match("document", *documents)
                self._engine.delete(Filter(must=(mine,), must_not=(Match("version", versions),)))
            self._evict(self._my_visible, [page for entry in pending for page in entry.page_ids], versions)
            for records in chunks([self._record_id(entry.document.document) for entry in pending]):
                self._engine.set_payload({"complete": True}, records)
        self._changed += len(points)

    def _evict(self, visible: Filter, ids: Sequence[str], versions: tuple[str, ...]) -> None:
        """Delete the pages that documents of other versions than these have under ids."""
        self._delete_pages(
            Filter(must=(visible & match("id", *chunk),), must_not=(Match("version", versions),))
            for chunk in chunks(ids)
        )

    def _delete_pages(self, conditions: Iterable[Filter]) -> int:
        """Delete the pages of all points that match; their documents' records first. Returns how many pages."""
        found: dict[str, set[str]] = {}
        points: list[str] = []
        for condition in conditions:
            for identifier, payload in self._engine.scroll(condition, [TENANT_FIELD, "document", "id"]):
                points.append(identifier)
                found.setdefault(_record_of(payload), set()).add(payload["id"])
        gone: list[str] = []
        for chunk in chunks(list(found)):
            for identifier, record in self._engine.retrieve(chunk).items():
                left = [page for page in record["page_ids"] if page not in found[identifier]]
                if left:
                    self._engine.set_payload({"page_ids": left, "digest": ""}, [identifier])
                else:
                    gone.append(identifier)
        for ids in chunks(gone):
            self._engine.delete_ids(ids)
        for chunk in chunks(points):
            self._engine.delete_ids(chunk)
        self._changed += len(points)
        return sum(len(pages) for pages in found.values())

    def _recover(self, versions: Sequence[str] | None = None) -> None:
        """Finish or undo what a writer left: see the module docstring.

        Args:
            versions: touch these only; None touches everything.
        """
        if versions is not None and not versions:
            return
        # Everything is that of all tenants: an embedded index has one writer, which may have been any of them.
        scope = _PAGES if versions is None else _PAGES & match("version", *versions)
        with self._calling():
            left = list(self._engine.scroll(scope, ["tenant", "document", "version", "id", "state"]))
            records: dict[str, Mapping[str, Any]] = {}
            for chunk in chunks(sorted({_record_of(payload) for _, payload in left})):
                records.update(self._engine.retrieve(chunk))
            pages = {key: frozenset(record["page_ids"]) for key, record in records.items()}
            finish: list[str] = []
            undo: list[str] = []
            for identifier, payload in left:
                key = _record_of(payload)
                if (
                    key not in records
                    or payload["version"] != records[key]["version"]
                    or payload["id"] not in pages[key]
                ):
                    undo.append(identifier)
                elif payload["state"] == PENDING:
                    finish.append(identifier)
            for ids in chunks(finish):
                self._engine.set_payload({"state": VISIBLE}, ids)
            for ids in chunks(undo):
                self._engine.delete_ids(ids)
            for version in versions or ():
                # Older versions of what was committed are out of the scope above.
                committed = [r["document"] for r in records.values() if r["version"] == version]
                for documents in chunks(committed):
                    others = self._my_pages & match("document", *documents)
                    self._engine.delete(Filter(must=(others,), must_not=(Match("version", (version,)),)))
            mine = {
                key: record
                for key, record in records.items()
                if not record["complete"] and (versions is None or record["version"] in versions)
            }
            for record in mine.values():
                owner = match(TENANT_FIELD, record[TENANT_FIELD]) if TENANT_FIELD in record else Filter()
                self._evict(_VISIBLE & owner, record["page_ids"], (record["version"],))
            for ids in chunks(list(mine)):
                self._engine.set_payload({"complete": True}, ids)
        self._mark(dirty=False)


def describe_size(schema: Schema, *, pages: int, points: int) -> dict[str, Any]:
    """Raw bytes of vectors as they are stored, now and for a library of this kind of pages.

    Where a page has a bound of vectors, all of these are what it may take at most: long pages and short ones have fewer
    than as many pages of mean length.

    Returns:
        ``tokens``: vectors kept in the widest group; ``bytes_by_group``: bytes by document Meta Tokens of a group;
        ``windows_per_page``; ``budgets``: for every rung that this index could keep, ``{"pages_1m": bytes,
        "pages_100m": bytes}`` of an index that stores groups up to the rung's and no wider ones.
    """
    windows = points / pages if pages and points else 1.0
    value = schema.dim * VALUE_BYTES[schema.precision]
    budgets = {}
    for rung in LADDER:
        per_page = value * sum(schema.vectors_a_page(group, windows) for group in GROUPS if group <= rung.document)
        budgets[str(rung)] = {"pages_1m": round(per_page * 10**6), "pages_100m": round(per_page * 10**8)}
    kept = {group: points * schema.vectors_a_page(group, windows) / windows for group in schema.groups}
    return {
        "tokens": round(kept[schema.groups[-1]]),
        "bytes_by_group": {group: round(count * value) for group, count in kept.items()},
        "windows_per_page": round(windows, 3),
        "budgets": budgets,
    }


def _check_tenant_name(tenant: object) -> None:
    if tenant is not None and (not isinstance(tenant, str) or not tenant):
        raise InputError(f"tenant must be a text that is not empty, not {tenant!r}")
    if tenant is not None:
        check_text("a tenant", tenant)


def _record_of(payload: Mapping[str, Any]) -> str:
    return record_id(payload["document"], payload.get(TENANT_FIELD))


def _stack(windows: Sequence[FloatArray]) -> FloatArray:
    """``[rows, dim]`` of each window, in one array; shorter ones repeat their last row."""
    most = max(len(rows) for rows in windows)
    return np.stack([np.pad(rows, ((0, most - len(rows)), (0, 0)), mode="edge") for rows in windows])

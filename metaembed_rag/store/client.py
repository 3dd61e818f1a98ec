"""qdrant-client as an engine: a server or cluster by URL, or the client's own local mode."""

from __future__ import annotations

import functools
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

from metaembed_rag.errors import IndexLockedError, IndexMismatchError, InputError, StoreError
from metaembed_rag.store.engine import (
    MATCHED_FIELDS,
    FloatArray,
    Matched,
    Point,
    Scored,
    Stage,
    as_arrays,
    join_rows,
    one_by_one,
)
from metaembed_rag.store.filters import Condition, Filter, HasVector, Missing, Range
from metaembed_rag.store.layout import (
    PRECISION_SINCE,
    new_settings,
    new_vector,
    payload_indexes,
    spread,
    vectors_config,
    words_config,
)
from metaembed_rag.store.options import ServerOptions
from metaembed_rag.store.retry import passing, pauses, to_store_error
from metaembed_rag.store.schema import WORDS, Schema, vector_name
from metaembed_rag.store.words import Terms

_PAGE = 1000
_MARKER = "metaembed.json"
T = TypeVar("T")


def _guarded(method: Callable[..., T]) -> Callable[..., T]:
    """Retry what is transient, a bounded number of times; every failure is a StoreError."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> T:
        waits: Iterator[float] | None = None
        while True:
            try:
                return method(self, *args, **kwargs)
            except (StoreError, InputError):
                raise
            except Exception as error:
                waits = pauses(error, self.patience) if waits is None else waits
                pause = next(waits, None) if passing(error) else None
                if pause is None:
                    raise to_store_error(method.__name__, error) from error
                time.sleep(pause)

    return call


class ClientEngine:
    """One collection behind a QdrantClient. Use ``server`` or ``local``."""

    def __init__(self, client: QdrantClient, collection: str, *, name: str, concurrent: bool, batch_bytes: int) -> None:
        self._client = client
        self._collection = collection
        self.name = name
        self.concurrent = concurrent
        self.batch_bytes = batch_bytes
        self.uploads = 1
        #: Seconds for which a call is tried again while nobody answers; none before the first answer.
        self.patience = 0.0
        self._folder: Path | None = None
        self._options = ServerOptions()

    @classmethod
    def server(
        cls, url: str, collection: str, api_key: str | None, options: ServerOptions | None = None
    ) -> ClientEngine:
        """A server or cluster.

        gRPC is preferred; where only REST gets through, as behind many proxies, REST is used.

        Args:
            url: ``http(s)://host:port`` of its REST interface; gRPC is looked for at its default port, 6334.
            collection: name.
            api_key: never logged or shown.
            options: for a new collection, and how calls are made.

        Raises:
            StoreError: it does not answer, or refuses the key.
        """
        options = options or ServerOptions()
        try:
            return cls._connect(url, collection, api_key, options, grpc=True)
        except StoreError:
            return cls._connect(url, collection, api_key, options, grpc=False)

    @classmethod
    def _connect(
        cls, url: str, collection: str, api_key: str | None, options: ServerOptions, *, grpc: bool
    ) -> ClientEngine:
        client = QdrantClient(
            url=url, api_key=api_key, timeout=options.timeout, prefer_grpc=grpc, check_compatibility=False
        )
        engine = cls(client, collection, name="server", concurrent=True, batch_bytes=options.batch_bytes)
        engine._options = options
        try:
            engine.exists()
        except BaseException:
            client.close()
            raise
        engine.uploads, engine.patience = options.uploads, options.patience
        return engine

    @classmethod
    def local(cls, path: str, collection: str) -> ClientEngine:
        """The client's pure-Python mode: exact, for tests and interchange.

        Its files are pickled, so a folder that this package did not make is refused.

        Raises:
            IndexLockedError: another process has it open.
            IndexMismatchError: the folder was not made by this package.
        """
        if path == ":memory:":
            return cls(QdrantClient(":memory:"), collection, name="local", concurrent=False, batch_bytes=16 << 20)
        folder = Path(path)
        _claim(folder)
        try:
            _check_lock(folder)
            client = QdrantClient(path=path)
        except StoreError:
            raise
        except Exception as error:
            if "already accessed" in str(error):
                raise _locked(folder) from error
            raise StoreError(
                f"{path} cannot be opened ({error}); restore it from a copy, or index the documents anew"
            ) from error
        engine = cls(client, collection, name="local", concurrent=False, batch_bytes=16 << 20)
        engine._folder = folder
        return engine

    def __repr__(self) -> str:
        return f"ClientEngine({self.name!r}, {self._collection!r})"

    @_guarded
    def exists(self) -> bool:
        return bool(self._client.collection_exists(self._collection))

    def create(self, schema: Schema, record: Point) -> None:
        if self.name == "local" and schema.precision != "f32":
            raise InputError(
                f"precision={schema.precision!r}: the local mode keeps 32 bit floats whatever it is told; "
                "use the embedded engine or a server"
            )
        # Step by step: each may be made again, all of them at once may not.
        if self.exists():
            self._check_unfinished(schema)
        else:
            self._create_collection(schema)
        if self.name == "server":
            for field, kind in payload_indexes(schema).items():
                self._create_index(field, kind)
        self.upsert([record])

    @_guarded
    def _create_collection(self, schema: Schema) -> None:
        if self.name == "server":
            self._check_version(schema)
        if not self._client.collection_exists(self._collection):  # else an answer was lost
            self._client.create_collection(
                self._collection,
                vectors_config=vectors_config(schema, self._options),
                sparse_vectors_config=words_config(schema),
                **spread(self._options),
            )

    def _check_version(self, schema: Schema) -> None:
        # By gRPC an older server takes a datatype that it does not know for its default, silently.
        needed = PRECISION_SINCE.get(schema.precision)
        if needed is None:
            return
        version = self._client.info().version
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if numbers < needed:
            raise InputError(
                f"precision={schema.precision!r} needs a Qdrant server of version {needed[0]}.{needed[1]} or newer, "
                f"and this one is {version}: upgrade it, or use f16"
            )

    @_guarded
    def _create_index(self, field: str, kind: Any) -> None:
        self._client.create_payload_index(self._collection, field, kind, wait=True)

    @_guarded
    def _check_unfinished(self, schema: Schema) -> None:
        """Take up a collection that was made, but not yet given its first point, by a process that was killed."""
        names = self._client.get_collection(self._collection).config.params.vectors
        ours = {vector_name(group) for group in schema.written}
        if self._client.count(self._collection).count == 0 and not self.concurrent:
            # Its folder is marked as ours, and nobody else is at work in it.
            self._client.delete_collection(self._collection)
            self._client.create_collection(
                self._collection,
                vectors_config=vectors_config(schema, self._options),
                sparse_vectors_config=words_config(schema),
            )
        elif self._client.count(self._collection).count or not isinstance(names, Mapping) or set(names) != ours:
            raise IndexMismatchError(
                f"collection {self._collection!r} exists and was not made by this package; choose another name"
            )

    @_guarded
    def upsert(self, points: Sequence[Point]) -> None:
        made = [
            models.PointStruct(id=point.id, vector=_vectors(point), payload=dict(point.payload)) for point in points
        ]
        self._client.upsert(self._collection, made, wait=True)

    @_guarded
    def create_vectors(self, schema: Schema, groups: Sequence[int]) -> None:
        for group in groups:
            name = vector_name(group)
            self._client.create_vector_name(self._collection, name, new_vector(schema, group))
            if self.name == "server":
                self._client.update_collection(
                    self._collection, vectors_config={name: new_settings(schema, group, self._options)}
                )

    @_guarded
    def drop_vectors(self, groups: Sequence[int]) -> None:
        for group in groups:
            self._client.delete_vector_name(self._collection, vector_name(group))
        if self._folder is not None and groups:
            # Its points lie in a database that keeps the pages of what was deleted.
            for file in self._folder.rglob("*.sqlite"):
                with closing(sqlite3.connect(file)) as connection:
                    connection.execute("VACUUM")

    @_guarded
    def update_vectors(self, vectors: Mapping[str, Mapping[str, FloatArray]]) -> None:
        made = [
            models.PointVectors(id=identifier, vector={name: rows.tolist() for name, rows in named.items()})
            for identifier, named in vectors.items()
        ]
        self._client.update_vectors(self._collection, made, wait=True)

    @_guarded
    def set_payload(self, payload: Mapping[str, Any], ids: Sequence[str]) -> None:
        self._client.set_payload(self._collection, dict(payload), points=list(ids), wait=True)

    @_guarded
    def delete(self, filter: Filter) -> None:
        condition = _filter(filter)
        if condition is None:
            raise InputError("refusing to delete everything: the filter is empty")
        self._client.delete(self._collection, models.FilterSelector(filter=condition), wait=True)

    @_guarded
    def delete_ids(self, ids: Sequence[str]) -> None:
        self._client.delete(self._collection, models.PointIdsList(points=list(ids)), wait=True)

    @_guarded
    def retrieve(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        records = self._client.retrieve(self._collection, list(ids), with_payload=True, with_vectors=False)
        return {str(record.id): record.payload or {} for record in records}

    @_guarded
    def vectors(self, ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, FloatArray]]:
        records = self._client.retrieve(self._collection, list(ids), with_payload=False, with_vectors=list(names))
        return {str(record.id): as_arrays(record.vector) for record in records}

    def scroll(self, filter: Filter, fields: Sequence[str] | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        offset: Any = None
        while True:
            records, offset = self._scroll_page(filter, fields, offset)
            for record in records:
                yield str(record.id), record.payload or {}
            if offset is None:
                return

    @_guarded
    def _scroll_page(self, filter: Filter, fields: Sequence[str] | None, offset: Any) -> tuple[list[Any], Any]:
        return self._client.scroll(
            self._collection,
            scroll_filter=_filter(filter),
            limit=_PAGE,
            offset=offset,
            with_payload=True if fields is None else list(fields),
            with_vectors=False,
        )

    @_guarded
    def count(self, filter: Filter) -> int:
        return int(self._client.count(self._collection, count_filter=_filter(filter), exact=True).count)

    @_guarded
    def query(self, stages: Sequence[Stage], filter: Filter, limit: int) -> list[Scored]:
        condition = _filter(filter)
        prefetch: models.Prefetch | None = None
        for stage in stages[:-1]:
            prefetch = models.Prefetch(
                query=stage.query.tolist(),
                using=stage.vector,
                limit=max(stage.limit, limit),
                prefetch=prefetch,
                params=self._params(stage),
                filter=condition,
            )
        final = stages[-1]
        response = self._client.query_points(
            self._collection,
            query=final.query.tolist(),
            using=final.vector,
            prefetch=prefetch,
            limit=limit,
            search_params=self._params(final),
            query_filter=condition,
            with_payload=True,
        )
        return [Scored(str(hit.id), float(hit.score), hit.payload or {}) for hit in response.points]

    @_guarded
    def query_words(self, words: Terms, filter: Filter, limit: int) -> dict[str, float]:
        response = self._client.query_points(
            self._collection,
            query=_sparse(words),
            using=WORDS,
            limit=limit,
            query_filter=_filter(filter),
            with_payload=["id"],
        )
        return {(hit.payload or {})["id"]: float(hit.score) for hit in response.points}

    @_guarded
    def similarities(self, vector: str, rows: FloatArray, filter: Filter, limit: int) -> list[Matched] | None:
        condition = _filter(filter)
        requests = [
            models.QueryRequest(
                query=stage.query.tolist(),
                using=stage.vector,
                limit=limit,
                params=self._params(stage),
                filter=condition,
                with_payload=MATCHED_FIELDS if number == 0 else False,
            )
            for number, stage in enumerate(one_by_one(vector, rows))
        ]
        found = self._client.query_batch_points(self._collection, requests)
        return join_rows([response.points for response in found], limit)

    def _params(self, stage: Stage) -> models.SearchParams | None:
        if self.name == "local":
            return None  # it is always exact, and warns if it is told so
        if not stage.quantized:
            codes = models.QuantizationSearchParams(ignore=True)
        else:
            codes = models.QuantizationSearchParams(rescore=stage.rescore, oversampling=stage.oversampling)
        # An exact search never looks at codes.
        return models.SearchParams(exact=stage.exact and not stage.quantized, hnsw_ef=stage.hnsw_ef, quantization=codes)

    def optimize(self) -> None:
        """A server optimises by itself; the local mode has nothing to optimise."""

    def size_bytes(self) -> int | None:
        if self._folder is None:
            return None
        return sum(file.stat().st_blocks * 512 for file in self._folder.rglob("*") if file.is_file())

    def close(self) -> None:
        self._client.close()


def _vectors(point: Point) -> dict[str, Any]:
    vectors: dict[str, Any] = {name: rows.tolist() for name, rows in point.vectors.items()}
    return vectors if point.words is None else {**vectors, WORDS: _sparse(point.words)}


def _sparse(words: Terms) -> models.SparseVector:
    return models.SparseVector(indices=words.indices, values=words.weights)


def _claim(folder: Path) -> None:
    """Refuse pickles of unknown origin; mark a folder that is ours."""
    marker = folder / _MARKER
    if marker.is_file():
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise IndexMismatchError(
            f"{folder} was not made by this package; its local-mode files are pickled and could run code when "
            "opened: name an empty or new folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"engine": "local"}) + "\n", encoding="utf-8")


def _check_lock(folder: Path) -> None:
    """Before anything is loaded, which takes long for a large index: the client itself looks at its lock last.

    Raises:
        IndexLockedError: another process has it open.
    """
    path = folder / ".lock"
    if not path.is_file():
        return
    import portalocker

    with path.open("r+") as lock:
        try:
            portalocker.lock(lock, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.exceptions.LockException as error:
            raise _locked(folder) from error
        portalocker.unlock(lock)


def _locked(folder: Path) -> IndexLockedError:
    return IndexLockedError(f"{folder} is open in another process; close it there")


def _filter(filter: Filter) -> models.Filter | None:
    if not filter:
        return None
    return models.Filter(
        must=[_condition(part) for part in filter.must] or None,
        should=[_condition(part) for part in filter.should] or None,
        must_not=[_condition(part) for part in filter.must_not] or None,
    )


def _condition(condition: Condition) -> Any:
    if isinstance(condition, Filter):
        return _filter(condition) or models.Filter()
    if isinstance(condition, Missing):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=condition.key))
    if isinstance(condition, HasVector):
        return models.HasVectorCondition(has_vector=condition.name)
    if isinstance(condition, Range):
        bounds: dict[str, Any] = dict(condition.bounds)
        timed = isinstance(condition.bounds[0][1], datetime)
        span = models.DatetimeRange(**bounds) if timed else models.Range(**bounds)
        return models.FieldCondition(key=condition.key, range=span)
    values = list(condition.values)
    if len(values) == 1:
        return models.FieldCondition(key=condition.key, match=models.MatchValue(value=values[0]))
    return models.FieldCondition(key=condition.key, match=models.MatchAny(any=values))  # type: ignore[arg-type]

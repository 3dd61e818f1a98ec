"""The embedded engine: qdrant-edge-py, in process, in a folder."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import qdrant_edge as qe

from metaembed_rag.errors import IndexLockedError, IndexMismatchError, InputError, StoreError
from metaembed_rag.store.edge_repair import CONFIG_FILE, locked, make_vectors_agree
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
from metaembed_rag.store.filters import Condition, Filter, HasVector, Match, Missing, Range
from metaembed_rag.store.schema import INDEXED_FIELDS, TENANT_FIELD, WORDS, Schema, vector_name
from metaembed_rag.store.words import Terms

_PAGE = 1000
#: The graph is built for the dense vector of segments above this; smaller ones are scanned faster.
_INDEXING_THRESHOLD_KB = 20_000

_MULTIVECTOR = qe.MultiVectorConfig(qe.MultiVectorComparator.MaxSim)
#: Eight bit codes need no originals: 27 % of the disk of float32 and .99 of its order, against 77 % and .98
#: for scalar quantization beside 16 bit floats.
_DATATYPES = {
    "f32": None,
    "f16": qe.VectorStorageDatatype.Float16,
    "int8": qe.VectorStorageDatatype.Turbo8,
    "4bit": qe.VectorStorageDatatype.Turbo8,
}

T = TypeVar("T")


def _wrapped(method: Callable[..., T]) -> Callable[..., T]:
    """The engine raises plain Exceptions; callers see ours, with the original as the cause."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> T:
        try:
            return method(*args, **kwargs)
        except (StoreError, InputError):
            raise
        except BaseException as error:
            if not _is_failure(error):
                raise
            raise StoreError(f"the embedded engine failed in {method.__name__}: {error}") from error

    return call


def _is_failure(error: BaseException) -> bool:
    """Whether the engine failed, and not somebody interrupted it: its panics are no Exceptions."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class EdgeEngine:
    """One collection in one folder. Writes go to a log first, so a killed process loses nothing acknowledged.

    Args:
        folder: made if missing; ":memory:" is a temporary folder that goes away on ``close``.

    Raises:
        IndexLockedError: another process has it open.
        IndexMismatchError: the folder holds something else.
    """

    name = "edge"
    concurrent = False
    batch_bytes = 16 << 20
    uploads = 1

    def __init__(self, folder: str) -> None:
        self._temporary = folder == ":memory:"
        # As it is now, whatever directory the process changes to or a link is turned to.
        self.folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="metaembed-") if self._temporary else folder))
        self._shard: qe.EdgeShard | None = None
        self._closed = False
        try:
            self._check_place()
        except OSError as error:
            raise StoreError(f"{folder} cannot be opened ({error.strerror}); name another folder") from error

    def _check_place(self) -> None:
        if self.exists():
            self._shard = self._load()
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise IndexMismatchError(f"{self.folder} is not empty and holds no index; name an empty or new folder")
        elif self.folder.exists() and not self.folder.is_dir():
            raise IndexMismatchError(f"{self.folder} is a file, not the folder of an index")
        elif os.path.ismount(self.folder):
            raise IndexMismatchError(
                f"{self.folder} is where a volume is mounted, and an index is moved into its place whole: name a "
                "folder in it"
            )

    def exists(self) -> bool:
        return (self.folder / CONFIG_FILE).is_file()

    @_wrapped
    def create(self, schema: Schema, record: Point) -> None:
        self._refuse_made()
        # Made aside and moved into place in one step: a kill leaves either no index or a whole one.
        building = self.folder.with_name(f"{self.folder.name}.building")
        _make_room(building)
        try:
            shard = qe.EdgeShard.create(str(building), _config(schema))
        except Exception as error:
            if "WouldBlock" in str(error):
                raise _being_made(building) from error
            raise
        for field in INDEXED_FIELDS:
            shard.update(qe.UpdateOperation.create_field_index(field, qe.PayloadSchemaType.Keyword))
        if schema.tenants:
            tenants = qe.KeywordIndexParams(is_tenant=True)
            shard.update(qe.UpdateOperation.create_field_index(TENANT_FIELD, tenants))
        shard.update(qe.UpdateOperation.upsert_points([qe.Point(record.id, {}, dict(record.payload))]))
        shard.flush()
        shard.close()
        try:
            if self.folder.is_dir():
                self.folder.rmdir()
            building.rename(self.folder)
        except OSError:
            shutil.rmtree(building, ignore_errors=True)
            self._refuse_made()
            raise
        self._shard = self._load()

    def _refuse_made(self) -> None:
        """Take over the index, if another process was faster and is done with it.

        Raises:
            IndexLockedError: it is not done with it.
            IndexMismatchError: it was made meanwhile, and is open now.
        """
        if self.exists():
            self._shard = self._load()
            raise IndexMismatchError(f"{self.folder} was made meanwhile: open it again")

    @_wrapped
    def upsert(self, points: Sequence[Point]) -> None:
        made = [qe.Point(point.id, _vectors(point), dict(point.payload)) for point in points]
        self._open.update(qe.UpdateOperation.upsert_points(made))

    @_wrapped
    def create_vectors(self, schema: Schema, groups: Sequence[int]) -> None:
        for group in groups:
            self._open.update(
                qe.UpdateOperation.create_dense_vector(
                    vector_name(group),
                    schema.dim,
                    qe.Distance.Dot,
                    multivector_config=_MULTIVECTOR if group > 1 else None,
                    datatype=_DATATYPES[schema.precision],
                )
            )
        # A vector made this way has no settings of its own: without them the engine would build a graph of
        # multivectors, which takes longer than everything else together, and leave codes out.
        self._reload(_config(schema))

    @_wrapped
    def drop_vectors(self, groups: Sequence[int]) -> None:
        # A drop is on disk at once, but points written since the last flush are only in the log: replayed after a
        # kill, they would name a vector that is no more, and the engine would leave them out whole.
        self._open.flush()
        for group in groups:
            self._open.update(qe.UpdateOperation.delete_vector_name(vector_name(group)))
        self._open.flush()

    @_wrapped
    def update_vectors(self, vectors: Mapping[str, Mapping[str, FloatArray]]) -> None:
        made = [
            qe.PointVectors(identifier, {name: _rows(rows) for name, rows in named.items()})
            for identifier, named in vectors.items()
        ]
        self._open.update(qe.UpdateOperation.update_vectors(made))

    @_wrapped
    def set_payload(self, payload: Mapping[str, Any], ids: Sequence[str]) -> None:
        self._open.update(qe.UpdateOperation.set_payload(list(ids), dict(payload)))

    @_wrapped
    def delete(self, filter: Filter) -> None:
        condition = _filter(filter)
        if condition is None:
            raise InputError("refusing to delete everything: the filter is empty")
        self._open.update(qe.UpdateOperation.delete_points_by_filter(condition))

    @_wrapped
    def delete_ids(self, ids: Sequence[str]) -> None:
        self._open.update(qe.UpdateOperation.delete_points(list(ids)))

    @_wrapped
    def retrieve(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        records = self._open.retrieve(list(ids), with_payload=True, with_vector=False)
        return {str(record.id): record.payload or {} for record in records}

    @_wrapped
    def vectors(self, ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, FloatArray]]:
        records = self._open.retrieve(list(ids), with_payload=False, with_vector=list(names))
        return {str(record.id): as_arrays(record.vector) for record in records}

    def scroll(self, filter: Filter, fields: Sequence[str] | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        offset: Any = None
        while True:
            records, offset = self._scroll_page(filter, fields, offset)
            for record in records:
                yield str(record.id), record.payload or {}
            if offset is None:
                return

    @_wrapped
    def _scroll_page(self, filter: Filter, fields: Sequence[str] | None, offset: Any) -> tuple[list[Any], Any]:
        request = qe.ScrollRequest(
            limit=_PAGE,
            offset=offset,
            filter=_filter(filter),
            with_payload=True if fields is None else list(fields),
            with_vector=False,
        )
        return self._open.scroll(request)

    @_wrapped
    def count(self, filter: Filter) -> int:
        return int(self._open.count(qe.CountRequest(exact=True, filter=_filter(filter))))

    @_wrapped
    def query(self, stages: Sequence[Stage], filter: Filter, limit: int) -> list[Scored]:
        condition = _filter(filter)
        prefetch: qe.Prefetch | None = None
        for stage in stages[:-1]:
            prefetch = qe.Prefetch(
                limit=max(stage.limit, limit),
                query=_nearest(stage),
                prefetches=[prefetch] if prefetch else None,
                params=_params(stage),
                filter=condition,
            )
        final = stages[-1]
        request = qe.QueryRequest(
            limit=limit,
            query=_nearest(final),
            prefetches=[prefetch] if prefetch else None,
            params=_params(final),
            filter=condition,
            with_payload=True,
        )
        return [Scored(str(hit.id), float(hit.score), hit.payload or {}) for hit in self._open.query(request)]

    @_wrapped
    def query_words(self, words: Terms, filter: Filter, limit: int) -> dict[str, float]:
        request = qe.QueryRequest(
            limit=limit,
            query=qe.Query.Nearest(_sparse(words), using=WORDS),
            filter=_filter(filter),
            with_payload=["id"],
        )
        return {(hit.payload or {})["id"]: float(hit.score) for hit in self._open.query(request)}

    @_wrapped
    def similarities(self, vector: str, rows: FloatArray, filter: Filter, limit: int) -> list[Matched] | None:
        condition = _filter(filter)
        requests = [
            qe.QueryRequest(
                limit=limit,
                query=_nearest(stage),
                params=_params(stage),
                filter=condition,
                with_payload=MATCHED_FIELDS if number == 0 else False,
            )
            for number, stage in enumerate(one_by_one(vector, rows))
        ]
        return join_rows(self._open.query_batch(qe.QueryBatchRequest(requests)), limit)

    @_wrapped
    def optimize(self) -> None:
        before = self._segments()
        self._open.optimize()
        if self._segments() != before:
            # The engine keeps merged segments and the log they came from on disk until it is closed; in a process
            # that runs for weeks they would fill it.
            self._reload()

    def _reload(self, config: qe.EdgeConfig | None = None) -> None:
        self._open.flush()
        self._open.close()
        self._shard = None
        self._shard = self._load(config)

    def _segments(self) -> frozenset[str]:
        return frozenset(entry.name for entry in (self.folder / "segments").iterdir())

    def size_bytes(self) -> int | None:
        return sum(file.stat().st_blocks * 512 for file in self.folder.rglob("*") if file.is_file())

    @_wrapped
    def close(self) -> None:
        shard, self._shard = self._shard, None
        self._closed = True
        try:
            if shard is not None:
                try:
                    shard.flush()
                finally:
                    shard.close()  # what could not be flushed is in the log
        finally:
            if self._temporary:
                shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _open(self) -> qe.EdgeShard:
        if self._shard is None and not self._closed and self.exists():
            self._shard = self._load()  # after a reload that failed
        if self._shard is None:
            raise StoreError("the collection was not created yet")
        return self._shard

    def _load(self, config: qe.EdgeConfig | None = None) -> qe.EdgeShard:
        try:
            try:
                return qe.EdgeShard.load(str(self.folder), config)
            except Exception as error:
                if "incompatible" not in str(error) or not make_vectors_agree(self.folder):
                    raise
                return qe.EdgeShard.load(str(self.folder))
        except BaseException as error:
            if not _is_failure(error):
                raise
            if "WouldBlock" in str(error):
                raise IndexLockedError(
                    f"{self.folder} is open in another process; close it there, or run a Qdrant server and use url="
                ) from error
            raise StoreError(
                f"{self.folder} cannot be opened ({error}); restore it from a copy, or index the documents anew"
            ) from error


def _make_room(building: Path) -> None:
    """Make the folder, in place of what a process that was killed while it made the same index left there.

    Raises:
        IndexLockedError: another process makes the index right now.
        IndexMismatchError: the folder holds something else.
    """
    if building.exists():
        if not building.is_dir() or any(not _is_shard_file(entry.name) for entry in building.iterdir()):
            raise IndexMismatchError(f"an index is made in {building} first, which holds something else: move that")
        if (building / "wal").is_dir():
            with locked(building / "wal") as free:
                if not free:
                    raise _being_made(building)
        shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
    except FileExistsError as error:
        raise _being_made(building) from error


def _being_made(building: Path) -> IndexLockedError:
    return IndexLockedError(
        f"another process makes an index in {building}: open it again; if none does, delete that folder"
    )


def _is_shard_file(name: str) -> bool:
    """Whether the engine puts a file of this name into a folder; it writes its config by way of a temporary one."""
    return name in (CONFIG_FILE, "segments", "wal") or name.startswith(".atomicwrite")


def _config(schema: Schema) -> qe.EdgeConfig:
    no_graph = qe.HnswIndexConfig(m=0, ef_construct=schema.hnsw_ef_construct, full_scan_threshold=10_000)
    graph = qe.HnswIndexConfig(m=schema.hnsw_m, ef_construct=schema.hnsw_ef_construct, full_scan_threshold=10_000)
    codes = qe.TurboQuantQuantizationConfig(bits=qe.TurboQuantBitSize.Bits4) if schema.precision == "4bit" else None
    vectors = {
        vector_name(group): qe.EdgeVectorParams(
            schema.dim,
            qe.Distance.Dot,
            multivector_config=None if group == 1 else _MULTIVECTOR,
            hnsw_config=graph if group == 1 else no_graph,
            datatype=_DATATYPES[schema.precision],
            quantization_config=codes,
        )
        for group in schema.written
    }
    words = {WORDS: qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)} if schema.words else None
    optimizers = qe.EdgeOptimizersConfig(indexing_threshold=_INDEXING_THRESHOLD_KB)
    return qe.EdgeConfig(vectors=vectors, sparse_vectors=words, optimizers=optimizers)


def _vectors(point: Point) -> dict[str, Any]:
    vectors = {name: _rows(rows) for name, rows in point.vectors.items()}
    return vectors if point.words is None else {**vectors, WORDS: _sparse(point.words)}


def _sparse(words: Terms) -> qe.SparseVector:
    return qe.SparseVector(words.indices, words.weights)


def _rows(rows: np.ndarray[Any, Any]) -> Any:
    return rows.tolist()


def _nearest(stage: Stage) -> qe.Query:
    return qe.Query.Nearest(_rows(stage.query), using=stage.vector)


def _params(stage: Stage) -> qe.SearchParams:
    if not stage.quantized:
        codes = qe.QuantizationSearchParams(ignore=True)
    else:
        codes = qe.QuantizationSearchParams(rescore=stage.rescore, oversampling=stage.oversampling)
    # An exact search never looks at codes.
    return qe.SearchParams(exact=stage.exact and not stage.quantized, hnsw_ef=stage.hnsw_ef, quantization=codes)


def _filter(filter: Filter) -> qe.Filter | None:
    if not filter:
        return None
    return qe.Filter(
        must=[_condition(part) for part in filter.must] or None,
        should=[_condition(part) for part in filter.should] or None,
        must_not=[_condition(part) for part in filter.must_not] or None,
    )


def _condition(condition: Condition) -> Any:
    if isinstance(condition, Filter):
        return _filter(condition) or qe.Filter()
    if isinstance(condition, Missing):
        return qe.IsEmptyCondition(condition.key)
    if isinstance(condition, HasVector):
        return qe.HasVectorCondition(condition.name)
    if isinstance(condition, Range):
        if isinstance(condition.bounds[0][1], datetime):
            times = {op: bound.isoformat() for op, bound in condition.bounds if isinstance(bound, datetime)}
            return qe.FieldCondition(condition.key, range=qe.RangeDateTime(**times))
        numbers = {op: bound for op, bound in condition.bounds if not isinstance(bound, datetime)}
        return qe.FieldCondition(condition.key, range=qe.RangeFloat(**numbers))
    return _match(condition)


def _match(condition: Match) -> Any:
    if len(condition.values) == 1:
        return qe.FieldCondition(condition.key, match=qe.MatchValue(condition.values[0]))
    return qe.FieldCondition(condition.key, match=qe.MatchAny(list(condition.values)))  # type: ignore[arg-type]

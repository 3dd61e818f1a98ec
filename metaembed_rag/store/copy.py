"""Copy a collection from one engine to another without embedding anything again.

Points travel as they are: ids, payloads, and every named vector. A destination that is not whole is not opened as an
index; a copy that was cut short goes on where it stopped, and one that is whole costs a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from metaembed_rag.errors import IndexMismatchError, IndexNotFoundError, StoreError
from metaembed_rag.store.engine import IDS_AT_ONCE, Engine, Point
from metaembed_rag.store.filters import Filter, match
from metaembed_rag.store.record import COPYING, IndexRecord
from metaembed_rag.store.schema import INDEX_POINT, Schema, check_precision, vector_name
from metaembed_rag.store.store import Store
from metaembed_rag.store.uploads import Uploads
from metaembed_rag.store.words import page_terms

#: Told how many points are in the destination, of how many.
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did.

    Attributes:
        points: points in the destination, records included.
        copied: points that were written by this call.
    """

    points: int
    copied: int


def copy_index(
    source: Engine,
    target: Engine,
    *,
    precision: str | None = None,
    words: bool | None = None,
    report: Report = lambda done, total: None,
) -> Copied:
    """Copy everything; close neither engine.

    Args:
        source: an index; nobody may write to it meanwhile.
        target: a place without an index, one with part of this copy, or one with all of it.
        precision: of the destination; None keeps the source's. Vectors are exact at "f32" and from "f16" to "f16";
            a step down rounds them, and so does each copy of codes.
        words: whether the destination keeps the words of pages; None does as the source. They are made from the text.
        report: progress.

    Raises:
        IndexNotFoundError: there is no index at the source.
        IndexMismatchError: the destination holds another index, or the source is being resized.
        StoreError: an engine failed, or the counts differ in the end.
    """
    # Opening finishes or undoes what a killed writer left.
    origin = Store(source)
    if not origin.exists:
        raise IndexNotFoundError("there is no index to copy")
    record = IndexRecord.parse(source.retrieve([INDEX_POINT]).get(INDEX_POINT))
    if record.schema.building or record.dropping:
        raise IndexMismatchError("the index to copy is being resized: finish that first (metaembed resize)")
    if record.dirty:
        raise IndexMismatchError("the index to copy is being written to: try again when that is done")
    schema = record.schema
    wanted = schema if precision is None else replace(schema, precision=check_precision(precision))
    wanted = wanted if words is None else replace(wanted, words=words)
    record = replace(record, schema=wanted)
    _prepare(target, record)
    total = source.count(Filter())
    done = target.count(Filter())
    report(done, total)
    copied = 0
    with Uploads(target.upsert, target.uploads) as uploads:
        for points in _missing(source, target, wanted):
            uploads.send(points)
            copied += len(points)
            report(min(done + copied, total), total)
        uploads.finish()
    _remove_strangers(source, target)
    counted = target.count(Filter())
    if counted != source.count(Filter()):
        raise StoreError(
            f"the copy has {counted} points and the original {source.count(Filter())}: was it written to meanwhile? "
            "copy again"
        )
    # Annotations, such as figures measured on the source, come along with the record.
    target.set_payload(record.over(source.retrieve([INDEX_POINT])[INDEX_POINT]), [INDEX_POINT])
    target.optimize()
    return Copied(counted, copied)


def _prepare(target: Engine, record: IndexRecord) -> None:
    """Make the destination, or check that it is this copy."""
    point = record.to_point()
    unfinished = replace(point, payload={**point.payload, "schema": COPYING})
    content = target.retrieve([INDEX_POINT]).get(INDEX_POINT) if target.exists() else None
    if content is None:
        target.create(record.schema, unfinished)
        return
    if content.get("schema") == COPYING:
        content = {**content, "schema": record.version}
    if IndexRecord.parse(content) != record:
        raise IndexMismatchError(
            "the destination holds another index (of another model, precision, width or division by tenants, with or "
            "without words, or one that is in use): name an empty place"
        )
    target.set_payload({"schema": COPYING}, [INDEX_POINT])


def _missing(source: Engine, target: Engine, schema: Schema) -> Iterator[list[Point]]:
    """Points of the source that the destination lacks or has another payload of, in batches that fit an upload."""
    names = [vector_name(group) for group in schema.groups]
    at_once = max(1, min(IDS_AT_ONCE, target.batch_bytes // max(1, schema.bytes_per_point)))
    found = source.scroll(Filter())
    while batch := dict(islice(found, IDS_AT_ONCE)):
        batch.pop(INDEX_POINT, None)
        there = target.retrieve(list(batch))
        lacking = [key for key, payload in batch.items() if there.get(key) != payload]
        for start in range(0, len(lacking), at_once):
            keys = lacking[start : start + at_once]
            vectors = source.vectors([key for key in keys if batch[key].get("kind") == "page"], names)
            yield [_point(key, batch[key], vectors.get(key, {}), names, words=schema.words) for key in keys]


def _point(
    key: str, payload: Mapping[str, Any], vectors: Mapping[str, Any], names: Sequence[str], *, words: bool
) -> Point:
    if payload.get("kind") == "page" and set(vectors) != set(names):
        raise StoreError(f"page {payload.get('page')} of {payload.get('source')} lacks vectors: add it again first")
    first = vector_name(1)
    terms = page_terms(payload["text"]) if words and payload.get("kind") == "page" and "text" in payload else None
    return Point(key, {name: rows[0] if name == first else rows for name, rows in vectors.items()}, payload, terms)


def _remove_strangers(source: Engine, target: Engine) -> None:
    """Delete what an earlier, unfinished copy brought and the source has no more."""
    found = target.scroll(Filter(must_not=(match("kind", "index"),)), ["kind"])
    while keys := [key for key, _ in islice(found, IDS_AT_ONCE)]:
        there = source.retrieve(keys)
        gone = [key for key in keys if key not in there]
        if gone:
            target.delete_ids(gone)

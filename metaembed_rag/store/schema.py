"""The collection's schema: named vectors, one a group of document Meta Tokens, and the payload of a point.

``meta_1`` is a dense vector with an HNSW graph; ``meta_4`` ... ``meta_64`` are multivectors compared by
MaxSim and only ever scanned or used to rescore. A narrower budget reads a narrower vector, so it costs less.
``words``, where pages are found by their words too, is a sparse vector of the first window of each page.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import LADDER
from metaembed_rag.errors import InputError
from metaembed_rag.store.merging import merge_windows

FloatArray = npt.NDArray[np.float32]

#: The newest version of the format; every one from 1 on is read. 2 is 1 with tenants, 3 with a bound of vectors a page
#: that its windows share evenly, 4 with words, 5 with such a bound, of which one window may have more than another.
SCHEMA_VERSION = 5

#: Document Meta Tokens of every rung of the ladder: the prefixes that are stored.
GROUPS: tuple[int, ...] = tuple(sorted({budget.document for budget in LADDER}))

#: How vectors are stored: 32 or 16 bit floats, 8 bit codes, or 4 bit codes beside 8 bit ones that rescore them.
Precision: TypeAlias = Literal["f32", "f16", "int8", "4bit"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

#: Bytes of one stored value. "4bit" is the smallest in memory (half a byte), not on disk.
VALUE_BYTES: Mapping[str, float] = {"f32": 4, "f16": 2, "int8": 1, "4bit": 1.5}

#: Values of ``state``, a text because the embedded engine cannot match booleans (see ``flags``).
PENDING, VISIBLE = "pending", "visible"

#: Payload fields with an index: every condition that a search or a commit puts on many points.
INDEXED_FIELDS = ("state", "kind", "document", "version", "source", "id")

#: The sparse vector of a page's words.
WORDS = "words"

#: Whose a point is, in a collection divided by tenants.
TENANT_FIELD = "tenant"

_NAMESPACE = uuid.UUID("0c2b44de-3f4f-5a37-8d8b-5f6e1a8b7f55")

#: The one point that describes the index itself.
INDEX_POINT = str(uuid.uuid5(_NAMESPACE, "index"))


@dataclass(frozen=True, slots=True)
class Schema:
    """What a collection holds.

    Attributes:
        dim: width of every vector.
        groups: document Meta Tokens of each named vector that every point has, ascending, beginning with 1:
            what a search may use.
        building: groups that new points get as well, and older ones are still being given; see ``resize``.
        precision: how vectors are stored.
        page_vectors: at most so many vectors a page in each group, but at least one a window; None keeps all of them.
        tenants: every document belongs to a tenant.
        words: pages are found by their words too, see ``metaembed_rag.store.words``.
        hnsw_m: edges a node of the graph over first tokens.
        hnsw_ef_construct: candidates while that graph is built.
    """

    dim: int
    groups: tuple[int, ...] = GROUPS
    building: tuple[int, ...] = ()
    precision: Precision = "f32"
    page_vectors: int | None = None
    tenants: bool = False
    words: bool = False
    hnsw_m: int = 16
    hnsw_ef_construct: int = 128

    def __post_init__(self) -> None:
        if self.dim < 1 or self.groups[:1] != (1,) or list(self.groups) != sorted(set(self.groups)):
            raise InputError(f"a schema needs a positive dim and ascending groups from 1, not {self}")
        check_precision(self.precision)
        check_page_vectors(self.page_vectors)

    @property
    def written(self) -> tuple[int, ...]:
        """The groups that a new point gets."""
        return tuple(sorted({*self.groups, *self.building}))

    @property
    def bytes_per_point(self) -> int:
        """Float32 bytes of a new point's vectors: what an upload carries."""
        return sum(self.written) * self.dim * 4

    def vectors_a_page(self, group: int, windows: float) -> float:
        """How many vectors of a group a page of so many windows has, at most."""
        return group * windows if self.page_vectors is None else min(group * windows, max(windows, self.page_vectors))

    def vectors(self, embeddings: Sequence[FloatArray], windows: int) -> list[dict[str, FloatArray]]:
        """The named vectors of some neighbours of a page's windows, which are merged together where they have to be.

        Args:
            embeddings: ``[document tokens, dim]`` of each.
            windows: how many the page has.

        Raises:
            InputError: wrong shape, or values that are not finite (the engine would take them silently).
        """
        widest = self.written[-1]
        for rows in embeddings:
            if rows.ndim != 2 or rows.shape[1] != self.dim or rows.shape[0] < widest:
                raise InputError(f"an embedding must be [{widest}, {self.dim}], not {list(rows.shape)}")
            if not np.isfinite(rows).all():
                raise InputError("an embedding holds values that are not finite")
        return self.named(np.stack([rows[:widest] for rows in embeddings]), self.written, windows)

    def named(self, rows: FloatArray, groups: Sequence[int], windows: int) -> list[dict[str, FloatArray]]:
        """Prefixes of ``rows [neighbours, tokens, dim]`` by the names of their groups, for each window."""
        few = len(rows)
        share = rows[..., 0].size if self.page_vectors is None else max(few, self.page_vectors * few // windows)
        made: list[dict[str, FloatArray]] = [{} for _ in rows]
        for group in groups:
            merged = list(rows[:, 0]) if group == 1 else merge_windows(rows[:, :group], share)
            for named, vectors in zip(made, merged, strict=True):
                named[vector_name(group)] = vectors
        return made


def check_precision(value: str) -> Precision:
    """A precision by its name.

    Raises:
        InputError: there is none of this name.
    """
    for precision in PRECISIONS:
        if value == precision:
            return precision
    raise InputError(f"precision={value!r} is not known: choose one of {', '.join(PRECISIONS)}")


def check_page_vectors(value: int | None) -> int | None:
    """A bound of vectors a page.

    Raises:
        InputError: it is no positive number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InputError(f"page_vectors={value!r}: give a number of vectors a page, such as 64, or None for all")
    return value


def check_hybrid(value: bool | None) -> None:
    """Whether words are kept or asked for; None leaves it to the index.

    Raises:
        InputError: it is no boolean.
    """
    if value is not None and not isinstance(value, bool):
        raise InputError(f"hybrid must be True, False or None, not {value!r}")


def vector_name(group: int) -> str:
    """``meta_8`` for 8 document Meta Tokens."""
    return f"meta_{group}"


def point_id(*parts: str) -> str:
    """The id of a point: the engine takes integers and UUIDs only."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps(parts)))


def record_id(document: str, tenant: str | None = None) -> str:
    """The id of a document's record: another one for each tenant."""
    return point_id(*_owned(tenant), "record", document)


def window_id(document: str, version: str, page: str, window: int, tenant: str | None = None) -> str:
    """The id of one window of a page of a version of a document."""
    return point_id(*_owned(tenant), "page", document, version, page, str(window))


def annotation_id(tenant: str) -> str:
    """The id of the point that keeps what a tenant's index was annotated with."""
    return point_id(*_owned(tenant), "annotation")


def _owned(tenant: str | None) -> tuple[str, ...]:
    return () if tenant is None else (TENANT_FIELD, tenant)


def flags(metadata: Mapping[str, Any]) -> list[str]:
    """Booleans in metadata, and whole numbers written as broken ones, as keywords, one ``flag`` each, at any depth.

    qdrant-edge-py 0.9 never matches a boolean condition, and no engine takes 2019 and 2019.0 for equal, so these are
    matched through keywords on every engine alike.
    """
    return sorted({flag(path, value) for path, value in _flagged(metadata, ())})


def flag(path: Sequence[str], value: bool | float) -> str:
    """The keyword for a value at a path of metadata keys."""
    # Minus zero equals zero, but is written otherwise.
    return json.dumps([*path, value + 0.0 if isinstance(value, float) else value], ensure_ascii=False)


def _flagged(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool | float]]:
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flagged(inner, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _flagged(inner, path)

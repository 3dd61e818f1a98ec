"""The index record: the one point that says what a collection is, and the versions of it that can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metaembed_rag.errors import IndexMismatchError, InputError
from metaembed_rag.store.engine import Point
from metaembed_rag.store.schema import INDEX_POINT, SCHEMA_VERSION, Schema, check_page_vectors, check_precision

#: In place of the version while a copy is not whole.
COPYING = 0


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What a collection holds, as it is stored.

    Attributes:
        schema: its vectors.
        dropping: groups whose vectors are being dropped.
        model: document fingerprint of the model that made them; of the whole model in an index of an earlier release.
        model_name: for people.
        dirty: a writer did not finish.
    """

    schema: Schema
    dropping: tuple[int, ...]
    model: str
    model_name: str
    dirty: bool = False

    @property
    def version(self) -> int:
        """Of the format: an older release would mix tenants, write pages past a bound or without words, or expect the
        same number of vectors of every window.
        """
        if self.schema.page_vectors is not None:
            return 5
        if self.schema.words:
            return 4
        return 2 if self.schema.tenants else 1

    def over(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The payload of another index's point with this record in place of its own: annotations come along."""
        kept = {name: value for name, value in content.items() if name not in ("page_vectors", "words")}
        return {**kept, **self.to_point().payload}

    def to_point(self) -> Point:
        """The point that keeps it. ``page_vectors`` and ``words`` are left out where there are none."""
        content = {
            "kind": "index",
            "schema": self.version,
            "dim": self.schema.dim,
            "precision": self.schema.precision,
            "tenants": self.schema.tenants,
            **groups_payload(self.schema, self.dropping),
            "model": self.model,
            "model_name": self.model_name,
            "dirty": self.dirty,
        }
        if self.schema.page_vectors is not None:  # engines differ in what they make of a null
            content["page_vectors"] = self.schema.page_vectors
        if self.schema.words:
            content["words"] = True
        return Point(INDEX_POINT, {}, content)

    @classmethod
    def parse(cls, content: Mapping[str, Any] | None) -> IndexRecord:
        """Read the payload of the point, of any version up to ``SCHEMA_VERSION``.

        Raises:
            IndexMismatchError: it is missing, newer, or damaged.
        """
        version = None if content is None else content.get("schema")
        if version == COPYING and not isinstance(version, bool):
            raise IndexMismatchError("this is an unfinished copy of an index: finish it with metaembed copy SRC DST")
        if content is None or isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise IndexMismatchError(
                f"this collection is not an index of schema version 1 to {SCHEMA_VERSION}: name another one, or "
                "index the documents anew"
            )
        if version > SCHEMA_VERSION:
            raise IndexMismatchError(
                f"this index is of schema version {version}, made by a newer release of metaembed-rag; this one reads "
                f"up to {SCHEMA_VERSION}: upgrade it"
            )
        try:
            schema = Schema(
                dim=_whole(content["dim"]),
                groups=_groups(content["groups"]),
                building=_groups(content.get("building", [])),
                precision=check_precision(content.get("precision", "f32")),
                page_vectors=check_page_vectors(content.get("page_vectors")),
                tenants=bool(content.get("tenants", False)),
                words=bool(content.get("words", False)),
            )
            return cls(
                schema,
                dropping=_groups(content.get("dropping", [])),
                model=_text(content["model"]),
                model_name=_text(content["model_name"]),
                dirty=bool(content["dirty"]),
            )
        except (InputError, KeyError, TypeError) as error:
            raise IndexMismatchError(
                f"the record of this index cannot be read ({error}): it is damaged or of a newer release; "
                "upgrade metaembed-rag, or index the documents anew"
            ) from error


def groups_payload(schema: Schema, dropping: Sequence[int]) -> dict[str, list[int]]:
    """The fields that a resize changes, together."""
    return {"groups": list(schema.groups), "building": list(schema.building), "dropping": list(dropping)}


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _groups(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list of Meta Tokens")
    return tuple(_whole(group) for group in value)

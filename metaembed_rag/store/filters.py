"""Filters as users write them, read into conditions that no engine has to interpret."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any, Literal, TypeAlias

from metaembed_rag.errors import FilterError, InputError
from metaembed_rag.pages.clean import check_text
from metaembed_rag.store.schema import flag

Scalar: TypeAlias = "str | int"
Bound: TypeAlias = "float | datetime"

#: Keys that are fields of a hit; every other key is metadata.
FIELDS = ("id", "source", "page")
_RANGE = ("gt", "gte", "lt", "lte")
#: Filters within filters: beyond, reading or running them by recursion could end the process.
_MAX_DEPTH = 32
#: Whole numbers that the engines hold.
_LEAST, _MOST = -(2**63), 2**63 - 1
_OPERATORS = (*_RANGE, "in", "not_in", "not", "exists")
_HELP = (
    "write {'source': 'a.pdf'}, {'page': [1, 2]}, {'year': {'gte': 2019}}, {'tag': {'not': 'x'}}, "
    "{'tag': {'in': [...]}}, {'tag': {'not_in': [...]}}, {'tag': {'exists': True}}, or combine with "
    "{'and': [...]}, {'or': [...]}, {'not': {...}}"
)


@dataclass(frozen=True, slots=True)
class Match:
    """The value at ``key`` (or one of a list there) is among ``values``, all text or all whole numbers."""

    key: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The number or time at ``key`` lies within the bounds."""

    key: str
    bounds: tuple[tuple[Literal["gt", "gte", "lt", "lte"], Bound], ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """There is nothing at ``key``: no such key, null, or an empty list."""

    key: str


@dataclass(frozen=True, slots=True)
class HasVector:
    """The point has a vector of this name. For our own use: no filter of a user's becomes one."""

    name: str


@dataclass(frozen=True, slots=True)
class Filter:
    """All of ``must``, at least one of ``should`` if there are any, none of ``must_not``."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.must or self.should or self.must_not)

    def __and__(self, other: Filter) -> Filter:
        return Filter(must=tuple(part for part in (self, other) if part))


Condition: TypeAlias = "Match | Range | Missing | HasVector | Filter"


def match(key: str, *values: Scalar) -> Filter:
    """A filter on one payload field, for our own use: ``key`` is a path as the engine takes it."""
    return Filter(must=(Match(key, values),))


def parse_filter(value: Mapping[str, Any] | None) -> Filter:
    """Read a filter.

    Args:
        value: keys "id", "source" and "page" are the hit's fields; every other key is metadata, and so is
            ``"metadata.x"``. Values: a scalar (equal), a list (any of), None (missing), or a mapping of
            operators. Several keys must all hold. ``{"and": [...]}``, ``{"or": [...]}`` and
            ``{"not": {...}}`` combine filters.

    Raises:
        FilterError: anything else; the message says what is allowed.
    """
    return _parse(value, _MAX_DEPTH)


def _parse(value: Any, depth: int) -> Filter:
    if depth < 0:
        raise FilterError(f"a filter may hold filters {_MAX_DEPTH} levels deep, not more; write it flatter")
    if value is None:
        return Filter()
    if isinstance(value, Filter):
        return value
    if not isinstance(value, Mapping):
        raise FilterError(f"a filter must be a mapping, not {type(value).__name__}; {_HELP}")
    parts = [_parse_entry(key, entry, depth) for key, entry in value.items()]
    return parts[0] if len(parts) == 1 else Filter(must=tuple(part for part in parts if part))


def _parse_entry(key: object, entry: Any, depth: int) -> Filter:
    if not isinstance(key, str) or not key:
        raise FilterError(f"filter key {_shown(key)} must be a text that is not empty; {_HELP}")
    if key in ("and", "or"):
        if not isinstance(entry, Sequence) or isinstance(entry, str) or not entry:
            raise FilterError(f"{key!r} takes a list of filters; {_HELP}")
        parts = tuple(_parse(part, depth - 1) for part in entry)
        return Filter(must=parts) if key == "and" else Filter(should=parts)
    if key == "not":
        return Filter(must_not=(_parse(entry, depth - 1),))
    return _parse_field(_Field.of(key), entry)


def _parse_field(field: _Field, entry: Any) -> Filter:
    if not isinstance(entry, Mapping):
        return _any_of(field, entry if isinstance(entry, (list, tuple, set, frozenset)) else [entry])
    unknown = [operator for operator in entry if operator not in _OPERATORS]
    if unknown or not entry:
        raise FilterError(f"{_shown(field.name)}: unknown operators {_shown(unknown)}; {_HELP}")
    parts: list[Condition] = []
    bounds = tuple((op, _bound(field, entry[op])) for op in _RANGE if op in entry)
    if bounds:
        if len({isinstance(bound, datetime) for _, bound in bounds}) > 1:
            raise FilterError(f"{_shown(field.name)}: a range needs bounds of one kind")
        parts.append(Range(field.path, bounds))  # type: ignore[arg-type]
    if "in" in entry:
        parts.append(_any_of(field, _values(field, entry["in"])))
    if "not_in" in entry:
        parts.append(Filter(must_not=(_any_of(field, _values(field, entry["not_in"])),)))
    if "not" in entry:
        parts.append(Filter(must_not=(_any_of(field, [entry["not"]]),)))
    if "exists" in entry:
        if not isinstance(entry["exists"], bool):
            raise FilterError(f"{_shown(field.name)}: 'exists' takes True or False, not {_shown(entry['exists'])}")
        missing = Missing(field.path)
        parts.append(Filter(must_not=(missing,)) if entry["exists"] else missing)
    return Filter(must=tuple(parts))


def _any_of(field: _Field, values: Any) -> Filter:
    """One condition a kind of value, joined by "or"."""
    texts: list[str] = []
    numbers: list[int] = []
    flagged: list[str] = []
    others: list[Condition] = []
    for value in values:
        if isinstance(value, bool):
            flagged.append(flag(field.keys, value))
        elif isinstance(value, str):
            texts.append(_checked(field.name, value))
        elif isinstance(value, int):
            if not _LEAST <= value <= _MOST:
                raise FilterError(f"{_shown(field.name)}: {_shown(value)} has more than 64 bits and cannot be compared")
            numbers.append(value)
            if field.keys and float(value) == value:
                flagged.append(flag(field.keys, float(value)))
        elif isinstance(value, float) and math.isfinite(value):
            others.append(Range(field.path, (("gte", value), ("lte", value))))
        elif value is None:
            others.append(Missing(field.path))
        else:
            raise FilterError(f"{_shown(field.name)}: {_shown(value)} cannot be compared; {_HELP}")
    if not (texts or numbers or flagged or others):
        # "Any of nothing" holds for no page: a page without id does not exist.
        return Filter(must=(Missing("id"),))
    groups: tuple[tuple[str, list[Any]], ...] = ((field.path, texts), (field.path, numbers), ("flags", flagged))
    parts: list[Condition] = [Match(path, tuple(group)) for path, group in groups if group]
    parts.extend(others)
    return Filter(must=(parts[0],)) if len(parts) == 1 else Filter(should=tuple(parts))


def _values(field: _Field, value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    raise FilterError(f"{_shown(field.name)}: 'in' and 'not_in' take a list; {_HELP}")


def _bound(field: _Field, value: Any) -> Bound:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
        if isinstance(value, datetime):
            return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        pass  # no time, or a number or time beyond what can be held
    raise FilterError(
        f"{_shown(field.name)}: the bound {_shown(value)} is neither a number nor an ISO 8601 time in range"
    )


def _checked(name: str, text: str) -> str:
    try:
        return check_text("it", text)
    except InputError as error:
        raise FilterError(f"filter on {_shown(name)}: {error}") from None


def _shown(value: object) -> str:
    """``value`` for a message: short, however long or deep it is."""
    return reprlib.repr(value)


@dataclass(frozen=True, slots=True)
class _Field:
    """A key as written, its metadata keys (none for a hit's field), and its path in the payload."""

    name: str
    keys: tuple[str, ...]
    path: str

    @classmethod
    def of(cls, name: str) -> _Field:
        if name in FIELDS:
            return cls(name, (), name)
        bare = name.removeprefix("metadata.")
        # A dot may stand in a key or between keys; a quoted whole key would miss nested values and the
        # other way round, so dots part keys, as in the engine's own paths.
        keys = tuple(_checked(name, bare).split("."))
        if not all(keys) or any(sign in bare for sign in '"\\[]'):
            raise FilterError(
                f"filter key {_shown(name)}: quotes, backslashes, brackets and empty parts cannot be matched"
            )
        # Engines take what stands between quotes as it is: escapes, as JSON has them, mean nothing to them.
        return cls(name, keys, ".".join(["metadata", *(f'"{key}"' for key in keys)]))

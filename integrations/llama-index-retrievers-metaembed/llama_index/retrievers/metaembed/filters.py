"""From LlamaIndex metadata filters to filters of a MetaEmbed index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.retrievers.metaembed.nodes import HIDDEN

from metaembed_rag.errors import FilterError
from metaembed_rag.store.filters import parse_filter

_RANGES = {
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
}
_LISTS = {FilterOperator.IN: "in", FilterOperator.ANY: "in", FilterOperator.NIN: "not_in"}
_HELP = "an index knows ==, !=, >, >=, <, <=, in, nin, any, all, contains and is_empty"


def to_index_filter(filters: MetadataFilters | None) -> dict[str, Any] | None:
    """Translate filters.

    A key is one of a node's metadata. "id", "source" and "page" are the page's own where its metadata has no such key.
    A list in the metadata matches where one of its values does. Bounds are numbers or ISO 8601 times.

    Args:
        filters: any nesting of "and", "or" and "not" (none of the parts holds).

    Returns:
        what ``MetaEmbedIndex.search`` takes as ``filter``; None where there is nothing to filter.

    Raises:
        FilterError: an operator or a value that an index cannot express (text search), or a malformed one.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise FilterError(f"filters must be MetadataFilters, not {type(filters).__name__}")
    if not filters.filters:
        return None
    translated = _group(filters)
    parse_filter(translated)  # says now, not at the first search, what is wrong with a value
    return translated


def all_of(*conditions: dict[str, Any] | None) -> dict[str, Any] | None:
    """A filter for all of several conditions; None among them says nothing."""
    given = [condition for condition in conditions if condition is not None]
    return {"and": given} if given else None


def of_documents(ref_doc_ids: Sequence[str]) -> dict[str, Any]:
    """A filter for the nodes of documents: by their source relationship, or by what an index knows without one."""
    ids = {"in": list(ref_doc_ids)}
    key = f"metadata.{HIDDEN}.ref_doc_id"
    plain = {"and": [{key: {"exists": False}}, {"or": [{"source": ids}, {"id": ids}]}]}
    return {"or": [{key: ids}, plain]}


def _group(group: MetadataFilters) -> dict[str, Any]:
    if not group.filters:
        raise FilterError("a group of filters within another one is empty: leave it out")
    parts = [_group(part) if isinstance(part, MetadataFilters) else _field(part) for part in group.filters]
    if group.condition == FilterCondition.OR:
        return {"or": parts}
    if group.condition == FilterCondition.NOT:
        return {"not": {"or": parts}}
    return {"and": parts}


def _field(part: MetadataFilter) -> dict[str, Any]:
    # With the prefix no metadata key can be taken for one of the filter language's own words.
    key = f"metadata.{part.key}"
    if part.key == "source":
        return _condition(part, part.key)  # a "source" in the metadata is the page's source
    if part.key in ("id", "page"):
        own = {"and": [{key: {"exists": False}}, _condition(part, part.key)]}
        return {"or": [{"and": [{key: {"exists": True}}, _condition(part, key)]}, own]}
    return _condition(part, key)


def _condition(part: MetadataFilter, key: str) -> dict[str, Any]:
    operator, value = part.operator, part.value
    if operator in _RANGES:
        return {key: {_RANGES[operator]: value}}
    if operator in _LISTS:
        return {key: {_LISTS[operator]: _list(part)}}
    if operator == FilterOperator.ALL:
        return {"and": [{key: {"in": [entry]}} for entry in _list(part)]}
    if operator == FilterOperator.IS_EMPTY:
        return {key: {"exists": False}}
    if operator in (FilterOperator.EQ, FilterOperator.CONTAINS):
        return {key: {"in": [_scalar(part)]}}
    if operator == FilterOperator.NE:
        return {key: {"not": _scalar(part)}}
    raise FilterError(f"{part.key}: a MetaEmbed index has no {operator.value!r}; {_HELP}")


def _list(part: MetadataFilter) -> list[Any]:
    if not isinstance(part.value, list) or not part.value:
        raise FilterError(f"{part.key}: {part.operator.value!r} takes a list that is not empty, not {part.value!r}")
    return list(part.value)


def _scalar(part: MetadataFilter) -> Any:
    if part.value is None or isinstance(part.value, list):
        raise FilterError(
            f"{part.key}: {part.operator.value!r} takes a text or a number, not {part.value!r}; "
            "for several values use 'in' or 'nin', for none 'is_empty'"
        )
    return part.value

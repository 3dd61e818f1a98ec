"""Configuration as JSON values: how to open an index again, without anything secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from metaembed_rag.index import MetaEmbedIndex


def json_filter(value: Any) -> Any:
    """A filter made of JSON values: times as ISO 8601 text, sets and tuples as lists."""
    if isinstance(value, Mapping):
        return {key: json_filter(entry) for key, entry in value.items()}
    if isinstance(value, (set, frozenset)):
        return [json_filter(entry) for entry in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [json_filter(entry) for entry in value]
    return value.isoformat() if isinstance(value, date) else value


def index_configuration(index: MetaEmbedIndex) -> dict[str, Any] | None:
    """The arguments that open an index again, without its key; None for one in memory, which cannot be."""
    return None if index.path in (None, ":memory:") else {"path": index.path}

"""Filters as JSON values, for configuration that is written down."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any


def json_filter(value: Any) -> Any:
    """A filter made of JSON values: times as ISO 8601 text, sets and tuples as lists."""
    if isinstance(value, Mapping):
        return {key: json_filter(entry) for key, entry in value.items()}
    if isinstance(value, (set, frozenset)):
        return [json_filter(entry) for entry in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [json_filter(entry) for entry in value]
    return value.isoformat() if isinstance(value, date) else value

"""Docstrings that describe several attributes in one line ("rank, alpha: of the adapter") become one entry each."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SEVERAL = re.compile(
    r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.*(?:\n(?P=indent) +\S.*)*)$",
    re.MULTILINE,
)


class Names(griffe.Extension):
    """Applied to every docstring before it is parsed."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for every object it has read."""
        if obj.docstring is not None:
            obj.docstring.value = _SEVERAL.sub(_spread, obj.docstring.value)


def _spread(entry: re.Match[str]) -> str:
    return "\n".join(f"{entry['indent']}{name}: {entry['text']}" for name in entry["names"].split(", "))

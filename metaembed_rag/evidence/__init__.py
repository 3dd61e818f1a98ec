"""Evidence: which words, lines and regions of a page answer a query, found by the model that scored the page."""

from __future__ import annotations

from metaembed_rag.evidence.evidence import Evidence, Part
from metaembed_rag.evidence.explain import METHODS, Method, explain_match

__all__ = ["METHODS", "Evidence", "Method", "Part", "explain_match"]

"""What a person looks at: cards and reports of hits, pictures in terminals, heat maps.

Everything is self-contained: no scripts, nothing loaded from elsewhere, and every word that comes from a
document is escaped. Pictures load Pillow when first drawn.
"""

from __future__ import annotations

from metaembed_rag.display.cards import hit_html, hits_html
from metaembed_rag.display.evidence import evidence_html
from metaembed_rag.display.meta_tokens import MetaTokenReport, meta_token_report
from metaembed_rag.display.report import report_html, write_report

__all__ = [
    "MetaTokenReport",
    "evidence_html",
    "hit_html",
    "hits_html",
    "meta_token_report",
    "report_html",
    "write_report",
]

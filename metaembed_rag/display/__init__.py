"""What a person looks at: cards and reports of hits, pictures in terminals, heat maps.

Everything is self-contained: no scripts, nothing loaded from elsewhere, and every word that comes from a
document is escaped. Pictures load Pillow when first drawn.
"""

from __future__ import annotations

from metaembed_rag.display.cards import hit_html, hits_html
from metaembed_rag.display.report import report_html, write_report

__all__ = ["hit_html", "hits_html", "report_html", "write_report"]

"""Hits as one HTML file: no scripts, nothing loaded from elsewhere, for the browser and for sending on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from metaembed_rag.display.cards import hits_html
from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from metaembed_rag.hit import Hit

#: Width of page pictures in a report, in CSS pixels.
REPORT_WIDTH = 300
#: Characters of a passage beside them.
REPORT_EXCERPT = 1200

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 28px 20px 48px; max-width: 900px; background: #fbfaf8; color: #1d1d1f;
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
footer { margin-top: 24px; font-size: 12.5px; opacity: .7; }
@media (prefers-color-scheme: dark) { body { background: #1a1b1e; color: #e8e6e3; } }
@media (max-width: 620px) { .metaembed-hits > div { flex-wrap: wrap; } }
@media print { body { background: #fff; color: #000; } .metaembed-hits > div { break-inside: avoid; } }
"""
#: Whatever a document says, the file runs nothing and asks nobody.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document_html(title: str, body: str) -> str:
    """A whole HTML document around ``body``, which is HTML already; ``title`` is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def report_html(hits: Sequence[Hit], query: str = "", *, seconds: float | None = None, plan: str = "") -> str:
    """Hits as a whole HTML document."""
    body = hits_html(hits, query, seconds=seconds, plan=plan, width=REPORT_WIDTH, length=REPORT_EXCERPT, link=True)
    return document_html(query or "Pages found", f"{body}<footer>made by metaembed-rag</footer>")


def write_report(html: str, path: str | os.PathLike[str]) -> Path:
    """Write a report; an existing file is replaced.

    Raises:
        InputError: the file cannot be written.
    """
    target = Path(path)
    try:
        target.write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"the report cannot be written to {target} ({error.strerror}); name another file") from error
    return target


def show_report(html: str, path: str | os.PathLike[str] | None = None, *, browser: bool = True) -> str:
    """Write a report and, where wanted, open it in the browser.

    Args:
        html: the report.
        path: the file; None is one in the folder for temporary files that only its owner may read.
        browser: open it.

    Returns:
        what was done, in a line for people.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        handle, name = tempfile.mkstemp(prefix="metaembed-", suffix=".html")
        os.close(handle)
        path = name
    target = write_report(html, path)
    if browser:
        import webbrowser

        if not webbrowser.open(target.resolve().as_uri()):
            return f"no browser could be opened; the report is {target}"
    return f"report: {target}"

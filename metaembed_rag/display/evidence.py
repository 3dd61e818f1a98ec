"""Evidence as HTML: the heat map, the hottest lines, and what each query Meta Token found."""

from __future__ import annotations

from html import escape
from os.path import basename
from typing import TYPE_CHECKING

from metaembed_rag.display.cards import FONT, MUTED
from metaembed_rag.display.heatmap import tint
from metaembed_rag.display.thumbnail import data_uri, thumbnail
from metaembed_rag.display.words import mark_words
from metaembed_rag.errors import MetaEmbedError

if TYPE_CHECKING:
    from metaembed_rag.evidence import Evidence, Part

#: Width of the heat map, in CSS pixels; its picture is twice as fine.
HEAT_WIDTH = 340
#: Characters of a line that are shown, and of a text with tints.
_LINE, _TEXT = 160, 6000

_METHODS = {
    "alone": "what each line scores when it is read as a page of its own",
    "occlusion": "what the page's score loses without each line",
    "states": "the query's Meta Tokens against the page's token states",
}


def evidence_html(evidence: Evidence, *, width: int = HEAT_WIDTH) -> str:
    """Evidence as a fragment for notebooks and reports; styles stand on the elements, as on cards."""
    hit = evidence.hit
    name = escape(basename(hit.source) or hit.source)
    note = f'<div style="{MUTED}"><i>{escape(evidence.note)}</i></div>' if evidence.note else ""
    return (
        f'<div style="{FONT};max-width:960px;text-align:left">'
        f'<div><b style="font-size:16px">{escape(evidence.query)}</b></div>'
        f'<div style="margin-bottom:10px">{name} &nbsp;·&nbsp; page {hit.page} '
        f'<span style="{MUTED}">· score {evidence.token_scores.sum():.3f} by {evidence.tokens} query Meta Tokens · '
        f"{escape(_METHODS[evidence.method])}</span></div>"
        f'<div style="display:flex;gap:18px;align-items:flex-start;flex-wrap:wrap">{_picture(evidence, width)}'
        f'<div style="flex:1;min-width:280px">{note}{_hottest(evidence)}{_per_token(evidence)}</div></div></div>'
    )


def tinted_text(evidence: Evidence, token: int | None = None) -> str:
    """The page's text with a tint behind each word as warm as the word, as HTML."""
    text = evidence.hit.text
    parts: list[str] = []
    at = 0
    for word in evidence.parts("words", token=token):
        if word.span[0] >= _TEXT:
            parts.append(" …")
            break
        parts.append(escape(text[at : word.span[0]]))
        colour = tint(word.heat)
        shown = escape(word.text)
        parts.append(f'<span style="background:{colour};border-radius:2px">{shown}</span>' if colour else shown)
        at = word.span[1]
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.55">{"".join(parts)}</div>'


def _picture(evidence: Evidence, width: int) -> str:
    frame = f"flex:none;width:{width}px"
    try:
        image = evidence.image()
    except (MetaEmbedError, OSError):
        image = None
    if image is None or (evidence.note and evidence.layout.words):
        return (
            f'<div style="flex:1.2;min-width:{width}px">{tinted_text(evidence)}</div>' if evidence.layout.words else ""
        )
    uri = data_uri(thumbnail(image, 2 * width), max_bytes=400_000)
    alternative = escape(f"heat map of page {evidence.hit.page} of {evidence.hit.source}")
    border = "border:1px solid rgba(128,128,128,.35);border-radius:4px"
    return f'<img width="{width}" alt="{alternative}" src="{uri}" style="{frame};{border};height:auto;background:#fff">'


def _hottest(evidence: Evidence) -> str:
    rows = "".join(_line(part, evidence.query) for part in evidence.top_lines() if part.text)
    return f'<div style="{MUTED};margin-bottom:2px">hottest lines</div>{rows}' if rows else ""


def _line(part: Part, query: str) -> str:
    return (
        f'<div style="{_ROW};background:{tint(0.4 * part.heat) or "transparent"}">'
        f'<span style="flex:none;font-variant-numeric:tabular-nums">'
        f"<b>{part.score:.2f}</b></span> <span>{mark_words(_short(part.text), query)}</span></div>"
    )


def _per_token(evidence: Evidence) -> str:
    """One row a query Meta Token, coarse to fine: what it found on the page, and the line it likes best."""
    rows = []
    for token, score in enumerate(evidence.token_scores.tolist()):
        best = evidence.top_lines(1, token=token)
        if not best or not best[0].text:
            return ""
        rows.append(
            f'<tr style="background:transparent"><td style="{_CELL};text-align:right">{token}</td>'
            f'<td style="{_CELL};text-align:right">{score:.2f}</td>'
            f'<td style="{_CELL};text-align:left">{escape(_short(best[0].text, 90))}</td></tr>'
        )
    head = "".join(f'<th style="{_CELL};text-align:left">{name}</th>' for name in ("token", "score", "hottest line"))
    return (
        f'<details style="margin-top:10px"><summary style="{MUTED};cursor:pointer">'
        "each query Meta Token, coarse to fine</summary>"
        f'<table style="border-collapse:collapse;font-size:12.5px"><tr>{head}</tr>{"".join(rows)}</table></details>'
    )


_ROW = "display:flex;gap:10px;align-items:baseline;margin:0 0 6px;padding:3px 8px;border-radius:4px"
_CELL = "padding:2px 8px;border:0;border-bottom:1px solid rgba(128,128,128,.25);vertical-align:top"


def _short(text: str, length: int = _LINE) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"

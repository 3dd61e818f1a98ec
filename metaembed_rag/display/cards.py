"""Hits as HTML cards for notebooks and reports.

Styles stand on the elements, because notebooks that are not trusted drop style sheets; colours are the page's own
with translucent tints, so cards are legible on light and on dark; without any styles the order still reads well.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from os.path import basename
from pathlib import Path
from typing import TYPE_CHECKING

from metaembed_rag.display.thumbnail import data_uri, thumbnail
from metaembed_rag.display.words import EXCERPT, excerpt, mark_words
from metaembed_rag.errors import MetaEmbedError

if TYPE_CHECKING:
    from metaembed_rag.hit import Hit

#: Width of a page picture on a card, in CSS pixels, and how much finer it is for sharp screens.
PICTURE_WIDTH = 150
PICTURE_DENSITY = 2
#: Drawn finer than shown, then scaled down: thin strokes stay whole.
_DPI = 120

#: Cards of one answer that show a picture; the others do without, so that a notebook stays small.
PICTURES = 20

_ROUTES = {"layer": "text layer", "ocr": "read by OCR", "text": "plain text"}
FONT = (
    "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;font-size:14px;line-height:1.45"
)
_CARD = (
    f"{FONT};display:flex;gap:16px;align-items:flex-start;padding:12px 14px;margin:8px 0;max-width:860px;"
    "text-align:left;border:1px solid rgba(128,128,128,.35);border-radius:8px"
)
MUTED = "font-size:12.5px;opacity:.75"
_BADGE = "display:inline-block;padding:0 7px;border-radius:9px;border:1px solid rgba(128,128,128,.45);font-size:12px"


def hit_html(
    hit: Hit,
    query: str = "",
    *,
    seconds: float | None = None,
    rank: int | None = None,
    width: int = PICTURE_WIDTH,
    length: int = EXCERPT,
    link: bool = False,
) -> str:
    """One hit as a card: the page's picture, score, source and page, budget, and the passage that matched.

    Args:
        hit: what to show. A source that is no longer there is said on the card.
        query: its words are marked in the passage.
        seconds: what the search took.
        rank: place among the hits, from 1.
        width: of the picture, in CSS pixels; 0 leaves it out.
        length: characters of the passage that are shown.
        link: make the page's name a link to the local file; for reports, since notebooks travel.
    """
    facts = [f"budget {hit.budget}", _ROUTES.get(hit.route, hit.route)]
    if seconds is not None:
        facts.insert(1, duration(seconds))
    place = "" if rank is None else f'<span style="{MUTED}">{rank}</span> &nbsp;'
    passage = mark_words(excerpt(hit.passage, query, length), query)
    if not passage:
        passage = f'<i style="{MUTED}">no text on this page</i>'
    return (
        f'<div style="{_CARD}">{_picture(hit, width)}'
        '<div style="flex:1;min-width:0;overflow-wrap:anywhere">'
        f"<div>{place}<b>{_name(hit, link)}</b> &nbsp;·&nbsp; page {hit.page}"
        f' &nbsp;<span style="{_BADGE}">score {hit.score:.3f}</span></div>'
        f'<div style="{MUTED}" title="{escape(hit.source)}">{escape(" · ".join(facts))}</div>'
        f'<div style="margin-top:8px">{passage}</div>{_metadata(hit)}</div></div>'
    )


def hits_html(
    hits: Sequence[Hit],
    query: str = "",
    *,
    seconds: float | None = None,
    plan: str = "",
    width: int = PICTURE_WIDTH,
    length: int = EXCERPT,
    link: bool = False,
) -> str:
    """Hits as cards under a line that says what was asked, how, and in what time."""
    told = [f"{len(hits)} {'page' if len(hits) == 1 else 'pages'}" if hits else "no pages match"]
    if seconds is not None:
        told.append(duration(seconds))
    if plan:
        told.append(plan)
    head = (
        f'<div style="font-family:system-ui,sans-serif;margin:4px 0 10px"><b style="font-size:16px">{escape(query)}</b>'
        f'<div style="{MUTED}">{escape(" · ".join(told))}</div></div>'
    )
    cards = (
        hit_html(hit, query, rank=rank, width=width if rank <= PICTURES else 0, length=length, link=link)
        for rank, hit in enumerate(hits, 1)
    )
    return f'<div class="metaembed-hits">{head}{"".join(cards)}</div>'


def duration(seconds: float) -> str:
    """A time as people say it."""
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _name(hit: Hit, link: bool) -> str:
    name = escape(basename(hit.source.rstrip("/\\")) or hit.source)
    if not link or (hit.route == "text" and not Path(hit.source).suffix):
        return name
    path = Path(hit.source)
    try:
        if not path.is_file():
            return name
        target = path.resolve().as_uri()
    except (OSError, ValueError):
        return name
    return f'<a style="color:inherit" href="{escape(target)}#page={hit.page}">{name}</a>'


def _picture(hit: Hit, width: int) -> str:
    if hit.route == "text" or width == 0:
        return ""
    frame = f"flex:none;width:{width}px;border:1px solid rgba(128,128,128,.35);border-radius:4px"
    try:
        image = hit.image(dpi=_DPI)
    except (MetaEmbedError, OSError) as error:
        reason = getattr(error, "reason", "") or str(error)
        return (
            f'<div style="{frame};box-sizing:border-box;padding:10px;min-height:{width}px;{MUTED}">'
            f"<i>no picture: {escape(str(reason))}</i></div>"
        )
    if image is None:
        return ""
    uri = data_uri(thumbnail(image, PICTURE_DENSITY * width))
    alternative = escape(f"page {hit.page} of {hit.source}")
    return f'<img width="{width}" alt="{alternative}" src="{uri}" style="{frame};height:auto;background:#fff">'


def _metadata(hit: Hit) -> str:
    if not hit.metadata:
        return ""
    shown = ", ".join(f"{key}: {value}" for key, value in list(hit.metadata.items())[:6])
    return f'<div style="{MUTED};margin-top:6px">{escape(shown[:300])}</div>'

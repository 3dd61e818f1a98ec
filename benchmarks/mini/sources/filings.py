"""Annual and quarterly reports of US companies (10-K, 10-Q), as EDGAR publishes them: HTML read into pages of lines."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from sources.manuals import ManualPage
from sources.pair import squeeze

logger = logging.getLogger(__name__)

SHORTEST_PAGE = 200
LONGEST_TITLE = 90
#: A bold line that stands on so many pages is a running header.
RUNNING = 3

_BLOCKS = frozenset({"div", "p", "table", "tr", "li", "ul", "ol", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "body"})
_BREAK = re.compile(r"page-break-(?:after|before)\s*:\s*always", re.IGNORECASE)
_BOLD = re.compile(r"font-weight\s*:\s*(?:bold|[6-9]00)", re.IGNORECASE)
_NEVER_CLOSED = frozenset({"br", "hr", "img", "meta", "link", "input", "col", "wbr"})
#: Cells of their own for what belongs to the figure before or after them.
_DETACHED = re.compile(r"(?<=[\d)]) (?=[)%])|(?<=\() (?=\d)")
_LEGAL_FORM = re.compile(
    r"[,.]?\s+(?:incorporated|inc|corporation|corp|company|co|companies|plc|ltd|limited|n\.?v|holdings)\.?$"
    r"|\s*&\s*co(?:mpany)?\.?$|^the\s+|\s*/[a-z]{2,3}/?$",
    re.IGNORECASE,
)
_QUARTERS = frozenset({"Q1", "Q2", "Q3"})


@dataclass(slots=True)
class Filing:
    """A report, page by page.

    Attributes:
        name: of its file, below the folder that was read.
        company: that files it, without its legal form.
        symbol: it is traded under; "" where the report names none.
        year: fiscal.
        quarter: Q1 to Q3; "" for a whole year.
        pages: with their bold lines as titles.
    """

    name: str
    company: str
    symbol: str
    year: int
    quarter: str
    pages: list[ManualPage]


def read_filings(root: Path, *, without: frozenset[str] = frozenset(), processes: int = 2) -> Iterator[Filing]:
    """Reports below ``root`` that say in inline XBRL whose they are and of which year; the log names the others.

    Args:
        root: folder with .html or .htm files, at any depth.
        without: names of companies; one is left out whose name begins with one of them, or whose symbol is one.
        processes: readers that run beside each other.

    Raises:
        FileNotFoundError: no HTML file below ``root``.
    """
    paths = sorted(path for path in root.rglob("*.htm*") if path.is_file())
    if not paths:
        raise FileNotFoundError(f"no .html below {root}: clone a collection of 10-K and 10-Q reports there")
    left_out = frozenset(map(_plain, without))
    with ProcessPoolExecutor(processes) as pool:
        for path, filing in zip(paths, pool.map(_read, paths), strict=True):
            if filing is None:
                logger.warning("%s left out: it does not say which company it is of, or which year", path)
            elif any(_plain(filing.company).startswith(name) or _plain(filing.symbol) == name for name in left_out):
                logger.info("%s left out: %s", path, filing.company)
            else:
                filing.name = str(path.relative_to(root))
                yield filing


def financebench_companies(clone: Path) -> frozenset[str]:
    """Names of all companies whose filings FinanceBench asks about, from a clone of patronus-ai/financebench.

    Raises:
        FileNotFoundError: the clone has no list of documents.
    """
    path = clone / "data" / "financebench_document_information.jsonl"
    return frozenset(json.loads(line)["company"] for line in path.read_text(encoding="utf-8").splitlines())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^the\s+", "", name.lower()))


def _read(path: Path) -> Filing | None:
    parser = _Pages()
    parser.feed(path.read_text(encoding="utf-8", errors="replace"))
    parser.close()
    facts = {name: squeeze(text) for name, text in parser.facts.items()}
    year = facts.get("DocumentFiscalYearFocus", "")
    company = _short(facts.get("EntityRegistrantName", ""))
    if not year.isdigit() or not company:
        return None
    quarter = facts.get("DocumentFiscalPeriodFocus", "")
    pages = [ManualPage(number, lines, titles) for number, (lines, titles) in enumerate(parser.pages)]
    often = Counter(title for page in pages for title in set(page.titles))
    for page in pages:
        page.titles = [title for title in page.titles if often[title] < RUNNING]
    kept = [page for page in pages if sum(map(len, page.lines)) >= SHORTEST_PAGE]
    symbol = facts.get("TradingSymbol", "")
    return Filing(path.name, company, symbol, int(year), quarter if quarter in _QUARTERS else "", kept)


def _short(name: str) -> str:
    """A company's name as people write it: without its legal form, and not all in capitals."""
    name = squeeze(name)
    while (shorter := _LEGAL_FORM.sub("", name)) != name and shorter:
        name = shorter.rstrip(" ,")
    return name.title() if name.isupper() and len(name) > 4 else name


class _Pages(HTMLParser):
    """Collects lines page by page: a row of a table is a line, its cells parted by a space, as in a PDF's text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pages: list[tuple[list[str], list[str]]] = [([], [])]
        self.facts: dict[str, str] = {}
        self._line: list[tuple[str, bool]] = []
        self._bold = [False]
        self._tables = self._cells = self._hidden = 0
        self._fact: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        style = named.get("style") or ""
        if tag == "ix:header":
            self._hidden += 1
        if tag in _BLOCKS and not self._cells:
            self._end_line()
            if _BREAK.search(style) and any(self.pages[-1]):
                self.pages.append(([], []))
        if tag == "br":
            self._line.append((" ", False)) if self._cells else self._end_line()
        if tag == "table":
            self._tables += 1
        elif tag in ("td", "th"):
            self._line.append((" ", False))
            self._cells += 1
        fact = named.get("name") or ""
        if tag in ("ix:nonnumeric", "ix:nonfraction") and fact.startswith("dei:"):
            name = fact.removeprefix("dei:")
            # A company may have several symbols: the first is its own, the others are of its notes.
            self._fact = None if name in self.facts else name
        if tag not in _NEVER_CLOSED and not tag.startswith("ix:"):
            self._bold.append(bool(_BOLD.search(style)) or tag in ("b", "strong") or self._bold[-1])

    def handle_endtag(self, tag: str) -> None:
        if tag == "ix:header":
            self._hidden -= 1
        elif tag in ("ix:nonnumeric", "ix:nonfraction"):
            self._fact = None
        elif tag in ("td", "th"):
            self._cells = max(0, self._cells - 1)
        elif tag == "table":
            self._tables = max(0, self._tables - 1)
        if tag in _BLOCKS and not self._cells:
            self._end_line()
        if tag not in _NEVER_CLOSED and not tag.startswith("ix:") and len(self._bold) > 1:
            self._bold.pop()

    def handle_data(self, data: str) -> None:
        if self._fact is not None:
            self.facts[self._fact] = self.facts.get(self._fact, "") + data
        if not self._hidden:
            self._line.append((data, self._bold[-1]))

    def _end_line(self) -> None:
        text = _DETACHED.sub("", squeeze("".join(text for text, _ in self._line)))
        if text:
            lines, titles = self.pages[-1]
            lines.append(text)
            bold = all(bold for piece, bold in self._line if piece.strip())
            if bold and not self._tables and len(text) <= LONGEST_TITLE:
                titles.append(text)
        self._line.clear()

"""Pages of PDF manuals: headings, sentences, captions and table rows, each with the page that holds it."""

from __future__ import annotations

import gzip
import hashlib
import logging
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from sources.pair import SENTENCE_END, Pair, clip, jaccard, squeeze, unique, words

logger = logging.getLogger(__name__)

SHORTEST_PAGE = 200
LONGEST_TEXT = 2500
EVIDENCE_WITHIN = 1000
PAGES_PER_DOCUMENT = 40
KEEP_SENTENCE = 0.3
KEEP_HEADING = 0.6

_ENGLISH = frozenset(
    {"the", "of", "and", "to", "in", "is", "that", "for", "it", "with", "as", "are", "be", "this", "on", "by"}
    | {"or", "an", "can", "from", "at", "not", "which", "you"}
)
_NUMBERED = re.compile(
    r"^(?:chapter |appendix |section )?(?:\d{1,2}|[A-Z])(?:\.\d{1,2}){0,3}[.:]?\s+([A-Z][^.;=\\{}]{3,70})$"
)
_CAPTION = re.compile(r"^(?:Figure|Fig\.|Table|Listing|Example)\s+[\dA-Z]+(?:[.\-]\d+)*\s*[.:]\s*(.{12,200})$")
_LEADER = re.compile(r"(\.\s?){3,}|\s\d{1,4}$|\.{2,}")
_NUMBER = re.compile(r"\b\d+(?:[.,]\d+)*%?")
#: Headings of these words alone say nothing about their page.
_GENERIC = frozenset(
    {"introduction", "overview", "contents", "index", "references", "bibliography", "usage", "examples"}
    | {"example", "implementation", "license", "licence", "history", "changes", "preface", "summary"}
    | {"conclusion", "conclusions", "notes", "acknowledgements", "acknowledgments", "options", "description"}
    | {"abstract", "appendix", "change", "installation", "background", "general", "basics", "miscellaneous"}
    | {"remarks", "functions"}
)
_TEMPLATES = (
    "what is {}?",
    "what does the manual say about {}?",
    "how does {} work?",
    "how do I use {}?",
    "explain {}",
    "where is {} described?",
    "which page covers {}?",
)
_GERUND_TEMPLATES = (
    "how does {} work?",
    "what should I know about {}?",
    "which page is about {}?",
    "help with {}",
)


@dataclass(slots=True)
class ManualPage:
    """Lines of one page and the outline titles that point at it."""

    number: int
    lines: list[str]
    titles: list[str] = field(default_factory=list)


def read_manuals(root: Path, seed: int, *, pages: int = 15_000, processes: int = 2) -> list[Pair]:
    """Pairs from the English PDF manuals below ``root``.

    Documents are taken in turn from each folder directly below ``root`` (a package), so that no package
    dominates. A negative is another page of the same document, a neighbour or one with much the same words.

    Args:
        root: unpacked documentation packages, one folder each.
        seed: of every draw.
        pages: reading stops at the end of the block of documents that reaches this many.
        processes: readers that run beside each other; the result does not depend on them.

    Raises:
        FileNotFoundError: no PDF below ``root``.
    """
    paths = _in_turn(root, random.Random(seed))
    if not paths:
        raise FileNotFoundError(f"no .pdf or .pdf.gz below {root}: unpack documentation packages there (dpkg-deb -x)")
    pairs: list[Pair] = []
    seen: set[bytes] = set()
    used = documents = 0
    with ProcessPoolExecutor(processes) as pool:
        for start in range(0, len(paths), 64):
            for path, document in zip(
                paths[start : start + 64], pool.map(_read, paths[start : start + 64]), strict=True
            ):
                fresh = []
                for page in document:
                    digest = hashlib.sha256(squeeze(" ".join(page.lines)).encode()).digest()
                    if digest not in seen:
                        seen.add(digest)
                        fresh.append(page)
                pairs += _document_pairs(fresh, random.Random(f"{seed}:{path.name}"), str(path.relative_to(root)))
                used += len(fresh)
                documents += bool(fresh)
            if used >= pages:
                break
    logger.info("manuals: %d pages of %d documents", used, documents)
    return unique(pairs, shortest_query=3)


def _in_turn(root: Path, rng: random.Random) -> list[Path]:
    packages: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.name.lower().endswith((".pdf", ".pdf.gz")) and path.is_file():
            packages[path.relative_to(root).parts[0]].append(path)
    for paths in packages.values():
        rng.shuffle(paths)
    turns = zip_longest(*(packages[name] for name in sorted(packages)))
    return [path for turn in turns for path in turn if path is not None]


def _read(path: Path) -> list[ManualPage]:
    """English pages in runs of neighbours, PAGES_PER_DOCUMENT at most; an unreadable file is logged."""
    import pypdfium2 as pdfium

    data = path.read_bytes()
    try:
        document = pdfium.PdfDocument(gzip.decompress(data) if path.suffix == ".gz" else data)
        titles: dict[int, list[str]] = defaultdict(list)
        for mark in document.get_toc():
            target = mark.get_dest()
            index = target.get_index() if target is not None else None
            title = mark.get_title()
            if index is not None and title:
                titles[index].append(squeeze(title))
        pages = []
        for number in _sampled(len(document), random.Random(path.name)):
            text = document[number].get_textpage().get_text_range()
            text = text.replace("\ufffe\r\n", "").replace("\ufffe", "")
            lines = [line for raw in text.splitlines() if (line := squeeze(raw.replace("\x00", "")))]
            pages.append(ManualPage(number, lines, titles.get(number, [])))
        document.close()
    except (pdfium.PdfiumError, OSError, EOFError, ValueError) as error:
        logger.warning("%s left out: %s", path, error)
        return []
    _drop_running_lines(pages)
    return [page for page in pages if _is_english(page.lines)]


def _sampled(count: int, rng: random.Random) -> list[int]:
    """All pages, or four runs of neighbours spread over a long document."""
    if count <= PAGES_PER_DOCUMENT:
        return list(range(count))
    run, part = PAGES_PER_DOCUMENT // 4, count // 4
    starts = (quarter * part + rng.randrange(part - run + 1) for quarter in range(4))
    return sorted({page for start in starts for page in range(start, start + run)})


def _drop_running_lines(pages: list[ManualPage]) -> None:
    """Take out headers, footers and page numbers: lines at a page's edge that other pages repeat."""

    def form(line: str) -> str:
        return re.sub(r"\d+", "#", line.lower())

    edges = Counter(form(line) for page in pages for line in {*page.lines[:2], *page.lines[-2:]})
    for page in pages:
        last = len(page.lines) - 1
        page.lines = [
            line
            for place, line in enumerate(page.lines)
            if not ((place < 2 or place > last - 2) and (edges[form(line)] >= 3 or line.strip("-. ").isdigit()))
        ]


def _is_english(lines: list[str]) -> bool:
    text = " ".join(lines)
    tokens = words(text)
    hits = sum(token in _ENGLISH for token in tokens)
    if len(text) < SHORTEST_PAGE or len(tokens) < 30 or hits < 6 or hits / len(tokens) < 0.12:
        return False
    return sum(bool(_LEADER.search(line)) for line in lines) < 0.4 * len(lines)


def _document_pairs(pages: list[ManualPage], rng: random.Random, document: str) -> Iterator[Pair]:
    bags = [frozenset(words(" ".join(page.lines))) for page in pages]
    for place, page in enumerate(pages):
        for kind, query, line, hidden in _evidence(page, rng):
            positive = window(page.lines, line, hidden, rng)
            if len(positive) < SHORTEST_PAGE:
                continue
            other = _other_page(place, pages, bags, query, rng)
            negative = None if other is None else window(pages[other].lines, 0, "", rng)
            shown = [page.number] if other is None else [page.number, pages[other].number]
            yield Pair(query, positive, negative, f"manuals/{kind}", document, tuple(shown))


def _evidence(page: ManualPage, rng: random.Random) -> Iterator[tuple[str, str, int, str]]:
    """(kind, query, line it stands on, text to hide in the positive) for a few finds on a page."""
    headings = list(_headings(page))
    for title, line in rng.sample(headings, min(2, len(headings))):
        hidden = "" if rng.random() < KEEP_HEADING else title
        if rng.random() < 0.4:
            yield "question", _question(title, rng), line, hidden
        elif len(title.split()) >= 3:
            yield "heading", title, line, hidden
        else:
            yield "question", _question(title, rng), line, hidden
    sentences = list(_sentences(page.lines))
    for sentence, line in rng.sample(sentences, min(2, len(sentences))):
        yield "sentence", sentence, line, "" if rng.random() < KEEP_SENTENCE else sentence
    captions = [(match[1], n) for n, text in enumerate(page.lines) if (match := _CAPTION.match(text))]
    for caption, line in captions[:1]:
        yield "caption", caption, line, "" if rng.random() < 0.5 else caption
    rows = [(text, n) for n, text in enumerate(page.lines) if _is_row(text)]
    for row, line in rng.sample(rows, min(1, len(rows))):
        yield "row", row, line, "" if rng.random() < 0.5 else row


def _headings(page: ManualPage) -> Iterator[tuple[str, int]]:
    seen = set()
    for title in page.titles:
        title = re.sub(r"^(?:[A-Z]|\d{1,2})(?:\.\d+)*\.?\s+", "", title)
        line = next((n for n, text in enumerate(page.lines) if title.lower() in text.lower()), None)
        if line is not None and _is_topic(title) and title.lower() not in seen:
            seen.add(title.lower())
            yield title, line
    for line, text in enumerate(page.lines):
        match = _NUMBERED.match(text)
        if match and not _LEADER.search(text) and len(match[1].split()) <= 10:
            title = match[1].strip()
            if _is_topic(title) and title.lower() not in seen:
                seen.add(title.lower())
                yield title, line


def _is_topic(title: str) -> bool:
    tokens = words(title)
    letters = sum(character.isalpha() or character.isspace() for character in title)
    specific = [token for token in tokens if token not in _GENERIC and token not in _ENGLISH and len(token) > 2]
    return bool(specific) and len(title) <= 90 and letters >= 0.75 * len(title)


def _question(title: str, rng: random.Random) -> str:
    topic = title.rstrip("?!. ")
    first = topic.split()[0].lower()
    if title.endswith("?") or first in {"how", "what", "why", "when", "where", "which", "using"}:
        return f"{topic}?"
    return rng.choice(_GERUND_TEMPLATES if first.endswith("ing") else _TEMPLATES).format(topic)


def _sentences(lines: list[str]) -> Iterator[tuple[str, int]]:
    """First sentences of paragraphs; one starts after a line that ends a sentence short of the margin."""
    if not lines:
        return
    margin = 0.85 * sorted(map(len, lines))[int(0.9 * (len(lines) - 1))]
    for line, text in enumerate(lines):
        before = lines[line - 1] if line else "."
        if not text[0].isupper() or not before.endswith((".", "!", "?", ":")) or (line and len(before) > margin):
            continue
        first = SENTENCE_END.split(_joined(lines[line : line + 6]))[0]
        tokens = first.split()
        letters = sum(character.isalpha() or character.isspace() for character in first)
        if 6 <= len(tokens) <= 40 and first.endswith((".", "!", "?")) and letters >= 0.85 * len(first):
            yield first, line


def _is_row(text: str) -> bool:
    """Whether a line reads like a row of a table: names first, then figures, and neither prose nor code."""
    tokens = words(text)
    names = [token for token in tokens if token.isalpha() and len(token) > 2]
    figures = len(_NUMBER.findall(text))
    prose = sum(token in _ENGLISH for token in tokens) > 1
    code = any(mark in text for mark in "\\{}[]=#&;<>~_^$")
    shaped = 15 <= len(text) <= 120 and text[0].isalpha() and 2 <= len(names) <= 12 and figures >= 2
    return shaped and not prose and not code and not text.endswith((".", ","))


def _joined(lines: list[str]) -> str:
    return re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", "\n".join(lines)).replace("\n", " ")


def window(lines: list[str], evidence: int, hidden: str, rng: random.Random) -> str:
    """Text around a line, from the top of the page or from at most EVIDENCE_WITHIN characters before it."""
    before = 0
    earliest = evidence
    while earliest > 0 and before + len(lines[earliest - 1]) + 1 <= EVIDENCE_WITHIN:
        earliest -= 1
        before += len(lines[earliest]) + 1
    start = 0 if earliest == 0 and rng.random() < 0.6 else rng.randint(earliest, evidence)
    text = _joined(lines[start:])
    if hidden:
        text = squeeze(text.replace(hidden, " ", 1))
    return clip(text, LONGEST_TEXT)


def _other_page(
    place: int, pages: list[ManualPage], bags: list[frozenset[str]], query: str, rng: random.Random
) -> int | None:
    """A neighbour, or a page with many words in common; never one that holds the query or the same text."""
    asked = query.lower()
    close = []
    for other, page in enumerate(pages):
        if other == place:
            continue
        likeness = jaccard(bags[place], bags[other])
        if likeness < 0.75 and asked not in squeeze(" ".join(page.lines)).lower():
            near = 0.1 if abs(page.number - pages[place].number) == 1 else 0.0
            close.append((-(likeness + near), other))
    close.sort()
    return rng.choice(close[:4])[1] if close else None

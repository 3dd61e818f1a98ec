"""A page taken apart for evidence: words with their places in the text and on the paper, lines, and blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from metaembed_rag.pages.page import Page

Span: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[float, float, float, float]

#: A line of plain text longer than this is taken apart at its sentences: paragraphs are often one line.
_LONG_LINE = 180
_WORD = re.compile(r"\S+")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])")


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a page's text.

    Attributes:
        span: ``(start, end)`` characters of the page's text.
        box: ``(left, top, right, bottom)`` as fractions of the page; None on plain text.
        words: indexes of its words.
    """

    span: Span
    box: Box | None
    words: range


@dataclass(frozen=True, slots=True)
class Layout:
    """A page's words, its lines and its blocks (paragraphs, tables' rows that stand together), in reading order."""

    words: tuple[Place, ...]
    lines: tuple[Place, ...]
    blocks: tuple[Place, ...]


def lay_out(text: str, page: Page | None = None) -> Layout:
    """Take a text apart.

    Args:
        text: of a page.
        page: the same page read again, for its words' boxes. One whose text is another is of no use here:
            compare first.
    """
    spans = None if page is None or not page.words else _spans_of(text, [word.text for word in page.words])
    if page is None or spans is None:
        words = [Place(match.span(), None, range(n, n + 1)) for n, match in enumerate(_WORD.finditer(text))]
    else:
        words = [
            Place(span, word.box, range(n, n + 1)) for n, (span, word) in enumerate(zip(spans, page.words, strict=True))
        ]
    lines = [_join(words[run.start : run.stop], run) for run in _line_runs(text, words)]
    return Layout(tuple(words), tuple(lines), tuple(_blocks(text, lines)))


def _spans_of(text: str, words: Sequence[str]) -> list[Span] | None:
    """Where each word stands, if the words put together are the text without white space; else None."""
    spans: list[Span] = []
    at = 0
    for word in words:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith(word, at):
            return None
        spans.append((at, at + len(word)))
        at += len(word)
    return None if text[at:].strip() else spans


def _line_runs(text: str, words: Sequence[Place]) -> Iterable[range]:
    """Runs of word indexes that stand on one line."""
    sentence_ends = _sentence_ends(text)
    start = 0
    for index in range(1, len(words) + 1):
        if index < len(words) and not _parts(text, words[index - 1], words[index], sentence_ends):
            continue
        if words:
            yield range(start, index)
        start = index


def _parts(text: str, one: Place, two: Place, sentence_ends: set[int]) -> bool:
    """Whether a line ends between two words."""
    if "\n" in text[one.span[1] : two.span[0]]:
        return True
    if one.box is None or two.box is None:
        return two.span[0] in sentence_ends
    # A word broken by a hyphen: one in the text, on two lines of the paper.
    return two.box[1] >= (one.box[1] + one.box[3]) / 2 and two.box[0] < one.box[0]


def _sentence_ends(text: str) -> set[int]:
    ends: set[int] = set()
    at = 0
    for line in text.split("\n"):
        if len(line) > _LONG_LINE:
            ends.update(at + match.end() for match in _SENTENCE.finditer(line))
        at += len(line) + 1
    return ends


def _blocks(text: str, lines: Sequence[Place]) -> Iterable[Place]:
    start = 0
    for index in range(1, len(lines) + 1):
        if index < len(lines) and text.count("\n", lines[index - 1].span[1], lines[index].span[0]) < 2:
            continue
        yield _join(lines[start:index], range(lines[start].words.start, lines[index - 1].words.stop))
        start = index


def _join(places: Sequence[Place], words: range) -> Place:
    boxes = [place.box for place in places if place.box is not None]
    box = None
    if boxes:
        box = (
            min(box[0] for box in boxes),
            min(box[1] for box in boxes),
            max(box[2] for box in boxes),
            max(box[3] for box in boxes),
        )
    return Place((places[0].span[0], places[-1].span[1]), box, words)

"""Reading order: from pieces of lines with boxes to one text and its words."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from metaembed_rag.pages.page import Word

#: Fewer lines than this beside each other are a table, a form or a caption, not columns of prose.
_COLUMN_LINES = 6
#: A column is at least this share of its region: four columns halve twice, figures beside labels do not pass.
_COLUMN_SHARE = 0.25
#: Lines of prose fill their column; cells of a table mostly do not.
_PROSE_FILL = 0.6
_MAX_DEPTH = 4
_SENTENCE_END = (".", "!", "?", ":", ";", "。")
_HYPHENS = ("-", "\u2010")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of words on one line without a wide gap; boxes in one unit for both axes, origin top left.

    Attributes:
        words: its words, left to right.
        left, top, right, bottom: the box around them.
    """

    words: tuple[Word, ...]
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, words: Sequence[Word]) -> Piece:
        """The piece made of ``words`` (at least one), whose boxes are in the page's unit."""
        boxes = [word.box for word in words]
        return cls(
            tuple(words),
            min(box[0] for box in boxes),
            min(box[1] for box in boxes),
            max(box[2] for box in boxes),
            max(box[3] for box in boxes),
        )

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Half way down."""
        return (self.top + self.bottom) / 2

    @property
    def centre(self) -> float:
        """Half way across."""
        return (self.left + self.right) / 2


def split_line(words: Sequence[Word]) -> list[Piece]:
    """Pieces of one line of words: cut where a gap is wider than the line is high, or writing jumps."""
    pieces: list[Piece] = []
    run: list[Word] = []
    for word in words:
        if run:
            last = run[-1].box
            height = max(last[3] - last[1], word.box[3] - word.box[1])
            gap = word.box[0] - last[2]
            sunk = abs((word.box[1] + word.box[3]) - (last[1] + last[3])) / 2
            if gap > height or gap < -height or sunk > height:
                pieces.append(Piece.of(run))
                run = []
        run.append(word)
    if run:
        pieces.append(Piece.of(run))
    return pieces


def compose(
    pieces: Sequence[Piece], width: float, height: float, *, drawn_in_order: bool
) -> tuple[str, tuple[Word, ...]]:
    """The text of a page in reading order, and its words with boxes as fractions of the page.

    Words broken by a hyphen at a line's end are joined in the text and stay two Words, so the words' texts
    put together are always the text without white space. Lines end with a newline, paragraphs with two.

    Args:
        pieces: all pieces, in the order in which the file draws them.
        width: of the page, in the unit of the boxes.
        height: likewise.
        drawn_in_order: whether that order may be believed where no columns are seen; otherwise lines are
            read from top to bottom.
    """
    ordered = _order(list(pieces), drawn_in_order, 0)
    parts: list[str] = []
    words: list[Word] = []
    paragraph_gap = _paragraph_gap(ordered)
    previous: Piece | None = None
    for piece in ordered:
        texts = [word.text for word in piece.words]
        boxes = [_fractions(word.box, width, height) for word in piece.words]
        if previous is not None:
            separator = _separator(previous, piece, paragraph_gap)
            if "\n" in separator and _is_broken(words[-1].text, texts[0]):
                stem = words[-1].text[:-1]
                # A compound such as state-of-the-art is broken at a hyphen of its own.
                if not any(mark in stem for mark in _HYPHENS):
                    words[-1] = Word(stem, words[-1].box)
                    parts[-1] = parts[-1][:-1]
                separator = ""
            parts.append(separator)
        parts.append(" ".join(texts))
        words.extend(Word(text, box) for text, box in zip(texts, boxes, strict=True))
        previous = piece
    return "".join(parts), tuple(words)


def _fractions(
    box: tuple[float, float, float, float], width: float, height: float
) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return _share(left, width), _share(top, height), _share(right, width), _share(bottom, height)


def _share(value: float, whole: float) -> float:
    return min(1.0, max(0.0, value / whole))


def _is_broken(last: str, first: str) -> bool:
    return len(last) > 2 and last.endswith(_HYPHENS) and last[-2].isalpha() and first[0].islower()


def _same_row(one: Piece, two: Piece) -> bool:
    overlap = min(one.bottom, two.bottom) - max(one.top, two.top)
    return overlap >= 0.5 * min(one.height, two.height)


def _separator(previous: Piece, piece: Piece, paragraph_gap: float) -> str:
    if _same_row(previous, piece) and piece.left >= previous.left:
        return " "
    if piece.top < previous.top:
        return "\n\n" if previous.words[-1].text.endswith(_SENTENCE_END) else "\n"
    return "\n\n" if piece.top - previous.bottom > paragraph_gap else "\n"


def _paragraph_gap(ordered: Sequence[Piece]) -> float:
    """The white above a line that starts a paragraph: clearly more than between this page's other lines."""
    pairs = [(a, b) for a, b in pairwise(ordered) if b.top > a.top and not _same_row(a, b)]
    if not pairs:
        return 0.0
    usual = median(max(0.0, b.top - a.bottom) for a, b in pairs)
    line = median(b.height for _, b in pairs)
    return usual + 0.4 * line


def _order(pieces: list[Piece], drawn_in_order: bool, depth: int) -> list[Piece]:
    gutter = _find_gutter(pieces) if depth < _MAX_DEPTH else None
    if gutter is None:
        return _flow(pieces) if drawn_in_order else _by_rows(pieces)
    # Whatever crosses the gutter (a title, a wide figure's caption) ends the columns above it.
    ordered: list[Piece] = []
    band: list[Piece] = []
    crossing: list[Piece] = []
    place = {id(piece): index for index, piece in enumerate(pieces)}

    def in_drawn_order(group: list[Piece]) -> list[Piece]:
        return sorted(group, key=lambda piece: place[id(piece)])

    def flush() -> None:
        left = in_drawn_order([piece for piece in band if piece.centre < gutter])
        right = in_drawn_order([piece for piece in band if piece.centre >= gutter])
        for side in (left, right):
            if side:
                ordered.extend(_order(side, drawn_in_order, depth + 1))
        band.clear()

    for piece in sorted(pieces, key=lambda piece: piece.middle):
        if _crosses(piece, gutter):
            if band:
                ordered.extend(_by_rows(crossing))
                crossing = []
                flush()
            crossing.append(piece)
        else:
            if crossing:
                ordered.extend(_by_rows(crossing))
                crossing = []
            band.append(piece)
    ordered.extend(_by_rows(crossing))
    flush()
    return ordered


def _crosses(piece: Piece, gutter: float) -> bool:
    slack = 0.5 * piece.height
    return piece.left < gutter - slack and piece.right > gutter + slack


def _find_gutter(pieces: list[Piece]) -> float | None:
    """Where two columns of prose part, or None."""
    if len(pieces) < 2 * _COLUMN_LINES:
        return None
    lefts = sorted(piece.left for piece in pieces)
    rights = sorted(piece.right for piece in pieces)
    start, end = lefts[0], rights[-1]
    span = end - start
    if span <= 0:
        return None
    # The gutter is the middle of the widest stretch that the fewest pieces cross.
    steps = 200
    best: tuple[int, int, int] | None = None
    first, last = int(steps * _COLUMN_SHARE), int(steps * (1 - _COLUMN_SHARE))
    run_start = first
    counts = [
        bisect_left(lefts, start + span * step / steps) - bisect_right(rights, start + span * step / steps)
        for step in range(first, last + 1)
    ]
    for step in range(first, last + 1):
        count = counts[step - first]
        if step > first and count != counts[step - first - 1]:
            run_start = step
        if best is None or (count, run_start - step) < (best[0], best[1] - best[2]):
            best = (count, run_start, step)
    if best is None:
        return None
    gutter = start + span * (best[1] + best[2]) / 2 / steps
    left = [piece for piece in pieces if not _crosses(piece, gutter) and piece.centre < gutter]
    right = [piece for piece in pieces if not _crosses(piece, gutter) and piece.centre >= gutter]
    crossing = len(pieces) - len(left) - len(right)
    fewest = min(len(left), len(right))
    if fewest < _COLUMN_LINES or crossing > fewest:
        return None
    if not (_is_prose(left) and _is_prose(right)):
        return None
    top = max(min(piece.top for piece in side) for side in (left, right))
    bottom = min(max(piece.bottom for piece in side) for side in (left, right))
    shorter = min(max(p.bottom for p in side) - min(p.top for p in side) for side in (left, right))
    return gutter if bottom - top >= 0.5 * shorter else None


def _is_prose(side: list[Piece]) -> bool:
    extent = max(piece.right for piece in side) - min(piece.left for piece in side)
    return median(piece.width for piece in side) >= _PROSE_FILL * extent


def _flow(pieces: list[Piece]) -> list[Piece]:
    """The drawn order, if it mostly runs downwards; runs drawn late but standing above are moved up."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        last = runs[-1][-1] if runs else None
        if last is None or piece.middle < last.middle - 0.5 * max(piece.height, last.height):
            runs.append([])
        runs[-1].append(piece)
    if len(runs) > max(3, 0.15 * len(pieces)):
        return _by_rows(pieces)
    ordered: list[list[Piece]] = []
    for run in runs:
        at = len(ordered)
        while at > 0 and max(p.bottom for p in run) <= min(p.middle for p in ordered[at - 1]):
            at -= 1
        ordered.insert(at, run)
    return [piece for run in ordered for piece in run]


def _by_rows(pieces: Iterable[Piece]) -> list[Piece]:
    """From top to bottom, and within a row from left to right."""
    rows: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.middle):
        if rows and _same_row(rows[-1][0], piece):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [piece for row in rows for piece in sorted(row, key=lambda piece: piece.left)]

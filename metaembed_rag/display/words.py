"""Words of a query in a text: where they stand, the stretch that holds most of them, and both as HTML."""

from __future__ import annotations

import re
from bisect import bisect_left
from html import escape

#: Characters of a passage shown on a card.
EXCERPT = 480

#: Words that stand in every text and so mark nothing.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can did do does for from had has have he how i if in into is it its many "
        "may me much must my no not of on one or our she so than that the their them then there these they this to "
        "was we were what when where which who why will with would you your ",
    )
)
_WORD = re.compile(r"\w+(?:[-'’.,]\w+)*")


def mark_words(text: str, query: str) -> str:
    """``text`` as HTML with the query's words in ``<mark>``."""
    parts: list[str] = []
    at = 0
    for start, end in find_words(text, query):
        parts.append(escape(text[at:start]))
        parts.append(f"<mark{MARK_STYLE}>{escape(text[start:end])}</mark>")
        at = end
    parts.append(escape(text[at:]))
    return "".join(parts)


#: A tint under letters of whatever colour the page has: legible on light and on dark.
MARK_STYLE = ' style="background:rgba(255,196,0,.38);color:inherit;border-radius:2px;padding:0 1px"'


def find_words(text: str, query: str) -> list[tuple[int, int]]:
    """``(start, end)`` characters of the words of ``text`` that ``query`` has too, in order.

    Words are compared without case and without plural endings; words of every text count only where a query
    has no others.
    """
    words = [match[0].casefold() for match in _WORD.finditer(query)]
    telling = {_stem(word) for word in words if word not in _COMMON}
    wanted = {_stem(word) for word in words}
    return [match.span() for match in _WORD.finditer(text) if _stem(match[0]) in (telling or wanted)]


def excerpt(text: str, query: str, length: int = EXCERPT) -> str:
    """The stretch of about ``length`` characters of ``text`` that holds most of the query's words, on one line.

    It begins and ends between words, with an ellipsis where something is left out.
    """
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    found = find_words(line, query)
    starts = [start for start, _ in found]
    stems = [_stem(line[start:end]) for start, end in found]
    best, begin = (0, 0), 0
    for index, start in enumerate(starts):
        inside = stems[index : bisect_left(starts, start + length * 3 // 4)]
        # Different words of the query say more than one of them again and again.
        count = (len(set(inside)), len(inside))
        if count > best:
            best, begin = count, start
    begin = max(0, min(begin - length // 5, len(line) - length))
    end = min(len(line), begin + length)
    if begin > 0:
        begin = _after_gap(line, begin, end)
    if end < len(line):
        gap = line.rfind(" ", begin, end)
        end = gap if gap > begin else end
    return f"{'… ' if begin else ''}{line[begin:end]}{' …' if end < len(line) else ''}"


def _after_gap(line: str, begin: int, end: int) -> int:
    gap = line.find(" ", begin, end)
    return begin if gap < 0 else gap + 1


def _stem(word: str) -> str:
    word = word.casefold().replace("’", "'").removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word

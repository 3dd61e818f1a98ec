"""Cut a text that is longer than the backbone's window into windows, losing nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Tokens that neighbouring windows share, so that a sentence cut by one stands whole in the other.
OVERLAP = 32


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a page's text that the backbone reads at once.

    Attributes:
        text: the part.
        span: ``(start, end)`` character offsets in the page's text.
    """

    text: str
    span: tuple[int, int]


def cut_windows(text: str, offsets: Sequence[tuple[int, int]], capacity: int) -> list[Window]:
    """Windows of at most ``capacity`` tokens that together cover every token of ``text``.

    The tokens are spread evenly: a text of one token more than a window gives two halves, not a window and
    a crumb that would rank by noise.

    Args:
        text: the whole text.
        offsets: ``(start, end)`` characters of each token, without special tokens.
        capacity: tokens a window holds, at least 2.

    Returns:
        at least one window; a text without tokens gives one window of itself.
    """
    total = len(offsets)
    if total <= capacity:
        return [Window(text, (0, len(text)))]
    # Half of a window at most: a small one must get on too.
    overlap = min(OVERLAP, capacity // 2)
    stride = capacity - overlap
    count = -(-(total - overlap) // stride)
    size = -(-(total + (count - 1) * overlap) // count)
    windows = []
    for index in range(count):
        first = index * (size - overlap)
        last = min(first + size, total)
        start = 0 if index == 0 else offsets[first][0]
        end = len(text) if index == count - 1 else offsets[last - 1][1]
        windows.append(Window(text[start:end], (start, end)))
    return windows

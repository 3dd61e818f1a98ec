"""Windows cover a text without loss and never exceed the capacity."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from metaembed_rag.embedding.windows import cut_windows


def offsets_of(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", text)]


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=4), max_size=400),
    capacity=st.integers(2, 120),
)
def test_windows_cover_every_token_within_capacity(words, capacity):
    text = " ".join(words)
    offsets = offsets_of(text)
    windows = cut_windows(text, offsets, capacity)
    assert windows[0].span[0] == 0
    assert windows[-1].span[1] == len(text)
    for window in windows:
        start, end = window.span
        assert window.text == text[start:end]
        assert len(window.text.split()) <= capacity
    for earlier, later in zip(windows, windows[1:], strict=False):
        assert later.span[0] <= earlier.span[1], "a gap between windows"
    covered = {offset for offset in offsets for w in windows if w.span[0] <= offset[0] and offset[1] <= w.span[1]}
    assert covered == set(offsets)


def test_one_token_too_many_gives_two_even_halves():
    text = " ".join(["word"] * 101)
    first, second = cut_windows(text, offsets_of(text), 100)
    assert abs(len(first.text.split()) - len(second.text.split())) <= 1

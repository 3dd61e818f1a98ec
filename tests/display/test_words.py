"""Words of a query in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaembed_rag.display.words import excerpt, find_words, mark_words


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("Two ferries, one FERRY.", "the ferry", ["ferries", "FERRY"]),
        ("E-07 means low; E-071 does not", "what does fault E-07 mean", ["E-07", "means"]),
        ("what is the", "what is the", ["what", "is", "the"]),
        ("the boat’s crew", "boat", ["boat’s"]),
        ("glass and class", "glass", ["glass"]),
        ("nothing", "else", []),
    ],
)
def test_words_are_found_whole_without_case_or_plural(text, query, found):
    assert [text[start:end] for start, end in find_words(text, query)] == found


def test_the_excerpt_shows_where_most_of_the_query_stands():
    text = "revenue " + "gravel and sand " * 100 + "total revenue in 2019 was high " + "sand and gravel " * 100
    shown = excerpt(text, "total revenue 2019", 200)
    assert "total revenue in 2019" in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert len(shown) <= 210
    assert excerpt("short  \n text", "x") == "short text"


@given(st.text(max_size=300), st.text(max_size=40), st.integers(10, 80))
def test_any_text_is_marked_and_cut_without_loss_of_letters(text, query, length):
    import html
    import re

    assert html.unescape(re.sub(r"</?mark[^>]*>", "", mark_words(text, query))) == text
    shown = excerpt(text, query, length).strip("… ")
    assert shown in " ".join(text.split())

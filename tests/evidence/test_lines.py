"""Pages taken apart: words, lines and blocks with their places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metaembed_rag.evidence.lines import lay_out
from metaembed_rag.pages import Page, Word


def texts(text, places):
    return [text[place.span[0] : place.span[1]] for place in places]


def test_words_of_a_page_find_their_places_even_where_a_hyphen_broke_them():
    text = "The harbour mas­ter\nsleeps.\n\nAgain".replace("­", "")
    words = (
        Word("The", (0.1, 0.1, 0.2, 0.12)),
        Word("harbour", (0.2, 0.1, 0.4, 0.12)),
        Word("mas", (0.4, 0.1, 0.5, 0.12)),
        Word("ter", (0.1, 0.13, 0.2, 0.15)),
        Word("sleeps.", (0.1, 0.16, 0.3, 0.18)),
        Word("Again", (0.1, 0.3, 0.3, 0.32)),
    )
    layout = lay_out(text, Page("a.pdf", 1, text, words=words, route="layer"))
    assert texts(text, layout.words) == ["The", "harbour", "mas", "ter", "sleeps.", "Again"]
    assert texts(text, layout.lines) == ["The harbour mas", "ter", "sleeps.", "Again"]
    assert layout.lines[0].box == (0.1, 0.1, 0.5, 0.12)
    assert texts(text, layout.blocks) == ["The harbour master\nsleeps.", "Again"]
    assert layout.blocks[0].words == range(5)


def test_words_that_are_not_the_text_give_no_boxes():
    layout = lay_out("one two", Page("a", 1, "one two", words=(Word("three", (0, 0, 1, 1)),)))
    assert texts("one two", layout.words) == ["one", "two"]
    assert layout.words[0].box is None


def test_a_long_line_of_plain_text_is_taken_apart_at_sentences():
    text = "Short line.\n" + "This is a sentence of some length! " * 8
    assert texts(text, lay_out(text).lines)[:2] == ["Short line.", "This is a sentence of some length!"]
    assert len(lay_out(text).lines) == 9


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
def test_lines_hold_every_word_once_in_order(text):
    layout = lay_out(text)
    assert "".join(texts(text, layout.words)) == "".join(text.split())
    assert [index for line in layout.lines for index in line.words] == list(range(len(layout.words)))
    assert [index for block in layout.blocks for index in block.words] == list(range(len(layout.words)))
    for line in layout.lines:
        assert line.span == (layout.words[line.words.start].span[0], layout.words[line.words.stop - 1].span[1])

"""Tables written as text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metaembed_rag.evaluation.tables import linearise, read_tatqa_context


def test_rows_carry_their_headers() -> None:
    table = [["Year", "Winner"], ["1999", " Anna\nHolm "], ["2000", ""]]
    assert linearise("Races", table) == "Races. Year: 1999; Winner: Anna Holm. Year: 2000."


def test_ragged_rows_and_blank_headers_lose_nothing() -> None:
    assert linearise("", [["Year", ""], ["1999", "x", "y"]]) == "Year: 1999; x; y."


def test_a_table_without_rows_keeps_its_headers() -> None:
    assert linearise("Races", [["Year", "Winner"]]) == "Races. Year; Winner."


def test_a_financial_context_reads_paragraphs_by_their_order() -> None:
    context = {
        "paragraphs": [{"order": "10", "text": "Ten."}, {"order": "9", "text": "Nine."}],
        "table": {"table": [["", "2019"], ["Cash", "5"], ["", ""]]},
    }
    assert read_tatqa_context(context) == "Nine. Ten. 2019. Cash; 5."


cells = st.text(st.characters(whitelist_categories=["L", "N"]), min_size=1, max_size=6)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=2, max_size=5))
def test_every_cell_is_in_the_text(table: list[list[str]]) -> None:
    text = linearise("", table)
    assert all(cell in text for row in table for cell in row)

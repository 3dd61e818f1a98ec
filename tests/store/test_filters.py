"""Filters mean the same on every engine, and malformed ones are refused in words."""

from __future__ import annotations

import reprlib
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import FilterError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.filters import parse_filter

from .conftest import document, rows

PAGES = {
    "a": {"year": 2019, "tag": "x", "draft": True, "rate": 0.5, "day": "2024-05-01T00:00:00Z"},
    "b": {"year": 2020, "tag": ["x", "y"], "draft": False, "rate": 1.5},
    "c": {"year": 2021, "tag": None, "who": {"name": "Ö. K", "lead": True}, "a\tb\x00": "tabbed"},
}

CASES = [
    ({"year": 2019}, "a"),
    ({"year": [2019, 2021]}, "ac"),
    ({"year": {"gte": 2020}}, "bc"),
    ({"year": {"gt": 2019, "lt": 2021}}, "b"),
    ({"year": {"not": 2019}}, "bc"),
    ({"year": {"not_in": [2019, 2020]}}, "c"),
    ({"year": {"in": []}}, ""),
    ({"tag": "x"}, "ab"),
    ({"tag": None}, "c"),
    ({"tag": {"exists": True}}, "ab"),
    ({"rate": {"exists": False}}, "c"),
    ({"draft": True}, "a"),
    ({"draft": False}, "b"),
    ({"draft": [True, False]}, "ab"),
    ({"draft": {"not": True}}, "bc"),
    ({"rate": 0.5}, "a"),
    ({"rate": {"lte": 1.5}}, "ab"),
    ({"who.name": "Ö. K"}, "c"),
    ({"metadata.who.lead": True}, "c"),
    ({"day": {"gte": "2024-01-01"}}, "a"),
    ({"day": {"lt": date(2024, 1, 1)}}, ""),
    ({"day": {"lt": datetime(2025, 1, 1)}}, "a"),
    ({"source": "a"}, "a"),
    ({"id": ["a/1", "b/1"]}, "ab"),
    ({"page": 1}, "abc"),
    ({"page": {"gt": 1}}, ""),
    ({"year": 2019, "tag": "y"}, ""),
    ({"or": [{"year": 2019}, {"tag": "y"}]}, "ab"),
    ({"and": [{"tag": "x"}, {"not": {"year": 2019}}]}, "b"),
    ({"not": {"or": [{"year": 2019}, {"year": 2020}]}}, "c"),
    ({}, "abc"),
    (None, "abc"),
    ({"tag": 'x" OR 1=1'}, ""),
    ({"a\tb\x00": "tabbed"}, "c"),
    ({"year": 2**63 - 1}, ""),
    ({"day": {"lt": datetime.max.replace(tzinfo=timezone.utc)}}, "a"),
]


@pytest.mark.parametrize(("filter", "expected"), CASES, ids=lambda value: str(value))
def test_filters_select(store, filter, expected):
    store.write([document(name, **metadata) for name, metadata in PAGES.items()])
    found = store.search(build_stages(Plan(Budget(4, 8)), rows(5, 16)), parse_filter(filter), 10)
    assert "".join(sorted(scored.payload["document"] for scored in found)) == expected


DEEP: Any = {"a": 1}
for _ in range(5000):
    DEEP = {"not": DEEP}


@pytest.mark.parametrize(
    "bad",
    [
        "source = 'a'",
        {"": 1},
        {1: 2},
        {"a": {"like": "x"}},
        {"a": {}},
        {"a": {"gte": "soon"}},
        {"a": {"gte": True}},
        {"a": {"gte": 1, "lt": "2024-01-01"}},
        {"a": {"in": "abc"}},
        {"a": float("nan")},
        {"a": 1j},
        {'a"b': 1},
        {"a..b": 1},
        {"a[0]": 1},
        {"or": []},
        {"and": {"a": 1}},
        {"a": 2**63},
        {"a": {"gte": 10**400}},
        {"a": {"lt": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}},
        {"a": {"exists": "no"}},
        {"a": "half a pair: \ud800"},
        {"\ud800": 1},
        DEEP,
        {"a": {"gte": DEEP}},
    ],
    ids=lambda bad: ascii(str(type(bad)) if bad is DEEP else reprlib.repr(bad)),
)
def test_malformed_filters_are_refused(bad):
    with pytest.raises(FilterError):
        parse_filter(bad)


def test_a_whole_number_equals_itself_written_as_a_broken_one(store):
    store.write(document(name, 1, year=year) for name, year in {"f": 2019.0, "i": 2019, "l": [1, 2020.0]}.items())
    everything = build_stages(Plan(Budget(1, 1)), rows(1, 1))

    def found(**filter):
        return {scored.payload["document"] for scored in store.search(everything, parse_filter(filter), 9)}

    assert found(year=2019) == found(year=2019.0) == {"f", "i"}
    assert found(year=[2020, 7]) == {"l"}
    assert found(year={"not": 2019}) == {"l"}
    assert found(year={"not_in": [2020]}) == {"f", "i"}
    assert not found(year=[2**62, True])
    store.write(document(name, 1, year=year) for name, year in {"-": -0.0, "0": 0}.items())
    assert found(year=0) == found(year=0.0) == found(year=-0.0) == {"-", "0"}

"""Every operator of MetadataFilters that an index can express, against what LlamaIndex says it means."""

from __future__ import annotations

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from llama_index.retrievers.metaembed import MetaEmbedRetriever
from llama_index.retrievers.metaembed.filters import to_index_filter

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.errors import FilterError

#: Metadata of each text, by id. "page" and "id" are also fields of a hit, which must not be taken for these.
RECORDS = {
    "a": {"year": 2019, "price": 2.5, "tags": ["sun", "power"], "title": "Solar", "page": 4, "day": "2024-03-01"},
    "b": {"year": 2020, "price": 7.0, "tags": ["sun"], "title": "Ferry", "page": 5, "day": "2024-04-15T10:00:00Z"},
    "c": {"year": 2021, "tags": [], "title": "Coffee", "id": "b", "source": "c.pdf"},
    "d": {"title": None},
}


@pytest.fixture(scope="module")
def index(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        texts = [f"text {key}" for key in RECORDS]
        opened.add_texts(texts, ids=list(RECORDS), metadatas=list(RECORDS.values()))
        yield opened


def one(key, value, operator="=="):
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=FilterOperator(operator))])


def group(condition, *parts):
    return MetadataFilters(filters=list(parts), condition=FilterCondition(condition))


def found(index, filters):
    return {node.node_id for node in MetaEmbedRetriever(index=index, filters=filters, budget=1).retrieve("text")}


@pytest.mark.parametrize(
    ("key", "operator", "value"),
    [
        ("year", "==", 2020),
        ("price", "==", 2.5),
        ("title", "==", "Ferry"),
        ("year", "!=", 2020),
        ("title", "!=", "Ferry"),
        ("year", ">", 2019),
        ("year", ">=", 2020),
        ("price", "<", 7.0),
        ("price", "<=", 7),
        ("year", "in", [2019, 2021]),
        ("price", "in", [7.0, 8.0]),
        ("title", "in", ["Solar", "none"]),
        ("year", "nin", [2019, 2021]),
        ("title", "nin", ["Solar"]),
        ("tags", "any", ["power", "wind"]),
        ("tags", "all", ["sun", "power"]),
        ("tags", "contains", "sun"),
        ("tags", "is_empty", None),
        ("title", "is_empty", None),
    ],
)
@pytest.mark.parametrize("negated", [False, True], ids=["", "not"])
def test_an_operator_means_what_llama_index_says(index, key, operator, value, negated):
    filters = one(key, value, operator)
    holds = build_metadata_filter_fn(lambda name: RECORDS[name], filters)
    # Of a missing value only these say something; LlamaIndex's releases differ in how they put it.
    missing = operator in ("!=", "nin", "is_empty")
    expected = {
        name
        for name, metadata in RECORDS.items()
        if (missing if metadata.get(key) is None else holds(name)) is not negated
    }
    assert found(index, group("not", filters) if negated else filters) == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (">", "2024-03-01", {"b"}),
        (">=", "2024-03-01", {"a", "b"}),
        ("<", "2024-04-15T10:00:00+00:00", {"a"}),
        ("==", "2024-03-01", {"a"}),
    ],
)
def test_dates_are_compared_as_times(index, operator, value, expected):
    assert found(index, one("day", value, operator)) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (one("page", 4), {"a"}),
        (one("page", 4, ">"), {"b"}),
        (one("page", 1), {"c", "d"}),
        (one("page", 4, "!="), {"b", "c", "d"}),
        (one("id", "b"), {"b", "c"}),
        (one("id", ["a", "c"], "in"), {"a"}),
        (one("source", "c.pdf"), {"c"}),
        (one("source", "a"), {"a"}),
    ],
)
def test_a_page_s_own_fields_count_where_the_metadata_has_no_such_key(index, filters, expected):
    assert found(index, filters) == expected


def test_groups_nest(index):
    solar, ferry, cheap = one("title", "Solar"), one("title", "Ferry"), one("price", 3, "<")
    assert found(index, group("or", solar, ferry)) == {"a", "b"}
    assert found(index, group("and", group("or", solar, ferry), cheap)) == {"a"}
    assert found(index, group("not", solar, ferry)) == {"c", "d"}
    assert found(index, group("and", group("not", cheap), group("not", group("and", ferry, cheap)))) == {"b", "c", "d"}
    assert found(index, MetadataFilters(filters=[])) == set(RECORDS)


@pytest.mark.parametrize(
    "filters",
    [
        one("title", "Fer", "text_match"),
        one("title", "fer", "text_match_insensitive"),
        one("year", 2020, "in"),
        one("year", [], "in"),
        one("year", [2020]),
        one("year", None),
        one("year", "soon", ">"),
        group("and", one("year", 2020), MetadataFilters(filters=[])),
        {"year": 2020},
    ],
    ids=["text", "text_insensitive", "in", "in_nothing", "list", "none", "bound", "empty_group", "mapping"],
)
def test_what_cannot_be_expressed_is_refused(filters):
    with pytest.raises(FilterError):
        to_index_filter(filters)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("==", 4, {"broken", "whole"}),
        ("==", 4.0, {"broken", "whole"}),
        ("!=", 4, {"list"}),
        ("in", [4], {"broken", "whole"}),
        ("nin", [4, 3], {"list"}),
        ("any", [4, 7], {"broken", "whole", "list"}),
        ("all", [7, 8], {"list"}),
        ("contains", 7, {"list"}),
    ],
)
def test_a_whole_number_is_one_however_it_is_written(store, operator, value, expected):
    numbers = {"broken": 4.0, "whole": 4, "list": [7.0, 8]}
    store.add([TextNode(id_=name, text=name, metadata={"n": n}) for name, n in numbers.items()])
    filters = MetadataFilters(filters=[MetadataFilter(key="n", value=value, operator=FilterOperator(operator))])
    assert {node.node_id for node in store.get_nodes(list(numbers), filters)} == expected

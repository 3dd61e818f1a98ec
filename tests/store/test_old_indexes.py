"""Indexes of every released format open, answer as they did, and can be worked with; others are refused in words.

The fixtures were written by release 0.1.0 (schema version 1) on both embedded engines: ``coffee.md``, a page of two
windows, and ``ferry.pdf``, two pages that replaced an older version. The answers are what it said at every budget.
Those of schema version 4 hold the same of a tenant, with words and at most 64 vectors a page, beside another tenant's.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import BudgetError, IndexMismatchError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.filters import Filter, parse_filter
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.resize import resize
from metaembed_rag.store.schema import INDEX_POINT
from metaembed_rag.store.store import Store
from metaembed_rag.store.words import query_terms

from .conftest import DIM, document, rows

FIXTURES = Path(__file__).parent / "fixtures"
QUERY = rows(7, 16)


@pytest.fixture(params=["edge", "local"])
def unpacked(request, tmp_path):
    """A function that unpacks the index of a schema version and returns one that opens it, of one engine."""
    opened = []

    def unpack(version):
        with tarfile.open(FIXTURES / f"schema-{version}-{request.param}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
        return open_old

    def open_old(**settings):
        for store in opened:
            store.close()
        path = str(tmp_path / request.param)
        engine = open_engine(path=path, url=None, collection="metaembed", engine=request.param)
        opened.append(Store(engine, **settings))
        return opened[-1]

    yield unpack
    for store in opened:
        store.close()


@pytest.fixture
def old(unpacked):
    return unpacked(1)


def test_an_index_of_version_1_answers_as_it_did(old):
    store = old()
    answers = json.loads((FIXTURES / "schema-1-answers.json").read_text())
    for budget in LADDER:
        found = store.search(build_stages(Plan(budget), QUERY), Filter(), 10)
        assert [scored.payload["id"] for scored in found] == [page for page, _ in answers[str(budget)]]
        assert [scored.score for scored in found] == pytest.approx(
            [score for _, score in answers[str(budget)]], abs=1e-4
        )
    info = store.info()
    assert (info["pages"], info["documents"], info["points"], info["dim"]) == (3, 2, 4, DIM)
    assert (info["precision"], info["tenant"], info["building"]) == ("f32", None, [])
    assert info["document_tokens"] == [1, 4, 8, 16, 64]
    store.check_model("fingerprint-of-the-model", "test")
    with pytest.raises(IndexMismatchError, match="made by model 'test'"):
        store.check_model("another", "mini")
    found = store.search(build_stages(Plan(LADDER[2]), QUERY), parse_filter({"draft": True, "tags": "y"}), 10)
    assert [scored.payload["text"] for scored in found] == ["text of page 1 of coffee.md"]


def test_an_index_of_version_1_can_be_worked_with(old):
    store = old(precision="f32")
    assert store.digests(["ferry.pdf"])["ferry.pdf"].page_ids == ("ferry.pdf/1", "ferry.pdf/2")
    store.write([document("new", 2, year=2030)])
    assert store.delete_source("ferry.pdf") == 2
    resize(store, 16, lambda windows: np.empty(0))
    store = old()
    assert store.sources() == ["coffee.md", "new"]
    with pytest.raises(BudgetError):
        store.search(build_stages(Plan(LADDER[4]), QUERY), Filter(), 10)
    assert len(store.search(build_stages(Plan(LADDER[3]), QUERY), Filter(), 10)) == 3


def test_an_index_of_version_1_is_neither_divided_nor_of_another_precision(old):
    with pytest.raises(IndexMismatchError, match="not divided by tenants"):
        old(tenant="acme")
    with pytest.raises(IndexMismatchError, match="stores vectors as f32, not as int8"):
        old(precision="int8")


def test_an_index_of_version_4_answers_as_it_did_and_can_be_worked_with(unpacked):
    open_old = unpacked(4)
    store = open_old(tenant="acme")
    answers = json.loads((FIXTURES / "schema-4-answers.json").read_text())
    for asked, wanted in answers.items():
        budget, _, words = asked.partition(" ")
        stages = build_stages(Plan(Budget.parse(budget)), QUERY)
        found = store.search(stages, Filter(), 10, query_terms(words) if words else None)
        assert [scored.payload["id"] for scored in found] == [page for page, _ in wanted]
        assert [scored.score for scored in found] == pytest.approx([score for _, score in wanted], abs=1e-4)
    info = store.info()
    assert (info["pages"], info["documents"], info["page_vectors"], info["hybrid"]) == (3, 2, 64, True)
    store.check_model("document-fingerprint-of-the-model", "test")
    store.check_model("another", "test", former="document-fingerprint-of-the-model")
    store.write([document("new", 2, year=2030)])
    assert store.delete_source("ferry.pdf") == 2
    assert open_old(tenant="acme").sources() == ["coffee.md", "new"]
    assert open_old(tenant="other").sources() == ["coffee.md"]
    with pytest.raises(IndexMismatchError, match="stores vectors as f32, not as int8"):
        open_old(tenant="acme", precision="int8")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 6}, "schema version 6, made by a newer release"),
        ({"schema": None}, "not an index"),
        ({"schema": "1"}, "not an index"),
        ({"precision": "1bit"}, "1bit.*newer release"),
        ({"groups": "many"}, "damaged"),
        ({"groups": [4, 1]}, "damaged"),
        ({"page_vectors": -1}, "damaged"),
        ({"model": None}, "damaged"),
        ({"dim": True}, "damaged"),
    ],
    ids=str,
)
def test_newer_and_foreign_indexes_are_refused(old, change, reason):
    store = old()
    store._engine.set_payload(change, [INDEX_POINT])
    with pytest.raises(IndexMismatchError, match=reason):
        old()

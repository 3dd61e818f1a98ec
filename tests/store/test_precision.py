"""Storage precision: fixed when an index is made, remembered, and what it costs in bytes and in order."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import IndexMismatchError, InputError
from metaembed_rag.scoring import maxsim
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.engine import Stage
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.resize import resize
from metaembed_rag.store.schema import PRECISIONS, VALUE_BYTES, Schema
from metaembed_rag.store.store import Store

from . import conftest
from .conftest import document, open_store, rows
from .test_resize import Encoder

#: Wide enough for 4 bit codes to mean something.
DIM = 64
BUDGET = Budget(8, 16)
#: Largest error of a score of 8 query tokens, each with a product of at most 1.
ERRORS = {"f32": 1e-5, "f16": 0.004, "int8": 0.04, "4bit": 0.04}


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(conftest, "DIM", DIM)
    monkeypatch.setattr(conftest, "SCHEMA", Schema(dim=DIM, groups=(1, 16)))


@pytest.fixture
def documents(_wide):
    return [document(f"d{n}", 1, seed=n) for n in range(120)]


def scores(store, query, stages=None, limit=120):
    found = store.search(stages or build_stages(Plan(BUDGET), query), Filter(), limit)
    return {scored.payload["id"]: scored.score for scored in found}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scores_and_bytes_at_each_precision(tmp_path, documents, precision):
    store = open_store("edge", tmp_path, precision=precision)
    store.write(documents)
    store.settle()
    query = rows(3, 16)
    expected = {d.points[0].id: maxsim(query[None, :8], d.points[0].vectors[None, :16])[0, 0] for d in documents}
    found = scores(store, query)
    assert found.keys() == expected.keys()
    assert max(abs(found[key] - expected[key]) for key in expected) < ERRORS[precision]
    best = sorted(expected, key=expected.__getitem__)[-10:]
    assert len(set(best) & set(sorted(found, key=found.__getitem__)[-10:])) >= 9
    info = store.info()
    assert info["precision"] == precision
    assert info["bytes_by_group"] == {g: 120 * int(g * DIM * VALUE_BYTES[precision]) for g in (1, 16)}
    store.close()
    again = open_store("edge", tmp_path)
    assert again.schema.precision == precision
    assert scores(again, query) == pytest.approx(found, abs=1e-6)
    again.close()
    other = "f16" if precision != "f16" else "int8"
    with pytest.raises(IndexMismatchError, match=f"stores vectors as {precision}, not as {other}"):
        open_store("edge", tmp_path, precision=other)


def test_the_vectors_on_disk_shrink(tmp_path, documents):
    taken = {}
    for precision in PRECISIONS:
        store = open_store("edge", tmp_path / precision, precision=precision)
        store.write(documents)
        store.settle()
        store.close()
        files = (tmp_path / precision / "index" / "segments").rglob("*")
        # Only files of named vectors: payloads are the same size at every precision.
        taken[precision] = sum(f.stat().st_blocks * 512 for f in files if f.is_file() and "meta_16" in str(f))
    assert taken["f16"] < 0.6 * taken["f32"]
    assert taken["int8"] < 0.4 * taken["f32"]
    assert taken["int8"] < taken["4bit"] < 0.6 * taken["f32"]


def test_codes_are_used_where_a_stage_says_so(tmp_path, documents):
    store = open_store("edge", tmp_path, precision="4bit")
    store.write(documents)
    store.settle()
    query = rows(3, 16)

    def stage(**settings):
        return [Stage("meta_16", query[:8], 0, **settings)]

    exact = scores(store, query, stage())
    codes = scores(store, query, stage(quantized=True, rescore=False))
    assert max(abs(codes[key] - exact[key]) for key in exact) > 1e-3, "codes gave the stored vectors' scores"
    assert scores(store, query, stage(quantized=True)) == pytest.approx(exact, abs=1e-6)
    top = scores(store, query, stage(quantized=True, oversampling=3.0), limit=10)
    best = sorted(exact, key=exact.__getitem__)[-10:]
    assert len(set(top) & set(best)) >= 9
    prefetch = [Stage("meta_1", query[0], 60, quantized=True), *stage()]
    assert set(scores(store, query, prefetch, limit=10)) <= set(exact)
    store.close()


def test_widening_keeps_the_precision_and_makes_no_graph_of_multivectors(tmp_path, documents):
    store = open_store("edge", tmp_path, precision="4bit")
    store.write(documents)
    resize(store, 1, Encoder(documents))
    resize(store, 8, Encoder(documents))
    settings = json.loads((tmp_path / "index" / "edge_config.json").read_text())["vectors"]
    for name in ("meta_4", "meta_8"):
        assert settings[name]["hnsw_config"]["m"] == 0
        assert settings[name]["datatype"] == "turbo8"
        assert settings[name]["quantization_config"]
    assert settings["meta_1"]["hnsw_config"]["m"] == 16
    store.close()


def test_a_server_is_told_the_precision(server):
    store = conftest.open_server(server.url, precision="4bit")
    vectors = server.bodies["PUT collections/c"]["vectors"]
    assert vectors["meta_16"]["datatype"] == "turbo8"
    assert vectors["meta_16"]["quantization_config"] == {"turbo": {"bits": "bits4", "always_ram": True}}
    assert vectors["meta_16"]["hnsw_config"] == {"m": 0}
    assert vectors["meta_1"]["hnsw_config"]["m"] == 16
    entry = document("a")
    store.write([entry])
    resize(store, 64, Encoder([entry]))
    settings = server.bodies["PATCH collections/c"]["vectors"]
    assert settings["meta_64"]["hnsw_config"] == {"m": 0}
    assert settings["meta_64"]["quantization_config"] == {"turbo": {"bits": "bits4", "always_ram": True}}
    store.close()
    other = conftest.open_server(server.url)
    assert other.schema.precision == "4bit"
    other.close()


def test_an_older_server_is_not_taken_at_its_word(server):
    server.version = "1.19.2"
    with pytest.raises(InputError, match=r"server of version 1\.20 or newer, and this one is 1\.19\.2"):
        conftest.open_server(server.url, precision="int8")
    conftest.open_server(server.url, precision="f16").close()


def test_the_local_mode_does_not_pretend(tmp_path):
    with pytest.raises(InputError, match="32 bit floats whatever"):
        open_store("local-path", tmp_path, precision="int8")
    open_store("local-path", tmp_path, precision="f32").close()


@pytest.mark.parametrize("bad", ["f64", "", 8])
def test_unknown_precisions_are_refused(tmp_path, bad):
    with pytest.raises(InputError, match="f32, f16, int8, 4bit"):
        Store(open_engine(path=str(tmp_path / "x"), url=None, collection="c"), precision=bad)


def test_what_budgets_cost():
    from metaembed_rag.store.store import describe_size

    size = describe_size(Schema(dim=128, precision="f16"), pages=10, points=25)
    assert size["windows_per_page"] == 2.5
    assert size["tokens"] == 25 * 64
    assert size["bytes_by_group"][64] == 25 * 64 * 128 * 2
    assert size["budgets"]["(4,8)"] == {"pages_1m": 2_500_000 * 13 * 256, "pages_100m": 250_000_000 * 13 * 256}
    assert size["budgets"]["(16,64)"]["pages_1m"] == 2_500_000 * 93 * 256
    assert np.isfinite(size["windows_per_page"])

"""Pages found by their words beside their Meta Tokens: what users set, see and are told."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from PIL import Image

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.errors import IndexMismatchError, InputError

TEXTS = {
    "ferry": "The first ferry to Holm leaves at six in the morning.",
    "valve": "Spare part XK-4471 is a bronze valve; order it from the workshop.",
    "pump": "Spare part XK-4417 is a cast iron pump; order it from the workshop.",
    "hinge": "Spare part RB-2210 is a brass hinge; order it from the workshop.",
    "coffee": "Beans are roasted at 210 degrees for twelve minutes.",
}
QUERY = "which spare part is XK-4471?"
PICTURE = Image.new("RGB", (8, 8))


def fill(index: MetaEmbedIndex) -> MetaEmbedIndex:
    index.add_texts(list(TEXTS.values()), ids=list(TEXTS))
    return index


@pytest.fixture(scope="module")
def hybrid(model):
    with MetaEmbedIndex(":memory:", model=model, hybrid=True) as opened:
        yield fill(opened)


@pytest.fixture(scope="module")
def plain(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        yield fill(opened)


def scores(hits):
    return {hit.id: pytest.approx(hit.score, abs=1e-5) for hit in hits}


def test_a_page_that_shares_rare_words_comes_first(hybrid):
    hits = hybrid.search(QUERY, budget=1)
    assert hits[0].id == "valve"
    assert hits.hybrid
    assert hits.plan.endswith("and by their words")
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_without_words_it_is_the_index_it_would_be(hybrid, plain):
    for budget in (1, 4, "full"):
        hits = hybrid.search(QUERY, budget=budget, hybrid=False)
        assert not hits.hybrid
        assert scores(hits) == {hit.id: hit.score for hit in plain.search(QUERY, budget=budget)}


def test_every_way_to_ask_goes_by_words(hybrid):
    wanted = {hit.id: hit.score for hit in hybrid.search(QUERY, budget=4)}
    rows = hybrid.model.encode_queries([QUERY])[0]
    assert scores(hybrid.search_many([QUERY, "ferry"], budget=4)[0]) == wanted
    assert scores(hybrid.search({"text": QUERY, "vectors": rows}, budget=4)) == wanted
    assert scores(asyncio.run(hybrid.asearch(QUERY, budget=4, hybrid=True))) == wanted
    assert scores(hybrid.explain(QUERY, budget=4).hits) == wanted
    assert list(hybrid.stream(QUERY))[-1].hybrid
    assert not list(hybrid.stream(QUERY, hybrid=False))[-1].hybrid


def test_what_has_no_words_goes_by_meta_tokens_alone(hybrid, plain):
    rows = hybrid.model.encode_queries([QUERY])[0]
    hits = hybrid.search(rows)
    assert not hits.hybrid
    assert "words" not in hits.plan
    assert scores(hits) == {hit.id: hit.score for hit in plain.search(rows)}
    assert not hybrid.search("of the").hybrid


@pytest.mark.parametrize("asked", [np.ones((2, 128), np.float32), PICTURE, {"text": "", "image": PICTURE}])
def test_words_that_are_demanded_must_be_there(hybrid, asked):
    with pytest.raises(InputError, match="text"):
        hybrid.search(asked, hybrid=True)


def test_an_index_without_words_says_how_to_get_them(plain):
    assert not plain.search(QUERY).hybrid
    assert not plain.search(QUERY, hybrid=False).hybrid
    with pytest.raises(IndexMismatchError, match="copy SRC DST --hybrid"):
        plain.search(QUERY, hybrid=True)
    with pytest.raises(InputError, match="hybrid must be"):
        plain.search(QUERY, hybrid="yes")
    with pytest.raises(InputError, match="hybrid must be"):
        MetaEmbedIndex(":memory:", hybrid="yes")


def test_an_empty_index_answers_nothing(model):
    with MetaEmbedIndex(":memory:", model=model, hybrid=True) as index:
        assert index.info()["hybrid"] is True
        assert index.search(QUERY, hybrid=True) == []


@pytest.mark.parametrize("rows", [[[1.0, 2.0]], np.ones(128, np.float32), np.full((1, 128), np.nan, np.float32)])
def test_vectors_of_a_mapping_are_checked(hybrid, rows):
    with pytest.raises(InputError, match="query vectors"):
        hybrid.search({"text": QUERY, "vectors": rows})


def test_a_mapping_of_vectors_needs_its_text(hybrid):
    with pytest.raises(InputError, match="'text' and 'vectors'"):
        hybrid.search({"vectors": np.ones((1, 128), np.float32)})


def test_explain_times_the_words(hybrid):
    found = hybrid.explain(QUERY, budget=4)
    assert found.parts[-1].name == "and by their words"
    assert len(hybrid.explain(QUERY, budget=4, hybrid=False).parts) == len(found.parts) - 1


def test_calibration_and_latency_targets_count_words(model, tmp_path):
    with MetaEmbedIndex(tmp_path / "index", model=model, hybrid=True) as index:
        fill(index)
        calibration = index.calibrate([QUERY, "when does the boat leave?"], progress=False)
        assert all(one.plan.words for one in calibration.measured)
        assert all(one.plan.stages[-1] == "and by their words" for one in calibration.measured)
        assert all(len(one.stages) == len(one.plan.stages) for one in calibration.measured)
        assert index.search(QUERY, latency_ms=10_000).hybrid
        assert not index.search(QUERY, latency_ms=10_000, hybrid=False).hybrid
        assert index.explain(QUERY, latency_ms=10_000).parts[-1].predicted_ms is not None
        assert index.explain(QUERY, latency_ms=10_000, hybrid=False).parts[-1].predicted_ms is None
    with MetaEmbedIndex(tmp_path / "index", model=model) as index:
        assert index.info()["hybrid"] is True
        assert index.calibration == calibration
        assert index.search(QUERY, budget=1)[0].id == "valve"

"""Batches: one source each, weighted, without duplicates, the same from the same seed, and resumable."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from metaembed_rag.errors import InputError
from metaembed_rag.training.batches import SourceBatchSampler


def source(name, count):
    return [{"query": f"{name} q{n}", "positive": f"{name} p{n}", "negative": f"{name} n{n}"} for n in range(count)]


SOURCES = {"a": source("a", 40), "b": source("b", 20), "c": source("c", 12)}
SIZES = {name: float(len(rows)) for name, rows in SOURCES.items()}
ROWS = [row for rows in SOURCES.values() for row in rows]


def sampler(**changes):
    options = {"batch_size": 4, "processes": 1, "batches": 60, "sub_batch": None, "seed": 1}
    sources = changes.pop("sources", SOURCES)
    weights = changes.pop("weights", SIZES)
    return SourceBatchSampler(sources, weights, **{**options, **changes})


def names(batch, rows=ROWS):
    return {rows[index]["query"].split()[0] for index in batch}


def test_each_batch_comes_from_one_source_and_the_same_seed_gives_the_same():
    batches = list(sampler())
    assert len(batches) == len(sampler()) == 60
    assert all(len(batch) == 4 and len(names(batch)) == 1 for batch in batches)
    assert batches == list(sampler())
    assert batches != list(sampler(seed=2))


def test_a_run_cut_off_anywhere_goes_on_with_the_same_batches():
    whole = list(sampler())
    assert list(islice(iter(sampler()), 23, None)) == whole[23:]
    assert list(sampler(batches=90))[:60] == whole


def test_every_pair_is_seen_once_before_any_is_seen_twice():
    seen = Counter(
        index for batch in sampler(sources={"a": SOURCES["a"]}, weights={"a": 1.0}, batches=15) for index in batch
    )
    assert sum(seen.values()) == 60
    assert set(seen) == set(range(40))
    assert set(seen.values()) == {1, 2}


def test_weights_say_how_often_a_source_is_drawn():
    drawn = Counter(names(batch).pop() for batch in sampler(weights={"a": 1.0, "b": 1.0, "c": 8.0}, batches=500))
    assert drawn["c"] == pytest.approx(400, abs=40)
    by_size = Counter(names(batch).pop() for batch in sampler(batches=720))
    assert by_size["a"] == pytest.approx(400, abs=50)


def test_a_step_of_several_processes_comes_from_one_source_without_duplicates():
    batches = list(sampler(processes=2, batches=30))
    assert len(batches) == 60
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        assert len(names([*first, *second])) == 1
        assert not set(first) & set(second)


def test_a_sub_batch_gives_processes_sources_of_their_own():
    batches = list(sampler(processes=2, batches=30, sub_batch=4))
    assert all(len(names(batch)) == 1 for batch in batches)
    assert any(names(first) != names(second) for first, second in zip(batches[::2], batches[1::2], strict=True))


def test_pairs_that_share_a_text_never_meet_and_none_is_lost():
    rows = source("a", 24)
    for number, row in enumerate(rows):
        # Six documents, each the positive of four queries, written differently.
        row["positive"] = f"Document  {number % 6}" if number % 2 else f"document {number % 6} "
    found = list(sampler(sources={"a": rows}, weights={"a": 1.0}, batches=8))
    for batch in found:
        assert len({rows[index]["positive"].split()[1] for index in batch}) == 4
    assert {index for batch in found for index in batch} == set(range(24))


def book(name, pages, *, per_page):
    """Pairs of a document: each page's negative is the page after next."""
    return [
        {**row, "document": name, "pages": [number % pages, (number + 2) % pages]}
        for number, row in enumerate(source(name, pages * per_page))
    ]


def test_pages_of_one_document_meet_and_the_same_page_never_does():
    rows = [*book("thick", 40, per_page=3), *book("thin", 4, per_page=2), *source("loose", 32)]
    of = {"sources": {"a": rows}, "weights": {"a": 1.0}}
    found = list(sampler(batch_size=8, batches=40, **of, per_document={"a": 4}))
    assert {index for batch in found[:20] for index in batch} == set(range(160))
    for batch in found:
        pages = [(rows[n]["document"], page) for n in batch if "document" in rows[n] for page in rows[n]["pages"]]
        assert len(pages) == len(set(pages))


def test_a_batch_is_of_one_document_where_that_is_asked_for():
    rows = [row for name in "abcd" for row in book(name, 8, per_page=1)]

    def documents(**options):
        found = sampler(batch_size=4, batches=8, sources={"a": rows}, weights={"a": 1.0}, **options)
        return [len({rows[index]["document"] for index in batch}) for batch in found]

    assert documents(per_document={"a": 4}) == [1] * 8
    assert sum(documents()) > 16


def test_what_cannot_be_batched_is_told_at_once():
    with pytest.raises(InputError, match="'c' has too few distinct pairs"):
        sampler(batch_size=13)
    with pytest.raises(InputError, match="must divide"):
        sampler(sub_batch=3)
    with pytest.raises(InputError, match="'a' has per_document, and no pair"):
        sampler(per_document={"a": 4})


def test_hard_negatives_stand_in_the_batch_as_positives():
    # A ring in which each positive is the next one's hard negative, and pairs that no other knows.
    ring = [{"query": f"q{n}", "positive": f"p{n}", "negative": f"p{(n + 1) % 24}"} for n in range(24)]
    rows = [*ring, *source("loose", 8)]
    found = list(sampler(batch_size=8, batches=8, sources={"a": rows}, weights={"a": 1.0}, chain=4))
    assert {index for batch in found[:4] for index in batch} == set(range(32))
    beside = 0
    for batch in found:
        positives = [rows[index]["positive"] for index in batch]
        assert len(set(positives)) == 8
        beside += sum(rows[index]["negative"] in positives for index in batch)
    # Of four in a row three have theirs beside them; two rings' ends may meet by chance.
    assert beside >= 3 * 6 * 2


def test_pairs_of_one_text_never_meet_in_a_chain():
    rows = [{"query": f"q{n}", "positive": f"p{n % 4}", "negative": f"p{(n + 1) % 4}"} for n in range(16)]
    for batch in sampler(batch_size=4, batches=8, sources={"a": rows}, weights={"a": 1.0}, chain=4):
        assert {rows[index]["positive"] for index in batch} == {"p0", "p1", "p2", "p3"}


def test_documents_go_before_chains():
    rows = [row for name in "abcd" for row in book(name, 8, per_page=1)]
    options = {"batch_size": 4, "batches": 8, "sources": {"a": rows}, "weights": {"a": 1.0}, "per_document": {"a": 4}}
    assert list(sampler(**options, chain=2)) == list(sampler(**options))

"""The ladder on vectors chosen by hand, on windows, and on a real model with untrained Meta Tokens."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.embedding.build import build_encoder
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.model import MetaEmbed, TruncationWarning
from metaembed_rag.errors import BudgetError, InputError, ModelError
from metaembed_rag.evaluation import ladder
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.ladder import FloatArray, Row, evaluate, monotone
from metaembed_rag.metrics import Figures
from metaembed_rag.scoring import maxsim


class Lookup:
    """An encoder whose vectors are given by hand: text -> [tokens, dim]."""

    def __init__(self, vectors: dict[str, list[list[float]]]) -> None:
        self.vectors = vectors
        self.calls = 0

    def _stack(self, texts: Sequence[str]) -> FloatArray:
        self.calls += 1
        return np.asarray([self.vectors[text] for text in texts], dtype=np.float32)

    def encode_queries(self, queries: Sequence[str], /) -> FloatArray:
        return self._stack(queries)

    def encode_documents(self, documents: Sequence[str], /) -> FloatArray:
        return self._stack(documents)


class Windowed(Lookup):
    """The same, for texts cut at bars."""

    def windows(self, text: str) -> list[str]:
        return text.split("|")


X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
SMALL = Benchmark("small", {"q": "ask"}, {"a": "one", "b": "two"}, {"q": {"b": 1.0}})
#: At one token each the wrong document wins; the second token of both sides puts it right.
VECTORS = {"ask": [X, Y], "one": [[0.8, 0.0, 0.6], Z], "two": [[0.6, 0.0, 0.8], Y]}


def test_every_budget_scores_its_prefixes_and_texts_are_encoded_once() -> None:
    model = Lookup(VECTORS)
    narrow, wide = evaluate(model, SMALL, [Budget(1, 1), Budget(2, 2)])
    assert (narrow.budget, narrow.p1, narrow.r5) == (Budget(1, 1), 0.0, 1.0)
    assert narrow.ndcg5 == pytest.approx(0.6309298, abs=1e-6)
    assert (wide.p1, wide.ndcg5, wide.figures.mrr) == (1.0, 1.0, 1.0)
    assert model.calls == 2
    assert wide.to_json()["budget"] == [2, 2]
    assert wide.to_json()["r5"] == 1.0


def test_a_document_counts_as_its_best_window() -> None:
    benchmark = Benchmark("cut", {"q": "ask"}, {"a": "mid", "b": "far|near|far"}, {"q": {"b": 1.0}})
    model = Windowed({"ask": [X], "mid": [[0.6, 0.8, 0.0]], "far": [Y], "near": [X]})
    (row,) = evaluate(model, benchmark, [Budget(1, 1)])
    assert row.p1 == 1.0


def test_ties_keep_the_order_of_the_documents() -> None:
    documents = dict.fromkeys("abcdef", "same")
    benchmark = Benchmark("ties", {"q": "ask"}, documents, {"q": {"c": 1.0}})
    (row,) = evaluate(Lookup({"ask": [X], "same": [X]}), benchmark, [Budget(1, 1)])
    assert row.figures.mrr == pytest.approx(1 / 3)


def test_blocks_of_queries_and_texts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    texts = [f"t{n}" for n in range(40)]
    vectors = {text: generator.standard_normal((4, 8)).tolist() for text in texts}
    benchmark = Benchmark(
        "many",
        {f"q{n}": texts[n] for n in range(20)},
        {f"d{n}": texts[20 + n] for n in range(20)},
        {f"q{n}": {f"d{n}": 1.0, f"d{(n + 1) % 20}": 2.0} for n in range(20)},
    )
    whole = evaluate(Lookup(vectors), benchmark, [Budget(2, 4)])
    monkeypatch.setattr(ladder, "QUERIES_AT_ONCE", 3)
    monkeypatch.setattr(ladder, "TEXTS_AT_ONCE", 7)
    assert evaluate(Lookup(vectors), benchmark, [Budget(2, 4)]) == whole
    q = np.asarray([vectors[t] for t in benchmark.queries.values()], dtype=np.float32)[:, :2]
    d = np.asarray([vectors[t] for t in benchmark.documents.values()], dtype=np.float32)
    best = maxsim(q, d).argmax(axis=1)
    hits = [f"d{place}" in benchmark.relevant[f"q{n}"] for n, place in enumerate(best)]
    assert whole[0].p1 == pytest.approx(np.mean(hits))


def test_a_budget_beyond_the_model_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"\(2,4\) needs more rows"):
        evaluate(Lookup(VECTORS), SMALL, [Budget(2, 4)])
    with pytest.raises(InputError, match="no budgets"):
        evaluate(Lookup(VECTORS), SMALL, [])


def test_damaged_embeddings_are_refused() -> None:
    with pytest.raises(ModelError, match="not finite"):
        evaluate(Lookup({**VECTORS, "two": [[float("nan")] * 3, Y]}), SMALL, [Budget(1, 1)])

    class Flat(Lookup):
        def encode_documents(self, documents: Sequence[str], /) -> FloatArray:
            return super().encode_documents(documents)[:, 0]

    with pytest.raises(ModelError, match=r"\[n, tokens, dim\] is needed"):
        evaluate(Flat(VECTORS), SMALL, [Budget(1, 1)])

    class Windowless(Lookup):
        def windows(self, text: str) -> list[str]:
            return []

    with pytest.raises(ModelError, match="no part of document a"):
        evaluate(Windowless(VECTORS), SMALL, [Budget(1, 1)])


def test_a_real_model_is_scored_on_long_and_short_documents() -> None:
    config = ModelConfig(name="untrained", backbone="all-MiniLM-L6-v2", window=48, dim=32)
    model = MetaEmbed(config, build_encoder(config, device="cpu"), "untrained")
    filler = "Nothing of interest happened on the way to the harbour that day. " * 8
    benchmark = Benchmark(
        "real",
        {"q": "when does the ferry leave?"},
        {"long": filler + "The ferry leaves at noon. " + filler, "short": "Bread is baked at dawn."},
        {"q": {"long": 1.0}},
    )
    assert len(model.windows(benchmark.documents["long"])) > 4
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncationWarning)
        rows = evaluate(model, benchmark, timed=True)
    assert [row.budget for row in rows] == list(LADDER)
    windows = sum(len(model.windows(text)) for text in benchmark.documents.values())
    costs = [row.cost for row in rows if row.cost is not None]
    assert [cost.page_bytes for cost in costs] == [windows * row.budget.document * 32 * 4 / 2 for row in rows]
    assert all(cost.query_ms > 0 and cost.figures == row.figures for cost, row in zip(costs, rows, strict=True))
    assert rows[0].to_json().keys() == {
        "budget",
        "ndcg5",
        "ndcg10",
        "p1",
        "r5",
        "r10",
        "mrr",
        "queries",
        "page_bytes",
        "query_ms",
    }
    queries = model.encode_queries(list(benchmark.queries.values()))
    for row in rows:
        whole = {}
        for name, text in benchmark.documents.items():
            parts = model.encode_documents([part.text for part in model.windows(text)])[:, : row.budget.document]
            tokens = parts.reshape(1, -1, 32)  # of all windows, as of one document
            whole[name] = float(maxsim(queries[:, : row.budget.query], tokens)[0, 0])
        assert row.p1 == float(whole["long"] > whole["short"])


def _row(budget: Budget, ndcg5: float) -> Row:
    return Row(budget, Figures(ndcg5, ndcg5, ndcg5, ndcg5, ndcg5, ndcg5, 10))


def test_monotone_forgives_noise_and_names_a_drop() -> None:
    rising = [_row(budget, value) for budget, value in zip(LADDER, (0.40, 0.45, 0.447, 0.50, 0.52), strict=True)]
    report = monotone(rising[::-1])
    assert report.holds
    assert report.gain == pytest.approx(0.12)
    assert "+0.120" in str(report)
    falling = monotone(rising, tolerance=0.001)
    assert not falling.holds
    (drop,) = falling.drops
    assert (drop.lower, drop.upper) == (Budget(2, 4), Budget(4, 8))
    assert drop.loss == pytest.approx(0.003)
    assert "(2,4) to (4,8) by 0.003" in str(falling)


def test_monotone_needs_rows() -> None:
    with pytest.raises(InputError, match="at least one row"):
        monotone([])
    with pytest.raises(InputError, match="tolerance"):
        monotone([_row(Budget(1, 1), 0.5)], tolerance=-1)

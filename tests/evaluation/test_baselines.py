"""Rivals: BM25 by words, MiniLM by one vector and by all tokens, checked against a calculation by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer

from metaembed_rag.embedding.backbone import MINILM, resolve_backbone
from metaembed_rag.errors import InputError, ModelError
from metaembed_rag.evaluation import baselines
from metaembed_rag.evaluation.baselines import all_tokens, bm25, single_vector, trained_tokens
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.measured import Measured, median_ms, pool_measured
from metaembed_rag.metrics import Figures

HARBOUR = Benchmark(
    "harbour",
    {"q1": "when does the ferry leave?", "q2": "who bakes bread at dawn?"},
    {"a": "The ferry leaves at noon.", "b": "Cranes stand in the harbour.", "c": "The baker begins at five."},
    {"q1": {"a": 1.0}, "q2": {"c": 1.0}},
)


@pytest.fixture(scope="module")
def minilm() -> SentenceTransformer:
    return SentenceTransformer(str(resolve_backbone(MINILM)), device="cpu")


def _halves(text: str) -> list[str]:
    middle = text.index(" ", len(text) // 2)
    return [text[:middle], text[middle:]]


def test_bm25_ranks_by_shared_words_and_survives_unknown_ones() -> None:
    benchmark = Benchmark(
        "words",
        {"q1": "harbour cranes", "q2": "zebra"},
        {"a": "The orchard grows apples.", "b": "Cranes stand in the harbour.", "c": "A quiet library."},
        {"q1": {"b": 1.0}, "q2": {"c": 1.0}},
    )
    measured = bm25(benchmark)
    assert measured.figures.p1 == 0.5
    assert measured.figures.mrr == pytest.approx((1 + 1 / 3) / 2)
    # Orchard, grows, apples; cranes, stand, harbour; quiet, library: 8 postings over 3 documents.
    assert measured.page_bytes == pytest.approx(8 * baselines.POSTING / 3)
    assert measured.query_ms > 0


def test_one_vector_costs_its_width_for_every_window(minilm: SentenceTransformer) -> None:
    whole, halved = single_vector(HARBOUR, minilm), single_vector(HARBOUR, minilm, _halves)
    assert (whole.figures.p1, whole.page_bytes, halved.page_bytes) == (1.0, 384 * 4, 2 * 384 * 4)


@pytest.mark.parametrize("texts_at_once", [512, 2])
def test_all_tokens_is_maxsim_over_every_token(
    minilm: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, texts_at_once: int
) -> None:
    seen: list[np.ndarray] = []

    def watch(benchmark, score):
        seen.append(score(0, 2))
        return Figures(1, 1, 1, 1, 1, 1, 2)

    monkeypatch.setattr(baselines, "rank", watch)
    monkeypatch.setattr(baselines, "TEXTS_AT_ONCE", texts_at_once)
    measured = all_tokens(HARBOUR, minilm)

    def unit(text: str) -> np.ndarray:
        states = minilm.encode([text], output_value="token_embeddings")[0].cpu().numpy()
        return states / np.linalg.norm(states, axis=1, keepdims=True)

    documents = [unit(text) for text in HARBOUR.documents.values()]
    expected = [
        [(unit(query) @ document.T).max(axis=1).sum() for document in documents] for query in HARBOUR.queries.values()
    ]
    best, whole = seen
    np.testing.assert_allclose(best, expected, atol=1e-4)
    np.testing.assert_array_equal(best, whole)  # every document is one window
    assert measured.best.page_bytes == pytest.approx(sum(map(len, documents)) * 384 * 4 / 3)


def test_a_trained_encoder_is_scored_by_its_own_vectors() -> None:
    encoder = MultiVectorEncoder(str(resolve_backbone(MINILM)), device="cpu", local_files_only=True)
    benchmark = replace(HARBOUR, queries=dict(HARBOUR.documents), relevant={name: {name: 1.0} for name in "abc"})
    measured = trained_tokens(benchmark, encoder)
    # A text lies nearest to itself whatever the projection, which is random here.
    assert measured.best.figures.p1 == measured.whole.figures.p1 == 1.0
    tokens = sum(map(len, encoder.encode_document(list(HARBOUR.documents.values()))))
    assert measured.best.page_bytes == pytest.approx(tokens * 128 * 4 / 3)


def test_late_interaction_ranks_by_the_best_window_and_by_all_of_them() -> None:
    places = {"red": 0, "boat": 1, "sail": 2}

    class Words:
        """A direction for every word; others share the last."""

        def encode(self, texts, **options):
            return [torch.eye(4)[[places.get(word, 3) for word in text.split()]] for text in texts]

    benchmark = Benchmark(
        "w", {"q": "red boat sail"}, {"apart": "red | boat | sail", "close": "red boat"}, {"q": {"apart": 1.0}}
    )
    for at_once in (1, 512):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(baselines, "TEXTS_AT_ONCE", at_once)
            measured = all_tokens(benchmark, Words(), lambda text: text.split(" | "))
        assert (measured.best.figures.p1, measured.whole.figures.p1) == (0.0, 1.0)
        assert measured.best.page_bytes == 5 * 4 * 4 / 2


def test_damaged_weights_are_an_error() -> None:
    class Damaged:
        def encode(self, texts, **options):
            return np.full((len(texts), 4), np.nan)

    with pytest.raises(ModelError, match="not finite"):
        single_vector(HARBOUR, Damaged())


def test_pooling_weighs_figures_by_queries_and_bytes_by_documents() -> None:
    one = Measured(Figures(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1), 100, 10)
    other = Measured(Figures(0.5, 0.5, 0.0, 0.5, 0.5, 0.5, 3), 200, 20)
    pooled = pool_measured([(one, 30), (other, 10)])
    assert pooled.figures == Figures(0.625, 0.625, 0.25, 0.625, 0.625, 0.625, 4)
    assert (pooled.page_bytes, pooled.query_ms) == (125, 17.5)
    assert pooled.to_json()["ndcg5"] == 0.625
    with pytest.raises(InputError, match="nothing measured"):
        pool_measured([])


def test_the_first_call_is_not_timed() -> None:
    calls: list[str] = []
    assert median_ms(calls.append, ["a", "b"]) >= 0
    assert calls == ["a", "a", "b"]

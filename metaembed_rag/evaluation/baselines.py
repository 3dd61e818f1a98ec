"""What a model is compared with on the same benchmarks: BM25, MiniLM with one vector a text, and a vector a token."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import MissingDependencyError, ModelError
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.ladder import TEXTS_AT_ONCE, cut, rank
from metaembed_rag.evaluation.measured import Measured, median_ms
from metaembed_rag.scoring import page_blocks, sum_over_pages

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

#: Bytes of a value: vectors are compared as float32; an entry of BM25's index is a score and a document number.
FLOAT32 = 4
POSTING = 8


def bm25(benchmark: Benchmark) -> Measured:
    """BM25 (Lucene's variant, k1 1.5, b 0.75, English stop words, no stemming) over whole documents.

    Raises:
        MissingDependencyError: bm25s is not installed.
    """
    try:
        import bm25s
    except ImportError as error:
        raise MissingDependencyError("the BM25 baseline needs bm25s: pip install bm25s") from error
    texts = list(benchmark.documents.values())
    retriever = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    known = retriever.vocab_dict

    def search(query: str) -> FloatArray:
        (words,) = bm25s.tokenize([query], stopwords="en", return_ids=False, show_progress=False)
        heard = [word for word in words if word in known]
        if not heard:
            return np.zeros(len(texts), dtype=np.float32)
        scores: FloatArray = retriever.get_scores(heard)
        return scores

    queries = list(benchmark.queries.values())
    figures = rank(benchmark, lambda start, end: np.stack([search(query) for query in queries[start:end]]))
    return Measured(figures, len(retriever.scores["data"]) * POSTING / len(texts), median_ms(search, queries))


def single_vector(benchmark: Benchmark, model: Any, windows: Callable[[str], Sequence[Any]] | None = None) -> Measured:
    """Cosine similarity of one vector a text.

    Args:
        benchmark: what to rank.
        model: a sentence-transformers SentenceTransformer.
        windows: cuts long documents; a document counts as its best part. None lets the model cut them off.

    Raises:
        ModelError: a vector is not finite.
    """
    texts, starts = cut(benchmark, windows)

    def encode(lines: list[str]) -> FloatArray:
        vectors = model.encode(lines, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
        return _finite(vectors)

    queries = list(benchmark.queries.values())
    embedded, documents = encode(queries), encode(texts)

    def score(rows: FloatArray) -> FloatArray:
        best: FloatArray = np.maximum.reduceat(rows @ documents.T, starts, axis=1)
        return best

    return Measured(
        rank(benchmark, lambda start, end: score(embedded[start:end])),
        documents.size * FLOAT32 / len(starts),
        median_ms(lambda query: score(encode([query])), queries),
    )


@dataclass(frozen=True, slots=True)
class Late:
    """Late interaction over the same vectors in two ways.

    Attributes:
        best: a document scores as its best window does.
        whole: each query token is answered by the best of all windows, as ``page_maxsim`` does.
    """

    best: Measured
    whole: Measured


def all_tokens(benchmark: Benchmark, model: Any, windows: Callable[[str], Sequence[Any]] | None = None) -> Late:
    """MaxSim over the last-layer states of all tokens, special tokens among them: about 300 vectors a page.

    What the backbone itself can do with late interaction when storage has no price. The latency counts the scoring
    of one block of texts as often as there are blocks, without the time to fetch them.

    Args:
        benchmark, model, windows: as for ``single_vector``.

    Raises:
        ModelError: a state is not finite.
    """

    def states(texts: list[str]) -> list[FloatArray]:
        found = model.encode(texts, output_value="token_embeddings", show_progress_bar=False)
        rows = [_finite(np.asarray(row.cpu())) for row in found]
        return [row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows]

    return _late_interaction(benchmark, states, states, windows)


def trained_tokens(benchmark: Benchmark, model: Any, windows: Callable[[str], Sequence[Any]] | None = None) -> Late:
    """MaxSim over a vector for every token, by an encoder that was trained for it.

    Args:
        benchmark, windows: as for ``single_vector``.
        model: a sentence-transformers MultiVectorEncoder.

    Raises:
        ModelError: a vector is not finite.
    """

    def finite(found: Sequence[Any]) -> list[FloatArray]:
        return [_finite(np.asarray(row)) for row in found]

    return _late_interaction(
        benchmark,
        lambda texts: finite(model.encode_query(texts, convert_to_numpy=True, show_progress_bar=False)),
        lambda texts: finite(model.encode_document(texts, convert_to_numpy=True, show_progress_bar=False)),
        windows,
    )


def _late_interaction(
    benchmark: Benchmark,
    encode_queries: Callable[[list[str]], list[FloatArray]],
    encode_documents: Callable[[list[str]], list[FloatArray]],
    windows: Callable[[str], Sequence[Any]] | None,
) -> Late:
    """MaxSim over ``[tokens, dim]`` of unit length for each text."""
    texts, starts = cut(benchmark, windows)
    queries = list(benchmark.queries.values())
    embedded = encode_queries(queries)
    blocks = []
    vectors = 0
    scoring = []
    # All tokens of a large benchmark would not fit into memory.
    for documents, held in page_blocks(starts, len(texts), TEXTS_AT_ONCE):
        states = encode_documents(texts[held])
        tokens = np.concatenate([[0], np.cumsum([len(rows) for rows in states])])
        vectors += int(tokens[-1])
        score = _scorer(np.concatenate(states).T, tokens[:-1], starts[documents] - held.start)
        blocks.append(np.stack([score(rows) for rows in embedded]))
        scoring.append(median_ms(score, embedded))
        logger.info("scored %d of %d documents by all tokens", documents.stop, len(starts))
    scores = np.concatenate(blocks, axis=2)
    size = vectors * embedded[0].shape[1] * FLOAT32 / len(starts)
    spent = median_ms(lambda query: encode_queries([query]), queries) + sum(scoring)
    best = rank(benchmark, lambda start, end: scores[start:end, 0])
    whole = rank(benchmark, lambda start, end: scores[start:end, 1])
    return Late(Measured(best, size, spent), Measured(whole, size, spent))


def _scorer(
    columns: FloatArray, windows: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]
) -> Callable[[FloatArray], FloatArray]:
    """MaxSim ``[2, documents]`` of one query: by the best window, and by all of them.

    Args:
        columns: ``[dim, tokens]`` of all windows.
        windows: at which column each window starts.
        documents: at which window each document starts.
    """

    def score(states: FloatArray) -> FloatArray:
        found = np.maximum.reduceat(states @ columns, windows, axis=1)
        return np.stack(
            [
                np.maximum.reduceat(found.sum(axis=0), documents),
                sum_over_pages(found[None], documents)[0],
            ]
        )

    return score


def _finite(vectors: npt.NDArray[Any]) -> FloatArray:
    if not np.isfinite(vectors).all():
        raise ModelError("the baseline model gave values that are not finite")
    finite: FloatArray = vectors.astype(np.float32, copy=False)
    return finite

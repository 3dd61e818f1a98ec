"""What a model is compared with: BM25, and MiniLM with one vector a text, on the same benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import MissingDependencyError, ModelError
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.ladder import cut, rank
from metaembed_rag.metrics import Figures


def bm25(benchmark: Benchmark) -> Figures:
    """BM25 (Lucene's variant, k1 1.5, b 0.75, English stop words, no stemming) over whole documents.

    Raises:
        MissingDependencyError: bm25s is not installed.
    """
    try:
        import bm25s
    except ImportError as error:
        raise MissingDependencyError("the BM25 baseline needs bm25s: pip install bm25s") from error
    texts, starts = cut(benchmark, None)
    retriever = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    retriever.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    queries = list(benchmark.queries.values())
    tokens = bm25s.tokenize(queries, stopwords="en", return_ids=False, show_progress=False)
    known = retriever.vocab_dict

    def score(start: int, end: int) -> npt.NDArray[np.float32]:
        rows = []
        for words in tokens[start:end]:
            heard = [word for word in words if word in known]
            rows.append(retriever.get_scores(heard) if heard else np.zeros(len(texts), dtype=np.float32))
        return np.stack(rows)

    return rank(benchmark, score, starts)


def single_vector(benchmark: Benchmark, model: Any, windows: Callable[[str], Sequence[Any]] | None = None) -> Figures:
    """Cosine similarity of one vector a text.

    Args:
        benchmark: what to rank.
        model: a sentence-transformers SentenceTransformer.
        windows: cuts long documents; a document counts as its best part. None lets the model cut them off.

    Raises:
        ModelError: a vector is not finite.
    """
    texts, starts = cut(benchmark, windows)

    def encode(lines: list[str]) -> npt.NDArray[np.float32]:
        vectors = model.encode(lines, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
        if not np.isfinite(vectors).all():
            raise ModelError("the baseline model gave values that are not finite")
        return cast("npt.NDArray[np.float32]", vectors.astype(np.float32, copy=False))

    queries, documents = encode(list(benchmark.queries.values())), encode(texts)
    return rank(benchmark, lambda start, end: queries[start:end] @ documents.T, starts)

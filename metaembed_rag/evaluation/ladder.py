"""The ladder: one encoding of a benchmark, scored at every budget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import BudgetError, InputError, ModelError
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.measured import Measured, median_ms
from metaembed_rag.metrics import Figures, average
from metaembed_rag.scoring import page_maxsim

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

#: Queries scored at once; with ``maxsim``'s own limit this bounds memory.
QUERIES_AT_ONCE = 64
#: Texts handed to the model at once.
TEXTS_AT_ONCE = 512


class Encoder(Protocol):
    """What ``evaluate`` needs of a model; MetaEmbed has it.

    A model may also have ``windows(text)``, which gives the parts of a long text (strings, or objects with
    a ``text``); a query token is then answered by the best token of all parts of a document.
    """

    def encode_queries(self, queries: Sequence[str], /) -> FloatArray:
        """float32 ``[n, query tokens, dim]``, rows of unit length."""

    def encode_documents(self, documents: Sequence[str], /) -> FloatArray:
        """float32 ``[n, document tokens, dim]``, rows of unit length."""


@dataclass(frozen=True, slots=True)
class Row:
    """One budget's figures.

    Attributes:
        budget: what was scored.
        figures: means over the queries.
        cost: what it takes; None where it was not measured.
    """

    budget: Budget
    figures: Figures
    cost: Measured | None = None

    @property
    def ndcg5(self) -> float:
        """Normalised DCG at 5."""
        return self.figures.ndcg5

    @property
    def p1(self) -> float:
        """Precision at 1."""
        return self.figures.p1

    @property
    def r5(self) -> float:
        """Recall at 5."""
        return self.figures.r5

    def to_json(self) -> dict[str, Any]:
        """``{"budget": [q, d], "ndcg5": ..., ...}``."""
        figures = asdict(self.figures) if self.cost is None else self.cost.to_json()
        return {"budget": [self.budget.query, self.budget.document], **figures}


def evaluate(
    model: Encoder, benchmark: Benchmark, budgets: Sequence[Budget] = LADDER, *, timed: bool = False
) -> list[Row]:
    """Encode a benchmark once and score it at every budget with exact MaxSim over prefixes.

    Ties keep the order of the documents.

    Args:
        model: a MetaEmbed, or anything with its two encoders.
        benchmark: what to rank.
        budgets: what to score, in the order of the result.
        timed: measure bytes and latency too; the model's ``encode_queries`` must take ``budget=``.

    Returns:
        one row a budget.

    Raises:
        BudgetError: the model's embeddings have fewer rows than a budget asks for.
        ModelError: its embeddings have a wrong shape or hold values that are not finite.
    """
    if not budgets:
        raise InputError("no budgets to score; leave the argument out for the whole ladder")
    texts, starts = cut(benchmark, getattr(model, "windows", None))
    queries = _encode(model.encode_queries, list(benchmark.queries.values()), "queries")
    documents = _encode(model.encode_documents, texts, "documents")
    for budget in budgets:
        if queries.shape[1] < budget.query or documents.shape[1] < budget.document:
            raise BudgetError(
                f"budget {budget} needs more rows than the model's ({queries.shape[1]},{documents.shape[1]})"
            )

    def rows(budget: Budget) -> Row:
        narrow = np.ascontiguousarray(documents[:, : budget.document])

        def score(start: int, end: int) -> FloatArray:
            return page_maxsim(queries[start:end, : budget.query], narrow, starts)

        figures = rank(benchmark, score)
        if not timed:
            return Row(budget, figures)

        def search(query: str) -> FloatArray:
            return page_maxsim(cast("Any", model).encode_queries([query], budget=budget), narrow, starts)

        spent = median_ms(search, list(benchmark.queries.values()))
        return Row(budget, figures, Measured(figures, narrow.nbytes / len(starts), spent))

    return [rows(budget) for budget in budgets]


def cut(
    benchmark: Benchmark, windows: Callable[[str], Sequence[Any]] | None
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The parts of all documents in order, and at which part each document starts.

    Args:
        benchmark: its documents are cut.
        windows: gives the parts of a text; None leaves documents whole.

    Raises:
        ModelError: ``windows`` gave no part for a document.
    """
    texts: list[str] = []
    starts = []
    for name, document in benchmark.documents.items():
        starts.append(len(texts))
        parts = [document] if windows is None else [getattr(part, "text", part) for part in windows(document)]
        if not parts:
            raise ModelError(f"the model's windows gave no part of document {name}")
        texts += parts
    return texts, np.asarray(starts, dtype=np.int64)


def rank(benchmark: Benchmark, score: Callable[[int, int], npt.NDArray[np.floating[Any]]]) -> Figures:
    """Figures of any scorer, a block of queries at a time.

    Args:
        benchmark: its queries and documents, in their order.
        score: ``score(start, end)`` gives ``[end - start, documents]`` for those queries.

    Raises:
        ModelError: a score is not finite.
    """
    return average(_rankings(benchmark, score))


def _rankings(
    benchmark: Benchmark,
    score: Callable[[int, int], npt.NDArray[np.floating[Any]]],
) -> Iterator[tuple[list[str], dict[str, float]]]:
    names = list(benchmark.documents)
    ids = list(benchmark.queries)
    for start in range(0, len(ids), QUERIES_AT_ONCE):
        block = ids[start : start + QUERIES_AT_ONCE]
        scores = score(start, start + len(block))
        if not np.isfinite(scores).all():
            raise ModelError(f"benchmark {benchmark.name}: a score is not finite")
        order = np.argsort(-scores, axis=1, kind="stable")
        for query, places in zip(block, order, strict=True):
            yield [names[place] for place in places], dict(benchmark.relevant[query])


def _encode(encode: Callable[[Sequence[str]], FloatArray], texts: list[str], what: str) -> FloatArray:
    blocks = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        block = texts[start : start + TEXTS_AT_ONCE]
        vectors = np.asarray(encode(block), dtype=np.float32)
        if vectors.ndim != 3 or len(vectors) != len(block):
            raise ModelError(f"the model gave {vectors.shape} for {len(block)} {what}; [n, tokens, dim] is needed")
        if not np.isfinite(vectors).all():
            raise ModelError(f"the model gave values that are not finite for {what}; its weights are damaged")
        blocks.append(vectors)
        logger.info("encoded %d of %d %s", start + len(block), len(texts), what)
    return np.concatenate(blocks)


@dataclass(frozen=True, slots=True)
class Drop:
    """A step up the ladder that lost quality: nDCG@5 fell by ``loss``."""

    lower: Budget
    upper: Budget
    loss: float


@dataclass(frozen=True, slots=True)
class Monotone:
    """Whether quality rises along the ladder; if not, the nested loss is the first suspect.

    Attributes:
        drops: neighbouring budgets where nDCG@5 fell by more than the tolerance.
        gain: nDCG@5 at the widest budget minus that at the narrowest.
    """

    drops: tuple[Drop, ...]
    gain: float

    @property
    def holds(self) -> bool:
        """No drop beyond the tolerance."""
        return not self.drops

    def __str__(self) -> str:
        if self.holds:
            return f"nDCG@5 does not fall along the ladder; the widest budget adds {self.gain:+.3f}"
        falls = ", ".join(f"{drop.lower} to {drop.upper} by {drop.loss:.3f}" for drop in self.drops)
        return f"nDCG@5 falls from {falls}: check the weights of the nested loss's groups"


def monotone(rows: Sequence[Row], tolerance: float = 0.005) -> Monotone:
    """Compare neighbouring budgets, narrowest first.

    Args:
        rows: from ``evaluate``, in any order.
        tolerance: a fall in nDCG@5 of at most this is noise.

    Raises:
        InputError: no rows, or a negative tolerance.
    """
    if not rows or tolerance < 0:
        raise InputError("monotone needs at least one row and a tolerance of 0 or more")
    ordered = sorted(rows, key=lambda row: row.budget)
    drops = tuple(
        Drop(lower.budget, upper.budget, lower.ndcg5 - upper.ndcg5)
        for lower, upper in pairwise(ordered)
        if lower.ndcg5 - upper.ndcg5 > tolerance
    )
    return Monotone(drops, ordered[-1].ndcg5 - ordered[0].ndcg5)

"""Hard negatives: mined with any retriever, kept clear of false ones, written to a file that can be read.

A candidate counts as a false negative where it scores nearly as high as the positive (positive-aware mining,
NV-Retriever, arXiv 2407.15831): it may be just as right. What equals a positive in all but case and spaces is never
taken, and neither is a positive of the same query elsewhere in the data.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import InputError, MissingDependencyError
from metaembed_rag.training.data import COLUMNS, HEADER, Sample, Triplet, identity

if TYPE_CHECKING:
    from metaembed_rag.budget import BudgetLike
    from metaembed_rag.embedding.model import MetaEmbed

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

#: Queries scored at once.
BLOCK = 64


class Retriever(Protocol):
    """Whatever can score documents for queries."""

    @property
    def name(self) -> str:
        """Recorded in the mined file."""

    @property
    def floor(self) -> float:
        """A document that scores no higher has nothing in common with the query."""

    def index(self, documents: Sequence[Sample]) -> None:
        """Take the documents in."""

    def scores(self, queries: Sequence[Sample]) -> FloatArray:
        """float32 ``[queries, documents]``, higher is better."""


class ModelRetriever:
    """A MetaEmbed model with exact MaxSim.

    Args:
        model: encodes queries and documents; texts longer than its window are cut, as in training.
        budget: what it scores with; a narrow one takes less memory (a document of (4,8) at 128-d takes 4 KiB).
    """

    floor = float("-inf")

    def __init__(self, model: MetaEmbed, *, budget: BudgetLike = "full") -> None:
        from metaembed_rag.budget import Budget

        self.model = model
        self.budget = Budget.parse(budget)
        self._documents: FloatArray | None = None

    @property
    def name(self) -> str:
        """The model, its fingerprint and the budget."""
        return f"{self.model.config.name} {self.model.fingerprint} at {self.budget}"

    def index(self, documents: Sequence[Sample]) -> None:
        """Encode the documents."""
        self._documents = self._encode(self.model.encode_documents, documents)

    def scores(self, queries: Sequence[Sample]) -> FloatArray:
        """MaxSim at the budget.

        Raises:
            InputError: ``index`` was not called.
        """
        if self._documents is None:
            raise InputError("index the documents before scoring queries")
        return self.model.score(self._encode(self.model.encode_queries, queries), self._documents)

    def _encode(self, encode: Any, samples: Sequence[Sample]) -> FloatArray:
        import warnings

        from metaembed_rag.embedding.model import TruncationWarning
        from metaembed_rag.training.samples import load_sample

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)
            blocks = [
                encode([load_sample(sample) for sample in samples[start : start + BLOCK]], budget=self.budget)
                for start in range(0, len(samples), BLOCK)
            ]
        return cast("FloatArray", np.concatenate(blocks))


class Bm25Retriever:
    """BM25 (Lucene's variant, English stop words) over texts.

    Raises:
        MissingDependencyError: bm25s is not installed.
    """

    name = "BM25 (lucene, k1 1.5, b 0.75)"
    floor = 0.0

    def __init__(self) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise MissingDependencyError("mining with BM25 needs bm25s: pip install bm25s") from error
        self._bm25s = bm25s
        self._index: Any = None
        self._count = 0

    def index(self, documents: Sequence[Sample]) -> None:
        """Index the documents' texts."""
        texts = [_text(document) for document in documents]
        self._count = len(texts)
        self._index = self._bm25s.BM25(k1=1.5, b=0.75, method="lucene")
        self._index.index(self._bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def scores(self, queries: Sequence[Sample]) -> FloatArray:
        """BM25 scores, 0 where no word is shared."""
        texts = [_text(query) for query in queries]
        tokens = self._bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)
        rows = []
        for words in tokens:
            known = [word for word in words if word in self._index.vocab_dict]
            rows.append(self._index.get_scores(known) if known else np.zeros(self._count, dtype=np.float32))
        return np.stack(rows).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Mining:
    """How to choose.

    Attributes:
        threshold: a candidate that scores above this share of the positive's score is taken for a false negative.
        depth: so many of the best remaining candidates are looked at; one of them is drawn. 1 takes the hardest.
        missing: a pair for which none remains gets a random document that is no false negative ("random"), or is
            left out ("drop"); either is reported.
        seed: of everything drawn.

    Raises:
        InputError: a value out of range.
    """

    threshold: float = 0.95
    depth: int = 1
    missing: Literal["drop", "random"] = "drop"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InputError(
                f"threshold is a share of the positive's score, above 0 and at most 1, not {self.threshold}"
            )
        if isinstance(self.depth, bool) or self.depth < 1:
            raise InputError(f"depth must be at least 1, not {self.depth}")
        if self.missing not in ("drop", "random"):
            raise InputError(f"missing must be 'drop' or 'random', not {self.missing!r}")


@dataclass(slots=True)
class Report:
    """What mining did.

    Attributes:
        retriever: what it was done with.
        options: how.
        pairs, documents: how many went in.
        mined: pairs with a hard negative.
        random: pairs with a random negative.
        dropped: places (from 0) of the pairs left out.
        false_negatives: candidates passed over because they score too close to the positive.
        equal: candidates passed over because they are another positive of the same query.
    """

    retriever: str
    options: Mining
    pairs: int
    documents: int
    mined: int = 0
    random: int = 0
    dropped: list[int] = field(default_factory=list)
    false_negatives: int = 0
    equal: int = 0

    def __str__(self) -> str:
        return (
            f"{self.mined} of {self.pairs} pairs have a hard negative, {self.random} a random one, "
            f"{len(self.dropped)} were left out; passed over: {self.false_negatives} likely false negatives and "
            f"{self.equal} other positives of the same query"
        )


@dataclass(frozen=True, slots=True)
class Mined:
    """A pair with its one negative.

    Attributes:
        pair: query, positive and negative.
        how: "mined" or "random".
        rank: of the negative among all documents, from 1.
        score, positive_score: the retriever's.
    """

    pair: Triplet
    how: Literal["mined", "random"]
    rank: int
    score: float
    positive_score: float


def mine(
    pairs: Sequence[Triplet],
    retriever: Retriever,
    *,
    documents: Sequence[Sample] | None = None,
    options: Mining | None = None,
) -> tuple[list[Mined], Report]:
    """Find one hard negative for each pair.

    Args:
        pairs: from ``read_pairs``; negatives they already have are candidates like all others.
        retriever: scores the candidates.
        documents: more candidates than the pairs' own positives and negatives.
        options: how to choose; None is the default.

    Raises:
        InputError: no pairs, or scores of the wrong shape or not finite.
    """
    options = options or Mining()
    if not pairs:
        raise InputError("there are no pairs to mine negatives for")
    own = [row[name] for row in pairs for name in ("positive", "negative") if row[name]]
    corpus = {identity(sample): sample for sample in [*own, *(documents or ())]}
    names = list(corpus)
    places = {name: place for place, name in enumerate(names)}
    answers: dict[tuple[str, str], set[int]] = {}
    for row in pairs:
        answers.setdefault(identity(row["query"]), set()).add(places[identity(row["positive"])])
    retriever.index(list(corpus.values()))
    report = Report(retriever.name, options, len(pairs), len(corpus))
    generator = random.Random(options.seed)  # noqa: S311 - a draw of samples, nothing secret
    found = []
    for number, (row, scores) in enumerate(zip(pairs, _scores(retriever, pairs, len(names)), strict=True)):
        positive = places[identity(row["positive"])]
        right = answers[identity(row["query"])]
        chosen = _choose(scores, positive, right, retriever.floor, options, generator, report)
        if chosen is None:
            report.dropped.append(number)
            continue
        place, how = chosen
        if how == "mined":
            report.mined += 1
        else:
            report.random += 1
        pair: Triplet = {**row, "negative": corpus[names[place]]}
        if "pages" in pair:
            pair["pages"] = pair["pages"][:1]  # the positive's; where the negative stands is not known
        rank = int((scores > scores[place]).sum()) + 1
        found.append(Mined(pair, how, rank, float(scores[place]), float(scores[positive])))
    if report.dropped or report.random:
        logger.warning("%s", report)
    return found, report


def write_mined(path: Path, mined: Sequence[Mined], report: Report) -> None:
    """Write a source for ``read_triplets``: a header that says how it was made, then one pair a line.

    Image paths become relative to the file's folder.

    Raises:
        InputError: an image lies outside the file's folder, or no pair is left to write.
    """
    if not mined:
        raise InputError("no pair has a negative left; raise --threshold, add documents, or use --missing random")
    header = {**asdict(report), "dropped": len(report.dropped), "dropped_places": report.dropped}
    lines = [json.dumps({HEADER: header}, ensure_ascii=False)]
    for one in mined:
        row: dict[str, Any] = dict(one.pair)
        row |= {name: _portable(row[name], path.parent) for name in COLUMNS}
        about = {"how": one.how, "rank": one.rank, "score": one.score, "positive_score": one.positive_score}
        lines.append(json.dumps({**row, **about}, ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(path)


def read_header(path: Path) -> dict[str, Any]:
    """The header of a mined file, or an empty mapping."""
    with path.open(encoding="utf-8") as file:
        try:
            row = json.loads(file.readline())
        except ValueError:
            return {}
    return dict(row[HEADER]) if isinstance(row, dict) and isinstance(row.get(HEADER), dict) else {}


def _scores(retriever: Retriever, pairs: Sequence[Triplet], documents: int) -> Iterator[FloatArray]:
    for start in range(0, len(pairs), BLOCK):
        block = [row["query"] for row in pairs[start : start + BLOCK]]
        scores = np.asarray(retriever.scores(block))
        if scores.shape != (len(block), documents) or not np.isfinite(scores).all():
            raise InputError(
                f"{retriever.name} gave scores {scores.shape} for {len(block)} queries and {documents} documents; "
                "finite [queries, documents] is needed"
            )
        yield from scores


def _choose(
    scores: FloatArray,
    positive: int,
    right: set[int],
    floor: float,
    options: Mining,
    generator: random.Random,
    report: Report,
) -> tuple[int, Literal["mined", "random"]] | None:
    own = float(scores[positive])
    # A share of the score where it is above 0, and as far below it where it is not (cosines can be negative).
    limit = own - (1 - options.threshold) * abs(own)
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable"):
        candidate = int(place)
        if len(kept) == options.depth or scores[candidate] <= floor:
            break
        if candidate in right:
            report.equal += candidate != positive
        elif scores[candidate] > limit:
            report.false_negatives += 1
        else:
            kept.append(candidate)
    if kept:
        return generator.choice(kept), "mined"
    rest = [place for place in range(len(scores)) if place not in right and scores[place] <= limit]
    if options.missing == "random" and rest:
        return generator.choice(rest), "random"
    return None


def _text(sample: Sample) -> str:
    if isinstance(sample, str):
        return sample
    if sample["image"]:
        raise InputError("BM25 reads texts only, and the data has images; mine with a model that reads them")
    return sample["text"] or ""


def _portable(sample: Sample, folder: Path) -> Sample:
    if isinstance(sample, str) or not sample["image"]:
        return sample
    image = Path(sample["image"])
    if not image.is_relative_to(folder.resolve()):
        raise InputError(f"image {image} lies outside {folder}; write the mined file beside the data it was mined from")
    return {**sample, "image": str(image.relative_to(folder.resolve()))}

"""Scores of parts of a page for each query Meta Token: the ways evidence is found.

``read_alone``: what a part would score were it a page of its own. ``leave_out``: what the page loses without it.
``token_similarities``: the query's Meta Tokens against the page's own last-layer token states. Which of them finds the
line that answers, and how often, is measured by ``benchmarks/evidence.py``; ``read_alone`` does by far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import Budget
from metaembed_rag.evidence.lines import Place
from metaembed_rag.scoring import best_run

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag.embedding.model import MetaEmbed

FloatArray: TypeAlias = npt.NDArray[np.float32]

#: Parts embedded in one forward pass: lines are short, so many fit.
_BATCH = 32


def best_matches(rows: FloatArray, embeddings: FloatArray, document: int) -> FloatArray:
    """Each query Meta Token's best match in each embedding: the terms of MaxSim, before they are summed.

    Args:
        rows: query Meta Tokens ``[q, dim]``.
        embeddings: ``[n, tokens, dim]``.
        document: leading document Meta Tokens that take part.

    Returns:
        float32 ``[q, n]``.
    """
    taking_part = np.ascontiguousarray(embeddings[:, :document])
    similarities = rows @ taking_part.reshape(-1, rows.shape[1]).T
    best: FloatArray = similarities.reshape(len(rows), len(taking_part), -1).max(axis=2)
    return best


def read_alone(model: MetaEmbed, rows: FloatArray, parts: Sequence[str | Image], budget: Budget) -> FloatArray:
    """What each part scores when it is read as a page of its own.

    Args:
        model: embeds the parts.
        rows: query Meta Tokens ``[q, dim]``.
        parts: texts; or pictures cut from the page, for a backbone that sees.
        budget: its document side takes part.

    Returns:
        float32 ``[q, parts]``; a column's sum is the part's MaxSim.
    """
    if not parts:
        return np.zeros((len(rows), 0), dtype=np.float32)
    # A part longer than the window is a paragraph without line ends; all of its windows count, as those of a page do.
    pieces: list[str | Image] = []
    starts: list[int] = []
    for part in parts:
        starts.append(len(pieces))
        pieces.extend([window.text for window in model.windows(part)] if isinstance(part, str) else [part])
    found = best_matches(
        rows, model.encode_documents(pieces, budget=(1, budget.document), batch_size=_BATCH), budget.document
    )
    ends = [*starts[1:], len(pieces)]
    return np.stack([best_run(found[:, start:end]) for start, end in zip(starts, ends, strict=True)], axis=1)


def leave_out(model: MetaEmbed, rows: FloatArray, text: str, parts: Sequence[Place], budget: Budget) -> FloatArray:
    """What the page's score loses when a part of its text is left out: faithful, and slow.

    Each window of the page is embedded again without each part that lies in it.

    Returns:
        float32 ``[q, parts]``; negative where a part was in the way.
    """
    if not parts or not text.strip():
        return np.zeros((len(rows), len(parts)), dtype=np.float32)
    windows = model.windows(text)
    whole = best_matches(rows, _embed(model, [window.text for window in windows], budget), budget.document)
    without = np.repeat(whole[:, :, None], len(parts), axis=2)
    for number, window in enumerate(windows):
        inside = [
            (index, max(part.span[0], window.span[0]), min(part.span[1], window.span[1]))
            for index, part in enumerate(parts)
            if part.span[0] < window.span[1] and part.span[1] > window.span[0]
        ]
        first = window.span[0]
        cut = [window.text[: start - first] + window.text[end - first :] for _, start, end in inside]
        if not cut:
            continue
        indices = [index for index, _, _ in inside]
        without[:, number, indices] = best_matches(rows, _embed(model, cut, budget), budget.document)
    left = np.stack([best_run(without[:, :, column]) for column in range(len(parts))], axis=1)
    losses: FloatArray = best_run(whole)[:, None] - left
    return losses


def token_similarities(model: MetaEmbed, rows: FloatArray, text: str, parts: Sequence[Place]) -> FloatArray:
    """Each query Meta Token's best match among the last-layer states of the tokens in each part.

    The states are projected and normalised as Meta Tokens are, which makes them comparable; the head was trained
    on Meta Tokens alone, so they are a hint rather than a score.

    Returns:
        float32 ``[q, parts]``; -1 where a part holds no token.
    """
    from metaembed_rag.embedding.states import text_states

    scores = np.full((len(rows), len(parts)), -1.0, dtype=np.float32)
    starts = np.array([part.span[0] for part in parts], dtype=np.int64)
    ends = np.array([part.span[1] for part in parts], dtype=np.int64)
    for tokens in text_states(model, text):
        similarities = rows @ tokens.states.T
        for column, (start, end) in enumerate(tokens.spans):
            index = int(np.searchsorted(starts, start, side="right")) - 1
            if index >= 0 and start < end and start < ends[index]:
                np.maximum(scores[:, index], similarities[:, column], out=scores[:, index])
    return scores


def _embed(model: MetaEmbed, texts: list[str], budget: Budget) -> FloatArray:
    embeddings: FloatArray = model.encode_documents(texts, budget=(1, budget.document), batch_size=8)
    return embeddings

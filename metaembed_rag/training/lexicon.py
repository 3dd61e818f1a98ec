"""How much a word piece says: its inverse document frequency, and BM25 over word pieces in a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

#: Robertson's constants; those of bm25s and Lucene.
K1, B = 1.2, 0.75


def inverse_document_frequencies(texts: Iterable[str], tokenizer: Any) -> Tensor:
    """``log(1 + (N - n + 1/2) / (n + 1/2))`` of every piece, n the texts that hold it: BM25's weight, never below 0.

    Special tokens weigh 1, padding 0: the opening and closing token speak for the whole text, at the weight of a
    common word.

    Args:
        texts: a sample of what is searched.
        tokenizer: the backbone's.

    Returns:
        float32 ``[vocabulary]``.
    """
    counts: Counter[int] = Counter()
    total = 0
    for text in texts:
        counts.update(set(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]))
        total += 1
    found = torch.zeros(len(tokenizer))
    found[list(counts)] = torch.tensor(list(counts.values()), dtype=torch.float32)
    weights = torch.log1p((total - found + 0.5) / (found + 0.5))
    weights[list(tokenizer.all_special_ids)] = 1.0
    weights[tokenizer.pad_token_id] = 0.0
    return weights


def lexical_scores(
    queries: Tensor, documents: Tensor, weights: Tensor, ignored: Sequence[int], pages: Tensor | None = None
) -> Tensor:
    """BM25 of every query with every document, as a share of what a query can reach.

    Args:
        queries: ``[n, q]`` piece ids; a piece counts once a query.
        documents: ``[m, d]`` piece ids.
        weights: ``[vocabulary]`` of ``inverse_document_frequencies``.
        ignored: ids that are no words: special tokens and padding.
        pages: ``[m]`` ascending from 0, where documents are windows of pages, whose words count together.

    Returns:
        ``[n, m]`` in [0, 1], or ``[n, pages]``.
    """
    size = len(weights)
    words = torch.ones(size, device=queries.device)
    words[list(ignored)] = 0.0
    frequency = torch.zeros(len(documents), size, device=documents.device)
    frequency.scatter_add_(1, documents, words[documents])
    if pages is not None:
        frequency = frequency.new_zeros(int(pages[-1]) + 1, size).index_add_(0, pages, frequency)
    lengths = frequency.sum(dim=1, keepdim=True)
    norm = K1 * (1 - B + B * lengths / lengths.mean().clamp(min=1.0))
    saturated = frequency * (K1 + 1) / (frequency + norm)
    asked = torch.zeros(len(queries), size, device=queries.device)
    asked.scatter_(1, queries, 1.0)
    asked = asked * words * weights
    return (asked @ saturated.T) / ((K1 + 1) * asked.sum(dim=1, keepdim=True)).clamp(min=1e-6)

"""What each Meta Token looks at, coarse to fine, over pages or queries: a table for notebooks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from html import escape
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

import numpy as np

from metaembed_rag.display.cards import FONT, MUTED
from metaembed_rag.display.heatmap import tint
from metaembed_rag.errors import InputError
from metaembed_rag.evidence.lines import lay_out

if TYPE_CHECKING:
    from metaembed_rag.evidence.score import FloatArray
    from metaembed_rag.hit import Hit
    from metaembed_rag.index import MetaEmbedIndex

#: Words named for a Meta Token.
_NAMED = 6
#: Meta Tokens shown of the 64: the borders of the groups, and some between.
_SHOWN_DOCUMENT = (0, 1, 2, 3, 5, 7, 11, 15, 23, 31, 47, 63)


@dataclass(frozen=True, slots=True)
class MetaTokenReport:
    """Per Meta Token, the words it aligns with more than the page's Meta Tokens do on the whole.

    Attributes:
        kind: "document" or "query".
        tokens: which Meta Tokens, from 0, the coarsest first.
        words: for each of them, words with their weights, heaviest first.
        own: for each, how far it stands from those before it: 1 - the greatest cosine with any of them, mean over
            the pages; 1 for the first.
        pages: how many pages or queries were read.
    """

    kind: Literal["document", "query"]
    tokens: tuple[int, ...]
    words: tuple[tuple[tuple[str, float], ...], ...]
    own: tuple[float, ...]
    pages: int

    def table(self) -> str:
        """Plain text for terminals and logs."""
        rows = [f"{self.kind} Meta Tokens over {self.pages} texts: what each aligns with, coarse to fine"]
        for token, words, own in zip(self.tokens, self.words, self.own, strict=True):
            rows.append(f"{token:>3}  own {own:.3f}  {', '.join(word for word, _ in words)}")
        return "\n".join(rows)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        """The table for notebooks: the more a word weighs, the warmer it is."""
        cell = "padding:3px 10px;border:0;border-bottom:1px solid rgba(128,128,128,.25);text-align:left"
        rows = []
        for token, words, own in zip(self.tokens, self.words, self.own, strict=True):
            heaviest = max((weight for _, weight in words), default=1.0) or 1.0
            shown = " ".join(
                f'<span style="background:{tint(weight / heaviest) or "transparent"};border-radius:3px;padding:0 4px">'
                f"{escape(word)}</span>"
                for word, weight in words
            )
            bar = (
                '<div style="display:inline-block;height:8px;border-radius:2px;background:rgba(240,72,72,.75);'
                f'width:{round(90 * min(1.0, max(0.0, own)))}px"></div>'
            )
            rows.append(
                f'<tr style="background:transparent"><td style="{cell};text-align:right">{token}</td>'
                f'<td style="{cell};white-space:nowrap">{bar} <span style="{MUTED}">{own:.3f}</span></td>'
                f'<td style="{cell}">{shown}</td></tr>'
            )
        heads = "".join(f'<th style="{cell}">{head}</th>' for head in ("Meta Token", "own share", "aligns with"))
        title = f"{self.kind} Meta Tokens over {self.pages} {'pages' if self.kind == 'document' else 'queries'}"
        return (
            f'<div style="{FONT};text-align:left"><b>{title}, coarse to fine</b>'
            f'<table style="border-collapse:collapse;margin-top:6px"><tr>{heads}</tr>{"".join(rows)}</table></div>'
        )


def meta_token_report(
    index: MetaEmbedIndex,
    pages: Sequence[Hit | str],
    *,
    kind: Literal["document", "query"] = "document",
    tokens: Sequence[int] | None = None,
) -> MetaTokenReport:
    """What each Meta Token looks at, over a collection.

    A Meta Token's vector is compared with the last-layer states of the text's own tokens, projected as it is itself.
    What all Meta Tokens of a text have in common is taken away first, so that a word is named for the Meta Token
    that leans towards it, not for all.

    Args:
        index: gives the model.
        pages: hits, or texts; queries for ``kind="query"``.
        kind: which Meta Tokens.
        tokens: which of them, from 0; None is a choice from coarse to fine.

    Raises:
        InputError: no pages, or no such Meta Token.
    """
    if isinstance(pages, str) or not pages:
        raise InputError("meta_token_report needs a list of pages or texts, and at least one")
    count = index.model.query_tokens if kind == "query" else index.model.document_tokens
    chosen = tuple(range(count) if kind == "query" else _SHOWN_DOCUMENT) if tokens is None else tuple(tokens)
    if tokens is None:
        chosen = tuple(token for token in chosen if token < count)
    if not chosen or not all(0 <= token < count for token in chosen):
        raise InputError(f"tokens: the model has {kind} Meta Tokens 0 to {count - 1}, not {list(chosen)}")
    weights: list[defaultdict[str, float]] = [defaultdict(float) for _ in chosen]
    own: list[list[float]] = [[] for _ in chosen]
    for words, leaning, meta in _read(index, pages, kind):
        for row, token in enumerate(chosen):
            own[row].append(_own_share(meta, token))
            for place in np.argsort(-leaning[token])[:_NAMED]:
                weights[row][words[place]] += max(0.0, float(leaning[token, place]))
    return MetaTokenReport(
        kind,
        chosen,
        tuple(tuple(nlargest(_NAMED, total.items(), key=itemgetter(1))) for total in weights),
        tuple(float(np.mean(values)) if values else 0.0 for values in own),
        len(pages),
    )


def _read(
    index: MetaEmbedIndex, pages: Sequence[Hit | str], kind: Literal["document", "query"]
) -> Iterator[tuple[list[str], FloatArray, FloatArray]]:
    """Per window: its words, how each Meta Token leans towards each ``[meta tokens, words]``, and the Meta Tokens."""
    from metaembed_rag.embedding.states import text_states

    for page in pages:
        text = page if isinstance(page, str) else page.text
        places = lay_out(text).words
        starts = np.array([place.span[0] for place in places])
        for window in text_states(index.model, text, kind):
            owners = np.searchsorted(starts, [start for start, _ in window.spans], side="right") - 1
            inside = sorted({int(owner) for owner in owners if owner >= 0})
            if not inside:
                continue
            similarities = window.meta @ window.states.T
            best = np.stack([similarities[:, owners == owner].max(axis=1) for owner in inside], axis=1)
            # Both ways: some words are near to all Meta Tokens, and some Meta Tokens to all words.
            leaning = best - best.mean(axis=0, keepdims=True)
            leaning -= leaning.mean(axis=1, keepdims=True)
            words = [text[places[owner].span[0] : places[owner].span[1]].strip(".,;:()“”\"'") for owner in inside]
            yield [word.casefold() or "·" for word in words], leaning.astype(np.float32), window.meta


def _own_share(meta: FloatArray, token: int) -> float:
    if token == 0:
        return 1.0
    return float(1 - (meta[:token] @ meta[token]).max())
